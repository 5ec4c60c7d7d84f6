"""What a step holds in memory, found by taking it: the code of a run itself, on tensors that have a size and no content.

Nothing is downloaded, computed or held: a base is built from its config alone, however large. Only what positions are
trained and which tokens stand where is real, so that a step takes the very ways that it will take in the run.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_leaves

from finetune_sdk.job import Adapter, Full
from finetune_sdk_local import bases
from finetune_sdk_local.activations import LEAST_BYTES
from finetune_sdk_local.probe import fewer, unquantised

_ATEN = torch.ops.aten
_BY_MASK = frozenset(
    {
        _ATEN.index.Tensor,
        _ATEN.index_put.default,
        _ATEN.index_put_.default,
        _ATEN._unsafe_index_put.default,
        _ATEN._index_put_impl_.default,
    }
)
_TO_NUMBER = _ATEN._local_scalar_dense.default


class Weightless:
    """A model of a base's shape whose weights have no content. `layers` builds it with fewer of them than the base has."""

    def __init__(self, config: Any, adapter: Adapter, dtype: torch.dtype, layers: int | None = None) -> None:
        from transformers import AutoModelForCausalLM

        config = deepcopy(config)
        if layers is not None:
            fewer(config, layers)
        if isinstance(adapter, Full):
            dtype = torch.float32
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config, dtype=dtype)
            self.model = bases.adapt(model, unquantised(adapter), 0, "weightless").train()
        self._empty()

    def _empty(self) -> None:
        """Weights that say they are on the CPU, so that all that asks takes the ways of real ones."""
        made = dict[int, Tensor]()
        for module in self.model.modules():
            for named in (module._parameters, module._buffers):
                for name, tensor in named.items():
                    if tensor is not None:
                        named[name] = made.setdefault(id(tensor), self._like(tensor))

    def _like(self, tensor: Tensor) -> Tensor:
        with self._fake:
            empty = torch.empty(tensor.shape, dtype=tensor.dtype)
            if isinstance(tensor, torch.nn.Parameter):
                return torch.nn.Parameter(empty, requires_grad=tensor.requires_grad)
        return empty

    @property
    def weights(self) -> list[Tensor]:
        """Each once, buffers too."""
        return list({id(each): each for each in (*self.model.parameters(), *self.model.buffers())}.values())

    def spilled(self) -> AbstractContextManager[Any]:
        """Where activations of passes leave the device until they are needed again, as `activations.kept` has it."""
        weights = {each.untyped_storage()._cdata for each in self.weights}

        def away(tensor: Tensor) -> Any:
            stays = tensor.nbytes < LEAST_BYTES or tensor.untyped_storage()._cdata in weights
            return tensor if stays or not _is_fake(tensor) else (tensor.size(), tensor.dtype)

        def back(packed: Any) -> Tensor:
            if isinstance(packed, Tensor):
                return packed
            with self._fake:
                return torch.empty(packed[0], dtype=packed[1])

        return torch.autograd.graph.saved_tensors_hooks(away, back)

    def held(self, work: Callable[[], object], weigh: Callable[[int], float] = float) -> float:
        """The most that `work` holds at once beside the weights, of what it makes; `weigh` says what so many bytes take."""
        watching = Watching(self.weights, weigh, self._fake)
        with watching:
            work()
        return watching.most


class Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is there beside the weights, and lets through what hangs on content that is not: a mask that picks, a number
    that is only shown. It counts real tensors as well.
    """

    def __init__(
        self, weights: Sequence[Tensor], weigh: Callable[[int], float] = float, fake: FakeTensorMode | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fake, self._weigh = fake, weigh
        self._there = {tensor.untyped_storage()._cdata: 0.0 for tensor in weights}
        self.now = self.most = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _TO_NUMBER and isinstance(args[0], FakeTensor):
            return True if args[0].dtype is torch.bool else 0.0
        if func in _BY_MASK:
            args = (args[0], _positions(args[1]), *args[2:])
        if self._fake is not None and tree_any(_is_fake, (args, kwargs)):
            with self._fake:
                made = func(*args, **kwargs)
        else:
            made = func(*args, **kwargs)
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._there:
            return
        self._there[key] = taken = self._weigh(storage.nbytes())
        self.now += taken
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self._there.pop(key, 0.0)


def _is_fake(value: object) -> bool:
    return isinstance(value, FakeTensor)


def _positions(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """A real mask as the positions that it picks: how many they are hangs on its content."""
    found = list[Tensor | None]()
    for each in indices:
        if each is not None and each.dtype is torch.bool and not isinstance(each, FakeTensor):
            found += each.nonzero(as_tuple=True)
        else:
            found.append(each)
    return found

"""Bases in memory: each once, whoever asks, and the adapters that stand on it, switched from one asker to the next.

A base stays for as long as somebody holds a model that has been asked and stands on it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from finetune_sdk.errors import RunError
from finetune_sdk_local import bases
from finetune_sdk_local.standing import Checkpointed, Standing

if TYPE_CHECKING:
    from finetune_sdk_local.rendering import Renderer

KEPT = 8
Adapted = Standing | Checkpointed


class Turns:
    """A lock that goes to whoever has waited longest."""

    def __init__(self) -> None:
        self._alone = threading.Lock()
        self._waiting = deque[threading.Event]()
        self._taken = False

    def __enter__(self) -> None:
        with self._alone:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        try:
            mine.wait()
        except BaseException:  # ctrl-C: the turn is left to others, had it come already
            with self._alone:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                    raise
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        with self._alone:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


class LoadedBase:
    """A base that is loaded when it is first asked. Its askers take turns; at most `kept` adapters stay on it."""

    def __init__(self, load: Callable[[], Any], kept: int = KEPT) -> None:
        self._load = load
        self._kept = kept
        self._turns = Turns()
        self._model: Any = None
        self._adapted: Any = None  # the same model, once adapters stand on it
        self._own: Any = None  # its generation config
        self._names = OrderedDict[Adapted, str]()
        self._numbers = count(1)

    @property
    def adapters(self) -> tuple[Adapted, ...]:
        """Those in memory, the last one asked at the end."""
        return tuple(self._names)

    @property
    def parameters(self) -> int:
        """How many numbers are in memory."""
        return 0 if self._model is None else sum(each.numel() for each in self._model.parameters())

    @contextmanager
    def speaking(self, tokenizer: Any, adapter: Adapted | None = None) -> Iterator[Any]:
        """The model with that adapter alone, or with none, for as long as the block takes."""
        with self._turns:
            if self._model is None:
                with bases.one_at_a_time:
                    self._model = self._load()
                self._own = self._model.generation_config
            if adapter is not None:
                self._switch_to(adapter)
            self._model.generation_config = bases.ending(self._own, tokenizer)
            if adapter is not None:
                yield self._adapted
            elif self._adapted is None:
                yield self._model
            else:
                with self._adapted.disable_adapter():
                    yield self._model

    def _switch_to(self, adapter: Adapted) -> None:
        if adapter not in self._names:
            adapter.require()
            try:
                self._names[adapter] = self._put(adapter)
            except BaseException:
                self._model = self._adapted = None  # what was put on it in part is gone with it
                self._names.clear()
                raise
        self._names.move_to_end(adapter)
        if self._adapted.active_adapter != self._names[adapter]:
            self._adapted.set_adapter(self._names[adapter], inference_mode=True)
        while len(self._names) > self._kept:
            self._adapted.delete_adapter(self._names.popitem(last=False)[1])

    def _put(self, adapter: Adapted) -> str:
        name = f"stands_{next(self._numbers)}"
        try:
            with bases.one_at_a_time, bases.peft_hints_off():
                self._adapted = adapter.put(self._model, self._adapted, name)
        except (RuntimeError, ValueError) as fault:
            if "size mismatch" not in str(fault) and "target modules" not in str(fault).lower():
                raise
            raise RunError(
                f"the adapter in {adapter.folder} does not fit its base: {_last_line(fault)}.",
                cure="export it again from its run, or put its files back",
            ) from None
        return name


def _last_line(fault: Exception) -> str:
    return str(fault).strip().splitlines()[-1].strip().rstrip(".")


@dataclass(frozen=True, slots=True)
class Voice:
    """What a model answers with: a base, the adapter on it if there is one, and what writes its prompts."""

    base: LoadedBase
    renderer: Renderer
    adapter: Adapted | None = None

    def speaking(self) -> AbstractContextManager[Any]:
        return self.base.speaking(self.renderer.tokenizer, self.adapter)


class LoadedBases:
    """The bases that models stand on, by what they are known by; each has room for `kept` adapters."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._alone = threading.Lock()
        self._bases = WeakValueDictionary[tuple[str, ...], LoadedBase]()

    def base(self, key: tuple[str, ...], load: Callable[[], Any]) -> LoadedBase:
        """The base of that key, which `load` loads if nobody has it yet."""
        with self._alone:
            found = self._bases.get(key)
            if found is None:
                found = self._bases[key] = LoadedBase(load, self._kept)
            return found

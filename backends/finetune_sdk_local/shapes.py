"""The sizes of a base, from its config alone.

The model is built without weights, from the code that a run will build it with, and its parameters are counted: no formula
can tell a biased, tied, gated or expert layer from another. That takes 40 ms for a base of 8 billion parameters.
"""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from finetune_sdk.errors import JobError
from finetune_sdk.job import Adapter, LoRA, PrefixTuning, PromptTuning, QLoRA
from finetune_sdk_local import bases, stated

_MANY = ("num_experts", "num_local_experts", "n_routed_experts")
_EACH = ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_topk")
_INNER = ("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner", "ffn_config")


@dataclass(frozen=True, slots=True)
class Shape:
    """The base's sizes.

    `linear` are the weights of all layers that multiply activations; of these a token passes through `active`, fewer where
    it is sent to some of many experts, and QLoRA holds `quantised` in 4 bits: experts that are one tensor stay as they are.
    `intermediate` is what a token passes through, `keys` and `queries` the widths of a layer's keys and queries. `edges` are
    inputs and outputs, and `outputs` the outputs alone, of all linear layers, which adapters stand beside.
    """

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    parameters: int
    linear: int
    keys: int
    queries: int
    active: int
    quantised: int
    edges: int
    outputs: int

    @classmethod
    def of(cls, base: str) -> Shape:
        """Sizes from the config alone; no weights are read. Raises JobError where it lacks one that is needed."""
        return _of(base)

    @classmethod
    def of_config(cls, whole: Any) -> Shape:
        config = whole.get_text_config()
        hidden, layers, heads, vocabulary = (_size(config, name) for name in stated.SIZES)
        width, keyed = int(getattr(config, "head_dim", None) or hidden // heads), _key_heads(config, heads)
        if heads % keyed:
            raise JobError(
                f"the base's config says {heads} attention heads, which {keyed} heads of keys and values cannot share.",
                cure=stated.CURE,
            )
        counted = _counted(_Told(whole))
        experts, each = _experts(config)
        inner = next(
            (int(found) for name in _INNER if isinstance(found := getattr(config, name, None), int)), 4 * hidden
        )
        if experts:
            inner = each * int(getattr(config, "moe_intermediate_size", None) or inner)
        return cls(
            layers=layers,
            hidden=hidden,
            intermediate=inner,
            vocabulary=vocabulary,
            parameters=counted.parameters,
            linear=counted.linear + counted.experts,
            keys=keyed * width,
            queries=heads * width,
            active=counted.linear + round(counted.experts * (each / experts if experts else 1)),
            quantised=counted.linear,
            edges=counted.edges,
            outputs=counted.outputs,
        )

    @property
    def attended(self) -> float:
        """The memory of a token whose keys and values are read, as a share of one that passes: both copied for each row."""
        return 4 * self.keys / (10 * self.hidden + 4 * self.intermediate)

    def lora(self, rank: int) -> int:
        """Parameters of an adapter on every linear layer: rank * (in + out) of each."""
        return rank * self.edges

    @property
    def columns(self) -> int:
        """Lengths that DoRA adds to such an adapter, one for each output of each linear layer."""
        return self.outputs

    def moved(self, adapter: Adapter) -> int:
        """How many numbers are trained with the adapter."""
        if isinstance(adapter, LoRA | QLoRA):
            return self.lora(adapter.rank) + (self.columns if adapter.dora else 0)
        if isinstance(adapter, PromptTuning):
            return adapter.tokens * self.hidden
        if isinstance(adapter, PrefixTuning):
            return adapter.tokens * 2 * self.layers * self.keys
        return self.parameters


@dataclass(frozen=True, slots=True)
class _Counted:
    """Of a model's parameters: all, those of linear layers but the head, and those of experts that are one tensor."""

    parameters: int
    linear: int
    experts: int
    edges: int
    outputs: int

    @classmethod
    def of(cls, config: Any) -> _Counted:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.pytorch_utils import Conv1D

        bases.quiet()
        try:
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                model: Any = AutoModelForCausalLM.from_config(deepcopy(config), dtype=torch.float32)
        except (TypeError, ValueError, AttributeError, ZeroDivisionError, RuntimeError, KeyError) as fault:
            why = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
            raise JobError(
                f"no model can be built from the base's config ({config.model_type}): {why}.", cure=stated.CURE
            ) from None
        head = model.get_output_embeddings()
        linear = [each for each in model.modules() if isinstance(each, torch.nn.Linear) and each is not head]
        sides = [(each.out_features, each.in_features) for each in linear]
        sides += [(each.nf, each.nx) for each in model.modules() if isinstance(each, Conv1D)]
        experts = [
            parameter.numel()
            for name, parameter in model.named_parameters()
            if ".experts." in name and parameter.dim() > 2
        ]
        return cls(
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            linear=sum(out * into for out, into in sides),
            experts=sum(experts),
            edges=_by_peft(model) if experts else sum(out + into for out, into in sides),
            outputs=sum(out for out, _ in sides),
        )


def _by_peft(model: Any) -> int:
    """The parameters of an adapter of rank 1: how peft adapts experts that are one tensor differs from family to family."""
    import torch

    model.name_or_path = model.config._name_or_path = "counted"
    with torch.random.fork_rng(devices=[]), torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = bases.adapt(model, LoRA(rank=1), seed=0)
    return sum(each.numel() for each in bases.trainable(adapted).values())


class _Told:
    """A config that is the same as any that says the same."""

    def __init__(self, config: Any) -> None:
        self.config, self._said = config, (type(config), config.to_json_string())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Told) and other._said == self._said

    def __hash__(self) -> int:
        return hash(self._said)


@lru_cache(maxsize=16)
def _counted(told: _Told) -> _Counted:
    return _Counted.of(told.config)


@lru_cache(maxsize=8)
def _of(base: str) -> Shape:
    config = bases.config(base)
    stated.require(base)
    try:
        return Shape.of_config(config)
    except JobError as fault:
        raise JobError(f"base {base!r}: {fault.message}", cure=fault.cure) from None


def _size(config: Any, name: str) -> int:
    value = getattr(config, name, None)
    if isinstance(value, int) and value > 0:
        return value
    kind = getattr(config, "model_type", "unknown")
    said = f"says no {name}" if value is None else f"says {name} = {value!r}, which makes no sense"
    raise JobError(
        f"the base's config ({kind}) {said}, and nobody can tell without it what a job takes.",
        cure=f"{stated.CURE}; models without attention heads are not estimated",
    )


def _key_heads(config: Any, heads: int) -> int:
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", False):
        return 1
    return int(getattr(config, "num_key_value_heads", None) or getattr(config, "num_kv_heads", None) or heads)


def _experts(config: Any) -> tuple[int, int]:
    """How many experts a layer has, and how many a token is sent to; 0 and 0 where there are none."""
    many = next((found for name in _MANY if (found := getattr(config, name, None))), 0)
    each = next((found for name in _EACH if (found := getattr(config, name, None))), 0)
    return (int(many), int(each)) if many and each else (0, 0)

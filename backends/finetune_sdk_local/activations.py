"""What becomes of activations between the passes forward and backward: kept, computed again, or held in the machine's memory.

None of it changes a loss or a gradient.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

LEAST_BYTES = 1 << 16


def recompute(model: Any) -> None:
    """Keeps only what goes into each layer, and passes through it again on the way back (Chen et al. 2016)."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if hasattr(inner, "activation_checkpointing_enable"):
        inner.activation_checkpointing_enable({"use_reentrant": False})
    else:  # transformers before that name
        inner.gradient_checkpointing_enable({"use_reentrant": False})


def kept(model: torch.nn.Module, *, offload: bool) -> AbstractContextManager[Any]:
    """Where activations of passes in this context are held: on the card, or with `offload` in the machine's memory.

    As `torch.autograd.graph.save_on_cpu` does it, but weights, which are on the card anyway, stay there, and so do small tensors.
    """
    if not offload:
        return nullcontext()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def away(tensor: Tensor) -> Any:
        if tensor.nbytes < LEAST_BYTES or tensor.untyped_storage().data_ptr() in weights:
            return tensor
        there = torch.empty(tensor.size(), dtype=tensor.dtype, layout=tensor.layout, pin_memory=tensor.is_cuda)
        return tensor.device, there.copy_(tensor)

    def back(packed: Any) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        device, there = packed
        found: Tensor = there.to(device, non_blocking=True)
        return found

    return torch.autograd.graph.saved_tensors_hooks(away, back)


def weighed(layers: float, one_layer: float, inputs: float, *, recompute: bool, offload: bool) -> float:
    """Bytes of a token's activations on the device: of all layers, or their inputs and one whole layer, or one layer only."""
    if offload:
        return one_layer
    return layers * inputs + one_layer if recompute else layers * one_layer

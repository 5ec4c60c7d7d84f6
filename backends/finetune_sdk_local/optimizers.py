"""The optimizers there are, and their state as named tensors, so that a checkpoint holds nothing but safetensors.

All are AdamW (Loshchilov and Hutter 2019). In 8 bits (Dettmers et al. 2021, through bitsandbytes) the two moments of a matrix
take a byte each instead of four, with a scale for every 256 of them; paged, they can also leave the card for a while.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from finetune_sdk.errors import MissingDependencyError
from finetune_sdk_local import bases, sharding
from finetune_sdk_local.options import Optimizer

BETAS, EPS = (0.9, 0.999), 1e-8
_MADE_ANEW = ("qmap1", "qmap2")  # the same for all parameters, and no state


def make(
    name: Optimizer, weights: Mapping[str, torch.nn.Parameter], rate: float, decay: float
) -> torch.optim.Optimizer:
    groups = _decaying(weights, decay)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=BETAS, eps=EPS)
    if not bases.import_bitsandbytes():
        raise MissingDependencyError("bitsandbytes, which 8-bit optimizers need,", extra="local")
    optim: Any = sys.modules["bitsandbytes"].optim
    made: torch.optim.Optimizer = optim.AdamW8bit(
        groups, lr=rate, betas=BETAS, eps=EPS, is_paged=name == "paged_adamw_8bit"
    )
    return made


def _decaying(weights: Mapping[str, torch.nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Groups for the optimizer: matrices and DoRA's lengths decay, norms and biases do not, as in transformers' Trainer."""
    decays = {name: weight.ndim > 1 or "lora_magnitude_vector" in name for name, weight in weights.items()}
    groups: list[dict[str, Any]] = [
        {"params": [weight for name, weight in weights.items() if decays[name]], "weight_decay": decay},
        {"params": [weight for name, weight in weights.items() if not decays[name]], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def state(optimizer: torch.optim.Optimizer, weights: Mapping[str, torch.nn.Parameter]) -> dict[str, Tensor]:
    """What the optimizer has gathered about each weight, as `NAME.KEY`."""
    return {
        f"{name}.{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, parameter in weights.items()
        for key, value in optimizer.state[parameter].items()
        if key not in _MADE_ANEW
    }


def restore(
    optimizer: torch.optim.Optimizer, weights: Mapping[str, torch.nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """The inverse of `state`, bit for bit."""
    for name, parameter in weights.items():
        own = {key.rpartition(".")[2]: value for key, value in tensors.items() if key.rpartition(".")[0] == name}
        if "exp_avg" in own:
            moved = {key: sharding.like(parameter, value) for key, value in own.items() if key != "step"}
            optimizer.state[parameter] = {"step": own["step"], **moved}
        elif own:
            _restore_8bit(optimizer, parameter, own)


def _restore_8bit(optimizer: Any, parameter: torch.nn.Parameter, own: Mapping[str, Tensor]) -> None:
    """Into buffers that the optimizer itself makes, since it knows which are paged."""
    group = next(group for group in optimizer.param_groups if any(each is parameter for each in group["params"]))
    at = next(at for at, each in enumerate(group["params"]) if each is parameter)
    optimizer.init_state(group, parameter, optimizer.param_groups.index(group), at)
    if parameter.is_cuda:
        torch.cuda.synchronize()  # paged memory is filled on the card and written from here
    held = optimizer.state[parameter]
    for key, value in own.items():
        if key == "step":
            held["step"] = int(value)
        else:
            held[key].copy_(value)

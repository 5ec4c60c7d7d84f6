"""The state of all that draws at random, so that a run goes on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from finetune_sdk_local.devices import Device


def state(device: Device) -> dict[str, Tensor]:
    """The generators that a process on the device draws from, by their names."""
    found = {"cpu": torch.get_rng_state()}
    if device.kind == "cuda":
        found["cuda"] = torch.cuda.get_rng_state()
    if device.kind == "mps":
        found["mps"] = torch.mps.get_rng_state()
    return found


def restore(found: Mapping[str, Tensor], device: Device) -> None:
    """The inverse of `state`."""
    torch.set_rng_state(found["cpu"])
    if device.kind == "cuda" and "cuda" in found:
        torch.cuda.set_rng_state(found["cuda"])
    if device.kind == "mps" and "mps" in found:
        torch.mps.set_rng_state(found["mps"])


def joined(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The states of all processes; the names of the first are those of a run in one process."""
    return {f"{name}.{rank}" if rank else name: one for rank, each in enumerate(states) for name, one in each.items()}


def own(states: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """The state of one process among those of all; that of the first where it has none."""
    places = {name: name.partition(".") for name in states}
    found = {place[0]: states[name] for name, place in places.items() if place[2] == str(rank or "")}
    return found or own(states, 0)

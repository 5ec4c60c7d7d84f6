"""Several processes that train one run on this machine: each takes its share of a step, and all do the same step.

Gradients, losses and scores are summed over the processes and divided by what the whole step holds, so a step means what it
means in one process. Each holds all weights and the optimizer (data parallel); the first writes, the others write nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from finetune_sdk.errors import BackendError, SettingsError
from finetune_sdk_local.devices import Device

PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Processes:
    """This process, counted from 0, among `count` of one run. Alone, all of this changes nothing."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, lengths: NDArray[np.integer[Any]], examples: Sequence[int]) -> list[int]:
        """The examples that this process takes: dealt out by length, so that all have about as much to do."""
        if self.count == 1:
            return list(examples)
        dealt = sorted(examples, key=lambda example: (-int(lengths[example]), example))
        return dealt[self.rank :: self.count]

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its sum over all processes, in place and in one go."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1).to(torch.float32) for tensor in tensors])
        with _meeting():
            distributed.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def add_gradients(self, weights: Sequence[torch.nn.Parameter]) -> None:
        if self.count == 1:
            return
        for weight in weights:
            if weight.grad is None:  # of a process that no example of the step fell to
                weight.grad = torch.zeros_like(weight)
        self.add([weight.grad for weight in weights if weight.grad is not None])

    def totals(self, own: Mapping[str, float]) -> dict[str, float]:
        """Sums by name, the same in all processes to the last bit."""
        found = dict[str, float]()
        for each in self.all(dict(own)):
            for name, value in each.items():
                found[name] = found.get(name, 0.0) + value
        return found

    def all(self, own: Any) -> list[Any]:
        """What every process has, by rank."""
        if self.count == 1:
            return [own]
        found = [None] * self.count
        with _meeting():
            distributed.all_gather_object(found, own)
        return found

    def any(self, own: bool) -> bool:
        return any(self.all(own))


def require(device: Device, count: int) -> None:
    """Raises SettingsError where the machine has no room for so many processes."""
    cards = torch.cuda.device_count() if device.kind == "cuda" else count
    if device.kind == "mps" and count > 1:
        raise SettingsError("several processes cannot share an Apple GPU.", cure='set processes = 1, or device = "cpu"')
    if count > cards:
        raise SettingsError(
            f"processes = {count} is set, and each needs a card of its own: there are {cards}.",
            cure=f"set processes = {cards}",
        )


@contextmanager
def together(run: Path, rank: int, count: int, device: Device) -> Iterator[Processes]:
    """Meets the other processes of the run; the first starts them, and ends them when it ends."""
    if count == 1:
        yield Processes()
        return
    meeting = run / f".meeting.{os.getpid() if rank == 0 else os.getppid()}"
    others = [_start(run, other) for other in range(1, count)] if rank == 0 else []
    if rank:
        threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    if device.kind == "cuda":
        torch.cuda.set_device(rank)
    try:
        distributed.init_process_group(
            "nccl" if device.kind == "cuda" else "gloo",
            init_method=f"file://{meeting}",
            rank=rank,
            world_size=count,
            timeout=PATIENCE,
        )
        yield Processes(rank, count)
        distributed.destroy_process_group()
        for other in others:
            other.wait(60)
    finally:
        for other in others:
            other.kill()
            other.wait()
        if rank == 0:
            meeting.unlink(missing_ok=True)


@contextmanager
def _meeting() -> Iterator[None]:
    try:
        yield
    except RuntimeError:
        raise BackendError(
            "another process of the run has ended before its work was done; worker.log has its last words.",
            cure="resume: all goes on from the last checkpoint",
            retryable=True,
        ) from None


def _start(run: Path, rank: int) -> subprocess.Popen[bytes]:
    """Its output goes where that of this process goes."""
    return subprocess.Popen([sys.executable, "-m", "finetune_sdk_local.worker", str(run), str(rank)])


def _leave_with(first: int) -> None:
    """Ends this process once the first has ended, however it did."""
    while os.getppid() == first:
        time.sleep(0.5)
    os._exit(1)

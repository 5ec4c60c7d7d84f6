"""Several processes that train one run on this machine: each takes its share of a step, and all do the same step.

Gradients, losses and scores are summed over the processes and divided by what the whole step holds, so a step means what it
means in one process. Each holds all weights and the optimizer (data parallel), or a part of them (`sharding`); the first writes,
the others write nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from finetune_sdk.errors import BackendError, SettingsError
from finetune_sdk_local.dealing import by_length
from finetune_sdk_local.devices import Device

PATIENCE = timedelta(minutes=30)
GRACE = 60.0
"""Seconds for an error to reach this process after another has ended: NCCL may wait for who is gone."""
AT_ONCE = 1 << 24
"""Numbers that are summed in one go, copied for that: gradients of all weights at once would take their memory twice."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process, counted from 0, among `count` of one run. Alone, all of this changes nothing.

    With `sharding` each holds a part of the weights, so that a pass through the model is something that all do together.
    """

    rank: int = 0
    count: int = 1
    sharding: bool = False

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, lengths: NDArray[np.integer[Any]], examples: Sequence[int]) -> list[int]:
        """The examples that this process takes, so that all have about as much to do."""
        return list(examples) if self.count == 1 else by_length(lengths, examples, self.count)[self.rank]

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its sum over all processes, in place, many of them in one go."""
        if self.count == 1:
            return
        for some in _in_parts(tensors):
            flat = torch.cat([tensor.reshape(-1).to(torch.float32) for tensor in some])
            with _meeting():
                distributed.all_reduce(flat)
            parts = torch.split(flat, [tensor.numel() for tensor in some])
            for tensor, part in zip(some, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def add_gradients(self, weights: Sequence[torch.nn.Parameter]) -> None:
        """Of weights that each process holds whole; those of parts are summed on the way back through the model."""
        if self.count == 1 or any(isinstance(weight, DTensor) for weight in weights):
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

    def try_alone(self, work: Callable[[], Result]) -> Result:
        """Work that each process does without the others. Where one runs out of memory in it, all raise OutOfMemoryError, so that
        all try again; with sharding, passes are no such work, and the one alone raises.
        """
        if self.count == 1 or self.sharding:
            return work()
        done = list[Result]()
        with suppress(torch.cuda.OutOfMemoryError):
            done.append(work())
        if self.any(not done):
            raise torch.cuda.OutOfMemoryError("a process of the run has no room left")
        return done[0]

    def in_turn(self, work: Callable[[], Result]) -> Result:
        """One process after another, in the order of their ranks."""
        done = list[Result]()
        for turn in range(self.count):
            if turn == self.rank:
                done.append(work())
            self.all(None)
        return done[0]


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
def together(run: Path, rank: int, count: int, device: Device, *, sharding: bool = False) -> Iterator[Processes]:
    """Meets the other processes of the run; the first starts them, and ends them when it ends."""
    if count == 1:
        yield Processes()
        return
    place = run / f".meeting.{os.getpid() if rank == 0 else os.getppid()}"
    others = [_start(run, other) for other in range(1, count)] if rank == 0 else []
    over = threading.Event()
    leave, of = (_leave_with, (os.getppid(),)) if rank else (_leave_without, (others, over))
    threading.Thread(target=leave, args=of, daemon=True).start()
    try:
        with met(place, rank, count, device, sharding=sharding) as processes:
            yield processes
        for other in others:
            other.wait(60)
    finally:
        over.set()
        for other in others:
            other.kill()
            other.wait()
        if rank == 0:
            place.unlink(missing_ok=True)


@contextmanager
def met(place: Path, rank: int, count: int, device: Device, *, sharding: bool = False) -> Iterator[Processes]:
    """The processes that meet at a file which is not there yet.

    Raises BackendError where one of them has ended before its work was done.
    """
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    if device.kind == "cuda":
        torch.cuda.set_device(rank)
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device.kind == "cuda" else "gloo",  # scores are summed in the machine's memory
            init_method=f"file://{place}",
            rank=rank,
            world_size=count,
            timeout=PATIENCE,
        )
        yield Processes(rank, count, sharding)
        distributed.destroy_process_group()
    except RuntimeError as fault:
        if not _is_of_others(fault):
            raise
        raise _left_alone() from None


@contextmanager
def _meeting() -> Iterator[None]:
    try:
        yield
    except RuntimeError:
        raise _left_alone() from None


def _is_of_others(fault: RuntimeError) -> bool:
    """Whether it came from talking to other processes, as passes do whose weights are spread over them."""
    said = str(fault)
    return isinstance(fault, distributed.DistError) or "gloo" in said or "NCCL" in said or "Connection closed" in said


def _left_alone() -> BackendError:
    return BackendError(
        "another process of the run has ended before its work was done; worker.log has its last words.",
        cure="resume: all goes on from the last checkpoint",
        retryable=True,
    )


def _in_parts(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in their order, about `AT_ONCE` numbers at once."""
    some, numbers = list[Tensor](), 0
    for tensor in tensors:
        if some and numbers + tensor.numel() > AT_ONCE:
            yield some
            some, numbers = [], 0
        some.append(tensor)
        numbers += tensor.numel()
    if some:
        yield some


def _start(run: Path, rank: int) -> subprocess.Popen[bytes]:
    """Its output goes where that of this process goes."""
    return subprocess.Popen([sys.executable, "-P", "-m", "finetune_sdk_local.worker", str(run), str(rank)])


def _leave_with(first: int) -> None:
    """Ends this process once the first has ended, however it did."""
    while os.getppid() == first:
        time.sleep(0.5)
    os._exit(1)


def _leave_without(others: Sequence[subprocess.Popen[bytes]], over: threading.Event) -> None:
    """Ends this process where it does not notice that another has ended too early."""
    while not over.wait(0.5):
        if any(other.poll() for other in others) and not over.wait(GRACE):
            print("another process of the run has ended, and this one waits for it: it ends too", file=sys.stderr)
            os._exit(1)

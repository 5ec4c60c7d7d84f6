"""What memory this process has taken at most."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finetune_sdk.errors import BackendError
from finetune_sdk.estimate import quantity
from finetune_sdk_local.devices import Device


@contextmanager
def full_card_told(device: Device) -> Iterator[None]:
    """Raises BackendError where the device has no room, with what others may hold of it."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as fault:
        room = ""
        if device.kind == "cuda":
            free, total = torch.cuda.mem_get_info()
            own = torch.cuda.memory_reserved()
            room = (
                f" Of its {quantity(total, 'bytes')} this run holds {quantity(own, 'bytes')}, {quantity(free, 'bytes')} are free, and "
                f"{quantity(max(0, total - free - own), 'bytes')} belong to others."
            )
        raise BackendError(
            f"{device.name} has no room left: {str(fault).splitlines()[0][:200]}.{room}",
            cure="end what else runs on it (nvidia-smi lists it) and resume, which goes on from the last checkpoint; or take "
            "QLoRA, a smaller base, or one of the options that spare memory",
            retryable=True,
        ) from None


def peak_bytes(device: Device) -> int:
    """The peak in bytes: the card's own count on CUDA, else the process' resident size.

    Linux hands `ru_maxrss` on from parent to child, so a run that a large notebook starts would seem large itself; the
    high-water mark of the process' own memory begins anew.
    """
    if device.kind == "cuda":
        import torch

        return int(torch.cuda.max_memory_reserved())
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found.group(1)) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

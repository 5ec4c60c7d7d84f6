"""What memory this process has taken at most."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

from finetune_sdk_local.devices import Device


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

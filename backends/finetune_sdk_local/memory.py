"""What memory this process has taken at most."""

from __future__ import annotations

import resource
import sys

from finetune_sdk_local.devices import Device


def peak_bytes(device: Device) -> int:
    """The peak in bytes: the card's own count on CUDA, else the process' resident size."""
    if device.kind == "cuda":
        import torch

        return int(torch.cuda.max_memory_reserved())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

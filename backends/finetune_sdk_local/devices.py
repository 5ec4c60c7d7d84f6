"""Which device and dtype this machine trains with, and what memory it has."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune_sdk.errors import SettingsError

if TYPE_CHECKING:
    import torch

DEVICES = ("cpu", "cuda", "mps")
DTYPES = ("float32", "bfloat16")
MICRO_TOKENS = {"cpu": 4096, "mps": 4096, "cuda": 16_384}
"""Tokens that pass through the model at once, where a place does not say."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where tensors live. `memory` is the total in bytes of the card, or of the machine for a CPU."""

    kind: str
    name: str
    dtype: str
    memory: int
    free: int

    @property
    def torch_dtype(self) -> torch.dtype:
        import torch

        dtype = getattr(torch, self.dtype)
        assert isinstance(dtype, torch.dtype)
        return dtype


def pick(kind: str | None = None, dtype: str | None = None) -> Device:
    """The device asked for, or the best there is: CUDA, then MPS, then the CPU.

    bfloat16 where the hardware has it (CUDA from Ampere on, MPS), float32 elsewhere.
    """
    import psutil
    import torch

    if kind is not None and kind not in DEVICES:
        raise SettingsError(f"device {kind!r} is not known.", cure=f"use one of {', '.join(DEVICES)}")
    if dtype is not None and dtype not in DTYPES:
        raise SettingsError(f"dtype {dtype!r} is not known.", cure=f"use one of {', '.join(DTYPES)}")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    chosen = kind or next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[chosen]:
        raise SettingsError(
            f"device = {chosen!r} is set, and torch {torch.__version__} sees no such device here.",
            cure="remove the setting, or install a torch build for it",
        )
    if chosen == "cuda":
        free, total = torch.cuda.mem_get_info()
        own = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
        return Device("cuda", torch.cuda.get_device_name(), dtype or own, total, free)
    memory = psutil.virtual_memory()
    name = platform.processor() or platform.machine()
    own = "bfloat16" if chosen == "mps" else "float32"
    return Device(chosen, name, dtype or own, memory.total, memory.available)

"""What this machine can do for local training, and what is missing."""

from __future__ import annotations

from finetune_sdk.estimate import quantity
from finetune_sdk.machine import cores
from finetune_sdk_local.devices import Device
from finetune_sdk_local.publish import versions


def examine(device: Device, threads: int | None) -> dict[str, str]:
    """One line a fact."""
    import torch

    facts = {
        "device": f"{device.kind} ({device.name}), {device.dtype}",
        "memory": f"{quantity(device.free, 'bytes')} free of {quantity(device.memory, 'bytes')}",
        "threads": str(threads or cores()),
        "methods": "SFT, Pretraining, DPO, ORPO, KTO",
        "adapters": "LoRA, QLoRA, Full, PromptTuning, PrefixTuning",
        "embedded base": "tiny",
    }
    if device.kind == "cpu":
        facts["GPU"] = f"none that torch {torch.__version__} sees: fine for bases up to some 100 M parameters"
    if versions()["bitsandbytes"] == "not installed":
        facts["QLoRA"] = "missing: pip install 'finetune-anywhere[local]'"
    return facts

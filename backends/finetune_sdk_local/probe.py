"""How fast this machine trains a model of the base's shape: a few timed passes of a random one, kept on disk.

The probe builds the base's architecture with as many layers as fit 40 M parameters and the job's adapter, passes micro-batches
of a few lengths forward and backward, and fits seconds = a + b * tokens + c * tokens * length; the head and the optimizer are
timed by themselves. It is kept per shape, adapter, device, thread count and package versions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from finetune_sdk.errors import BackendError
from finetune_sdk.files import keep
from finetune_sdk.job import Adapter, LoRA, QLoRA, digest, table
from finetune_sdk_local import bases
from finetune_sdk_local.devices import Device
from finetune_sdk_local.spawning import MODULE, environment

PARAMETERS = 40e6
VOCABULARY = 16_384
"""Tokens of the probe's model, which need no memory that a job would not need: a head takes time by their number."""
SHAPES = ((4, 64), (4, 256), (16, 128), (8, 384), (3, 1024))
REPEATS = 3
SCORED = 512
QUIET = 0.7
SPREAD = (0.76, 1.42)
SOUND = 1e13
"""What no figure of a probe comes near: what is above it was not measured."""
BUSY_FOR = 3600.0
"""Seconds for which a probe of a busy machine is good enough."""
KEPT = 200
"""Probes that are remembered, the newest."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Seconds of one micro-batch, forward and backward: `start + token * tokens + pair * tokens * length + head * scored`.

    `update` is what the optimizer takes for a number that moves, `begin` what a process takes to load its packages, which then
    hold `process` bytes. `load` is the share of the cores that others used meanwhile; a probe of a busy machine is taken
    again after a while.
    """

    start: float
    token: float
    pair: float
    forward: float
    basis: str
    load: float = 0.0
    head: float = 0.0
    update: float = 0.0
    begin: float = 0.0
    process: float = 0.0

    def seconds(self, rows: int, length: int, past: int = 0, scored: int = 0) -> float:
        """Of `past` tokens before its own a token attends to all, of its own to half; `scored` of them pass the head."""
        tokens = rows * length
        taken = self.start + self.token * tokens + self.pair * tokens * (length + 2 * past) + self.head * scored
        return max(1e-6, taken)

    def updating(self, moving: int) -> float:
        """Seconds of an optimizer's step on so many numbers."""
        return self.update * moving

    @property
    def spread(self) -> tuple[float, float]:
        """By what the time of steps may be multiplied, at best and at worst."""
        return SPREAD


def probe(base: str, adapter: Adapter, device: Device, threads: int, home: Path) -> Probe:
    """This machine's figures for such a job, measured now or kept from earlier."""
    from finetune_sdk_local.publish import versions

    config = bases.config(base)
    key = digest(
        {
            "config": config.to_json_string(),
            "adapter": table(adapter),
            "device": [device.kind, device.name, device.dtype],
            "threads": threads,
            "shapes": [SHAPES, VOCABULARY],
            "versions": versions(),
        }
    )
    kept = home / "probes" / f"{key}.json"
    earlier = _read(kept)
    if earlier is not None and (earlier.load <= QUIET or _recent(kept)):
        return earlier
    found = _measured(base, adapter, device, threads)
    if earlier is not None and earlier.seconds(*SHAPES[-1]) < found.seconds(*SHAPES[-1]):
        found = earlier
    keep(kept, json.dumps(asdict(found)).encode(), KEPT)
    return found


def _recent(kept: Path) -> bool:
    with suppress(OSError):  # another process may take it away
        return time.time() - kept.stat().st_mtime < BUSY_FOR
    return False


def _read(kept: Path) -> Probe | None:
    try:
        found = Probe(**json.loads(kept.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    figures = [getattr(found, field.name) for field in fields(Probe) if field.name != "basis"]
    sound = isinstance(found.basis, str) and all(type(each) in (int, float) and 0 <= each < SOUND for each in figures)
    return found if sound and found.forward < 1 else None


def _measured(base: str, adapter: Adapter, device: Device, threads: int) -> Probe:
    """Measured by a process of its own, as a run has one: what else this one does and holds does not matter there."""
    asked = {"base": base, "adapter": table(adapter), "device": asdict(device), "threads": threads}
    command = [sys.executable, *MODULE, "finetune_sdk_local.probing"]
    done = subprocess.run(
        command, input=json.dumps(asked), env=environment(), capture_output=True, text=True, check=False
    )
    try:
        return Probe(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BackendError(
            f"the probe of this machine for {base!r} failed: {said[:300]}.",
            cure="see that the machine has memory to spare, and try again",
            retryable=True,
        ) from None


def fewer(config: Any, layers: int) -> None:
    """Leaves so many layers in a config."""
    text = config.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]


def unquantised(adapter: Adapter) -> Adapter:
    """The same without 4 bits."""
    if not isinstance(adapter, QLoRA):
        return adapter
    return LoRA(**{**table(adapter), "kind": "lora", "targets": adapter.targets})

"""How fast this machine trains a model of the base's shape: a few timed passes of a random one, kept on disk.

The probe builds the base's architecture with as many layers as fit 40 M parameters, passes micro-batches of a few lengths
forward and backward, and fits seconds = a + b * tokens + c * tokens * length. It is kept per shape, device, thread count
and package versions.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from finetune_sdk.files import whole
from finetune_sdk.job import Adapter, Full, LoRA, QLoRA, digest, table
from finetune_sdk.machine import cores
from finetune_sdk_local import bases
from finetune_sdk_local.devices import Device
from finetune_sdk_local.shapes import Shape

PARAMETERS = 40e6
SHAPES = ((4, 64), (4, 256), (16, 128), (8, 384), (3, 1024))
REPEATS = 3
ADAPTER_COST = 1.45
QUIET = 0.7


@dataclass(frozen=True, slots=True)
class Probe:
    """Seconds of one micro-batch, forward and backward: `start + token * tokens + pair * tokens * length`.

    `load` is the share of the cores that others used meanwhile; a probe of a busy machine is taken again.
    """

    start: float
    token: float
    pair: float
    forward: float
    basis: str
    load: float = 0.0

    def seconds(self, rows: int, length: int, past: int = 0) -> float:
        """Of `past` tokens before its own a token attends to all, of its own to half."""
        tokens = rows * length
        return max(1e-6, self.start + self.token * tokens + self.pair * tokens * (length + 2 * past))


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
            "shapes": SHAPES,
            "versions": versions(),
        }
    )
    kept = home / "probes" / f"{key}.json"
    earlier = _read(kept)
    if earlier is not None and earlier.load <= QUIET:
        return earlier
    found = _measure(config, adapter, device, threads)
    if earlier is not None and earlier.seconds(*SHAPES[-1]) < found.seconds(*SHAPES[-1]):
        return earlier
    kept.parent.mkdir(parents=True, exist_ok=True)
    with whole(kept) as file:
        file.write(json.dumps(asdict(found)).encode())
    return found


def _read(kept: Path) -> Probe | None:
    try:
        return Probe(**json.loads(kept.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _measure(config: Any, adapter: Adapter, device: Device, threads: int) -> Probe:
    import torch
    from transformers import AutoModelForCausalLM

    small = deepcopy(config)
    text = small.get_text_config()
    layers, shape = int(text.num_hidden_layers), Shape.of_config(config)
    text.num_hidden_layers = max(1, min(layers, int(PARAMETERS / max(1, shape.linear / layers))))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            model = AutoModelForCausalLM.from_config(small, dtype=device.torch_dtype).to(device.kind).train()
            model.requires_grad_(isinstance(adapter, Full))
            timings = [_pass(model, rows, length, device) for rows, length in SHAPES]
    finally:
        torch.set_num_threads(before)
    scale = layers / text.num_hidden_layers * (ADAPTER_COST if isinstance(adapter, LoRA | QLoRA) else 1.0)
    both = [forward + backward for forward, backward in timings]
    load = min(1.0, os.getloadavg()[0] / cores())
    start, token, pair = _fit(both)
    share = float(np.median([forward / (forward + backward) for forward, backward in timings]))
    return Probe(
        start * scale,
        token * scale,
        pair * scale,
        share,
        f"a probe of this machine on {date.today().isoformat()}" + (", which was busy" if load > QUIET else ""),
        load,
    )


def _pass(model: Any, rows: int, length: int, device: Device) -> tuple[float, float]:
    """Seconds forward and backward: the least of a few, after one that does not count."""
    import torch

    ids = torch.randint(0, model.config.get_text_config().vocab_size, (rows, length), device=device.kind)
    decoder = model.get_decoder()
    embedded = model.get_input_embeddings()(ids).detach().requires_grad_(True)
    best = (float("inf"), float("inf"))
    for attempt in range(REPEATS + 1):
        started = time.perf_counter()
        hidden = decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state
        loss = model.get_output_embeddings()(hidden[:, -length // 6 :]).float().logsumexp(-1).sum()
        _wait(device)
        middle = time.perf_counter()
        loss.backward()
        _wait(device)
        if attempt:
            best = min(best, (middle - started, time.perf_counter() - middle), key=sum)
    return best


def _wait(device: Device) -> None:
    if device.kind == "cuda":
        import torch

        torch.cuda.synchronize()


def _fit(seconds: Sequence[float]) -> tuple[float, float, float]:
    """The three figures of `Probe`, none below 0."""
    from scipy.optimize import nnls

    rows = [[1.0, float(r * n), float(r * n * n)] for r, n in SHAPES]
    weights = 1 / np.asarray(seconds)
    found, _ = nnls(np.asarray(rows) * weights[:, None], np.ones(len(SHAPES)))
    return float(found[0]), float(found[1]), float(found[2])

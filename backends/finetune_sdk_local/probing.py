"""The process of a probe: `python -m finetune_sdk_local.probing`, which reads what to measure from its input.

Its last line of output is the probe as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np
import psutil

from finetune_sdk.job import Adapter, Full, QLoRA
from finetune_sdk.machine import cores
from finetune_sdk_local import bases
from finetune_sdk_local.devices import Device
from finetune_sdk_local.probe import PARAMETERS, QUIET, REPEATS, SCORED, SHAPES, VOCABULARY, Probe, fewer, unquantised
from finetune_sdk_local.prompts import ahead
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.tables import adapter_of

ENOUGH_SECONDS = 20.0
"""What the passes of all shapes may take: a layer of a large base takes seconds on a few cores."""
FEWEST = 2
LONG_ENOUGH = 3.0
"""Seconds after which a shape is not timed again: the noise of a machine is small beside them."""
UNPACKING = 1.28
"""How much longer a pass takes on a card where the weights come out of 4 bits: torchtune 0.6.1 has LoRA at 3,083 tokens/s, and
QLoRA at 2,413.
"""


def main() -> int:
    begun = time.perf_counter()
    asked = json.load(sys.stdin)
    bases.quiet()
    warnings.simplefilter("ignore")
    adapter, device = adapter_of(asked["adapter"]), Device(**asked["device"])
    if not isinstance(adapter, QLoRA):
        bases.spare_bitsandbytes(asked["base"])
    found = measured(bases.config(asked["base"]), adapter, device, asked["threads"], begun)
    print(json.dumps(asdict(found)))
    return 0


def measured(config: Any, adapter: Adapter, device: Device, threads: int, begun: float) -> Probe:
    """Passes of a random model of that shape, timed here and now."""
    import torch
    from transformers import AutoModelForCausalLM

    from finetune_sdk_local import training  # noqa: F401 - what a run loads is loaded

    if not isinstance(adapter, Full):
        import peft  # noqa: F401
    load = min(1.0, os.getloadavg()[0] / cores())
    begin, process = time.perf_counter() - begun, psutil.Process().memory_info().rss

    small = deepcopy(config)
    text = small.get_text_config()
    layers, shape = int(text.num_hidden_layers), Shape.of_config(config)
    fewer(small, max(1, min(layers, int(PARAMETERS / max(1, shape.linear / layers)))))
    vocabulary = int(text.vocab_size)
    text.vocab_size = min(vocabulary, VOCABULARY)
    text.pad_token_id = text.bos_token_id = text.eos_token_id = None
    torch.set_num_threads(threads)
    dtype = torch.float32 if isinstance(adapter, Full) else device.torch_dtype
    model = AutoModelForCausalLM.from_config(small, dtype=dtype).to(device.kind)
    head = _head(model, device, trained=isinstance(adapter, Full)) * vocabulary / text.vocab_size
    if not ahead(adapter):
        model = bases.adapt(model, unquantised(adapter), 0, "probe")
    timings = _passes(model.train(), device)
    update = 0.0 if ahead(adapter) else _update(model)
    scale = layers / text.num_hidden_layers
    if isinstance(adapter, QLoRA) and device.kind == "cuda":
        scale *= UNPACKING
    start, token, pair = _fit({shape: sum(both) for shape, both in timings.items()})
    share = float(np.median([forward / (forward + backward) for forward, backward in timings.values()]))
    return Probe(
        start * scale,
        token * scale,
        pair * scale,
        share,
        f"a probe of this machine on {date.today().isoformat()}" + (", which was busy" if load > QUIET else ""),
        load,
        head,
        update,
        begin,
        process,
    )


def _passes(model: Any, device: Device) -> dict[tuple[int, int], tuple[float, float]]:
    """Seconds forward and backward of each shape; of the larger ones none that would take too long, beyond the first two."""
    found = dict[tuple[int, int], tuple[float, float]]()
    began = time.perf_counter()
    for rows, length in SHAPES:
        if len(found) >= FEWEST:
            (fewer_rows, shorter), last = list(found.items())[-1][0], sum(list(found.values())[-1])
            if time.perf_counter() - began + last * rows * length / (fewer_rows * shorter) > ENOUGH_SECONDS:
                continue
        found[rows, length] = _pass(model, rows, length, device)
    return found


def _pass(model: Any, rows: int, length: int, device: Device) -> tuple[float, float]:
    """Seconds forward and backward: the least of a few, after one that does not count."""
    import torch

    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    ids = torch.randint(0, causal.config.get_text_config().vocab_size, (rows, length), device=device.kind)
    embedded = (
        causal.get_input_embeddings()(ids).detach().requires_grad_(not any(p.requires_grad for p in model.parameters()))
    )

    def forward() -> Any:
        return causal.get_decoder()(inputs_embeds=embedded, use_cache=False).last_hidden_state.float().sum()

    return _least(forward, device)


def _head(model: Any, device: Device, *, trained: bool) -> float:
    """Seconds of a position from its hidden state to its loss, and back."""
    import torch

    head = model.get_output_embeddings().requires_grad_(trained)
    width, vocabulary = model.config.get_text_config().hidden_size, head.weight.shape[0]
    hidden = torch.randn(SCORED, width, device=device.kind, dtype=head.weight.dtype).requires_grad_(True)
    aims = torch.randint(0, vocabulary, (SCORED,), device=device.kind)

    def forward() -> Any:
        return torch.nn.functional.cross_entropy(head(hidden).float(), aims, reduction="sum")

    return sum(_least(forward, device)) / SCORED


def _least(forward: Callable[[], Any], device: Device) -> tuple[float, float]:
    from finetune_sdk_local.objectives import precision

    best = (float("inf"), float("inf"))
    began = time.perf_counter()
    for attempt in range(REPEATS + 1):
        if attempt > 1 and time.perf_counter() - began > LONG_ENOUGH:
            break
        started = time.perf_counter()
        with precision(device.kind, device.torch_dtype):
            loss = forward()
        _wait(device)
        middle = time.perf_counter()
        loss.backward()
        _wait(device)
        if attempt:
            best = min(best, (middle - started, time.perf_counter() - middle), key=sum)
    return best


def _update(model: Any) -> float:
    """Seconds of the optimizer's step and the clipping before it, for a number that moves."""
    import torch

    from finetune_sdk_local import optimizers

    weights = bases.trainable(model)
    optimizer = optimizers.make("adamw", weights, 1e-6, 0.0)
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        taken.append(time.perf_counter() - started)
    return min(taken) / sum(weight.numel() for weight in weights.values())


def _wait(device: Device) -> None:
    if device.kind == "cuda":
        import torch

        torch.cuda.synchronize()


def _fit(seconds: Mapping[tuple[int, int], float]) -> tuple[float, float, float]:
    """The three figures of the passes, none below 0."""
    from scipy.optimize import nnls

    rows = [[1.0, float(r * n), float(r * n * n)] for r, n in seconds]
    weights = 1 / np.asarray([*seconds.values()])
    found, _ = nnls(np.asarray(rows) * weights[:, None], np.ones(len(seconds)))
    return float(found[0]), float(found[1]), float(found[2])


if __name__ == "__main__":
    sys.exit(main())

"""What memory a local run will need: weights and moments by their sizes, the rest by the longest batch, taken without weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finetune_sdk.backend import Resolved
from finetune_sdk.estimate import Range, quantity
from finetune_sdk.job import Full, LoRA, QLoRA
from finetune_sdk_local import bases
from finetune_sdk_local.batches import Plan
from finetune_sdk_local.devices import Device
from finetune_sdk_local.generation import batches
from finetune_sdk_local.layouts import Machine, laid, longest_of, shares, sharing
from finetune_sdk_local.prompts import ahead
from finetune_sdk_local.rehearsal import Rehearsal
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.tokenising import Sequences

Three = tuple[float, float, float]

PROCESS: dict[str, Three] = {
    "cpu": (0.4e9, 0.5e9, 0.6e9),
    "cuda": (0.4e9, 0.6e9, 0.9e9),
    "mps": (0.4e9, 0.5e9, 0.9e9),
}
"""Bytes of a process that has loaded what it needs, or of a card's context, without a model: at least, usually, at most."""
AT_WORK = 60e6
"""Bytes of code, buffers and text that a process on a CPU takes on beside what its packages hold."""
KEPT: dict[str, Three] = {"cpu": (1.0, 1.3, 1.65), "cuda": (1.0, 1.12, 1.3), "mps": (1.0, 1.2, 1.6)}
"""What an allocator holds for each byte that is in use at the worst moment. A card's caching allocator rounds up."""
HOLES: Three = (1.2, 1.65, 2.0)
"""The same on a CPU where small tensors of an adapter lie between those of the layers: glibc's heap cannot fill the holes
between them again (1.4 to 1.85 measured over 10 runs, 1.2 to 1.5 without such an adapter).
"""
MAPPED = 32 * 2**20
"""Bytes from which glibc gives a piece back to the system when it is freed, so that it leaves no hole."""
FOUR_BITS = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in NF4 with double quantisation: a scale of 8 bits for 64 weights, and one of 32 for 256 scales."""
ALLOWANCE = 0.01
REHEARSED: Three = (0.96, 1.01, 1.1)


def memory(
    resolved: Resolved,
    train: Sequences,
    steps: Plan,
    width: int,
    shape: Shape,
    machine: Machine,
    asked: Sequence[Sequences] = (),
) -> Range:
    """Weights, the optimizer's moments (float32), and what is larger of the two that never stand beside each other: gradients
    with activations and logits of the worst micro-batch, or the answers that guards want at once.
    """
    device, moving = machine.device, shape.moved(resolved.adapter)
    if machine.rehearsal is not None:
        return _rehearsed(resolved, asked, shape, device, machine.rehearsal)
    standing = weights(resolved, shape, device)
    states = moments(resolved) * moving
    learning, batch = _learning(resolved, train, steps, width, shape, machine)
    if machine.parts > 1:
        gathered = (shape.parameters - shape.linear + 2 * shape.linear / shape.layers) / shape.parameters * standing
        standing = standing / machine.parts + gathered  # two layers and the tables of tokens are whole at once
        if isinstance(resolved.adapter, Full):
            states /= machine.parts
            learning -= 4.0 * moving * (1 - 1 / machine.parts)
    answers, answering = _answering(resolved, asked, shape, device)
    busiest = max(learning, answering)
    process = PROCESS[device.kind]
    if device.kind == "cpu" and machine.probe.process:
        process = (machine.probe.process, machine.probe.process + AT_WORK, machine.probe.process + 2 * AT_WORK)
    low, expected, high = (
        own + standing + states + kept * busiest for own, kept in zip(process, kept_by(device, resolved), strict=True)
    )
    if machine.parts == 1:
        least = process[0] + standing + states + 4.0 * moving  # there is a moment with every gradient
        low = max(low, min(least, expected))
    what = f"{answers:,} tokens of guards' answers at once" if answering > learning else batch
    return Range(
        low * (1 - ALLOWANCE),
        expected,
        high * (1 + ALLOWANCE),
        "bytes",
        f"{_counted(shape.parameters)} parameters in {device.dtype}, {_trained(resolved, moving)}, and {what}, which holds "
        f"{quantity(busiest, 'bytes')} at its worst; on {device.kind}"
        + (f", weights in {machine.parts} parts" if machine.parts > 1 else ""),
    )


def _trained(resolved: Resolved, moving: int) -> str:
    return "all of them trained" if isinstance(resolved.adapter, Full) else f"{_counted(moving)} beside them trained"


def _counted(numbers: int) -> str:
    return f"{numbers / 1e9:.2f} B" if numbers >= 1e9 else f"{numbers / 1e6:.2f} M"


def _rehearsed(resolved: Resolved, asked: Sequence[Sequences], shape: Shape, device: Device, tried: Rehearsal) -> Range:
    """What a few steps held; a heap grows a little with further ones. Guards' answers were not tried."""
    standing = weights(resolved, shape, device) + moments(resolved) * shape.moved(resolved.adapter)
    _, answering = _answering(resolved, asked, shape, device)
    answered = (PROCESS[device.kind][1] + standing + answering * KEPT[device.kind][1]) if answering else 0.0
    low, expected, high = (max(tried.memory * share, answered) for share in REHEARSED)
    said = (
        f"the peak of {len(tried.steps)} steps of this very job and its longest batch, tried just now on {device.kind}"
    )
    return Range(low, expected, high, "bytes", said)


def kept_by(device: Device, resolved: Resolved) -> Three:
    """What the allocator holds for a byte in use: at least, usually, at most."""
    holes = device.kind == "cpu" and isinstance(resolved.adapter, LoRA | QLoRA)
    return HOLES if holes else KEPT[device.kind]


def weights(resolved: Resolved, shape: Shape, device: Device) -> float:
    """Bytes of the base as it stands, and of what moves beside it."""
    each = bytes_each(device)
    if isinstance(resolved.adapter, Full):
        return 4.0 * shape.parameters
    beside = 4.0 * shape.moved(resolved.adapter)
    if isinstance(resolved.adapter, QLoRA):
        return FOUR_BITS * shape.quantised + each * (shape.parameters - shape.quantised) + beside
    return each * shape.parameters + beside


def bytes_each(device: Device) -> int:
    return 4 if device.dtype == "float32" else 2


def moments(resolved: Resolved) -> float:
    """Bytes of the optimizer's two moments of a weight: in 8 bits with a float32 scale for each 256 of them."""
    return 8.0 if resolved.own.get("optimizer", "adamw") == "adamw" else 2.0 * (1 + 4 / 256)


def _learning(
    resolved: Resolved, train: Sequences, steps: Plan, width: int, shape: Shape, machine: Machine
) -> tuple[float, str]:
    """Bytes in use at the worst moment of the longest batch, which every run tries first, and how that was found."""
    from finetune_sdk_local.holding import Step

    batch = np.argsort(-longest_of(train, width), kind="stable")[: steps.batch_size].tolist()
    shared = sharing(resolved, train, steps, width, machine)
    dealt = shares(train, batch, width, machine, shared)
    examples = max(dealt, key=lambda own: int(longest_of(train, width)[own].sum()))
    step = Step(
        bases.config(resolved.base),
        resolved.adapter,
        resolved.method,
        machine.device,
        machine.micro_tokens,
        shared is not None,
        machine.recomputed,
        machine.offload,
    )
    _, usual, _ = kept_by(machine.device, resolved)

    def weigh(size: int) -> float:
        return float(size) if size < MAPPED else size / usual

    try:
        return step.kept(train, examples, machine.home, weigh), "the longest batch"
    except (
        RuntimeError,
        NotImplementedError,
    ):  # what some bases do hangs on what their numbers are, as routing to experts
        passes = laid(train, examples, width, machine.micro_tokens, shared)
        return _by_sizes(resolved, passes, shape, machine), "the longest batch, reckoned by the base's sizes alone"


def _by_sizes(resolved: Resolved, passes: Sequence[tuple[int, int, int, int]], shape: Shape, machine: Machine) -> float:
    """The same as a formula: activations of a Llama's layers, and three times the scores of what is learnt."""
    each = bytes_each(machine.device)
    layer = (20.0 * shape.hidden + 6.0 * shape.intermediate) * each
    per_token = shape.layers * layer
    if machine.offload:
        per_token = 2 * layer  # the one at work, and the next on its way
    elif machine.recomputed:
        per_token = layer + shape.layers * shape.hidden * each
    busiest = max(rows * length * per_token + 12.0 * learnt * shape.vocabulary for rows, length, _, learnt in passes)
    return busiest + 4.0 * shape.moved(resolved.adapter)


def _answering(resolved: Resolved, asked: Sequence[Sequences], shape: Shape, device: Device) -> tuple[int, float]:
    """Tokens of the largest batch of guards' answers, each as long as it may be, and the bytes that it holds: keys and values,
    beside them one layer's activations of the prompts and the scores of one token a row.
    """
    guards, most, held, each = resolved.job.guards, 0, 0.0, bytes_each(device)
    if guards is None:
        return most, held
    context = bases.context(resolved.base) - ahead(resolved.adapter)
    layer = (20.0 * shape.hidden + 6.0 * shape.intermediate) * each
    for made in asked:
        longest = np.minimum(np.sort(made.lengths)[-guards.cases :], context - 1).tolist()
        for rows in batches(longest, guards.max_tokens, context):
            prompt = longest[rows[-1]]
            tokens = len(rows) * (ahead(resolved.adapter) + min(prompt + guards.max_tokens, context))
            cache = 2 * shape.layers * shape.keys * each * tokens
            batch = cache + layer * len(rows) * prompt + 2 * 4 * shape.vocabulary * len(rows)
            most, held = (tokens, batch) if batch > held else (most, held)
    return most, held

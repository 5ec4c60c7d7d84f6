"""What a local run will take: tokens counted, time from a probe of this very machine, memory from the shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_sdk.backend import Resolved
from finetune_sdk.estimate import Estimate, Range
from finetune_sdk.job import DPO, KTO, ORPO, RFT, Full, LoRA, Method, PrefixTuning, PromptTuning, QLoRA
from finetune_sdk_local import bases, prefixes
from finetune_sdk_local.batches import Plan, grouped
from finetune_sdk_local.devices import Device
from finetune_sdk_local.generation import BATCH_ROWS, batches
from finetune_sdk_local.prepare import steps as planned
from finetune_sdk_local.prepare import width as width_of
from finetune_sdk_local.probe import Probe
from finetune_sdk_local.prompts import ahead
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.tokenising import Sequences

START_SECONDS = (5.0, 8.0, 14.0)
ROWS_PER_SECOND = 2_500.0
PROCESS_BYTES = 0.55e9
SPREAD = (0.65, 1.6)
MEMORY_SPREAD = (0.65, 1.8)
FULL_ACTIVATIONS = 0.7  # an adapter keeps the inputs of its own two products beside each layer's
KEPT_CHECKPOINTS = 3


@dataclass(frozen=True, slots=True)
class Machine:
    """What the estimate knows of where the job would run. The weights are spread over so many `parts`."""

    device: Device
    micro_tokens: int
    probe: Probe
    usd_per_hour: float | None
    engine: prefixes.Engine
    recomputed: bool = False
    offload: bool = False
    parts: int = 1


def estimate(
    resolved: Resolved,
    train: Sequences,
    validation: Sequences | None,
    general: Sequences | None,
    machine: Machine,
) -> Estimate:
    """The whole estimate. `charge` is exactly $0: nobody bills for one's own hardware. `general` are what guards look at."""
    job, method, shape = resolved.job, resolved.method, Shape.of(resolved.base)
    width = width_of(method)
    steps = planned(method, job.seed, len(train) // width)
    tokens, trained = _tokens(train, steps, width)
    least = _tokens(train, replace(steps, steps=fewest(steps, method)), width)
    time = _time(resolved, train, validation, general, steps, width, machine)
    price = machine.usd_per_hour
    early = ", fewer if it stops early" if method.early_stopping is not None else ""
    return Estimate(
        tokens=Range(
            least[0], tokens, tokens, "tokens", f"counted with the base's tokenizer over {steps.steps} steps{early}"
        ),
        trained_tokens=Range(
            least[1], trained, trained, "tokens", f"of these, the ones that are learnt, after cuts{early}"
        ),
        charge=Range.exactly(0.0, "USD", "own hardware: no provider charges for it"),
        time=time,
        memory=memory(resolved, train, steps, width, shape, machine, _asked(resolved, validation, general)),
        disk=disk(resolved, train),
        machine=costing(time, price),
        resolved=resolved.to_dict(),
        notes=(*_notes(train, width, steps), *_of_memory(machine)),
    )


def fewest(steps: Plan, method: Method) -> int:
    """The steps that a run takes at least: all, unless it may stop early."""
    if method.early_stopping is None:
        return steps.steps
    return min(steps.steps, (method.validate_every or steps.per_epoch) * (method.early_stopping + 1))


def _tokens(train: Sequences, steps: Plan, width: int) -> tuple[int, int]:
    """Tokens and trained tokens of all steps, exactly: the very rows that each step will take."""
    lengths = train.lengths.reshape(-1, width).sum(1)
    counts = train.trained_counts.reshape(-1, width).sum(1)
    whole, rest = divmod(steps.steps, steps.per_epoch)
    tokens, trained = int(lengths.sum()) * whole, int(counts.sum()) * whole
    for step in range(whole * steps.per_epoch, whole * steps.per_epoch + rest):
        rows = steps.rows(step)
        tokens, trained = tokens + int(lengths[rows].sum()), trained + int(counts[rows].sum())
    return tokens, trained


def _time(
    resolved: Resolved,
    train: Sequences,
    validation: Sequences | None,
    general: Sequences | None,
    steps: Plan,
    width: int,
    machine: Machine,
) -> Range:
    """Start, tokenising, steps and validations. Micro-batches are laid out as the run will, and the probe times them."""
    longest, micro, watched = _longest(train, width), machine.micro_tokens, [0.0, 0.0, 0.0]
    sharing = _sharing(resolved, train, steps, width, machine)

    def seconds(rows: int, length: int, past: int) -> float:
        return machine.probe.seconds(rows, length + ahead(resolved.adapter), past)

    sample = [_laid(train, steps.rows(step).tolist(), width, micro, sharing) for step in range(min(8, steps.steps))]
    per_step = float(np.mean([sum(seconds(*each) for each in step) for step in sample]))
    forward = machine.probe.forward
    if machine.recomputed:
        per_step *= 1 + forward
    if isinstance(resolved.method, KTO):
        per_step *= 1 + forward  # a batch's mismatched answers are as many tokens, and are only scored
    tried = _laid(train, np.argsort(-longest)[: steps.batch_size].tolist(), width, micro, sharing)
    training = per_step * steps.steps + sum(seconds(*each) for each in tried)
    if isinstance(resolved.method, DPO):
        training += forward * per_step * steps.per_epoch
    if isinstance(resolved.method, KTO):
        training += 2 * forward / (1 + forward) * per_step * steps.per_epoch
    if validation is not None:
        every = resolved.method.validate_every or steps.per_epoch
        held = _laid(validation, range(len(validation) // width), width, micro, sharing)
        once = forward * sum(seconds(*each) for each in held)
        if isinstance(resolved.method, KTO):
            once *= 2
        training += once * (2 + steps.steps // every)
        watched = [
            (2 + steps.steps // every) * each for each in watched_seconds(resolved, validation, general, machine)
        ]
    reading = (len(train) + (len(validation) if validation is not None else 0)) / ROWS_PER_SECOND
    low, expected, high = START_SECONDS
    return Range(
        low + reading / 2 + watched[0] + training * SPREAD[0] * fewest(steps, resolved.method) / steps.steps,
        expected + reading + training + watched[1],
        high + reading * 2 + training * SPREAD[1] + watched[2],
        "s",
        f"{steps.steps} steps of {per_step * 1000:.0f} ms by {machine.probe.basis}, and {expected:.0f} s to start",
    )


def watched_seconds(
    resolved: Resolved, validation: Sequences, general: Sequences | None, machine: Machine
) -> tuple[float, float, float]:
    """Seconds of what guards look at in one validation: answers as long as the expected ones, or as long as they may be."""
    guards, seconds, forward = resolved.job.guards, machine.probe.seconds, machine.probe.forward
    low, expected, high = 0.0, 0.0, 0.0
    if guards is None:
        return low, expected, high
    for made in _asked(resolved, validation, general):
        rows, length = min(guards.cases, int(made.sources[-1]) + 1), int(made.lengths.mean())
        each = -(-rows // BATCH_ROWS) * forward * seconds(min(rows, BATCH_ROWS), 1, length)
        usual = min(guards.max_tokens, float(made.trained_counts.mean()) + 1)
        low, expected, high = (
            low + each * usual / 2,
            expected + each * usual,
            high + each * guards.max_tokens * SPREAD[1],
        )
    if general is not None:
        once = forward * seconds(len(general), int(general.lengths.mean()))
        low, expected, high = low + once / 2, expected + once, high + 3 * once
    return low, expected, high


def _asked(resolved: Resolved, validation: Sequences | None, general: Sequences | None) -> list[Sequences]:
    """The examples whose prompts are answered at each validation."""
    guards = resolved.job.guards
    return [
        made
        for made, answered in (
            (validation, guards is not None and guards.answers),
            (general, guards is not None and bool(guards.forgetting_by)),
        )
        if made is not None and answered
    ]


def _longest(made: Sequences, width: int) -> NDArray[np.int64]:
    """The longest sequence of each example."""
    longest: NDArray[np.int64] = made.lengths.reshape(-1, width).max(1)
    return longest


def _sharing(resolved: Resolved, train: Sequences, steps: Plan, width: int, machine: Machine) -> dict[str, Any] | None:
    """How the run will share prefixes, or None where it will not."""
    config, answers = bases.config(resolved.base), not isinstance(resolved.method, DPO | ORPO | KTO | RFT)
    dropout = getattr(resolved.adapter, "dropout", 0.0)
    asked = machine.engine == "separate" or machine.recomputed or machine.parts > 1
    if asked or prefixes.unfit(config) is not None or dropout or ahead(resolved.adapter):
        return None
    sample = [steps.rows(step).tolist() for step in range(min(prefixes.LOOKED_AT, steps.steps))]
    if machine.engine == "auto" and prefixes.spared(train, sample, width, answers=answers) < prefixes.LEAST_SPARED:
        return None
    return {"answers": answers, "attended": Shape.of_config(config).attended}


def _laid(
    made: Sequences, examples: Sequence[int], width: int, micro_tokens: int, sharing: Mapping[str, Any] | None
) -> list[tuple[int, int, int]]:
    """The (rows, length, tokens attended to before) of each micro-batch that the examples make."""
    if sharing is not None:
        found = prefixes.passes(made, examples, width, micro_tokens, **sharing)
        return [(len(each.spans), each.length, each.past) for top in found for each in top.every()]
    longest = _longest(made, width)[list(examples)]
    return [(len(group) * width, int(longest[group[0]]), 0) for group in grouped(longest, micro_tokens // width)]


def memory(
    resolved: Resolved,
    train: Sequences,
    steps: Plan,
    width: int,
    shape: Shape,
    machine: Machine,
    asked: Sequence[Sequences] = (),
) -> Range:
    """Weights, what moves and its two moments (float32), and what is larger of the two that never stand beside each other:
    the gradient, with activations and logits of the longest micro-batch; or the answers that guards want at once.
    """
    adapter, device = resolved.adapter, machine.device
    bytes_each = 4 if device.dtype == "float32" else 2
    moving = _moving(resolved, shape)
    weights: float = shape.parameters * bytes_each
    if isinstance(adapter, Full):
        weights = 4.0 * shape.parameters
    elif isinstance(adapter, QLoRA):
        weights = 0.53 * shape.linear + bytes_each * (shape.parameters - shape.linear)
    biggest = _at_once(resolved, train, steps, width, machine)
    layer = (20.0 * shape.hidden + 6.0 * shape.intermediate) * bytes_each
    per_token = shape.layers * layer
    if machine.offload:
        per_token = 2 * layer  # the one at work, and the next on its way
    elif machine.recomputed:
        per_token = layer + shape.layers * shape.hidden * bytes_each
    scored = min(biggest, int(np.max(train.trained_counts)) * min(steps.batch_size * width, 64))
    if ahead(adapter):
        scored = biggest  # through the whole model, and so its whole head
    logits = scored * shape.vocabulary * 4 * 3
    if not isinstance(adapter, LoRA | QLoRA):
        per_token *= FULL_ACTIVATIONS
    process = PROCESS_BYTES if device.kind == "cpu" else 0.6e9
    states, learning = _moments(resolved) * moving, 4.0 * moving
    if machine.parts > 1:
        gathered = (shape.parameters - shape.linear + 2 * shape.linear / shape.layers) / shape.parameters * weights
        weights = weights / machine.parts + gathered  # two layers and the tables of tokens are whole at once
        if isinstance(adapter, Full):
            states, learning = states / machine.parts, learning / machine.parts
    learning += biggest * per_token + logits
    answers, answering = _answering(resolved, asked, shape, bytes_each, layer)
    expected = process + weights + states + max(learning, answering)
    if not isinstance(adapter, Full):
        expected += 4.0 * moving
    busiest = f"{answers:,} tokens of guards' answers" if answering > learning else f"{biggest:,} tokens"
    low, high = MEMORY_SPREAD
    return Range(
        expected * low,
        expected,
        expected * high,
        "bytes",
        f"{shape.parameters / 1e6:.1f} M parameters in {device.dtype}, {moving / 1e6:.2f} M of them or beside them "
        f"trained, {busiest} at once, on {device.kind}"
        + (f", weights in {machine.parts} parts" if machine.parts > 1 else ""),
    )


def _answering(
    resolved: Resolved, asked: Sequence[Sequences], shape: Shape, bytes_each: int, layer: float
) -> tuple[int, float]:
    """Tokens of the largest batch of guards' answers, each as long as it may be, and the bytes that it holds: keys and values,
    beside them one layer's activations of the prompts and the scores of one token a row.
    """
    guards, most, held = resolved.job.guards, 0, 0.0
    if guards is None:
        return most, held
    context = bases.context(resolved.base) - ahead(resolved.adapter)
    for made in asked:
        longest = np.minimum(np.sort(made.lengths)[-guards.cases :], context - 1).tolist()
        for rows in batches(longest, guards.max_tokens, context):
            prompt = longest[rows[-1]]
            tokens = len(rows) * (ahead(resolved.adapter) + min(prompt + guards.max_tokens, context))
            cache = 2 * shape.layers * shape.keys * bytes_each * tokens
            batch = cache + layer * len(rows) * prompt + 2 * 4 * shape.vocabulary * len(rows)
            most, held = (tokens, batch) if batch > held else (most, held)
    return most, held


def _at_once(resolved: Resolved, train: Sequences, steps: Plan, width: int, machine: Machine) -> int:
    """Tokens whose activations are held at once for the longest examples, which every run tries first."""
    longest, sharing = _longest(train, width), _sharing(resolved, train, steps, width, machine)
    examples = np.argsort(-longest)[: steps.batch_size].tolist()
    if sharing is None:
        laid = _laid(train, examples, width, machine.micro_tokens, None)
        return max(rows * (length + ahead(resolved.adapter)) for rows, length, _ in laid)

    def held(each: prefixes.Pass) -> float:
        own: float = len(each.spans) * (each.length + each.past * sharing["attended"])
        return own + max(map(held, each.below), default=0.0)

    return round(max(map(held, prefixes.passes(train, examples, width, machine.micro_tokens, **sharing))))


def _moving(resolved: Resolved, shape: Shape) -> int:
    adapter = resolved.adapter
    if isinstance(adapter, LoRA | QLoRA):
        return shape.lora(adapter.rank) + (shape.columns if adapter.dora else 0)
    if isinstance(adapter, PromptTuning):
        return adapter.tokens * shape.hidden
    if isinstance(adapter, PrefixTuning):
        return adapter.tokens * 2 * shape.layers * shape.keys
    return shape.parameters


def _moments(resolved: Resolved) -> float:
    """Bytes of the optimizer's two moments of a weight: in 8 bits with a float32 scale for each 256 of them."""
    return 8.0 if resolved.own.get("optimizer", "adamw") == "adamw" else 2.0 * (1 + 4 / 256)


def disk(resolved: Resolved, train: Sequences) -> Range:
    """What the run's folder will take: float32 weights and their moments a checkpoint."""
    moving = _moving(resolved, Shape.of(resolved.base))
    data = float(train.lengths.sum()) * 6
    checkpoint = (4.0 + _moments(resolved)) * moving
    expected = KEPT_CHECKPOINTS * checkpoint + 4.0 * moving + data + 8e6
    return Range(
        min(0.3 * expected, 0.9 * (checkpoint + 4.0 * moving)),  # a short run writes but one
        expected,
        expected * 2.5,
        "bytes",
        f"{KEPT_CHECKPOINTS} checkpoints, the model, a copy of the data",
    )


def costing(time: Range, price: float | None) -> Range:
    """What the machine costs for that time, at a price an hour."""
    if price is None:
        return Range.unknown("USD", "set usd_per_hour under the backend in finetune.toml to know it")
    assert time.low is not None
    assert time.expected is not None
    assert time.high is not None
    each = price / 3600
    basis = f"${price:.2f} an hour, as finetune.toml says"
    return Range(time.low * each, time.expected * each, time.high * each, "USD", basis)


def seconds(resolved: Resolved, made: Sequences, examples: Sequence[int], width: int, machine: Machine) -> float:
    """Of the examples through the model, forward and backward, as the run would lay them out."""
    whole = Plan(len(made) // width, max(1, len(examples)), 1, 0)
    sharing = _sharing(resolved, made, whole, width, machine)
    laid = _laid(made, examples, width, machine.micro_tokens, sharing)
    return sum(machine.probe.seconds(rows, length + ahead(resolved.adapter), past) for rows, length, past in laid)


def _of_memory(machine: Machine) -> tuple[str, ...]:
    return (
        ("offload moves activations to the machine's memory and back, and the time does not count that",)
        if machine.offload
        else ()
    )


def _notes(train: Sequences, width: int, steps: Plan) -> tuple[str, ...]:
    cut = int((train.cut.reshape(-1, width).sum(1) > 0).sum())
    notes = [f"{cut} of {steps.examples} examples are longer than max_length and are cut at the end"] if cut else []
    rows = int(train.sources[-1]) + 1
    if width == 1 and rows < len(train):
        notes.append(f"{rows} rows are {len(train)} sequences; a step takes sequences")
    return tuple(notes)


def shared_by(made: Estimate, processes: int, device: Device) -> Estimate:
    """The estimate for several processes, of what one of them holds: at best each step takes that much less."""
    if processes == 1:
        return made
    time, memory = made.time, made.memory
    assert time.low is not None
    assert memory.low is not None
    assert memory.expected is not None
    assert memory.high is not None
    times = processes if device.kind == "cpu" else 1
    where = f"in {processes} processes" if device.kind == "cpu" else f"on each of {processes} cards"
    return replace(
        made,
        time=replace(
            time, low=time.low / processes, basis=f"{time.basis}; {processes} processes share each step, at best evenly"
        ),
        memory=Range(
            memory.low * times, memory.expected * times, memory.high * times, "bytes", f"{memory.basis}; {where}"
        ),
    )

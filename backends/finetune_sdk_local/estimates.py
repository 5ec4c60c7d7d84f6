"""What a local run will take: tokens counted, time from a probe of this very machine, memory from the shapes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from finetune_sdk.backend import Resolved
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.estimate import Estimate, Range, quantity
from finetune_sdk_local import bases, costs, time_estimates
from finetune_sdk_local.batches import Plan
from finetune_sdk_local.devices import Device
from finetune_sdk_local.layouts import Machine, fewest, sharing, written
from finetune_sdk_local.memory_estimates import memory, moments
from finetune_sdk_local.prepare import steps as planned
from finetune_sdk_local.prepare import width as width_of
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.time_estimates import asked
from finetune_sdk_local.tokenising import Sequences

CHARGE = "own hardware: no provider charges for it"
CHARGE_ELSEWHERE = "no provider charges for tokens: a rented card's hours are what the machine costs"
KEPT_CHECKPOINTS = 2
CHECKPOINT_BYTES = 6_000.0
STEP_BYTES = 350.0
"""What a step's figures take among the run's events."""


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
    shared = sharing(resolved, train, steps, width, machine)
    time = time_estimates.time(resolved, train, validation, general, steps, width, machine, shared)
    early = ", fewer if it stops early" if method.early_stopping is not None else ""
    return Estimate(
        tokens=Range(
            least[0], tokens, tokens, "tokens", f"counted with the base's tokenizer over {steps.steps} steps{early}"
        ),
        trained_tokens=Range(
            least[1], trained, trained, "tokens", f"of these, the ones that are learnt, after cuts{early}"
        ),
        charge=Range.exactly(0.0, "USD", CHARGE if machine.card is None else CHARGE_ELSEWHERE),
        time=time,
        memory=memory(resolved, train, steps, width, shape, machine, asked(resolved, validation, general)),
        disk=disk(resolved, train, steps, machine),
        machine=costing(time, machine),
        energy=costs.energy(time, machine.card, machine.watts),
        resolved=resolved.to_dict(),
        notes=(*_notes(train, width, steps), *_of_memory(machine)),
    )


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


def disk(resolved: Resolved, train: Sequences, steps: Plan, machine: Machine | None = None) -> Range:
    """What the run's folder will take: the data, the model and the checkpoints that are kept, float32 weights and moments each."""
    moving, tried = Shape.of(resolved.base).moved(resolved.adapter), machine.rehearsal if machine else None
    saves = written(steps, machine.checkpoint_every if machine else None)
    each = tried.checkpoint_bytes if tried is not None else (4.0 + moments(resolved)) * moving + CHECKPOINT_BYTES
    model = tried.model_bytes if tried is not None else 4.0 * moving + bases.tokenizer_bytes(resolved.base)
    sides = [side for side in (resolved.job.train, resolved.job.validation) if side is not None]
    data = sum(map(_written_out, sides)) + STEP_BYTES * steps.steps + 4 * len(train)
    kept = min(saves, KEPT_CHECKPOINTS)
    best = kept + 1 if resolved.job.validation is not None and saves > kept else kept
    fewer = 1 if resolved.method.early_stopping is not None else kept
    low, expected, high = (count * each + model + data for count in (fewer, kept, best))
    return Range(
        0.92 * low,
        expected,
        1.08 * high,
        "bytes",
        f"{kept} {'checkpoint' if kept == 1 else 'checkpoints'} of {quantity(each, 'bytes')}, the model, a copy of the data",
    )


def _written_out(data: Dataset) -> float:
    """Bytes of a copy of the data, from a few rows of it."""
    sample = [data.row(int(at)) for at in np.linspace(0, len(data) - 1, min(len(data), 200))]
    return len(data) / len(sample) * sum(len(json.dumps(row, ensure_ascii=False).encode()) for row in sample)


def costing(time: Range, machine: Machine) -> Range:
    """What the machine costs for that time: at the settings' price an hour, or at clouds' prices of a card that is not here."""
    if machine.card is not None:
        return costs.money(time, machine.card, machine.gpu_usd_per_hour)
    if machine.usd_per_hour is None:
        return Range.unknown("USD", "set usd_per_hour under the backend in finetune.toml to know it")
    basis = f"${machine.usd_per_hour:.2f} an hour, as finetune.toml says"
    return time.scaled(machine.usd_per_hour / 3600, "USD", basis)


def seconds(resolved: Resolved, made: Sequences, examples: Sequence[int], width: int, machine: Machine) -> float:
    """Of the examples through the model, forward and backward, as the run would lay them out."""
    whole = Plan(len(made) // width, max(1, len(examples)), 1, 0)
    shared = sharing(resolved, made, whole, width, machine)
    return time_estimates.Pace(resolved, width, machine, shared).learnt(made, examples)


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


def in_all(made: Estimate, processes: int, device: Device) -> Estimate:
    """The estimate with the memory of all processes that share one machine's, from that of one; each card has its own."""
    if processes == 1:
        return made
    if device.kind != "cpu":
        return replace(made, memory=replace(made.memory, basis=f"{made.memory.basis}; on each of {processes} cards"))
    basis = f"{made.memory.basis}; in {processes} processes"
    return replace(made, memory=made.memory.scaled(processes, "bytes", basis))

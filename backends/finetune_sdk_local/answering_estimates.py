"""What a run of RFT will take. How long answers get is not known before: as long as expected ones, within a wide range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from finetune_sdk.backend import Resolved
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.estimate import Estimate, Range
from finetune_sdk.evaluation.rewards import case
from finetune_sdk.job import RFT
from finetune_sdk_local import costs, estimates, memory_estimates, time_estimates
from finetune_sdk_local.batches import Plan, grouped
from finetune_sdk_local.layouts import Machine, fewest, shares
from finetune_sdk_local.prepare import steps as planned
from finetune_sdk_local.reinforcement import standing
from finetune_sdk_local.rollouts import HELD
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.tokenising import Sequences

LOOKED_AT = 200
TOLD_APART = (0.1, 0.6, 1.0)
"""The share of tasks whose answers differ in worth: the others need no training pass."""
STEPS = 4
TRIED = (0.7, 1.4)
"""How far steps may be from those that were tried: a model that learns gives other answers."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of an answer in the mean: at least, probably, at most."""

    low: float
    expected: float
    high: float


def lengths(tasks: Dataset, tokenizer: Any, most: int) -> Lengths:
    """As long as expected answers are, where there are any; half of the room otherwise."""
    said = [
        one.expected.text for at in range(min(len(tasks), LOOKED_AT)) if (one := case(tasks, at)).expected is not None
    ]
    if not said:
        return Lengths(1.0, most / 2, float(most))
    counts = [len(ids) + 1 for ids in tokenizer(said, add_special_tokens=False)["input_ids"]]
    usual = min(float(most), float(np.mean(counts)))
    return Lengths(max(1.0, usual / 4), usual, float(most))


def estimate(
    resolved: Resolved,
    method: RFT,
    train: Sequences,
    validation: Sequences | None,
    general: Sequences | None,
    machine: Machine,
    answers: Lengths,
) -> Estimate:
    """The whole estimate, as `estimates.estimate` gives it for methods that learn from what is there."""
    steps = planned(method, resolved.job.seed, len(train))
    samples, room = method.samples or 2, method.max_tokens or 1
    whole = steps.steps // steps.per_epoch
    left = [int(row) for step in range(whole * steps.per_epoch, steps.steps) for row in steps.rows(step)]
    asked = samples * (whole * int(train.lengths.sum()) + int(train.lengths[left].sum()))
    given = samples * (whole * len(train) + len(left))
    time = _time(resolved, method, train, validation, general, steps, machine, answers)
    basis = (
        f"{samples} answers to each task of {steps.steps} steps, of {answers.expected:.0f} tokens as expected ones are"
    )
    return Estimate(
        tokens=Range(
            asked + given * answers.low, asked + given * answers.expected, asked + given * room, "tokens", basis
        ),
        trained_tokens=Range(
            0.0,
            TOLD_APART[1] * given * answers.expected,
            given * answers.high,
            "tokens",
            "answers to tasks whose answers differ in worth, which is not known before",
        ),
        charge=Range.exactly(0.0, "USD", estimates.CHARGE if machine.card is None else estimates.CHARGE_ELSEWHERE),
        time=time,
        memory=memory(resolved, method, train, machine),
        disk=estimates.disk(resolved, train, steps, machine),
        machine=estimates.costing(time, machine),
        energy=costs.energy(time, machine.card, machine.watts),
        resolved=resolved.to_dict(),
    )


def memory(resolved: Resolved, method: RFT, train: Sequences, machine: Machine) -> Range:
    """That of learning from the longest answers to the longest prompts, and of what they grow in."""
    steps = planned(method, resolved.job.seed, len(train))
    batch = np.argsort(-train.lengths)[: steps.batch_size].tolist()
    longest, machine = shares(train, batch, 1, machine, None)[0], replace(machine, processes=1)
    biggest = standing(train, longest, method.samples or 2, method.max_tokens or 1)
    trained = replace(resolved, job=replace(resolved.job, method=replace(method, batch_size=len(biggest))))
    whole = Plan(len(biggest), len(biggest), 1, 0)
    learning = memory_estimates.memory(trained, biggest, whole, 1, Shape.of(resolved.base), machine)
    return _with_cache(learning, resolved, biggest, machine)


def _spread(steps: Plan) -> Sequence[int]:
    """A few steps, of all of the run."""
    return [round(at) for at in np.linspace(0, steps.steps - 1, min(STEPS, steps.steps)).tolist()]


def _time(
    resolved: Resolved,
    method: RFT,
    train: Sequences,
    validation: Sequences | None,
    general: Sequences | None,
    steps: Plan,
    machine: Machine,
    answers: Lengths,
) -> Range:
    samples, room, alone = method.samples or 2, method.max_tokens or 1, replace(machine, processes=1)

    def step(rows: Sequence[int], length: float, told_apart: float) -> float:
        """Seconds of a process that draws answers to these tasks and learns from them."""
        made = standing(train, rows, samples, max(1, round(length)))
        learning = estimates.seconds(resolved, made, range(len(made)), 1, alone)
        return _asking(train, rows, samples, length, room, machine) + told_apart * learning

    ways = list(zip((answers.low, answers.expected, answers.high), TOLD_APART, strict=True))
    dealt = [shares(train, steps.rows(at).tolist(), 1, machine, None) for at in _spread(steps)]
    found = [[max(step(rows, *way) for rows in each) for way in ways] for each in dealt]
    low, expected, high = (steps.steps * float(value) for value in np.mean(found, axis=0))
    tried = machine.rehearsal
    known = 1.0 if tried is None else float(np.mean(tried.steps)) * steps.steps / expected
    if validation is not None:
        looks = 2 + (steps.steps - 1) // (method.validate_every or steps.per_epoch)
        held = shares(validation, range(len(validation)), 1, machine, None)[0]
        once = [_asking(validation, held, 1, length, room, machine) for length in (answers.low, answers.expected, room)]
        seen = time_estimates.watched_seconds(resolved, validation, general, machine)
        low, expected, high = (
            whole + looks * (own + more) for whole, own, more in zip((low, expected, high), once, seen, strict=True)
        )
    share = fewest(steps, method) / steps.steps
    if tried is not None:
        begun, likely = tried.start + tried.prepare, known * expected + tried.save + tried.publish
        said = f"{len(tried.steps)} steps of this very job, tried just now; answers may grow longer or shorter as it learns"
        low, high = 0.9 * begun + likely * TRIED[0] * share, 1.15 * begun + likely * TRIED[1]
        return Range(low, begun + likely, high, "s", said)
    loading, start, spread = machine.probe.begin or time_estimates.LOADING, time_estimates.START, machine.probe.spread
    return Range(
        0.82 * loading + start[0] + low * spread[0] * share,
        loading + start[1] + expected,
        1.4 * loading + start[2] + high * spread[1],
        "s",
        f"{steps.steps} steps of {expected / steps.steps:.2g} s by {machine.probe.basis}; answers of {answers.expected:.0f} tokens"
        + (f"; {machine.processes} processes share each step" if machine.processes > 1 else ""),
    )


def _asking(asked: Sequences, rows: Sequence[int], each: int, length: float, room: int, machine: Machine) -> float:
    """Seconds of drawing answers: prompts pass once, then a token of all answers at a time until the longest has ended."""
    lengths = asked.lengths[list(rows)]
    total, forward = 0.0, machine.probe.forward
    for group in grouped((lengths + room) * each, HELD * machine.micro_tokens):
        longest = int(lengths[group[0]])
        token = machine.probe.seconds(len(group) * each, 1, longest + round(length / 2), len(group) * each)
        prompts = machine.probe.seconds(len(group), longest, 0, len(group))
        total += forward * (prompts + min(room, 1.5 * length) * token)
    return total


def _with_cache(memory: Range, resolved: Resolved, biggest: Sequences, machine: Machine) -> Range:
    """With keys and values of the answers that grow at once, which are freed before the step learns."""
    shape = Shape.of(resolved.base)
    tokens = min(HELD * machine.micro_tokens, int(biggest.lengths.sum()))
    cache = tokens * 2.0 * shape.layers * shape.keys * (4 if machine.device.dtype == "float32" else 2)
    assert memory.low is not None
    assert memory.expected is not None
    assert memory.high is not None
    return replace(
        memory,
        high=max(memory.high, memory.expected + cache),
        basis=f"{memory.basis}; {tokens:,} tokens in answers that grow",
    )

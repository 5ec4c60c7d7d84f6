"""How long a local run will take: its micro-batches laid out as they will be, at the pace that was measured on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from finetune_sdk.backend import Resolved
from finetune_sdk.estimate import Range, quantity
from finetune_sdk.job import DPO, KTO
from finetune_sdk_local import memory_estimates
from finetune_sdk_local.batches import Plan
from finetune_sdk_local.generation import BATCH_ROWS
from finetune_sdk_local.layouts import Machine, fewest, laid, longest_of, shares, written
from finetune_sdk_local.memory_estimates import moments
from finetune_sdk_local.prompts import ahead
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.tokenising import Sequences

LOADING = 4.0
"""Seconds in which a process loads its packages, where that was not measured."""
START = (0.8, 1.2, 1.9)
"""Seconds in which it then reads the base, chooses its engine and writes its first words."""
ROWS_PER_SECOND = 4_000.0
WRITTEN_A_SECOND = 400e6
READ_A_SECOND = 1.5e9
REHEARSED = (0.88, 1.15)
GIVEN = {"cpu": 1e9, "mps": 1e9, "cuda": 1.2e10}
"""Bytes a second that processes give each other: through memory, or a card's PCIe at less than half of what its datasheet says."""
GIVEN_BY_NVLINK = 1.5e11
LATER = 3.0
"""How much longer that may take; at best it is hidden behind the work."""
TOLD = 0.05
"""The share of the time from which what is beside the steps is told of."""
SAMPLED = 16
"""Steps that are laid out to find what one takes."""


class Pace:
    """Seconds of a job's examples, each pass laid out as the run will lay it out."""

    def __init__(self, resolved: Resolved, width: int, machine: Machine, sharing: Mapping[str, Any] | None) -> None:
        self.resolved, self.width, self.machine, self.sharing = resolved, width, machine, sharing
        self._ahead = ahead(resolved.adapter)

    def learnt(self, made: Sequences, examples: Sequence[int]) -> float:
        """Forward and backward. Of KTO's batches the mismatched answers are as many tokens once more, and are only scored."""
        forward, once = self.machine.probe.forward, self._of_passes(made, examples)
        again = self.machine.recomputed + isinstance(self.resolved.method, KTO)
        return once * (1 + forward * again)

    def passed(self, made: Sequences, examples: Sequence[int]) -> float:
        """Forward alone."""
        return self.machine.probe.forward * self._of_passes(made, examples)

    def scored(self, made: Sequences, examples: Sequence[int]) -> float:
        """Of examples that are looked at: KTO's twice, their mismatched answers too."""
        return self.passed(made, examples) * (2 if isinstance(self.resolved.method, KTO) else 1)

    def reference(self, made: Sequences, examples: Sequence[int]) -> float:
        """What is scored under the reference before the first step."""
        return self.scored(made, examples) if isinstance(self.resolved.method, DPO | KTO) else 0.0

    def updated(self) -> float:
        """The optimizer's step."""
        return self.machine.probe.updating(Shape.of(self.resolved.base).moved(self.resolved.adapter))

    def met(self, made: Sequences, examples: Sequence[int]) -> float:
        """Seconds in which processes sum their gradients and, where weights are spread, gather them for each pass."""
        machine, resolved, shape = self.machine, self.resolved, Shape.of(self.resolved.base)
        if machine.processes == 1:
            return 0.0
        given = 2 * 4.0 * shape.moved(resolved.adapter)
        if machine.parts > 1:
            most = max(len(self._laid(made, own)) for own in shares(made, examples, self.width, machine, self.sharing))
            given += (most + most) * memory_estimates.weights(resolved, shape, machine.device)
        nvlink = machine.card is not None and machine.card.nvlink
        rate = GIVEN_BY_NVLINK if nvlink else GIVEN[machine.device.kind]
        return (1 - 1 / machine.processes) * given / rate

    def _of_passes(self, made: Sequences, examples: Sequence[int]) -> float:
        """Of the process that has most to do, which the others wait for."""
        dealt = shares(made, examples, self.width, self.machine, self.sharing)
        return max((self._of_one(made, own) for own in dealt), default=0.0)

    def _of_one(self, made: Sequences, examples: Sequence[int]) -> float:
        seconds, ahead = self.machine.probe.seconds, self._ahead
        return sum(
            seconds(rows, length + ahead, past, rows * (length + ahead) if ahead else scored)
            for rows, length, past, scored in self._laid(made, examples)
        )

    def _laid(self, made: Sequences, examples: Sequence[int]) -> list[tuple[int, int, int, int]]:
        return laid(made, examples, self.width, self.machine.micro_tokens, self.sharing)


def time(
    resolved: Resolved,
    train: Sequences,
    validation: Sequences | None,
    general: Sequences | None,
    steps: Plan,
    width: int,
    machine: Machine,
    sharing: Mapping[str, Any] | None,
) -> Range:
    """Start, tokenising, steps, validations and checkpoints."""
    pace = Pace(resolved, width, machine, sharing)
    tried = machine.rehearsal
    sample = np.unique(np.linspace(0, steps.steps - 1, min(SAMPLED, steps.steps)).astype(int)).tolist()
    per_step = float(np.mean([_step(pace, train, steps, step) for step in sample]))
    met = steps.steps * float(np.mean([pace.met(train, steps.rows(step).tolist()) for step in sample]))
    looking, early = 1.0, 0.0
    longest = np.argsort(-longest_of(train, width), kind="stable")[: steps.batch_size].tolist()
    if tried is None:
        early = pace.learnt(train, longest)
        reading = (len(train) + (len(validation) if validation is not None else 0)) / ROWS_PER_SECOND
        loading = (
            machine.probe.begin
            or LOADING + memory_estimates.weights(resolved, Shape.of(resolved.base), machine.device) / READ_A_SECOND
        )
        start = (
            0.82 * loading + START[0] + reading / 1.4,
            loading + START[1] + reading,
            1.4 * loading + START[2] + 1.4 * reading,
        )
    else:
        ratios = [taken / _step(pace, train, steps, step) for step, taken in enumerate(tried.steps)]
        per_step *= float(np.median(ratios))
        looking = tried.look / pace.passed(train, tried.looked)
        begun = tried.start + tried.prepare
        start = (0.9 * begun, begun, 1.15 * begun)
    writing = _writing(resolved, steps, machine)
    training = early + per_step * steps.steps + looking * _scoring(pace, train, steps) + writing
    watched = (0.0, 0.0, 0.0)
    if validation is not None:
        looks = 2 + (steps.steps - 1) // (resolved.method.validate_every or steps.per_epoch)
        held = range(len(validation) // width)
        training += looking * (looks * pace.scored(validation, held) + pace.reference(validation, held))
        low, expected, high = watched_seconds(resolved, validation, general, machine)
        watched = (looks * low, looks * expected, looks * high)
    spread = machine.probe.spread if tried is None else REHEARSED
    share = fewest(steps, resolved.method) / steps.steps
    return Range(
        start[0] + watched[0] + training * spread[0] * share,
        start[1] + training + met + watched[1],
        start[2] + training * spread[1] + LATER * met + watched[2],
        "s",
        f"{steps.steps} steps of {_long(per_step + met / steps.steps)} by {_by(machine)}, and {_long(start[1])} to start"
        + (f", {_long(writing)} to write checkpoints and the model" if writing > TOLD * training else "")
        + (f"; {machine.processes} processes share each step" if machine.processes > 1 else ""),
    )


def _long(seconds: float) -> str:
    return quantity(seconds, "s") if seconds >= 1 else f"{seconds * 1000:.{0 if seconds > 0.01 else 1}f} ms"


def _by(machine: Machine) -> str:
    if machine.rehearsal is None:
        return machine.probe.basis
    return f"{len(machine.rehearsal.steps)} steps of this very job, tried just now"


def _step(pace: Pace, train: Sequences, steps: Plan, step: int) -> float:
    return pace.learnt(train, steps.rows(step).tolist()) + pace.updated()


def _scoring(pace: Pace, train: Sequences, steps: Plan) -> float:
    """Of all examples under the reference, taken from a few steps of them."""
    sample = [steps.rows(step).tolist() for step in range(min(4, steps.steps, steps.per_epoch))]
    each = sum(pace.reference(train, rows) for rows in sample) / sum(map(len, sample))
    return each * steps.examples


def _writing(resolved: Resolved, steps: Plan, machine: Machine) -> float:
    """Checkpoints, each of float32 weights and moments, and the model at the end."""
    saves, tried = written(steps, machine.checkpoint_every), machine.rehearsal
    if tried is not None:
        return saves * tried.save + tried.publish
    moving = Shape.of(resolved.base).moved(resolved.adapter)
    return (1 + saves) * (0.03 + (4.0 + moments(resolved)) * moving / WRITTEN_A_SECOND)


def watched_seconds(
    resolved: Resolved, validation: Sequences, general: Sequences | None, machine: Machine
) -> tuple[float, float, float]:
    """Seconds of what guards look at in one validation: answers as long as the expected ones, or as long as they may be."""
    guards, seconds, forward = resolved.job.guards, machine.probe.seconds, machine.probe.forward
    low, expected, high = 0.0, 0.0, 0.0
    if guards is None:
        return low, expected, high
    for made in asked(resolved, validation, general):
        rows, length = min(guards.cases, int(made.sources[-1]) + 1), int(made.lengths.mean())
        each = -(-rows // BATCH_ROWS) * forward * seconds(min(rows, BATCH_ROWS), 1, length, min(rows, BATCH_ROWS))
        usual = min(guards.max_tokens, float(made.trained_counts.mean()) + 1)
        low, expected, high = (
            low + each * usual / 2,
            expected + each * usual,
            high + each * guards.max_tokens * machine.probe.spread[1],
        )
    if general is not None:
        once = forward * seconds(len(general), int(general.lengths.mean()), 0, int(general.trained_counts.sum()))
        low, expected, high = low + once / 2, expected + once, high + 3 * once
    return low, expected, high


def asked(resolved: Resolved, validation: Sequences | None, general: Sequences | None) -> list[Sequences]:
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

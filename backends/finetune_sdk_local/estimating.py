"""The estimate of a job on a machine, whatever its method: of what is learnt from data, or from answers that the run draws."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from finetune_sdk.backend import Resolved
from finetune_sdk.errors import DatasetError
from finetune_sdk.estimate import Estimate, Range, quantity
from finetune_sdk.job import RFT
from finetune_sdk_local import answering_estimates, bases, estimates
from finetune_sdk_local.devices import Device
from finetune_sdk_local.layouts import Machine
from finetune_sdk_local.memory_estimates import memory
from finetune_sdk_local.prepare import steps, untrained_rows, width
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.time_estimates import asked
from finetune_sdk_local.tokenising import Sequences


class Sides(NamedTuple):
    """The job's data as token sequences: what is learnt, what is validated on, and the general examples that guards look at."""

    train: Sequences
    validation: Sequences | None
    general: Sequences | None


def estimate(resolved: Resolved, sides: Sides, machine: Machine) -> Estimate:
    method = resolved.method
    if not isinstance(method, RFT):
        untrained = _untrained(resolved, sides.train)
        made = estimates.estimate(resolved, *sides, machine)
        return replace(made, notes=(untrained, *made.notes)) if untrained else made
    tokenizer = bases.tokenizer(resolved.base)
    answers = answering_estimates.lengths(resolved.job.train, tokenizer, method.max_tokens or 1)
    return answering_estimates.estimate(resolved, method, *sides, machine, answers)


def room(made: Estimate, device: Device) -> Estimate:
    """The estimate with a word on a machine that has less memory than the job may need."""
    low, high = made.memory.low, made.memory.high
    if low is None or high is None or high <= device.memory:
        return made
    lacking = f"up to {quantity(high - device.memory, 'bytes')} too little"
    said = f"may not fit on this machine: it has {quantity(device.memory, 'bytes')}, {lacking}"
    if low > device.memory:
        said = f"does not fit on this machine: it has {quantity(device.memory, 'bytes')}, at least {quantity(low - device.memory, 'bytes')} too little"
    cure = 'ask for the estimate of a larger one (gpu="…", or --gpu), which says what else to change'
    return replace(made, notes=(f"{said}; {cure}", *made.notes))


def memory_of(resolved: Resolved, sides: Sides, machine: Machine) -> Range:
    """The memory alone."""
    method, train = resolved.method, sides.train
    if isinstance(method, RFT):
        return answering_estimates.memory(resolved, method, train, machine)
    _untrained(resolved, train)
    each = width(method)
    plan, shape = steps(method, resolved.job.seed, len(train) // each), Shape.of(resolved.base)
    return memory(resolved, train, plan, each, shape, machine, asked(resolved, sides.validation, sides.general))


def _untrained(resolved: Resolved, train: Sequences) -> str:
    """A word on rows that train nothing, for which a run is refused. Raises DatasetError where all are such: there is nothing to weigh."""
    data, most = resolved.job.train, resolved.method.max_length
    rows = untrained_rows(train, width(resolved.method))
    if not rows:
        return ""
    cure = "raise max_length, shorten what comes before the answer, or remove the rows"
    said = f"{data.where(rows[0])}: within {most} tokens nothing is left to train ({len(rows)} of {len(data)} rows)"
    if len(rows) == len(data):
        raise DatasetError(f"{said}.", cure=cure)
    return f"a run of it is refused: {said}; {cure}"

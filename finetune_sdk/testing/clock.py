"""How a fake run goes: its status, events and checkpoints, computed from a plan and the time. Nothing is kept here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_sdk.backend import Checkpoint, Event, Status

_QUEUED = 0.1
_LOGGED = 200
_CHECKPOINTS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run was made to do. `fails_after` is a step, on the first leg only; `validate_every` 0 means never."""

    method: str
    steps: int
    seconds: float
    learning_rate: float
    schedule: str
    warmup: float
    validate_every: int
    trained_tokens: int
    seed: int
    running_as: str = "running"
    fails_after: int | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """One stretch of a run: `began` at a time, after `from_step`, and cut off by a cancellation at `until`."""

    began: float
    from_step: int
    until: float | None = None


def status(plan: Plan, legs: Sequence[Leg], now: float) -> Status:
    """Where the run is."""
    leg, first = legs[-1], len(legs) == 1
    end, word = _natural_end(plan, leg, first)
    if leg.until is not None and leg.until < end:
        return Status("cancelled")
    if now >= end:
        return Status(word)
    return Status(plan.running_as if now >= leg.began + plan.seconds * _QUEUED else "queued")


def checkpoints(plan: Plan, legs: Sequence[Leg], now: float) -> list[Checkpoint]:
    """The checkpoints finished so far, the first first. A later leg writes the same ones again."""
    last = reached(plan, legs, now)
    return [Checkpoint(f"step-{step}", step, _metrics(plan, step)) for step in _saved(plan) if step <= last]


def reached(plan: Plan, legs: Sequence[Leg], now: float) -> int:
    """The last step that was taken."""
    return max(_reached(plan, leg, number == 0, now) for number, leg in enumerate(legs))


def worked(plan: Plan, legs: Sequence[Leg], now: float) -> float:
    """Seconds of all legs up to now."""
    ends = (_natural_end(plan, leg, number == 0)[0] for number, leg in enumerate(legs))
    stops = (end if leg.until is None else min(end, leg.until) for leg, end in zip(legs, ends, strict=True))
    return sum(max(0.0, min(now, stop) - leg.began) for leg, stop in zip(legs, stops, strict=True))


def events(plan: Plan, legs: Sequence[Leg], now: float) -> list[Event]:
    """All that happened up to `now`, numbered from 1."""
    happened = (entry for number, leg in enumerate(legs) for entry in _leg(plan, leg, number == 0) if entry[0] <= now)
    return [Event(number, time, kind, message, data) for number, (time, kind, message, data) in enumerate(happened, 1)]


_Entry = tuple[float, str, str, Mapping[str, Any]]


def _leg(plan: Plan, leg: Leg, first: bool) -> Iterator[_Entry]:
    end, word = _natural_end(plan, leg, first)
    stopped = leg.until if leg.until is not None and leg.until < end else None
    running = leg.began + plan.seconds * _QUEUED
    until = end if stopped is None else stopped
    yield leg.began, "status", "queued" if first else f"resumed after step {leg.from_step}", {"status": "queued"}
    if running <= until:
        yield running, "status", "", {"status": plan.running_as}
    last = _last_step(plan, first)
    for step in range(leg.from_step + 1, last + 1):
        at = _time_of(plan, leg, step)
        if at > until:
            break
        if step % math.ceil(plan.steps / _LOGGED) == 0 or step in (1, plan.steps) or _validates(plan, step):
            yield at, "metrics", "", _metrics(plan, step)
        if step in _saved(plan):
            yield at, "checkpoint", f"checkpoint after step {step}", {"step": step, "id": f"step-{step}"}
    if stopped is not None:
        yield stopped, "status", "cancelled on request", {"status": "cancelled"}
    else:
        message = "" if word == "succeeded" else f"the fake failed after step {last}, as its settings say (fails_at)"
        yield end, "status", message, {"status": word}


def _last_step(plan: Plan, first: bool) -> int:
    return plan.fails_after if first and plan.fails_after is not None else plan.steps


def _natural_end(plan: Plan, leg: Leg, first: bool) -> tuple[float, str]:
    last = _last_step(plan, first)
    return _time_of(plan, leg, last), "failed" if last < plan.steps else "succeeded"


def _time_of(plan: Plan, leg: Leg, step: int) -> float:
    return leg.began + plan.seconds * (_QUEUED + (1 - _QUEUED) * (step - leg.from_step) / plan.steps)


def _reached(plan: Plan, leg: Leg, first: bool, now: float) -> int:
    until = now if leg.until is None else min(now, leg.until)
    last = _last_step(plan, first)
    if until >= _time_of(plan, leg, last):
        return last
    done = ((until - leg.began) / plan.seconds - _QUEUED) / (1 - _QUEUED) * plan.steps
    return max(leg.from_step, min(last, leg.from_step + math.floor(done)))


def _saved(plan: Plan) -> list[int]:
    return sorted({math.ceil(plan.steps * part / _CHECKPOINTS) for part in range(1, _CHECKPOINTS + 1)})


def _validates(plan: Plan, step: int) -> bool:
    return plan.validate_every > 0 and (step % plan.validate_every == 0 or step == plan.steps)


def _metrics(plan: Plan, step: int) -> dict[str, Any]:
    share = step / plan.steps
    start, floor = (2.4, 0.1) if plan.method == "sft" else (math.log(2), 0.05)
    loss = floor + (start - floor) * math.exp(-4 * share) * (1 + 0.05 * math.sin(12.9898 * step + plan.seed))
    data: dict[str, Any] = {
        "step": step,
        "steps": plan.steps,
        "loss": loss,
        "learning_rate": plan.learning_rate * _scheduled(plan, share),
        "trained_tokens": round(plan.trained_tokens * share),
    }
    if plan.method == "dpo":
        data["margin"] = 3 * (1 - math.exp(-4 * share))
    if _validates(plan, step):
        data["validation_loss"] = loss * 1.1
    return data


def _scheduled(plan: Plan, share: float) -> float:
    if share < plan.warmup:
        return share / plan.warmup
    rest = (1 - share) / (1 - plan.warmup)
    return {"linear": rest, "cosine": (1 - math.cos(math.pi * rest)) / 2}.get(plan.schedule, 1.0)

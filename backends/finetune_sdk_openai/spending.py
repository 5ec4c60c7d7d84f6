"""What a job has cost so far: the tokens that were billed or told, or the hours, at the price that counts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from finetune_sdk.backend import Event
from finetune_sdk.estimate import Price, Range, Spent
from finetune_sdk_openai import wire
from finetune_sdk_openai.graders import asks_a_model
from finetune_sdk_openai.history import AFTERWARDS
from finetune_sdk_openai.tariffs import Tariff

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob


def spent(job: FineTuningJob, events: Iterable[Event], tariff: Tariff) -> Spent:
    """Places count time from the creation to the end; what is billed by the hour begins with the first step."""
    happened, over = list(events), wire.status(job).terminal
    begun = float(job.created_at or (happened[0].time if happened else 0.0))
    ended = float(job.finished_at or (happened[-1].time if happened else begun))
    until = ended if over else time.time()
    worked = max(0.0, until - begun - _paused(happened, until))
    return Spent(_cost(job, happened, until, tariff), Range.exactly(worked, "s", "from its creation, without pauses"))


def _cost(job: FineTuningJob, happened: list[Event], until: float, tariff: Tariff) -> Range:
    reinforced = job.method is not None and job.method.type == "reinforcement"
    by_token = None if reinforced else tariff.price(job.model, "training")
    found = by_token or tariff.price(job.model, "hour")
    if found is None:
        return Range.unknown("USD", f"nobody here knows what {tariff.address.url} asks for training {job.model}")
    if not found.usd:
        return Range.exactly(0.0, "USD", "finetune.toml says that this place charges nothing")
    if by_token:
        return _by_the_token(job, happened, found)
    hours = _by_the_hour(happened, until, found)
    besides = "; what the model that grades is billed for comes on top, and the place does not tell it"
    return replace(hours, basis=hours.basis + besides) if reinforced and _graded_by_a_model(job) else hours


def _graded_by_a_model(job: FineTuningJob) -> bool:
    told = job.method.model_dump(mode="json", warnings=False) if job.method is not None else {}
    grader = (told.get("reinforcement") or {}).get("grader")
    return isinstance(grader, Mapping) and asks_a_model(grader)


def _by_the_token(job: FineTuningJob, happened: list[Event], found: Price) -> Range:
    tokens = max([job.trained_tokens or 0, *(event.data.get("trained_tokens") or 0 for event in happened)])
    if not tokens:
        return Range.unknown("USD", "the place tells no tokens before the end")
    basis = f"{tokens:,} tokens so far at ${found.usd:g} for a million, as of {found.dated} ({found.source})"
    return Range.exactly(tokens * found.usd / 1e6, "USD", basis)


def _by_the_hour(happened: list[Event], until: float, found: Price) -> Range:
    steps = [event.time for event in happened if event.kind == "metrics" and AFTERWARDS not in event.message]
    if not steps:
        return Range.unknown("USD", "the place has told no step yet, with which its hours begin")
    trained = max(0.0, until - steps[0] - _paused(happened, until, steps[0]))
    basis = (
        f"{trained / 3600:.2f} h since its first step at ${found.usd:g} an hour, as of {found.dated} ({found.source})"
    )
    return Range.exactly(trained / 3600 * found.usd, "USD", basis)


def _paused(happened: list[Event], until: float, since: float = 0.0) -> float:
    """Seconds after `since` between a word of a pause and the next one: that is all that places tell."""
    ends = [*(event.time for event in happened[1:]), until]
    told = (
        (event.time, end)
        for event, end in zip(happened, ends, strict=False)
        if "has been paused" in event.message.lower()
    )
    return sum(max(0.0, end - begin) for begin, end in told if begin >= since)

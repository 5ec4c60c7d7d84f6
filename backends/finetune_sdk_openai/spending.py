"""What a job has cost so far: the tokens that were billed or told, or the hours, at the price that counts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from finetune_sdk.backend import Event
from finetune_sdk.estimate import Range, Spent
from finetune_sdk_openai import estimates, wire
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.options import Options

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob


def spent(job: FineTuningJob, events: Iterable[Event], address: Address, options: Options) -> Spent:
    """Places count time from the creation to the end; what is billed by the hour begins with the first step."""
    happened, over = list(events), wire.status(job).terminal
    begun = float(job.created_at or (happened[0].time if happened else 0.0))
    ended = float(job.finished_at or (happened[-1].time if happened else begun))
    until = ended if over else time.time()
    worked = max(0.0, until - begun - _paused(happened, until))
    return Spent(
        _cost(job, happened, until, address, options), Range.exactly(worked, "s", "from its creation, without pauses")
    )


def _cost(job: FineTuningJob, happened: list[Event], until: float, address: Address, options: Options) -> Range:
    if options.usd_per_million == 0:
        return Range.exactly(0.0, "USD", "finetune.toml says that this place charges nothing")
    if job.method is not None and job.method.type == "reinforcement":
        return _by_the_hour(job, happened, until, address, options)
    found = estimates.price(job.model, address, options)
    if found is None:
        return Range.unknown("USD", f"nobody here knows what {address.url} asks for training {job.model}")
    tokens = max([job.trained_tokens or 0, *(event.data.get("trained_tokens") or 0 for event in happened)])
    if not tokens:
        return Range.unknown("USD", "the place tells no tokens before the end")
    basis = f"{tokens:,} tokens so far at ${found.usd:g} for a million, as of {found.dated} ({found.source})"
    return Range.exactly(tokens * found.usd / 1e6, "USD", basis)


def _by_the_hour(job: FineTuningJob, happened: list[Event], until: float, address: Address, options: Options) -> Range:
    hourly = estimates.price(job.model, address, options, "hour")
    if hourly is None:
        return Range.unknown("USD", f"nobody here knows what {address.url} asks for an hour of reinforcement")
    steps = [event.time for event in happened if event.kind == "metrics"]
    trained = max(0.0, until - steps[0] - _paused(happened, until, steps[0])) if steps else 0.0
    dated = hourly.dated if hourly.dated != date.min else "no known date"
    basis = f"{trained / 3600:.2f} h since its first step at ${hourly.usd:g} an hour ({dated}, {hourly.source})"
    return Range.exactly(trained / 3600 * hourly.usd, "USD", basis)


def _paused(happened: list[Event], until: float, since: float = 0.0) -> float:
    """Seconds after `since` between a word of a pause and the next one: that is all that places tell."""
    ends = [*(event.time for event in happened[1:]), until]
    told = (
        (event.time, end)
        for event, end in zip(happened, ends, strict=False)
        if "has been paused" in event.message.lower()
    )
    return sum(max(0.0, end - begin) for begin, end in told if begin >= since)

"""Places side by side: what each would take for the same job, and what the model would cost there in a month."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import ceil
from typing import Any

from finetune_sdk.backend import installed
from finetune_sdk.client import Client
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import BackendError, FinetuneError, InputError, SettingsError
from finetune_sdk.estimate import Estimate, Range, Upkeep, Usage
from finetune_sdk.job import Job
from finetune_sdk.messages import ChatExample, Example, PreferenceExample, RatedExample
from finetune_sdk.settings import Settings

MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Offer:
    """What a place says to a job: its estimate, or why it refused and the cure.

    `usage` and `upkeep` are there where answers a month were asked for; `notes` say what of the question does not apply there.
    """

    place: str
    estimate: Estimate | None = None
    usage: Usage | None = None
    upkeep: Upkeep | None = None
    refused: str = ""
    cure: str | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "place": self.place, "estimate": self.estimate and self.estimate.to_dict(),
            "usage": self.usage and self.usage.to_dict(), "upkeep": self.upkeep and self.upkeep.to_dict(),
            "error": {"message": self.refused, "cure": self.cure} if self.refused else None, "notes": list(self.notes),
        }  # fmt: skip


def compare(
    places: Sequence[str | Client],
    job: Job,
    *,
    gpu: str | None = None,
    probe: bool = False,
    answers: float | None = None,
    rows: Dataset | None = None,
    tokens: tuple[float | None, float | None] = (None, None),
    config: str | os.PathLike[str] | None = None,
) -> tuple[Offer, ...]:
    """The job's estimate at each place, in their order; what one place refuses is its own affair. Sends nothing.

    A place is a name in finetune.toml (`config`, if it is another) or that of a backend, or a Client. `gpu` and `probe` are asked
    of the places that know such estimates. With `answers` a month, also what a model tuned there costs in one: tokens an
    answer are `tokens` (read, written), or the mean of `rows`, else of the job's own. Raises SettingsError for a name that
    nobody knows, InputError for one that stands twice or for no name at all.
    """
    names = [one if isinstance(one, str) else one.name for one in places]
    if not names:
        raise InputError("there is no place to compare.", cure="name some, as in openai,local")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"the place {name!r} stands twice.", cure="name each once")
    known_places([one for one in places if isinstance(one, str)], config)
    held = rows if rows is not None else job.validation if job.validation is not None else job.train
    asked = (gpu, probe, answers, held, tokens)
    return tuple(_offer(place, job, asked, config) for place in places)


def known_places(names: Sequence[str], config: str | os.PathLike[str] | None = None) -> None:
    """Raises SettingsError for a name that is neither in finetune.toml nor that of a backend."""
    known = [*Settings.load(file=config).places, *installed()] if names else []
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise SettingsError(
                f"there is no place {name!r}; known are {', '.join(sorted(set(known)))}.",
                cure=f"use {near[0]!r}" if near else f"write a table [backends.{name}] in finetune.toml",
            )


def _offer(
    place: str | Client,
    job: Job,
    asked: tuple[str | None, bool, float | None, Dataset, tuple[float | None, float | None]],
    config: str | os.PathLike[str] | None,
) -> Offer:
    gpu, probe, answers, rows, tokens = asked
    name = place if isinstance(place, str) else place.name
    try:
        client = Client(place, config=config) if isinstance(place, str) else place
        able = client.backend.capabilities.estimates
        here: dict[str, Any] = {}
        notes = []
        for kind, value in (("gpu", gpu), ("probe", probe)):
            asked_for = value is not None and value is not False
            if asked_for and kind in able:
                here[kind] = value
            elif asked_for:
                notes.append(f"{name} makes no estimate of the kind {kind!r}: it is the place's own, as it comes")
        made = client.estimate(job, **here)
        if answers is None:
            return Offer(name, made, notes=tuple(notes))
        base = client.resolve(job).base
        use = usage(client, base, rows, answers, *tokens)
        return Offer(name, made, use, upkeep(client, base, use), notes=tuple(notes))
    except FinetuneError as fault:
        return Offer(name, refused=fault.message, cure=fault.cure)
    except (ImportError, OSError) as fault:
        return Offer(name, refused=f"{type(fault).__name__}: {fault}", cure="`finetune doctor` says what is missing")


def upkeep(client: Client, base: str, use: Usage, *, tuned: bool = True) -> Upkeep:
    """As `Client.upkeep`; unknown, with the reason, where the place cannot say."""
    try:
        return client.upkeep(base, use, tuned=tuned)
    except (InputError, BackendError) as fault:
        why = f"{fault.message.rstrip('.')}{f'; {fault.cure}' if fault.cure else ''}"
        return Upkeep(Range.unknown("USD", why), Range.unknown("USD", why))


def usage(
    client: Client,
    base: str,
    rows: Dataset,
    answers: float,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
) -> Usage:
    """So many answers a month, each as long as the rows' are in the mean, by the place's own counter; what is given counts instead.

    Of more than MOST_ROWS rows, every second, third … is counted. Raises InputError for rows without answers.
    """
    if input_tokens is not None and output_tokens is not None:
        return Usage(answers, input_tokens, output_tokens, "tokens as given")
    counter = client.backend.counter(base)
    step = ceil(len(rows) / MOST_ROWS)
    counted = [counter.count(_asked(one, rows.name)) for one in _every(rows, step)]
    mean = (
        sum(one.total - one.trained for one in counted) / len(counted),
        sum(one.trained for one in counted) / len(counted),
    )
    basis = f"the mean of {len(counted):,} rows of {rows.name}, counted by {counter.basis}"
    given = " and ".join(
        what for what, value in (("read", input_tokens), ("written", output_tokens)) if value is not None
    )
    sure = (1.0, 1.0)
    spread = sure if counter.exact else getattr(counter, "spread", sure)
    return Usage(
        answers,
        mean[0] if input_tokens is None else input_tokens,
        mean[1] if output_tokens is None else output_tokens,
        f"{basis}; tokens {given} as given" if given else basis,
        spread if input_tokens is None else sure,
        spread if output_tokens is None else sure,
    )


def _every(rows: Dataset, step: int) -> Iterable[Example]:
    return (one for number, one in enumerate(rows) if number % step == 0)


def _asked(one: Example, name: str) -> ChatExample:
    """The row as a chat of which the last answer alone is learnt, so that a counter tells what is read from what is written."""
    if isinstance(one, PreferenceExample):
        one = ChatExample((*one.prompt.messages, *one.chosen), one.prompt.tools)
    elif isinstance(one, RatedExample):
        one = ChatExample((*one.prompt.messages, *one.answer), one.prompt.tools)
    if not isinstance(one, ChatExample):
        raise InputError(
            f"the rows of {name} have no answers whose tokens could be counted.",
            cure="give them: --input-tokens and --output-tokens, or `input_tokens` and `output_tokens` under `break_even`",
        )
    last = max(place for place, message in enumerate(one.messages) if message.role == "assistant")
    messages = (
        replace(message, weight=1.0 if place == last else 0.0) if message.role == "assistant" else message
        for place, message in enumerate(one.messages[: last + 1])
    )
    return replace(one, messages=tuple(messages))

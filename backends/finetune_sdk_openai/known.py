"""What is known of OpenAI's own models without asking: families, tokenizers, methods, limits, shutdowns, prices.

The figures are dated data in known.toml and prices.toml. They hold at OpenAI's own address; of other places only the
tokenizer is taken.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from finetune_sdk.data.checks import Finding
from finetune_sdk.estimate import Price
from finetune_sdk.prices import read, refused

ELSEWHERE = (
    "Azure OpenAI ([backends.azure]) and Amazon Bedrock ([backends.bedrock]) speak the same protocol and still train, "
    'and so does your own machine (backend = "local")'
)
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$|-\d{4}$")
SOON_DAYS = 180


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share a tokenizer and an end. `tokens` is the longest example; longer ones are cut."""

    name: str
    snapshots: tuple[str, ...]
    encoding: str
    methods: tuple[str, ...] = ()
    tokens: int | None = None
    shutdown: date | None = None
    reasons: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """A day from which fewer may create jobs."""

    day: date
    severity: Literal["warning", "error"]
    text: str


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "known.toml").read_text("utf-8"))


@cache
def families() -> tuple[Family, ...]:
    rows = ({**row, "snapshots": tuple(row["snapshots"])} for row in _table()["families"])
    return tuple(Family(**{**row, "methods": tuple(row.get("methods", ()))}) for row in rows)


def gates() -> Iterator[Gate]:
    for row in _table()["gates"]:
        yield Gate(row["from"], row["severity"], row["text"])


def plain(base: str) -> str:
    """The base that a tuned model stands on: `ft:gpt-4o-mini-2024-07-18:org:name:id` is a gpt-4o-mini-2024-07-18."""
    if base.startswith("ft:"):
        return base.split(":")[1]
    return base.partition(".ft-")[0]


def family(base: str) -> Family | None:
    """The family of a base or of a model tuned from it, None for one that nothing is known of."""
    name = plain(base)
    known = [one for one in families() if name == one.name or name.startswith(f"{one.name}-")]
    return max(known, key=lambda one: len(one.name), default=None)


def snapshot(name: str) -> bool:
    """Whether a name at OpenAI always means the same weights: a tuned model's does, and that of a dated base."""
    return name.startswith("ft:") or _DATED.search(name) is not None


def is_snapshot(base: str) -> bool:
    return any(base in one.snapshots for one in families())


@cache
def prices() -> tuple[Price, ...]:
    """OpenAI's prices, of all kinds. Raises SettingsError where prices.toml has been spoilt."""
    lists = tomllib.loads((files(__package__) / "prices.toml").read_text("utf-8"))["lists"]
    rows = [
        {
            "model": row["model"],
            "kind": kind,
            "usd": usd,
            **{name: said for name, said in one.items() if name != "prices"},
        }
        for one in lists
        for row in one["prices"]
        for kind, usd in row.items()
        if kind != "model"
    ]
    found, faults = read(rows, "finetune_sdk_openai/prices.toml", date.max)
    if faults:
        raise refused(faults)
    return found


def price(base: str, kind: str) -> Price | None:
    """What OpenAI asks for a base, or for a model tuned from it."""
    found = family(base)
    if found is None or _DATED.sub("", plain(base)) != found.name:  # gpt-4o-audio-preview is no gpt-4o
        return None
    return next((one for one in prices() if one.model in found.snapshots and one.kind == kind), None)


def days(base: str, method: str, today: date, place: str) -> Iterator[Finding]:
    """What the calendar says to a job at OpenAI today: closed gates, a base that is shut down or soon will be."""
    passed = [gate for gate in gates() if gate.day <= today]
    closed = [gate for gate in passed if gate.severity == "error"]
    if closed:
        yield Finding("job", "error", f"{place}: {closed[0].text}.", ELSEWHERE)
    elif passed:
        yield Finding(
            "closing",
            "warning",
            f"{place}: {passed[-1].text}, and nobody can from 2027-01-06 on.",
            f"try soon, or go elsewhere: {ELSEWHERE}",
        )
    found = family(base)
    if found is None:
        return
    if found.methods and method not in found.methods:
        able = sorted(name for one in families() if method in one.methods for name in one.snapshots)
        yield Finding(
            "job", "error", f"{place} does not train {base} by {method}; it does {', '.join(found.methods)} there.",
            f"choose one of {', '.join(able)}, or another method",
        )  # fmt: skip
    if found.shutdown is None:
        return
    left = (found.shutdown - today).days
    if left <= 0:
        alive = sorted(
            name
            for one in families()
            if method in one.methods and (one.shutdown is None or one.shutdown > today)
            for name in one.snapshots
        )
        yield Finding(
            "job",
            "error",
            f"{place} shut {base} and the models tuned from it down on {found.shutdown}.",
            f"choose a base that lives ({', '.join(alive)})" if alive else ELSEWHERE,
        )
    elif left < SOON_DAYS:
        yield Finding(
            "shutdown",
            "warning",
            f"{place} shuts {base} and every model tuned from it down on {found.shutdown}, in {left} days.",
            f"plan where the model goes then: {ELSEWHERE}",
        )

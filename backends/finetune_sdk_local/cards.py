"""Common cards by name: their memory, speed and power by datasheet, and what clouds ask for them by the hour.

The figures are dated data in cards.toml, each with its source. A card that is here is measured instead.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from finetune_sdk.errors import SettingsError
from finetune_sdk.estimate import Price, quantity
from finetune_sdk.prices import STALE_DAYS

MOST = 64
"""Cards of one machine or a few that a name may count."""
_COUNTED = re.compile(r"^\s*(\d+)\s*(?:x|×|\*)\s*(?=\D)", re.IGNORECASE)
_COUNTED_AFTER = re.compile(r"(?:\s+(?:x|×|\*)|\s*:)\s*(\d+)\s*$", re.IGNORECASE)
_SIZE = re.compile(r"^(\d+)g(?:i?b)?$")
_FORM = re.compile(r"^(sxm|pcie|nvl)\d?$")
_NOISE = re.compile(r"^(nvidia|geforce|tesla|generation|gpu|hbm\d?e?|card|tensorcore|single|one|a|the)$")


@dataclass(frozen=True, slots=True)
class Card:
    """`count` of one kind of card. `memory` is of each, in bytes, as nvidia-smi shows it; TFLOPS are dense.

    `bf16` is 0 where the hardware has none. `matmul` is what large products reach in bfloat16 where that was measured in
    public, else None. `meant` says what a name left open and was taken to mean.
    """

    name: str
    memory: int
    bf16: float
    fp32: float
    matmul: float | None
    bandwidth: float
    watts: float
    source: str
    count: int = 1
    meant: str = ""

    @property
    def dtype(self) -> str:
        """What jobs run in on it when left open, as `devices.pick` has it."""
        return "bfloat16" if self.bf16 else "float32"

    @property
    def nvlink(self) -> bool:
        """Whether several of them are linked by NVLink, as those on a board of their own are."""
        return any(form in self.name.split() for form in ("SXM", "NVL"))

    def __str__(self) -> str:
        return self.name if self.count == 1 else f"{self.count} x {self.name}"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a cloud asks for one such card and hour, on demand."""

    card: str
    cloud: str
    usd_per_hour: float
    dated: date
    source: str

    def stale(self, today: date) -> bool:
        return (today - self.dated).days > STALE_DAYS


@dataclass(frozen=True, slots=True)
class _Row:
    card: Card
    keys: tuple[str, ...]
    form: str | None
    sizes: tuple[int, ...]
    only_named: bool


def card(name: str, own: Mapping[str, Card] | None = None) -> Card:
    """The card that a name means: "H100 80GB", "h100-80", "NVIDIA A100-SXM4-40GB", "4x L40S", "rtx 4090", or one of one's own.

    Raises SettingsError where it could be several of different memory, and where none is known, with the nearest names.
    """
    count, rest = _count(name)
    for called, described in (own or {}).items():
        if _said(called) == _said(rest):
            return replace(described, count=count)
    key, size, form = _read(rest)
    family = [row for row in _rows() if key in row.keys]
    if not family:
        raise _unknown(name, key)
    fitting = [
        row
        for row in family
        if (size is None or size in row.sizes)
        and (row.form in (None, form) if form else not (row.only_named and size is None))
    ]
    if not fitting:
        raise SettingsError(
            f"no such card as {name!r} is known; there are {_named(family)}.",
            cure=f'take one of these, as in "{family[0].card.name}"',
        )
    if len({row.sizes for row in fitting}) > 1:
        raise SettingsError(
            f"{name!r} could be one of several cards of different memory: {_named(fitting)}.",
            cure=f'say which, as in "{fitting[0].card.name}"',
        )
    chosen, others = fitting[0], fitting[1:]
    meant = f"{name} is taken as {chosen.card.name}, not {_named(others)}" if others else ""
    return replace(chosen.card, count=count, meant=meant)


def known() -> Sequence[Card]:
    """All cards of the table, the largest memory first."""
    return sorted((row.card for row in _rows()), key=lambda each: -each.memory)


def offers(of: Card) -> Sequence[Offer]:
    """What clouds ask for it, the cheapest first; empty where no credible price was found."""
    found = [
        Offer(of.name, row["cloud"], float(row["usd"][of.name]), row["dated"], _source(row, of.name))
        for row in _table()["offers"]
        if of.name in row["usd"]
    ]
    return sorted(found, key=lambda each: each.usd_per_hour)


def card_prices() -> Sequence[Price]:
    """What clouds ask for each card by the hour."""
    return [
        Price(each.name, "hour", offer.usd_per_hour, "hour", offer.dated, f"{offer.cloud}: {offer.source}")
        for each in known()
        for offer in offers(each)
    ]


def listing() -> Sequence[str]:
    """A line a card: its name, memory, speed, power, and what it costs."""
    return [f"{each.name}: {_described(each)}" for each in known()]


def _described(each: Card) -> str:
    speed = f"{each.bf16:.0f} TFLOPS in bfloat16" if each.bf16 else f"{each.fp32:.0f} TFLOPS in float32, no bfloat16"
    asked = offers(each)
    cost = "no price known"
    if asked:
        cost = f"${asked[0].usd_per_hour:.2f} - {asked[-1].usd_per_hour:.2f} an hour"
    return f"{quantity(each.memory, 'bytes')}, {speed}, {each.watts:.0f} W, {cost}"


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "cards.toml").read_text("utf-8"))


@cache
def _rows() -> tuple[_Row, ...]:
    return tuple(
        _Row(
            Card(
                row["name"],
                row["mib"] * 2**20,
                float(row["bf16"]),
                float(row["fp32"]),
                row.get("matmul"),
                float(row["bandwidth"]),
                float(row["watts"]),
                row["source"],
            ),
            tuple(row["keys"]),
            row.get("form"),
            tuple(row["gb"]),
            row.get("only_named", False),
        )
        for row in _table()["cards"]
    )


def _source(row: dict[str, Any], name: str) -> str:
    return ", ".join(filter(None, (row["source"], row.get("plan"), row.get("of", {}).get(name))))


def _said(name: str) -> str:
    return " ".join(name.casefold().split())


def _count(name: str) -> tuple[int, str]:
    for pattern in (_COUNTED, _COUNTED_AFTER):
        found = pattern.search(name)
        if found:
            count = int(found[1])
            if not 1 <= count <= MOST:
                raise SettingsError(f"{name!r} counts {count} cards.", cure=f"ask for 1 to {MOST} of them")
            return count, name[: found.start()] + name[found.end() :]
    return 1, name


def _read(name: str) -> tuple[str, int | None, str | None]:
    """The key, the size in GB and the form that a name says."""
    words, size, form = list[str](), None, None
    spaced = re.sub(r"(\d+)\s+(gi?b)\b", r"\1\2", name.lower())
    for word in re.findall(r"[a-z0-9]+", spaced):
        if found := _SIZE.match(word):
            size = int(found[1])
        elif found := _FORM.match(word):
            form = found[1]
        elif not _NOISE.match(word):
            words.append(word)
    sizes = {size for row in _rows() for size in row.sizes}
    if size is None and len(words) > 1 and words[-1].isdigit() and int(words[-1]) in sizes:
        size = int(words.pop())
    return "".join(words), size, form


def _unknown(name: str, key: str) -> SettingsError:
    keys = {key: row for row in reversed(_rows()) for key in row.keys}
    near = get_close_matches(key, keys, 3, 0.6)
    rows = [row for row in _rows() if any(key in row.keys for key in near)]
    every = ", ".join(dict.fromkeys(row.card.name for row in _rows()))
    return SettingsError(
        f"no card {name!r} is known" + (f"; near it are {_named(rows)}." if rows else "."),
        cure=f'use one of {every}; or describe yours as cards."{" ".join(_count(name)[1].split())}" under the backend in finetune.toml',
    )


def _named(rows: Sequence[_Row]) -> str:
    return ", ".join(row.card.name for row in rows)

"""What a place charges, as dated data: the rows of a price list are read here, and every one that makes no sense is named.

A row has `model`, `kind`, `usd`, `unit`, `dated` and `source`. A backend's own list and the tables `[[backends.NAME.prices]]` of
finetune.toml are read alike. A price is USD and nothing else; what is unknown has no row, never a 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any

from finetune_sdk.errors import SettingsError
from finetune_sdk.estimate import Price

STALE_DAYS = 90
_MOST = 1e9
TOKENS, HOUR = "1M tokens", "hour"
UNITS: Mapping[str, str] = {
    "training": TOKENS, "hour": HOUR, "hosting": HOUR, "input": TOKENS, "cached": TOKENS, "output": TOKENS,
    "base_input": TOKENS, "base_cached": TOKENS, "base_output": TOKENS,
}  # fmt: skip
_FIELDS = ("model", "kind", "usd", "unit", "dated", "source")
_OPTIONAL = ("currency",)
_CURES = {
    "model": 'name the base, as in model = "gpt-4.1-mini-2025-04-14"',
    "kind": f"use one of {', '.join(UNITS)}",
    "usd": "give US dollars as a number of 0 or more, as in usd = 3.0",
    "unit": f'write unit = "{TOKENS}", or unit = "{HOUR}" for what is charged by the hour',
    "dated": "write the day on which the place asked that, without quotes: dated = 2026-11-22",
    "source": 'say who says so, as in source = "the provider\'s price page"',
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one row of a price list. `where` names the list, the row's number from 1, and what it is about."""

    where: str
    message: str
    cure: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def is_stale(price: Price, today: date) -> bool:
    """Whether the price is older than 90 days: it should be looked up again."""
    return price.age_days(today) > STALE_DAYS


def read(rows: object, where: str, today: date) -> tuple[tuple[Price, ...], tuple[Fault, ...]]:
    """The good rows of a price list as prices, and all that is wrong with the others. `where` is what the list is called."""
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        return (), (
            Fault(where, f"{rows!r:.60} is no list of prices.", f"write one table for each: [[{_inner(where)}]]"),
        )
    prices, faults, seen = list[Price](), list[Fault](), dict[tuple[str, str], int]()
    for number, row in enumerate(rows, 1):
        at = f"{where} row {number}{_about(row)}"
        found = [Fault(at, message, cure) for message, cure in _wrong(row, today)]
        faults += found
        if found:
            continue
        price = Price(row["model"], row["kind"], float(row["usd"]), row["unit"], row["dated"], row["source"])
        first = seen.setdefault((price.model, price.kind), number)
        if first == number:
            prices.append(price)
        else:
            faults.append(Fault(at, f"row {first} has the same model and kind.", "keep the newer of the two"))
    return tuple(prices), tuple(faults)


def refused(faults: Sequence[Fault]) -> SettingsError:
    """One error that names every fault."""
    first, *more = faults
    if not more:
        return SettingsError(f"{first.where}: {first.message}", cure=first.cure)
    lines = [f"{fault.where}: {fault.message}\n    cure: {fault.cure}" for fault in faults]
    return SettingsError(
        f"{len(faults)} faults in the prices:\n  " + "\n  ".join(lines),
        cure="mend these rows; `finetune prices --check` names them all",
    )


def _inner(where: str) -> str:
    return where.partition("[[")[2].partition("]]")[0] or "prices"


def _about(row: object) -> str:
    if not isinstance(row, Mapping):
        return ""
    said = [str(row[name])[:60] for name in ("model", "kind") if isinstance(row.get(name), str) and row[name]]
    return f" ({', '.join(said)})" if said else ""


def _wrong(row: object, today: date) -> Iterator[tuple[str, str]]:
    """What is wrong with one row, each with its cure."""
    if not isinstance(row, Mapping):
        yield f"{row!r:.60} is no table.", f"give {', '.join(_FIELDS)}"
        return
    for name in row:
        if name not in (*_FIELDS, *_OPTIONAL):
            near = get_close_matches(str(name), _FIELDS, 1)
            yield (
                f"the key {name!r} is read by nothing.",
                f"write `{near[0]}`" if near else f"a price has {', '.join(_FIELDS)}",
            )
    if row.get("currency", "USD") != "USD":
        yield f"currency = {row['currency']!r}: prices are in USD.", "give the price in US dollars, as usd = …"
    for name in _FIELDS:
        if name not in row:
            yield f"it has no `{name}`.", _CURES[name]
    for name in ("model", "source"):
        if name in row and not (isinstance(row[name], str) and row[name].strip()):
            yield f"{name} = {row[name]!r} names nothing.", _CURES[name]
        elif name in row and row[name] != row[name].strip():
            yield f"{name} = {row[name]!r} begins or ends with a blank.", "take the blank out"
    yield from _wrong_figures(row)
    if "dated" in row:
        yield from _wrong_day(row["dated"], today)


def _wrong_figures(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "usd" in row:
        usd = row["usd"]
        if isinstance(usd, bool) or not isinstance(usd, int | float) or not -_MOST < usd < _MOST:
            yield f"usd = {usd!r:.60} is no figure.", _CURES["usd"]
        elif usd < 0:
            yield f"usd = {usd!r} is negative.", _CURES["usd"]
    kind, unit = row.get("kind"), row.get("unit")
    if "kind" in row and (not isinstance(kind, str) or kind not in UNITS):
        near = get_close_matches(str(kind), UNITS, 1)
        yield f"{kind!r} is no kind of price.", f"did you mean {near[0]!r}?" if near else _CURES["kind"]
    elif "unit" in row and unit not in UNITS.values():
        yield f"unit = {unit!r} is no unit of a price.", _CURES["unit"]
    elif "unit" in row and "kind" in row and unit != UNITS[str(kind)]:
        yield f"a price of the kind {kind!r} is not for {unit!r}.", f'write unit = "{UNITS[str(kind)]}"'


def _wrong_day(dated: object, today: date) -> Iterator[tuple[str, str]]:
    if not isinstance(dated, date) or isinstance(dated, datetime):
        yield f"dated = {str(dated)!r} is no day.", _CURES["dated"]
    elif dated > today:
        yield (
            f"dated = {dated} has not come yet: today is {today} by this machine's clock.",
            "mend the date, or the clock",
        )

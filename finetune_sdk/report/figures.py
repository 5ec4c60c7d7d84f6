"""Figures as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from finetune_sdk.estimate import quantity

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

UNITS = {
    "time": "s",
    "memory": "bytes",
    "disk": "bytes",
    "tokens": "tokens",
    "trained_tokens": "tokens",
    "charge": "USD",
    "machine": "USD",
}

NAMES = {
    "time": "Time",
    "memory": "Memory",
    "disk": "Disk",
    "tokens": "Tokens",
    "trained_tokens": "Trained tokens",
    "charge": "Provider’s charge",
    "machine": "Machine’s cost",
}


def percent(rate: float | None) -> str:
    """0.98125 as `98.1%`; only what is exactly all reads as 100%, and only nothing as 0%."""
    if rate is None:
        return "–"
    shown = f"{100 * rate:.1f}"
    if shown == "100.0" and rate < 1:
        return "99.9%"
    if shown == "0.0" and rate > 0:
        return "0.1%"
    return "100%" if shown == "100.0" else "0%" if shown == "0.0" else f"{shown}%"


def between(low: float | None, high: float | None) -> str:
    """An interval of rates: `93.7 – 99.0%`."""
    if low is None or high is None:
        return "–"
    return f"{percent(low).rstrip('%')} – {percent(high)}"


def points(difference: float) -> str:
    """A difference of two rates: `+74.4`."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def confidence(level: float) -> str:
    return f"{100 * level:g}%"


def amount(value: float, unit: str) -> str:
    """A figure beside its name, which says already that it counts tokens."""
    return f"{value:,.0f}" if unit == "tokens" else quantity(value, unit)


def wait(seconds: float | None) -> str:
    """A latency: milliseconds below a second."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else quantity(seconds, "s")


def count(value: float | None) -> str:
    """A number of things, a mean of numbers of things: `1,204`, `38.2`."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:.1f}"


def number(value: float | None) -> str:
    """What an evaluator measured, with three figures that count: `0.812`, `1,204`."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 or value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 6)}f}".replace("-", "−")


def usd(value: float | None) -> str:
    """A small sum: `$0.42`, `$0.0031`."""
    if value is None:
        return "–"
    return f"${value:,.2f}" if value >= 0.1 or value == 0 else f"${value:.2g}"


def counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def loss(value: float) -> str:
    """A value on a curve, with three figures that count."""
    if value == 0:
        return "0"
    if abs(value) < 0.001 or abs(value) >= 10_000:
        return f"{value:.2e}".replace("-", "−")
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".replace("-", "−")


def day(stamp: str) -> str:
    """An ISO-8601 instant as `14 March 2026, 10:22 UTC`; what is not one stays as it is."""
    try:
        instant = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    return f"{instant.day} {MONTHS[instant.month - 1]} {instant.year}, {instant:%H:%M} UTC"


def span(figure: Mapping[str, Any]) -> str:
    """An estimate's range: `62 s – 1.8 min`, `$0.00`, `unknown`."""
    if figure.get("low") is None or figure.get("high") is None:
        return "unknown"
    low, high = amount(figure["low"], figure["unit"]), amount(figure["high"], figure["unit"])
    if low == high:
        return low
    number, _, unit = low.partition(" ")
    return f"{number} – {high}" if unit and high.endswith(f" {unit}") else f"{low} – {high}"


def standing(figure: Mapping[str, Any], actual: float) -> str:
    """Where the actual figure lies: `within`, `above` or `below` the range."""
    low, high = figure.get("low"), figure.get("high")
    if low is None or high is None:
        return ""
    return "below" if actual < low else "above" if actual > high else "within"

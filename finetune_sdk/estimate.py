"""What a job will take, before it runs: ranges, each with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from finetune_sdk.errors import JobError


@dataclass(frozen=True, slots=True)
class Range:
    """A figure that is not known exactly: `low` and `high` hold it in nine of ten cases, `expected` is the best guess.

    `unit` is "USD", "s", "bytes", "Wh" or "tokens"; `basis` says in a phrase what it rests on, with a date where it is a
    price. An unknown range has no numbers, and any sum with it is unknown.
    """

    low: float | None
    expected: float | None
    high: float | None
    unit: str
    basis: str

    def __post_init__(self) -> None:
        figures = (self.low, self.expected, self.high)
        if any(figure is None for figure in figures):
            if any(figure is not None for figure in figures):
                raise ValueError(f"a range is known whole or not at all, not {figures}")
        elif not (0 <= self.low <= self.expected <= self.high):  # type: ignore[operator]
            raise ValueError(f"a range needs 0 <= low <= expected <= high, not {figures}")

    @classmethod
    def exactly(cls, value: float, unit: str, basis: str) -> Range:
        return cls(value, value, value, unit, basis)

    @classmethod
    def unknown(cls, unit: str, basis: str) -> Range:
        return cls(None, None, None, unit, basis)

    @property
    def known(self) -> bool:
        return self.expected is not None

    def __add__(self, other: Range) -> Range:
        if self.unit != other.unit:
            raise ValueError(f"cannot add {other.unit} to {self.unit}")
        basis = "; ".join(dict.fromkeys((self.basis, other.basis)))
        if (
            self.low is None or self.expected is None or self.high is None
            or other.low is None or other.expected is None or other.high is None
        ):  # fmt: skip
            return Range.unknown(self.unit, basis)
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high, self.unit, basis)

    def holds(self, value: float) -> bool:
        """Whether `value` lies within; an unknown range holds nothing."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    def to_dict(self) -> dict[str, Any]:
        return {
            "low": self.low, "expected": self.expected, "high": self.high, "unit": self.unit, "basis": self.basis
        }  # fmt: skip

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Range:
        return cls(row["low"], row["expected"], row["high"], row["unit"], row["basis"])

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "unknown"
        low, high = quantity(self.low, self.unit), quantity(self.high, self.unit)
        return low if low == high else f"{low} - {high}"


def quantity(value: float, unit: str) -> str:
    """A figure as a person reads it: `$4.10`, `22 min`, `14.2 GB` (10^9 bytes), `12,300 tokens`."""
    if unit == "USD":
        return f"${value:,.2f}"
    if unit == "bytes":
        for size, suffix in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if value >= size:
                return f"{value / size:.{1 if value < 100 * size else 0}f} {suffix}"
        return f"{value:.0f} B"
    if unit == "s":
        if value < 90:
            return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
        if value < 5400:
            return f"{value / 60:.1f} min" if value < 600 else f"{value / 60:.0f} min"
        return f"{value / 3600:.1f} h"
    if unit == "Wh":
        return f"{value / 1000:,.1f} kWh" if value >= 1000 else f"{value:.{0 if value >= 10 else 1}f} Wh"
    return f"{value:,.0f} {unit}"


@dataclass(frozen=True, slots=True)
class Price:
    """What a place charges: USD per `unit`, valid on `dated`, as stated by `source`."""

    model: str
    kind: str
    usd: float
    unit: str
    dated: date
    source: str

    def __post_init__(self) -> None:
        if self.usd < 0 or not self.unit:
            raise JobError(f"the price of {self.model} ({self.kind}) needs a figure of 0 or more and a unit.")

    def age_days(self, today: date) -> int:
        return (today - self.dated).days


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will take. `charge` is the provider's bill; `machine` the own machine's cost, unknown without a price;
    `energy` what the own machine draws.

    `tokens` counts what passes through training over all epochs, `trained_tokens` those of them that are learnt.
    `resolved` shows what the place filled in; `notes` are sentences a person should read before saying yes. `kind` is "probe"
    for one that a few steps were taken for. `uncorrected` has the figures that past runs corrected, as they were before.
    """

    tokens: Range
    trained_tokens: Range
    charge: Range
    time: Range
    memory: Range
    disk: Range
    machine: Range
    energy: Range = field(default_factory=lambda: Range.unknown("Wh", "nobody has said what the machine draws"))
    resolved: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    kind: str = ""
    uncorrected: Mapping[str, Range] = field(default_factory=dict)

    RANGES = ("tokens", "trained_tokens", "charge", "time", "memory", "disk", "machine", "energy")

    def to_dict(self) -> dict[str, Any]:
        ranges = {name: getattr(self, name).to_dict() for name in self.RANGES}
        before = {name: figure.to_dict() for name, figure in self.uncorrected.items()}
        return {
            **ranges, "resolved": dict(self.resolved), "notes": list(self.notes),
            **({"kind": self.kind} if self.kind else {}), **({"uncorrected": before} if before else {}),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Estimate:
        ranges = {name: Range.from_dict(row[name]) for name in cls.RANGES if name in row}
        before = {name: Range.from_dict(figure) for name, figure in row.get("uncorrected", {}).items()}
        notes = tuple(row["notes"])
        return cls(**ranges, resolved=row["resolved"], notes=notes, kind=row.get("kind", ""), uncorrected=before)

    def __str__(self) -> str:
        lines = [f"{self.charge}, {self.time}, {self.memory}"]
        for name in self.RANGES:
            figure: Range = getattr(self, name)
            lines.append(f"  {name.replace('_', ' '):<15} {figure!s:<22} {figure.basis}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has taken up to now: `cost` in USD, the provider's charge and the own machine's together, and `time` in seconds
    of work, all sessions of a resumed run counted. Unknown where nobody can say, with the reason as the basis.
    """

    cost: Range
    time: Range

    def to_dict(self) -> dict[str, Any]:
        return {"cost": self.cost.to_dict(), "time": self.time.to_dict()}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a model is asked in a month: so many answers, each of which reads and writes so many tokens in the mean.

    `basis` says where the tokens come from.
    """

    answers: float
    input_tokens: float
    output_tokens: float
    basis: str


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What a model costs in a month that it is asked in: `inference` by the token, `hosting` whether it is asked or not; in USD."""

    inference: Range
    hosting: Range
    notes: tuple[str, ...] = ()

    @property
    def month(self) -> Range:
        return self.inference + self.hosting

    def to_dict(self) -> dict[str, Any]:
        return {"inference": self.inference.to_dict(), "hosting": self.hosting.to_dict(), "notes": list(self.notes)}

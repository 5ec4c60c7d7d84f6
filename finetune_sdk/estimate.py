"""What a job will take, before it runs: ranges, each with what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from html import escape
from math import floor, inf, isfinite, log10
from numbers import Real
from typing import Any, ClassVar, Self

from finetune_sdk.errors import JobError


@dataclass(frozen=True, slots=True)
class _Figures:
    """What a Range and a Difference have in common: three finite figures in order, or none, in one unit, with a basis."""

    low: float | None
    expected: float | None
    high: float | None
    unit: str
    basis: str

    _LEAST: ClassVar[float] = -inf
    _ORDER: ClassVar[str] = "low <= expected <= high"

    def __post_init__(self) -> None:
        figures = (self.low, self.expected, self.high)
        if not isinstance(self.unit, str) or not self.unit:
            raise ValueError(f"a range needs a unit, not {self.unit!r}")
        if all(figure is None for figure in figures):
            return
        if None in figures:
            raise ValueError(f"a range is known whole or not at all, not {figures}")
        if not all(map(_is_number, figures)):
            raise ValueError(f"a range is of numbers, not {figures}")
        if not all(isfinite(figure) for figure in figures):  # type: ignore[arg-type]
            raise ValueError(f"a range is of finite numbers, not {figures}; what nobody knows is Range.unknown")
        if not self._LEAST <= self.low <= self.expected <= self.high:  # type: ignore[operator]
            raise ValueError(f"a range needs {self._ORDER}, not {figures}")

    @classmethod
    def exactly(cls, value: float, unit: str, basis: str) -> Self:
        return cls(value, value, value, unit, basis)

    @classmethod
    def unknown(cls, unit: str, basis: str) -> Self:
        return cls(None, None, None, unit, basis)

    @property
    def known(self) -> bool:
        return self.expected is not None

    @property
    def figures(self) -> tuple[float, float, float] | None:
        """(low, expected, high), or None where they are unknown."""
        if self.low is None or self.expected is None or self.high is None:
            return None
        return self.low, self.expected, self.high

    def holds(self, value: float) -> bool:
        """Whether `value` lies within; what is unknown holds nothing."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high

    def to_dict(self) -> dict[str, Any]:
        return {
            "low": self.low, "expected": self.expected, "high": self.high, "unit": self.unit, "basis": self.basis
        }  # fmt: skip

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        return cls(row["low"], row["expected"], row["high"], row["unit"], row["basis"])

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "unknown"
        low, high = quantity(self.low, self.unit), quantity(self.high, self.unit)
        return low if low == high else f"{low} - {high}"


@dataclass(frozen=True, slots=True)
class Range(_Figures):
    """A figure that is not known exactly: `low` and `high` hold it in nine of ten cases, `expected` is the best guess.

    `unit` is "USD", "s", "bytes", "Wh" or "tokens"; `basis` says in a phrase what it rests on, with a date where it is a
    price. An unknown range has no numbers, and any sum with it is unknown.

    Ranges of one unit are added (`a + b`, `sum(ranges)`) end to end, as if all were high, or low, together. So a sum never
    claims more than its parts: of parts that are independent it is wider than it need be. `a * 3` is thrice the same thing,
    `a.less(b)` what a is above b. Ranges have no order: say which of their figures you compare.
    """

    _LEAST: ClassVar[float] = 0.0
    _ORDER: ClassVar[str] = "0 <= low <= expected <= high"

    def __add__(self, other: Range) -> Range:
        if not isinstance(other, Range):
            return NotImplemented
        self._refuse(other, "add {1} to {0}")
        here, there, basis = self.figures, other.figures, self._with(other)
        if here is None or there is None:
            return Range.unknown(self.unit, basis)
        return Range(here[0] + there[0], here[1] + there[1], here[2] + there[2], self.unit, basis)

    def __radd__(self, other: object) -> Range:
        """What `sum` begins with is nothing, so that it needs no start."""
        return self if isinstance(other, int) and not isinstance(other, bool) and other == 0 else NotImplemented

    def __mul__(self, times: float) -> Range:
        return self.scaled(times) if _is_number(times) else NotImplemented

    __rmul__ = __mul__

    def scaled(self, times: float, unit: str | None = None, basis: str | None = None) -> Range:
        """Each figure `times` an exact number of 0 or more: `tokens.scaled(usd / 1e6, "USD", price)`. Unknown stays so, even 0 times."""
        if not _is_number(times) or not 0 <= times < inf:
            raise ValueError(f"a range is multiplied by a finite number of 0 or more, not {times!r}")
        unit, basis, figures = unit or self.unit, basis or self.basis, self.figures
        if figures is None:
            return Range.unknown(unit, basis)
        return Range(figures[0] * times, figures[1] * times, figures[2] * times, unit, basis)

    def less(self, other: Range) -> Difference:
        """What this is above `other`, or below it: the least is this one's low end less the other's high end."""
        self._refuse(other, "take {1} from {0}")
        here, there, basis = self.figures, other.figures, self._with(other)
        if here is None or there is None:
            return Difference.unknown(self.unit, basis)
        return Difference(here[0] - there[2], here[1] - there[1], here[2] - there[0], self.unit, basis)

    def _with(self, other: Range) -> str:
        """What both rest on, each phrase once; what is unknown comes first."""
        told = sorted((self, other), key=lambda one: one.known)
        return "; ".join(dict.fromkeys(part for one in told for part in one.basis.split("; ")))

    def _refuse(self, other: Range, what: str) -> None:
        if self.unit != other.unit:
            raise ValueError(f"cannot {what.format(self.unit, other.unit)}")


@dataclass(frozen=True, slots=True)
class Difference(_Figures):
    """How far a figure is above another, or where it is negative below: `low` in the worst case, `high` in the best."""

    @property
    def sign(self) -> int | None:
        """1 where it is surely above, -1 where surely below, 0 where it is none at all; None where that is open or unknown."""
        if self.low is None or self.high is None:
            return None
        return 1 if self.low > 0 else -1 if self.high < 0 else 0 if self.low == self.high else None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "unknown"
        low, high = quantity(self.low, self.unit), quantity(self.high, self.unit)
        return low if low == high else f"{low} to {high}"


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def quantity(value: float, unit: str) -> str:
    """A figure as a person reads it: `$4.10`, `22 min`, `14.2 GB` (10^9 bytes), `12,300 tokens`. What is not 0 never reads as 0 USD."""
    if value < 0:
        return f"-{quantity(-value, unit)}"
    if unit == "USD":
        small = 0 < value < 0.005
        return (
            f"${value:,.2f}"
            if not small
            else f"${value:.{1 - floor(log10(value))}f}"
            if value > 1e-6
            else f"${value:.0e}"
        )
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
    """What a place charges: USD per `unit`, valid on `dated`, as stated by `source`.

    Kinds, by the million tokens (`unit` "1M tokens"): `training` what is billed of the data; `input`, `cached` and `output` what
    asking a model tuned from `model` takes, and `base_input`, `base_cached` and `base_output` what asking `model` itself does.
    By the hour (`unit` "hour"): `hour` of training, `hosting` of a tuned model, whether it is asked or not. A model's own
    `prices` are `input` and `output`, whatever it is.
    """

    model: str
    kind: str
    usd: float
    unit: str
    dated: date
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.usd < inf or not self.unit:
            raise JobError(f"the price of {self.model} ({self.kind}) needs a figure of 0 or more and a unit.")

    def age_days(self, today: date) -> int:
        return (today - self.dated).days


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job will take. `charge` is the provider's bill; `machine` the own machine's cost, unknown without a price;
    `energy` what the own machine draws.

    `tokens` counts what passes through training over all epochs, `trained_tokens` those of them that are learnt.
    `resolved` shows what the place filled in; `notes` are sentences a person should read before saying yes. `kind` is "probe"
    for one that a few steps were taken for. `on` says in the place's words what the job would run on: runs on the same teach.
    `uncorrected` has the figures that past runs corrected, as they were before.
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
    on: str = ""
    uncorrected: Mapping[str, Range] = field(default_factory=dict)

    RANGES = ("tokens", "trained_tokens", "charge", "time", "memory", "disk", "machine", "energy")

    def to_dict(self) -> dict[str, Any]:
        ranges = {name: getattr(self, name).to_dict() for name in self.RANGES}
        before = {name: figure.to_dict() for name, figure in self.uncorrected.items()}
        return {
            **ranges, "resolved": dict(self.resolved), "notes": list(self.notes),
            **({"kind": self.kind} if self.kind else {}), **({"on": self.on} if self.on else {}),
            **({"uncorrected": before} if before else {}),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Estimate:
        ranges = {name: Range.from_dict(row[name]) for name in cls.RANGES if name in row}
        before = {name: Range.from_dict(figure) for name, figure in row.get("uncorrected", {}).items()}
        told: dict[str, Any] = {**ranges, "resolved": row["resolved"], "notes": tuple(row["notes"])}
        return cls(**told, kind=row.get("kind", ""), on=row.get("on", ""), uncorrected=before)

    def __str__(self) -> str:
        rows = self._rows()
        wide = max(len(figure) for _, figure, _ in rows)
        lines = [f"{self.charge}, {self.time}, {self.memory}"]
        lines += [f"  {name:<15} {figure:<{wide}}  {basis}" for name, figure, basis in rows]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "<tr><th></th><th>low - high</th><th>rests on</th></tr>"
        rows = ("".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) for row in self._rows())
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<table>{head}{''.join(f'<tr>{row}</tr>' for row in rows)}</table>{notes}"

    def _rows(self) -> list[tuple[str, str, str]]:
        figures: list[tuple[str, Range]] = [(name.replace("_", " "), getattr(self, name)) for name in self.RANGES]
        return [(name, str(figure), figure.basis) for name, figure in figures]


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

    `basis` says where the tokens come from; the truth lies between `spread` times what is read, and what is written. Raises
    JobError for what is negative or no number.
    """

    answers: float
    input_tokens: float
    output_tokens: float
    basis: str
    input_spread: tuple[float, float] = (1.0, 1.0)
    output_spread: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("answers", "input_tokens", "output_tokens"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < inf:
                raise JobError(f"{name} = {value!r} is no figure of a month.", cure="give 0 or more")

    @property
    def read(self) -> Range:
        """Tokens of a month that are read."""
        return _between(self.answers * self.input_tokens, self.input_spread, self.basis)

    @property
    def written(self) -> Range:
        """Tokens of a month that are written."""
        return _between(self.answers * self.output_tokens, self.output_spread, self.basis)

    @property
    def as_counted(self) -> Usage:
        """With the tokens taken as they were counted: what is asked of one model is asked of the other, however long it is."""
        return replace(self, input_spread=(1.0, 1.0), output_spread=(1.0, 1.0))

    def longer(self, tokens: float) -> Usage:
        """With a prompt of so many tokens more."""
        long, (low, high) = self.input_tokens + tokens, self.input_spread
        spread = (
            ((low * self.input_tokens + tokens) / long, (high * self.input_tokens + tokens) / long)
            if long
            else (1.0, 1.0)
        )
        basis = f"{self.basis}; {tokens:,} more of prompt"
        return replace(self, input_tokens=long, input_spread=spread, basis=basis)

    def to_dict(self) -> dict[str, Any]:
        return {
            "answers": self.answers, "input_tokens": self.input_tokens, "output_tokens": self.output_tokens, "basis": self.basis,
            **({"input_spread": list(self.input_spread)} if self.input_spread != (1.0, 1.0) else {}),
            **({"output_spread": list(self.output_spread)} if self.output_spread != (1.0, 1.0) else {}),
        }  # fmt: skip


def _between(tokens: float, spread: tuple[float, float], basis: str) -> Range:
    return Range(tokens * spread[0], tokens, tokens * spread[1], "tokens", basis)


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

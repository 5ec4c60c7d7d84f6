"""Break-even: when a tuned model has paid for itself, beside a bigger model or a longer prompt.

Out of ranges come ranges. In the best case everything of the tuned model is at its low end and everything of its rival at the
high one, in the worst case the other way round; both are wider than they need be where the two rest on the same figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, inf
from typing import Any, Literal

from finetune_sdk.errors import InputError
from finetune_sdk.estimate import Difference, Range, Upkeep

MONTHS_A_YEAR = 12
MOST_MONTHS = 600
_SLACK = 1e-9  # of a division that should be whole

End = Literal["low", "expected", "high"]
ENDS: tuple[End, ...] = ("low", "expected", "high")
_OTHER: Mapping[End, End] = {"low": "high", "expected": "expected", "high": "low"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a model is asked and what it takes to have a tuned one; all money in USD.

    `answers` a month are what `tuned` and each of the `rivals` (by a name for it) are priced at; `training` is one training,
    charge and machine together, and `retrainings` of it fall due a year, the first after a whole part of the year. `hours`
    of people go into the first training, `retraining_hours` (as many, when left out) into each later one. `storage`
    is USD a month; `hosting` replaces what the place says of the tuned model. None is not counted, and said so; 0 is
    nothing. Raises InputError for what makes no sense.
    """

    answers: float
    training: Range
    tuned: Upkeep
    rivals: Mapping[str, Upkeep] = field(default_factory=dict)
    months: int = MONTHS_A_YEAR
    retrainings: float = 4.0
    hours: float | None = None
    retraining_hours: float | None = None
    usd_per_hour: float | None = None
    storage: float | None = None
    hosting: float | None = None

    def __post_init__(self) -> None:
        for name in ("answers", "retrainings", "hours", "retraining_hours", "usd_per_hour", "storage", "hosting"):
            value = getattr(self, name)
            if value is not None and not _is_amount(value):
                raise InputError(
                    f"{name} = {value!r} cannot be reckoned with.", cure="give a finite number of 0 or more"
                )
        if self.answers == 0:
            raise InputError(
                "nobody asks the model: answers = 0 a month, and nothing pays a training back.", cure="give 1 or more"
            )
        if not isinstance(self.months, int) or isinstance(self.months, bool) or not 1 <= self.months <= MOST_MONTHS:
            raise InputError(
                f"months = {self.months!r} is no horizon.",
                cure=f"give whole months, 1 or more and {MOST_MONTHS} or less",
            )
        worked = self.hours if self.hours is not None else self.retraining_hours
        if (worked is None) != (self.usd_per_hour is None):
            lacks, has = ("usd_per_hour", "hours") if worked is not None else ("hours", "usd_per_hour")
            raise InputError(
                f"{has} is given and {lacks} is not.", cure=f"give {lacks}, too; people cost their product"
            )
        for what, figure in self._money():
            if figure.unit != "USD":
                raise InputError(f"{what} is in {figure.unit}, not in USD.", cure="give it in USD")

    def _money(self) -> Iterator[tuple[str, Range]]:
        yield "training", self.training
        for name, upkeep in (("tuned", self.tuned), *self.rivals.items()):
            yield f"the inference of {name}", upkeep.inference
            yield f"the hosting of {name}", upkeep.hosting

    @property
    def first(self) -> dict[str, Range]:
        """What is spent before the first answer, in its parts."""
        return {"training": self.training, **self._people(self.hours)}

    @property
    def again(self) -> dict[str, Range]:
        """What one retraining takes, in its parts."""
        hours = self.hours if self.retraining_hours is None else self.retraining_hours
        return {"training": self.training, **self._people(hours)}

    @property
    def fixed(self) -> dict[str, Range]:
        """What the tuned model costs in a month, asked or not."""
        hosting = self.tuned.hosting
        if self.hosting is not None:
            hosting = Range.exactly(self.hosting, "USD", f"${self.hosting:,.10g} a month, as given")
        stored = (
            {}
            if self.storage is None
            else {"storage": _given(self.storage, f"${self.storage:,.10g} a month, as given")}
        )
        return {"hosting": hosting, **stored}

    def _people(self, hours: float | None) -> dict[str, Range]:
        if self.usd_per_hour is None:
            return {}
        hours = hours or 0.0
        return {
            "people": _given(
                hours * self.usd_per_hour,
                f"{hours:,.10g} {'hour' if hours == 1 else 'hours'} at ${self.usd_per_hour:,.10g}",
            )
        }

    def retrained(self, month: float) -> int:
        """How many retrainings have fallen due by the end of that month."""
        return floor(month * self.retrainings / MONTHS_A_YEAR + _SLACK)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far off something is: in the best case (`low`), as expected, in the worst; infinite where it never comes."""

    low: float
    expected: float
    high: float

    def __str__(self) -> str:
        """`2.1 - 4.0 (expected 2.9)`, `3.0`, `2.1 - never (expected 5.0)`, `never`."""
        low, expected, high = ("never" if getattr(self, end) == inf else f"{getattr(self, end):,.1f}" for end in ENDS)
        return low if low == high else f"{low} - {high} (expected {expected})"

    def to_dict(self) -> dict[str, float | str]:
        return {end: "never" if getattr(self, end) == inf else getattr(self, end) for end in ENDS}


@dataclass(frozen=True, slots=True)
class Window:
    """Answers a month from one number to another, infinite where there is no most."""

    least: float
    most: float = inf

    def to_dict(self) -> dict[str, float | None]:
        return {"least": self.least, "most": None if self.most == inf else self.most}


@dataclass(frozen=True, slots=True)
class Payback:
    """The tuned model beside one rival, which costs `month`.

    `saving` is what tuning saves in a month, retrainings spread evenly; `balance` what it has saved at the horizon, everything
    counted. `months` and `answers` say when the money is back for good: no later retraining takes it away again. `windows` has
    for the best, the expected and the worst case the answers a month with which tuning has cost no more at the horizon, None where
    no number will do. Each is None as a whole where it is unknown, and `missing` says what is.
    """

    name: str
    month: Range
    saving: Difference
    balance: Difference
    months: Reach | None
    answers: Reach | None
    windows: tuple[Window | None, Window | None, Window | None] | None
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        """What was found, in a sentence."""
        if self.months is None:
            return f"Against {self.name}, nobody can say: unknown is {'; '.join(self.missing)}."
        saving, months, answers = self.saving, self.months, self.answers
        assert answers is not None
        if months.low == inf:
            more = f": it costs {_negated(saving)} more a month" if saving.sign == -1 else ""
            return f"Against {self.name}, tuning is never paid back{more}."
        if months.high == 0:
            back = "pays from the first day"
        elif months.high == inf:
            expected = "never" if months.expected == inf else f"after {months.expected:.1f}"
            back = f"is paid back after {months.low:.1f} months at best, as expected {expected}, and at worst never"
        else:
            far = f"{ceil(answers.low):,}"
            if months.low < months.high:
                back = f"is paid back after {months.low:,.1f} - {months.high:,.1f} months (expected {months.expected:,.1f})"
                far = f"{far} - {ceil(answers.high):,}"
            else:
                back = f"is paid back after {months.low:,.1f} months"
            back = f"{back}, {far} answers"
        return f"Against {self.name}, tuning saves {saving} a month and {back}."

    def to_dict(self) -> dict[str, Any]:
        windows = None
        if self.windows is not None:
            windows = {
                name: window and window.to_dict()
                for name, window in zip(("best", "expected", "worst"), self.windows, strict=True)
            }
        return {
            "name": self.name, "month": self.month.to_dict(), "saving": self.saving.to_dict(),
            "balance": self.balance.to_dict(), "months": self.months and self.months.to_dict(),
            "answers": self.answers and self.answers.to_dict(), "cheaper_with_answers_a_month": windows,
            "pays_with": in_words(self.windows),
            "missing": list(self.missing), "sentence": str(self),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class BreakEven:
    """What a tuned model costs before its first answer and in a month, each in its parts, and when it beats each rival.

    In `month` retrainings are spread evenly; `spent` has them where they fall due.
    """

    plan: Plan
    first: Mapping[str, Range]
    month: Mapping[str, Range]
    against: tuple[Payback, ...]
    notes: tuple[str, ...]

    @property
    def up_front(self) -> Range:
        return _sum(self.first)

    @property
    def a_month(self) -> Range:
        return _sum(self.month)

    def spent(self, month: float) -> Range:
        """What the tuned model has cost by the end of that month."""
        plan, times = self.plan, self.plan.retrained(month)
        running = (plan.tuned.inference + _sum(plan.fixed)) * month
        return self.up_front + running + _sum(plan.again) * times if times else self.up_front + running

    def spent_on(self, rival: str, month: float) -> Range:
        """What that rival has cost by then."""
        return self.plan.rivals[rival].month * month

    def over_time(self) -> list[dict[str, Any]]:
        """What each has cost by the end of each month of the horizon, from 0 on: month, tuned, and the rivals by their names.

        `retrained` is how many retrainings have fallen due by then.
        """
        rivals = self.plan.rivals
        return [
            {
                "month": month, "retrained": self.plan.retrained(month), "tuned": self.spent(month),
                "rivals": {name: self.spent_on(name, month) for name in rivals},
            }
            for month in range(self.plan.months + 1)
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        plan = self.plan
        given = (
            "answers", "months", "retrainings", "hours", "retraining_hours", "usd_per_hour", "storage", "hosting",
        )  # fmt: skip
        return {
            "plan": {name: getattr(plan, name) for name in given},
            "up_front": {**_plain(self.first), "total": self.up_front.to_dict()},
            "retraining": {**_plain(plan.again), "total": _sum(plan.again).to_dict()},
            "month": {**_plain(self.month), "total": self.a_month.to_dict()},
            "against": [row.to_dict() for row in self.against],
            "over_time": [
                {**row, "tuned": row["tuned"].to_dict(), "rivals": _plain(row["rivals"])}
                for row in self.over_time()
            ],
            "notes": list(self.notes),
        }  # fmt: skip


def break_even(plan: Plan) -> BreakEven:
    """The plan, reckoned: parts that add up, and for each rival the saving, the way back of the money, and the volume it takes."""
    month = {"inference": plan.tuned.inference, **plan.fixed, **_spread(plan)}
    against = tuple(_beside(plan, name, upkeep, _sum(month)) for name, upkeep in plan.rivals.items())
    return BreakEven(plan, plan.first, month, against, tuple(dict.fromkeys(_notes(plan))))


def _spread(plan: Plan) -> dict[str, Range]:
    """A month's share of the retrainings, in its parts."""
    if not plan.retrainings:
        return {}
    share, often = plan.retrainings / MONTHS_A_YEAR, f"{plan.retrainings:,.10g} a year"
    basis = f"{often}, each what the first takes" if plan.training.known else plan.training.basis
    shared = {"retraining": plan.training.scaled(share, basis=basis)}
    people = plan.again.get("people")
    return shared if people is None else {**shared, "people": people.scaled(share, basis=f"{often}, {people.basis}")}


def paid_back(up_front: float, saving: float, lump: float = 0.0, every: float = inf) -> float:
    """The time after which `up_front` is back for good, in the unit that `saving` and `every` are of; infinite for never.

    The balance at t is saving * t - up_front - lump * floor(t / every). It rises but at lumps; just after lump j it is
    j * net - up_front with net = saving * every - lump, so it is never negative again from lump j = up_front / net (rounded
    up) on, and the zero before that one lies at (up_front + lump * (j - 1)) / saving.
    """
    if not lump or every == inf:
        return up_front / saving if saving > 0 else 0.0 if saving == up_front == 0 else inf
    net = saving * every - lump
    if net <= 0:
        return 0.0 if net == up_front == 0 else inf
    j = ceil(up_front / net - _SLACK)
    return (up_front + lump * (j - 1)) / saving if j > 0 else 0.0


def cheaper_with(fixed: float, each: float) -> Window | None:
    """The answers a month with which `fixed` (what tuning costs more, whatever is asked) is made up by `each` answer's saving."""
    if each > 0:
        return Window(max(0.0, fixed / each))
    if fixed > 0:
        return None
    return Window(0.0, fixed / each if each else inf)


def _beside(plan: Plan, name: str, rival: Upkeep, a_month: Range) -> Payback:
    saving = rival.month.less(a_month)
    first, again, running = _sum(plan.first), _sum(plan.again), plan.tuned.inference + _sum(plan.fixed)
    times = plan.retrained(plan.months)
    spent = first + running * plan.months + (again * times if times else _given(0.0, "no retraining"))
    balance = (rival.month * plan.months).less(spent)
    missing = tuple(_missing(plan, name, rival))
    if not rival.month.known or not running.known:
        return Payback(name, rival.month, saving, balance, None, None, None, missing)
    free = Range.exactly(0.0, "USD", "at least nothing")
    months = _months(plan, rival.month, first if first.known else free, again if again.known else free, running)
    if missing and months.low < inf:  # even a training for nothing may not pay; then the unknown does not matter
        return Payback(name, rival.month, saving, balance, None, None, None, missing)
    answers = Reach(*(getattr(months, end) * plan.answers for end in ENDS))
    windows = None if missing else _windows(plan, rival, first, again)
    return Payback(name, rival.month, saving, balance, months, answers, windows, missing)


def _months(plan: Plan, rival: Range, first: Range, again: Range, running: Range) -> Reach:
    every = MONTHS_A_YEAR / plan.retrainings if plan.retrainings else inf
    return Reach(
        *(
            paid_back(_at(first, end), _at(rival, _OTHER[end]) - _at(running, end), _at(again, end), every)
            for end in ENDS
        )
    )


def _windows(
    plan: Plan, rival: Upkeep, first: Range, again: Range
) -> tuple[Window | None, Window | None, Window | None]:
    """Inference is taken to grow with the answers, all else to stay."""
    found, kept, times = [], _sum(plan.fixed), plan.retrained(plan.months)
    for end in ENDS:
        other = _OTHER[end]
        more = plan.months * (_at(kept, end) - _at(rival.hosting, other)) + _at(first, end) + times * _at(again, end)
        each = plan.months * (_at(rival.inference, other) - _at(plan.tuned.inference, end)) / plan.answers
        found.append(cheaper_with(more, each))
    best, expected, worst = found
    return best, expected, worst


def _missing(plan: Plan, name: str, rival: Upkeep) -> Iterator[str]:
    tuned = {"the tuned model's inference": plan.tuned.inference, "its training": plan.training}
    tuned |= {f"its {part}": figure for part, figure in plan.fixed.items()}
    theirs = {f"the inference of {name}": rival.inference, f"the hosting of {name}": rival.hosting}
    for what, figure in (tuned | theirs).items():
        if not figure.known:
            yield f"{what} ({figure.basis})"


def _notes(plan: Plan) -> Iterator[str]:
    if plan.usd_per_hour is None:
        yield "the people's hours are not counted: give hours and usd_per_hour"
    if plan.storage is None:
        yield "storage is not counted: give storage, in USD a month"
    if plan.rivals:
        yield "the break-even volume takes inference to grow with the answers, and all else to stay as it is"
    yield from plan.tuned.notes
    for name, upkeep in plan.rivals.items():
        yield from (f"{name}: {note}" for note in upkeep.notes)


def spread(reach: Reach | None) -> str:
    return "unknown" if reach is None else str(reach)


def in_words(windows: Sequence[Window | None] | None) -> str:
    """`from 8,100 - 22,000 (expected 12,400)`, `any number`, `none`, or each case by itself."""
    if windows is None:
        return "unknown"
    said = [_window(window) for window in windows]
    if said[0] == said[2]:
        return said[0]
    best, expected, worst = windows
    if best and expected and worst and best.most == expected.most == worst.most == inf:
        return f"from {ceil(best.least):,} - {ceil(worst.least):,} (expected {ceil(expected.least):,})"
    return f"{said[0]} at best, {said[2]} at worst"


def _window(window: Window | None) -> str:
    if window is None:
        return "none"
    if window.most == inf:
        return f"from {ceil(window.least):,}" if window.least else "any number"
    if window.most < 1:
        return "none"
    return f"up to {floor(window.most):,}"


def _negated(saving: Difference) -> str:
    assert saving.low is not None
    assert saving.expected is not None
    assert saving.high is not None
    return str(Difference(-saving.high, -saving.expected, -saving.low, saving.unit, saving.basis)).replace(
        " to ", " - "
    )


def _sum(parts: Mapping[str, Range]) -> Range:
    first, *rest = parts.values()
    return sum(rest, first)


def _given(value: float, basis: str) -> Range:
    return Range.exactly(value, "USD", basis)


def _at(figure: Range, end: End) -> float:
    value: float = getattr(figure, end)
    return value


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf


def _plain(parts: Mapping[str, Range]) -> dict[str, Any]:
    return {name: part.to_dict() for name, part in parts.items()}

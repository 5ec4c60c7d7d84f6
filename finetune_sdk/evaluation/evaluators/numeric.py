"""NumericMatch: the number in the answer is the expected one, within a tolerance and however it is written."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, ClassVar, Literal

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.reading import NotJSONError, field_of, shown
from finetune_sdk.model import Answer

_DIGITS = 400
_EXPONENT = 5
_AROUND = 40
_EXACT = Context(prec=2 * _DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
_SHARE = re.compile(r"\s?(%|‰|per ?cent\b)", re.IGNORECASE)


class _NoNumberError(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class NumericMatch:
    """The answer's number is the expected answer's, within `absolute` or within `relative` times the expected one.

    Thousands may be divided by commas, spaces, apostrophes or underscores, and by points where `decimal` is ",". A
    percent sign divides by 100: 45% is 0.45. An answer with several numbers fails unless `take` is "first" or "last".
    `units` gives the worth of each unit, {"g": 1, "kg": 1000, "": 1}: then 5 kg is 5000 g, and a number with none of
    them fails; without, units do not count. With `field` the number is that field of a JSON answer. Numbers are
    compared as decimals: 0.1 + 0.2 is 0.3. The value is the answer's number.
    """

    absolute: float = 0.0
    relative: float = 0.0
    take: Literal["only", "first", "last"] = "only"
    decimal: Literal[".", ","] = "."
    units: Mapping[str, float] | None = dataclasses.field(default=None, hash=False)
    field: str | None = None
    name: str = "NumericMatch"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True
    nominal: ClassVar[bool] = True
    _number: re.Pattern[str] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given.number("the tolerance", self.absolute)
        given.number("the tolerance", self.relative)
        given.one_of("take", self.take, ("only", "first", "last"))
        given.one_of("the decimal sign", self.decimal, (".", ","))
        if self.units is not None:
            if not isinstance(self.units, Mapping) or not self.units:
                raise EvaluationError(f"the units are {shown(self.units)}.", cure='give {"g": 1, "kg": 1000}')
            for unit, worth in self.units.items():
                given.number(f"the worth of {unit!r}", worth, low=1e-300, high=1e300)
            object.__setattr__(self, "units", {str(unit): worth for unit, worth in self.units.items()})
        object.__setattr__(self, "_number", _NUMBERS[self.decimal])

    def judge(self, case: Case, answer: Answer) -> Score:
        try:
            wanted = self._read(given.expected(case).text)
        except (NotJSONError, _NoNumberError) as fault:
            raise EvaluationError(
                f"{case.where}: the expected answer has no number to compare: {fault}.",
                cure="mend the case, or say which of its numbers counts: take='last'",
            ) from None
        try:
            found = self._read(answer.text)
        except (NotJSONError, _NoNumberError) as fault:
            return Score(False, str(fault))
        off = _EXACT.abs(_EXACT.subtract(found, wanted))
        near = _EXACT.max(_decimal(self.absolute), _EXACT.multiply(_decimal(self.relative), _EXACT.abs(wanted)))
        if off <= near:
            return Score(True, value=float(found))
        return Score(False, f"{found:.12g} is not {wanted:.12g}", float(found))

    def _read(self, text: str) -> Decimal:
        value: Any = field_of(text, self.field)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._worth(_decimal(value), "", "")
        if not isinstance(value, str):
            raise _NoNumberError(f"{shown(value)} is no number")
        found = self._last(value) if self.take == "last" else self._first(value)
        sign = found[1] or ""
        digits = re.sub(rf"[^0-9eE+\-{self.decimal}]", "", found[2]).replace(",", ".")
        if len(digits) > _DIGITS or len(digits.lower().partition("e")[2]) > _EXPONENT:
            raise _NoNumberError(f"a number of {len(digits):,} digits is too long to compare")
        number = _EXACT.create_decimal(f"{'-' if sign[:1] in ('-', '−') else ''}{digits}")
        start, end = found.span(2)
        return self._worth(number, value[max(0, start - _AROUND) : start], value[end : end + _AROUND])

    def _first(self, text: str) -> re.Match[str]:
        found = self._number.search(text)
        if found is None:
            raise _NoNumberError(f"there is no number in {shown(text)}")
        if self.take == "only" and (more := self._number.search(text, found.end())) is not None:
            raise _NoNumberError(f"several numbers: {shown(found[0], 20)}, {shown(more[0], 20)} …")
        return found

    def _last(self, text: str) -> re.Match[str]:
        found = None
        for found in self._number.finditer(text):  # noqa: B007
            pass
        if found is None:
            raise _NoNumberError(f"there is no number in {shown(text)}")
        return found

    def _worth(self, number: Decimal, before: str, after: str) -> Decimal:
        if share := _SHARE.match(after):
            number = number.scaleb(-3 if share[1] == "‰" else -2, _EXACT)
        if self.units is None:
            return number
        unit = next((unit for unit in sorted(self.units, key=len, reverse=True) if _stands(unit, before, after)), None)
        if unit is None:
            raise _NoNumberError(f"{number:.12g} has none of the units {shown(list(self.units))}")
        return _EXACT.multiply(number, _decimal(self.units[unit]))


def _numbers(decimal: str) -> re.Pattern[str]:
    # Groups of three (of two too, as in India), or digits alone; the blanks are a space, and those that do not break.
    point, marks = re.escape(decimal), rf"{',' if decimal == '.' else '[.]'}|['’_]|[ \u00a0\u202f]"
    grouped = "|".join(rf"[0-9]{{1,3}}(?:{mark}[0-9]{{2,3}}){{0,20}}{mark}[0-9]{{3}}" for mark in marks.split("|"))
    return re.compile(
        rf"(?<!\w)([-+−]\s?)?[$€£¥]?((?:(?:{grouped})(?![0-9])|[0-9]+)(?:{point}[0-9]+)?(?:[eE][-+]?[0-9]+)?"
        rf"|{point}[0-9]+(?:[eE][-+]?[0-9]+)?)"
    )


_NUMBERS = {decimal: _numbers(decimal) for decimal in (".", ",")}


def _stands(unit: str, before: str, after: str) -> bool:
    """Whether the unit stands right behind the number, or a sign such as $ right before it."""
    if not unit:
        return not re.match(r"\s?[^\W\d_]", after)
    behind = after.removeprefix(" ").removeprefix("\u00a0")
    if behind.startswith(unit) and not (unit[-1].isalpha() and behind[len(unit) : len(unit) + 1].isalpha()):
        return True
    return before.rstrip(" -+−").endswith(unit)


def _decimal(number: float) -> Decimal:
    return _EXACT.create_decimal(repr(number))

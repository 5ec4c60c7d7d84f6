"""Range arithmetic is honest: sums hold sums, unknown stays unknown, units do not mix, and nonsense is refused at once."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_sdk import Difference, InputError, JobError, Price, Range, Usage
from finetune_sdk.estimate import quantity

FIGURES = st.floats(0, 1e12)
BASES = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map("; ".join)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    return Range(*sorted(draw(st.tuples(FIGURES, FIGURES, FIGURES))), unit="USD", basis=draw(BASES))


@st.composite
def inside(draw: st.DrawFn) -> tuple[Range, float]:
    """A range, and a figure that it holds."""
    made = draw(ranges())
    assert made.low is not None
    return made, draw(st.floats(made.low, made.high))


UNKNOWN = Range.unknown("USD", "no price")


@given(st.lists(inside(), min_size=1, max_size=6))
def test_a_sum_holds_the_sum_of_whatever_its_parts_hold(parts: list[tuple[Range, float]]) -> None:
    total = sum(made for made, _ in parts)
    exact = float(sum(Fraction(value) for _, value in parts))
    assert isinstance(total, Range)
    assert total.low is not None
    assert total.high is not None
    assert total.low * (1 - 1e-12) <= exact <= total.high * (1 + 1e-12)


@given(inside(), inside())
def test_a_difference_holds_the_difference(one: tuple[Range, float], other: tuple[Range, float]) -> None:
    found = one[0].less(other[0])
    assert isinstance(found, Difference)
    assert found.holds(one[1] - other[1])


@given(inside(), st.floats(0, 1e6))
def test_a_multiple_holds_the_multiple(one: tuple[Range, float], times: float) -> None:
    assert (one[0] * times).holds(one[1] * times)
    assert times * one[0] == one[0] * times


@given(ranges(), ranges(), ranges())
def test_brackets_do_not_matter(a: Range, b: Range, c: Range) -> None:
    left, right = (a + b) + c, a + (b + c)
    assert left.figures == pytest.approx(right.figures)
    assert left.basis == right.basis
    assert (a + b).figures == (b + a).figures


@given(ranges(), st.integers(0, 4))
def test_unknown_takes_in_whatever_it_meets(known: Range, place: int) -> None:
    parts = [known] * 4
    parts.insert(place, UNKNOWN)
    total = sum(parts)
    assert isinstance(total, Range)
    assert not total.known
    assert "no price" in total.basis
    for found in (known.less(UNKNOWN), UNKNOWN.less(known), UNKNOWN * 3, UNKNOWN * 0, UNKNOWN.scaled(2, "s")):
        assert not found.known
        assert found.figures is None
        assert not found.holds(0)
        assert str(found) == "unknown"


def test_what_is_unknown_is_not_nothing() -> None:
    assert Range.exactly(0, "USD", "no price") != UNKNOWN * 0
    assert str(UNKNOWN) != str(Range.exactly(0, "USD", "free"))


def test_a_basis_is_said_once() -> None:
    a, b = Range.exactly(1, "USD", "a price; 3 epochs"), Range.exactly(1, "USD", "3 epochs")
    assert (a + b + a).basis == "a price; 3 epochs"


def test_scaling_gives_a_new_unit_and_basis() -> None:
    tokens = Range(1e6, 2e6, 4e6, "tokens", "counted")
    assert tokens.scaled(3e-6, "USD", "$3 a million") == Range(3, 6, 12, "USD", "$3 a million")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Range.exactly(1, "USD", "") + Range.exactly(1, "s", ""),
        lambda: UNKNOWN + Range.unknown("s", ""),
        lambda: Range.exactly(1, "USD", "").less(Range.exactly(1, "s", "")),
    ],
)
def test_units_do_not_mix(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot (add|take) s (to|from) USD"):
        wrong()


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ((math.nan, 1, 2), "finite"),
        ((0, 1, math.inf), "finite"),
        ((-1, 1, 2), "0 <= low"),
        ((3, 2, 1), "0 <= low"),
        ((None, 1, 2), "whole or not at all"),
        ((True, True, True), "of numbers"),
        (("1", "2", "3"), "of numbers"),
    ],
)
def test_what_is_no_range_is_refused(figures: tuple[Any, Any, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Range(*figures, unit="USD", basis="")
    if said != "0 <= low":
        with pytest.raises(ValueError, match=said):
            Difference(*figures, unit="USD", basis="")


def test_a_range_has_a_unit() -> None:
    with pytest.raises(ValueError, match="unit"):
        Range(1, 2, 3, "", "")


@pytest.mark.parametrize("times", [-1, math.nan, math.inf, -0.5])
def test_what_no_range_can_be_multiplied_by_is_refused(times: float) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Range.exactly(1, "USD", "") * times


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a: a < a, lambda a: a >= a, lambda a: a * a, lambda a: a + 1, lambda a: 0.0 + a, lambda a: a - a,
        lambda a: a * True, lambda a: a * "2",
    ],
)  # fmt: skip
def test_what_has_no_clear_meaning_has_none(wrong: Any) -> None:
    with pytest.raises(TypeError):
        wrong(Range(1, 2, 3, "USD", ""))


def test_what_is_above_the_numbers_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Range.exactly(1e308, "USD", "") + Range.exactly(1e308, "USD", "")


def test_a_difference_tells_its_sign_only_where_it_is_sure() -> None:
    def apart(low: float, high: float) -> int | None:
        return Difference(low, (low + high) / 2, high, "USD", "").sign

    assert [apart(1, 2), apart(-2, -1), apart(-1, 1), apart(0, 1), apart(0, 0)] == [1, -1, None, None, 0]
    assert Difference.unknown("USD", "").sign is None


def test_figures_read_as_they_are() -> None:
    assert str(Range(1, 2, 3, "USD", "")) == "$1.00 - $3.00"
    assert str(Difference(-3, -1, 2.5, "USD", "")) == "-$3.00 to $2.50"
    assert [quantity(value, "USD") for value in (0, 0.004, 0.00031, 2e-9, 0.005)] == [
        "$0.00", "$0.0040", "$0.00031", "$2e-09", "$0.01"
    ]  # fmt: skip


@given(ranges())
def test_a_range_comes_back_from_plain_data(made: Range) -> None:
    assert Range.from_dict(made.to_dict()) == made
    assert Range.from_dict(UNKNOWN.to_dict()) == UNKNOWN


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, True, "9"])
@pytest.mark.parametrize("name", ["answers", "input_tokens", "output_tokens"])
def test_what_is_no_use_of_a_model_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        Usage(**{"answers": 1, "input_tokens": 1, "output_tokens": 1, "basis": ""} | {name: value})


def test_a_longer_prompt_that_is_known_makes_a_guess_no_wider() -> None:
    guess = Usage(10, 100, 50, "4 bytes a token", (0.5, 2.0), (0.5, 2.0))
    longer = guess.longer(900)
    assert [guess.read.low, guess.read.expected, guess.read.high] == [500, 1000, 2000]
    assert [longer.read.low, longer.read.expected, longer.read.high] == [9500, 10_000, 11_000]
    assert longer.written == replace(guess.written, basis=longer.basis)
    assert Usage(1, 0, 1, "").longer(0).read.high == 0


@pytest.mark.parametrize("usd", [-1, math.nan, math.inf])
def test_what_is_no_price_is_refused(usd: float) -> None:
    from datetime import date

    with pytest.raises(JobError):
        Price("m", "input", usd, "1M tokens", date(2026, 1, 1), "")

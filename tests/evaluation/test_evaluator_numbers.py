"""NumericMatch: one number, however it is written."""

from __future__ import annotations

from typing import Any

import pytest

import finetune_sdk as ft
from hostile import case


def score(expected: str, answer: str, **options: Any) -> ft.Score:
    return ft.NumericMatch(**options).judge(case(expected), ft.Answer(answer))


@pytest.mark.parametrize(
    ("expected", "answer", "options"),
    [
        ("1234", "It is 1,234.00 in all.", {}),
        ("1234567", "1 234 567", {}),
        ("1234567", "12,34,567", {}),
        ("1234567.5", "1'234'567.5", {}),
        ("1234.5", "1_234.5", {}),
        ("1234,5", "1.234,5", {"decimal": ","}),
        ("-5", "−5", {}),
        ("0.5", ".5", {}),
        ("1500", "1.5e3", {}),
        ("0.45", "45%", {}),
        ("45 per cent", "45 %", {}),
        ("0.003", "3‰", {}),
        ("$5", "USD 5.00", {}),
        ("4", "First 3, then 4.", {"take": "last"}),
        ("3", "First 3, then 4.", {"take": "first"}),
        ("0.3", "0.30001", {"absolute": 0.0001}),
        ("200", "210", {"relative": 0.05}),
        ("5 kg", "5000 g", {"units": {"g": 1, "kg": 1000}}),
        ("$5", "It costs $5.", {"units": {"$": 1, "€": 1.1}}),
        ("7", "Room A12 costs 7.", {}),
        ('{"total": 7}', '{"total": "7.0 EUR", "count": 2}', {"field": "total"}),
    ],
)
def test_the_same_number_passes(expected: str, answer: str, options: dict[str, Any]) -> None:
    assert score(expected, answer, **options).passed


@pytest.mark.parametrize(
    ("expected", "answer", "options", "reason"),
    [
        ("3", "3 or 4", {}, "several numbers: '3', '4'"),
        ("15", "1,5", {}, "several numbers"),
        ("5", "none", {}, "no number in 'none'"),
        ("5", "", {}, "no number in ''"),
        ("5", "-5", {}, "-5 is not 5"),
        ("45", "45%", {}, "0.45 is not 45"),
        ("200", "211", {"relative": 0.05}, "211 is not 200"),
        ("5 kg", "5", {"units": {"kg": 1}}, "5 has none of the units"),
        ("5 kg", "5 kgs", {"units": {"kg": 1}}, "none of the units"),
        ("5", "5 lb", {"units": {"": 1}}, "none of the units"),
        ("$5", "€5", {"units": {"$": 1, "€": 1.1}}, "5.5 is not 5"),
        ("5", "1e99999999", {}, "too long"),
        ('{"total": 7}', '{"total": true}', {"field": "total"}, "true is no number"),
        ('{"total": 7}', "7", {"field": "total"}, "total is missing"),
    ],
)
def test_another_number_fails_and_the_reason_says_why(
    expected: str, answer: str, options: dict[str, Any], reason: str
) -> None:
    found = score(expected, answer, **options)
    assert not found.passed
    assert reason in found.reason


def test_numbers_are_compared_as_decimals_and_the_limit_is_within() -> None:
    assert score("0.3", "0.4", absolute=0.1).passed
    assert not score("0.3", "0.4000000000000000001", absolute=0.1).passed
    assert score("100000000000000000001", "100000000000000000001").passed
    assert not score("100000000000000000001", "100000000000000000002").passed


def test_the_value_is_the_answers_number() -> None:
    assert score("5", "about 6").value == 6.0


def test_a_case_without_a_number_is_named() -> None:
    with pytest.raises(ft.EvaluationError, match=r"line 7.*no number"):
        score("none", "5")
    with pytest.raises(ft.EvaluationError, match=r"line 7.*several"):
        score("3 or 4", "3")


@pytest.mark.parametrize(
    "options",
    [
        {"absolute": -1},
        {"relative": float("nan")},
        {"take": "any"},
        {"decimal": "x"},
        {"units": {}},
        {"units": {"g": 0}},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ft.EvaluationError):
        ft.NumericMatch(**options)

"""Contains, Forbidden, NormalisedMatch and Length in words."""

from __future__ import annotations

from typing import Any

import pytest

import finetune_sdk as ft
from hostile import case


def score(evaluator: Any, answer: str, expected: str = "x") -> ft.Score:
    found: ft.Score = evaluator.judge(case(expected), ft.Answer(answer))
    return found


def test_all_texts_are_in_the_answer_or_any_of_them() -> None:
    both = ft.Contains(["refund", "sorry"])
    assert score(both, "sorry, no refund") == ft.Score(True, value=1.0, fields={"refund": True, "sorry": True})
    assert score(both, "a refund") == ft.Score(False, "lacks 'sorry'", 0.5, {"refund": True, "sorry": False})
    assert score(ft.Contains(["refund", "sorry"], any=True), "a refund").passed
    assert not score(ft.Contains(["refund", "sorry"], any=True), "Refund").passed
    assert score(ft.Contains("refund", ignore_case=True), "Refund").passed


def test_a_word_is_not_a_part_of_a_longer_one() -> None:
    assert score(ft.Contains("art"), "a party").passed
    assert not score(ft.Contains("art", words=True), "a party").passed
    assert score(ft.Contains("C++", words=True), "in C++, too").passed


@pytest.mark.parametrize(
    "answer", ["We guarantee it.", "GUARANTEE", "ｇｕａｒａｎｔｅｅ", "guar\u00adantee", "guar\u200bantee!"]
)
def test_forbidden_text_is_found_however_it_is_dressed(answer: str) -> None:
    found = score(ft.Forbidden(["guarantee", "promise"]), answer)
    assert (found.passed, found.value, found.reason) == (False, 1, "says 'guarantee'")


def test_what_is_not_forbidden_passes() -> None:
    assert score(ft.Forbidden("guarantee"), "It is guaranteed.") == ft.Score(True, value=0)
    assert not score(ft.Forbidden("guarantee", words=False), "It is guaranteed.").passed


@pytest.mark.parametrize("texts", [[], "", [""], [3], None])
def test_texts_that_are_none_are_refused(texts: Any) -> None:
    for kind in (ft.Contains, ft.Forbidden):
        with pytest.raises(ft.EvaluationError, match="the texts are"):
            kind(texts)


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ("The refund was sent.", "the REFUND  was\nsent"),
        ("U.S.A.", "USA"),
        ("don't", "don’t"),
        ("e\u0301t\u00e9", "\u00e9te\u0301"),
        ("1,500.25 EUR", "1,500.25 eur!"),
        ("well-known", "well known"),
        ("Straße", "STRASSE"),
    ],
)
def test_the_expected_text_matches_however_it_is_written(expected: str, answer: str) -> None:
    assert score(ft.NormalisedMatch(), answer, expected).passed


@pytest.mark.parametrize(
    ("expected", "answer"), [("1.5", "15"), ("-5", "5"), ("5%", "5"), ("the end", "end"), ("a", "")]
)
def test_what_means_something_else_does_not_match(expected: str, answer: str) -> None:
    assert not score(ft.NormalisedMatch(), answer, expected).passed


def test_what_counts_can_be_chosen() -> None:
    assert score(ft.NormalisedMatch(articles=False), "An end", "the end").passed
    assert not score(ft.NormalisedMatch(case=True), "End", "end").passed
    assert not score(ft.NormalisedMatch(punctuation=True), "end.", "end").passed


def test_a_length_can_be_in_words() -> None:
    length = ft.Length(min_words=2, max_words=3)
    assert [score(length, answer).passed for answer in ("one", "one two", " a\n b  c ", "a b c d")] == [
        False, True, True, False,
    ]  # fmt: skip
    assert score(length, "a b c d").reason == "4 words, more than 3"
    with pytest.raises(ft.EvaluationError):
        ft.Length(min_words=3, max_words=2)

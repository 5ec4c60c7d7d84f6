"""Pattern and Template: the form of an answer, in bounded time."""

from __future__ import annotations

import time
from typing import Any

import pytest

import finetune_sdk as ft
from hostile import case


def passes(evaluator: Any, answer: str) -> bool:
    return bool(evaluator.judge(case("x"), ft.Answer(answer)).passed)


def test_a_pattern_is_found_anywhere_or_is_all_of_the_answer_or_is_absent() -> None:
    assert passes(ft.Pattern(r"A-\d{4}"), "Your order A-1234 is on its way.")
    assert not passes(ft.Pattern(r"A-\d{4}", whole=True), "Your order A-1234")
    assert passes(ft.Pattern("open|closed", whole=True), "closed")
    assert not passes(ft.Pattern("open|closed", whole=True), "closed\n")
    assert not passes(ft.Pattern("(?i)sorry", absent=True), "Sorry!")
    assert passes(ft.Pattern("sorry", ignore_case=True), "SORRY")


def test_the_reason_names_the_pattern_and_what_was_said() -> None:
    assert ft.Pattern("^a$").judge(case("x"), ft.Answer("b")).reason == "'^a$' does not match 'b'"


@pytest.mark.parametrize("pattern", ["((", "*", "a)|(b", "[z-a]", "((x{1000}){1000}){1000}", ""])
@pytest.mark.parametrize("whole", [False, True])
def test_a_pattern_that_is_none_is_refused_by_name(pattern: str, whole: bool) -> None:
    with pytest.raises(ft.EvaluationError, match="pattern") as caught:
        ft.Pattern(pattern, whole=whole)
    assert repr(pattern) in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(a?){50}a{50}$"])
def test_a_pattern_that_python_never_ends_takes_no_time_here(pattern: str) -> None:
    started = time.process_time()
    passes(ft.Pattern(pattern), "a" * 100_000 + "!")
    assert time.process_time() - started < 5


def test_a_pattern_that_must_go_back_without_end_is_given_up_and_named_and_not_scored() -> None:
    pattern = ft.Pattern(r"^(?=a)(a|aa)+\1x$")
    with pytest.raises(ft.EvaluationError, match=r"'\^\(\?=a\)\(a\|aa\)\+.*steps back"):
        pattern.judge(case("x"), ft.Answer("a" * 60))


def test_a_schemas_pattern_without_end_is_given_up_and_named_too() -> None:
    schema = ft.JSONSchema({"properties": {"id": {"pattern": r"^(?=a)(a|aa)+\1x$"}}})
    with pytest.raises(ft.EvaluationError, match="properties/id/pattern of the schema took more than"):
        schema.judge(case("{}"), ft.Answer(f'{{"id": "{"a" * 60}"}}'))


def test_a_template_has_slots_that_hold_something() -> None:
    template = ft.Template("Order {order} was {status}. (Total: {total} {{EUR}})")
    assert passes(template, "  Order A-7 was sent by\nmail. (Total: 3.50 {EUR})\n")
    assert not passes(template, "Order  was sent. (Total: 3 {EUR})"[:10])
    assert not passes(template, "Order A-7 was sent. (Total: 3.50 EUR)")


def test_a_slot_can_have_a_pattern() -> None:
    template = ft.Template("Order {order} was {status}.", {"order": r"A-\d+", "status": "sent|lost"})
    assert passes(template, "Order A-7 was lost.")
    assert not passes(template, "Order A-7 was found.")
    assert not passes(template, "Order A-7 was lost. Sorry!")


@pytest.mark.parametrize(
    ("template", "slots", "what"),
    [
        ("", {}, "template is ''"),
        ("no slot", {}, "no slot"),
        ("{a} and {a}", {}, "a name of its own"),
        ("{}", {}, "a name of its own"),
        ("{a!r}", {}, "a name of its own"),
        ("{a:3}", {}, "a name of its own"),
        ("{a", {}, "template is wrong"),
        ("{a}", {"b": "x"}, "no slot 'b'"),
        ("{a}", {"a": "("}, "no regular expression"),
        ("{a}", {"a": "x)|(y"}, "no regular expression"),
        ("{a}", ["a"], "the slots are"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(template: str, slots: Any, what: str) -> None:
    with pytest.raises(ft.EvaluationError) as caught:
        ft.Template(template, slots)
    assert what in str(caught.value)

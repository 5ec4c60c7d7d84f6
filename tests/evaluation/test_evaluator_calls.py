"""ToolCalls: the right tools with the right arguments, several of them, or none."""

from __future__ import annotations

from typing import Any

import pytest

import finetune_sdk as ft

TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    },
    {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}},
)
Calls = list[tuple[str, dict[str, Any]]]


def calls(pairs: Calls) -> tuple[ft.ToolCall, ...]:
    return tuple(ft.ToolCall(name, arguments) for name, arguments in pairs)


def score(expected: Calls, called: Calls, **options: Any) -> ft.Score:
    prompt = ft.Conversation((ft.Message("user", "What now?"),), TOOLS)
    wanted = ft.Message("assistant", None if expected else "Nothing.", calls(expected))
    evaluator = ft.ToolCalls(**options)
    return evaluator.judge(ft.Case(0, prompt, wanted, "line 7", "0"), ft.Answer("", calls(called)))


OSLO, ROME = ("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})
CLOCK: tuple[str, dict[str, Any]] = ("clock", {})


def test_the_expected_call_passes_whatever_the_order_of_its_arguments() -> None:
    right = score([("weather", {"city": "Oslo", "days": 2})], [("weather", {"days": 2.0, "city": "Oslo"})])
    assert right == ft.Score(True, fields={"calls": True, "names": True, "arguments": True})


@pytest.mark.parametrize(
    ("called", "reason", "fields"),
    [
        ([], "called no tool, expected", (False, False, False)),
        ([OSLO, OSLO], "called ", (False, False, False)),
        ([CLOCK], 'called ["clock"], expected ["weather"]', (True, False, False)),
        ([ROME], "weather: city is 'Rome', expected 'Oslo'", (True, True, False)),
        ([("weather", {})], "weather: city is missing", (True, True, False)),
        ([("weather", {"city": "Oslo", "days": 1})], "weather: days was not expected", (True, True, False)),
        ([("weather", {"city": ["Oslo"]})], 'city is ["Oslo"]', (True, True, False)),
    ],
)
def test_another_call_fails_and_the_reason_and_the_fields_say_what_is_wrong(
    called: Calls, reason: str, fields: tuple[bool, ...]
) -> None:
    found = score([OSLO], called)
    assert not found.passed
    assert reason in found.reason
    assert tuple(found.fields.values()) == fields


def test_where_no_call_is_expected_none_may_be_made() -> None:
    assert score([], []).passed
    assert score([], [OSLO]).reason == 'called ["weather"], expected no tool'


def test_several_calls_come_in_any_order_unless_it_counts() -> None:
    assert score([OSLO, CLOCK, ROME], [ROME, OSLO, CLOCK]).passed
    assert not score([OSLO, CLOCK, ROME], [ROME, OSLO, CLOCK], ordered=True).passed
    assert score([OSLO, ROME], [OSLO, ROME], ordered=True).passed
    assert score([OSLO, ROME], [ROME, OSLO], ordered=True).reason == "weather: city is 'Rome', expected 'Oslo'"
    assert "alike" in score([OSLO, ROME], [OSLO, OSLO]).reason


def test_each_call_answers_one_expected_call_even_where_it_would_do_for_two() -> None:
    """The first call may be either; taken greedily for the first expected one, the second would have none."""
    expected = [("weather", {"city": ["Oslo", "Rome"]}), ("weather", {"city": ["Oslo"]})]
    assert score(expected, [OSLO, ROME], listed=True).passed
    assert score(expected, [ROME, OSLO], listed=True).passed
    assert not score(expected, [ROME, ROME], listed=True).passed


def test_arguments_can_be_judged_by_the_tools_own_schema() -> None:
    assert score([OSLO], [ROME], arguments="schema").passed
    assert score([OSLO], [("weather", {"city": "Rome", "unit": "K"})], arguments="schema").reason.startswith(
        "weather: unit: 'K' is not one of"
    )
    assert "required" in score([OSLO], [("weather", {})], arguments="schema").reason
    with pytest.raises(ft.EvaluationError, match="no tool 'fly'"):
        score([("fly", {})], [("fly", {})], arguments="schema")


def test_or_the_names_alone_count() -> None:
    assert score([OSLO], [("weather", {"any": 1})], arguments="names").passed
    assert not score([OSLO], [CLOCK], arguments="names").passed


def test_accepted_values_are_as_good_as_each_other_and_can_be_left_out() -> None:
    accepted = {"weather": {"unit": ["C", "celsius", ""], "city": ["Roma", "Rome"]}}
    expected: Calls = [("weather", {"city": "Rome", "unit": "C"})]
    for arguments in ({"city": "Roma", "unit": "celsius"}, {"city": "Rome"}):
        assert score(expected, [("weather", arguments)], accepted=accepted).passed
    assert score([ROME], [("weather", {"city": "Rome", "unit": "celsius"})], accepted=accepted).passed
    assert not score([OSLO], [ROME], accepted=accepted).passed
    assert not score(expected, [("weather", {"city": "Rome", "unit": "F"})], accepted=accepted).passed


def test_each_expected_argument_can_list_its_values_as_in_bfcls_ground_truth() -> None:
    expected: Calls = [("weather", {"city": ["Oslo", "Oslo, Norway"], "unit": ["C", ""]})]
    assert score(expected, [("weather", {"city": "Oslo, Norway", "unit": "C"})], listed=True).passed
    assert score(expected, [OSLO], listed=True).passed
    assert not score(expected, [ROME], listed=True).passed
    assert score(expected, [("weather", {"unit": "C"})], listed=True).reason == "weather: city is missing"
    with pytest.raises(ft.EvaluationError, match="no list of values"):
        score([OSLO], [OSLO], listed=True)
    assert ft.ToolCalls().pure
    assert not ft.ToolCalls(listed=True).pure


def test_text_can_be_compared_loosely_as_bfcl_does() -> None:
    called: Calls = [("weather", {"city": "new-york  CITY.", "tags": ["A_b"]})]
    expected: Calls = [("weather", {"city": "New York, City", "tags": ["ab"]})]
    assert score(expected, called, loose=True).passed
    assert not score(expected, called).passed


def test_true_is_not_one_and_deep_arguments_break_nothing() -> None:
    assert not score([("weather", {"days": 1})], [("weather", {"days": True})]).passed
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"c": deep}
    assert "deeply" in score([OSLO], [("weather", deep)]).reason
    many: Calls = [("clock", {"n": n}) for n in range(200)]
    assert score(many, many[::-1]).passed


@pytest.mark.parametrize("options", [{"arguments": "all"}, {"accepted": {"a": {"b": "c"}}}, {"accepted": ["a"]}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ft.EvaluationError):
        ft.ToolCalls(**options)

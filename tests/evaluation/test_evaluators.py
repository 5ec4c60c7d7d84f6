"""What each evaluator lets pass, what it refuses and why, and that no answer can break it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import Case, ExactMatch, FieldMatch, JSONSchema, Length, Score
from finetune_sdk.messages import Conversation, Message, ToolCall
from finetune_sdk.model import Answer

TICKET = {
    "type": "object",
    "properties": {
        "priority": {"enum": ["low", "high"]},
        "due": {"type": "string", "format": "date"},
        "customer": {"type": "object", "properties": {"id": {"type": "integer"}}},
    },
    "required": ["priority"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {"anyOf": [{"type": "object", "properties": {"c": {"$ref": "#/$defs/node"}}, "required": ["c"]}]}
    },
    "$ref": "#/$defs/node",
}
HOSTILE = {
    "10 MB": "x" * 10_000_000,
    "10 MB of JSON": json.dumps({"priority": "x" * 10_000_000}),
    "a million items": json.dumps({"priority": ["x"] * 1_000_000}),
    "deeper than any parser": "[" * 200_000,
    "deep and closed": "[" * 100_000 + "]" * 100_000,
    "as deep as parsers go": '{"c":' * 1000 + "1" + "}" * 1000,
    "deep, with a long number": '{"c":' * 1000 + "1" * 30 + "}" * 1000,
    "a lone surrogate": '{"priority": "\ud800"}',
    "an escaped lone surrogate": '{"priority": "\\ud800"}',
    "a number of a million digits": '{"priority": ' + "9" * 1_000_000 + "}",
    "NaN": '{"priority": NaN}',
    "infinity": '{"priority": 1e999}',
    "nothing": "",
    "a null character": "\0",
    "two values": '{"priority": "low"} {"priority": "low"}',
    "a byte order mark": '\ufeff{"priority": "low"}',
    "fences": "```" * 1_000_000 + " " * 1_000_000,
}


def case(expected: str | Message | None = '{"priority": "low"}') -> Case:
    turn = Message("assistant", expected) if isinstance(expected, str) else expected
    return Case(0, Conversation.of("a ticket"), turn, "tickets.jsonl line 7", "0" * 16)


def calling(*calls: tuple[str, dict[str, Any]], text: str = "", id: str | None = None) -> Answer:  # noqa: A002
    return Answer(text, tuple(ToolCall(name, arguments, id) for name, arguments in calls), finish="tool_calls")


def expecting(*calls: tuple[str, dict[str, Any]]) -> Case:
    return case(Message("assistant", None, tuple(ToolCall(name, arguments, "call_1") for name, arguments in calls)))


def schema_score(answer: str, schema: dict[str, Any] = TICKET, **options: Any) -> Score:
    return JSONSchema(schema, **options).judge(case(), Answer(answer))


# JSONSchema


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"priority": "urgent"}', "priority: 'urgent' is not one of"),
        ('{"priority": "low", "customer": {"id": "x"}}', "customer.id: 'x' is not of type"),
        ("{}", '"priority" is a required property'),
        ('{"priority": "low", "extra": 1}', "'extra' was unexpected"),
        ('{"priority": "low", "due": "2026-02-30"}', "due: '2026-02-30' is not a"),
        ("Sure! {}", "not JSON at character 1"),
        ('{"priority": "low"', "not JSON at character"),
        ("  ", "the answer is empty"),
        ('{"priority": NaN}', "not JSON"),
        ('```json\n{"priority": "low"}\n```', "a code fence"),
    ],
)
def test_an_answer_that_the_schema_does_not_allow_fails_and_the_reason_says_where(answer: str, reason: str) -> None:
    score = schema_score(answer)
    assert not score.passed
    assert reason in score.reason


def test_an_answer_that_the_schema_allows_passes() -> None:
    assert schema_score(' {"priority": "low", "due": "2026-02-28", "customer": {"id": 4}}\n') == Score(True)


def test_a_fenced_answer_passes_only_on_request() -> None:
    assert schema_score('```json\n{"priority": "low"}\n```', fenced=True).passed
    assert schema_score('{"priority": "low"}', fenced=True).passed
    assert not schema_score('Here:\n```json\n{"priority": "low"}\n```', fenced=True).passed


def test_a_tool_call_without_text_is_judged_as_name_and_arguments() -> None:
    evaluator = JSONSchema({"properties": {"name": {"const": "takeoff"}}, "required": ["arguments"]})
    assert evaluator.judge(case(), calling(("takeoff", {"height": 3}))).passed
    assert not evaluator.judge(case(), calling(("land", {}))).passed


def test_a_schema_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ticket.schema.json"
    path.write_text(json.dumps(TICKET))
    assert JSONSchema(path) == JSONSchema(str(path)) == JSONSchema(TICKET)


def test_a_schema_that_changes_afterwards_changes_nothing() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    evaluator = JSONSchema(schema)
    schema["type"] = "array"
    assert evaluator.judge(case(), Answer("{}")).passed
    assert evaluator.schema["type"] == "object"  # type: ignore[index]


@pytest.mark.parametrize("uri", ["https://example.com/ticket.json", "file:///etc/passwd", "ticket.json"])
def test_a_reference_to_another_document_is_refused_and_named(uri: str) -> None:
    with pytest.raises(EvaluationError, match="nothing is fetched") as caught:
        JSONSchema({"properties": {"ticket": {"$ref": uri}}})
    assert uri in caught.value.message


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "objekt"}, "objekt"),
        ({"properties": {"a": {"minimum": "x"}}}, "properties/a/minimum"),
        ({"pattern": "(("}, "pattern"),
        ({"$ref": "#/$defs/absent"}, "absent"),
        ({"const": float("nan")}, "not JSON"),
        ({"const": {1, 2}}, "not JSON"),
        ({"$schema": "https://example.com/draft"}, "https://example.com/draft"),
    ],
)
def test_a_schema_that_is_wrong_is_refused_and_the_error_says_where(schema: dict[str, Any], where: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        JSONSchema(schema)
    assert where in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_a_schema_file_that_is_missing_or_broken_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EvaluationError, match=r"schema\.json"):
        JSONSchema(path)


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("schema", [TICKET, TREE, {"uniqueItems": True}, {"pattern": "^(a|x)+$"}], ids=str)
def test_no_answer_breaks_a_schema_check(answer: str, schema: dict[str, Any]) -> None:
    score = schema_score(answer, schema)
    assert len(score.reason) < 500
    score.reason.encode()


@pytest.mark.timeout(60)  # its 2^40 ways would take for ever
def test_a_recursive_schema_with_branches_is_not_explained_at_any_cost() -> None:
    node = {"$ref": "#/$defs/n"}
    branch = {"type": "object", "properties": {"c": node}}
    schema = {"$defs": {"n": {"anyOf": [{**branch, "required": ["c"]}, {**branch, "maxProperties": 3}]}}, **node}
    assert not schema_score('{"c":' * 40 + "1" + "}" * 40, schema).passed


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"not": {"$ref": "#"}}])
def test_a_schema_that_refers_to_itself_comes_to_an_end(schema: dict[str, Any]) -> None:
    assert isinstance(schema_score('{"a": 1}', schema), Score)


@pytest.mark.timeout(60)
def test_a_pattern_that_backtracks_without_end_is_given_up() -> None:
    assert not schema_score(json.dumps("a" * 60 + "!"), {"pattern": "^(?=a)((a+)+)\\1$"}).passed


# ExactMatch


def test_the_expected_text_passes_and_white_space_around_it_does_not_count() -> None:
    assert ExactMatch().judge(case("refund"), Answer(" refund\n")).passed
    assert not ExactMatch(strip=False).judge(case("refund"), Answer("refund\n")).passed


@pytest.mark.parametrize("text", ["Refund", "refund.", "re fund", ""])
def test_any_other_text_fails(text: str) -> None:
    score = ExactMatch().judge(case("refund"), Answer(text))
    assert not score.passed
    assert score.reason == f"{text!r} is not 'refund'"


def test_tool_calls_match_by_name_and_arguments_and_not_by_id() -> None:
    evaluator, expected = ExactMatch(), expecting(("fly", {"to": [1, 2], "fast": True}))
    assert evaluator.judge(expected, calling(("fly", {"fast": True, "to": [1.0, 2]}), id="other")).passed
    assert not evaluator.judge(expected, calling(("fly", {"to": [1, 2], "fast": 1}))).passed
    assert "called no tool" in evaluator.judge(expected, Answer("I fly")).reason
    assert "land" in evaluator.judge(expected, calling(("land", {}))).reason
    assert not evaluator.judge(expected, calling(("fly", {"to": [1, 2], "fast": True}), ("land", {}))).passed


def test_a_tool_call_where_text_is_expected_fails() -> None:
    assert "called 'fly'" in ExactMatch().judge(case("refund"), calling(("fly", {}), text="refund")).reason


def test_a_case_that_expects_nothing_cannot_be_matched() -> None:
    for evaluator in (ExactMatch(), FieldMatch()):
        with pytest.raises(EvaluationError, match="line 7"):
            evaluator.judge(case(None), Answer("x"))


# FieldMatch


def test_each_field_is_judged_on_its_own() -> None:
    score = FieldMatch().judge(case('{"a": 1, "b": "x", "c": null}'), Answer('{"b": "y", "a": 1.0, "c": null}'))
    assert score.fields == {"a": True, "b": False, "c": True}
    assert not score.passed
    assert score.value == pytest.approx(2 / 3)
    assert score.reason == "b is 'y', expected 'x'"


def test_what_is_not_asked_for_does_not_count() -> None:
    assert FieldMatch().judge(case('{"a": 1}'), Answer('{"a": 1, "more": 2}')).passed
    assert FieldMatch(("a",)).judge(case('{"a": 1, "b": 2}'), Answer('{"a": 1, "b": 3}')).passed


def test_fields_can_be_paths() -> None:
    expected = case('{"customer": {"id": 4}, "items": [{"price": 2}], "a.b": 1}')
    answer = Answer('{"customer": {"id": 4}, "items": [{"price": 3}], "a.b": 1}')
    score = FieldMatch(("customer.id", "items.0.price", "a.b")).judge(expected, answer)
    assert score.fields == {"customer.id": True, "items.0.price": False, "a.b": True}


@pytest.mark.parametrize(
    ("one", "other"), [("1", "true"), ("0", "false"), ('"1"', "1"), ("null", '""'), ("[]", "{}"), ("1", "[1]")]
)
def test_values_of_other_types_are_other_values(one: str, other: str) -> None:
    assert not FieldMatch().judge(case(f'{{"a": {one}}}'), Answer(f'{{"a": {other}}}')).passed


def test_long_numbers_are_compared_digit_by_digit() -> None:
    expected = case('{"order": 123456789012345678901234567890}')
    assert FieldMatch().judge(expected, Answer('{"order": 123456789012345678901234567890}')).passed
    assert not FieldMatch().judge(expected, Answer('{"order": 123456789012345678901234567891}')).passed


@pytest.mark.parametrize("answer", ["high", "", "[1]", "3", '{"priority": "low"'])
def test_an_answer_without_fields_fails_in_every_field(answer: str) -> None:
    score = FieldMatch(("priority",)).judge(case(), Answer(answer))
    assert score.fields == {"priority": False}
    assert score.reason


def test_a_case_without_the_field_is_named() -> None:
    with pytest.raises(EvaluationError, match=r"tickets\.jsonl line 7.*'team'"):
        FieldMatch(("team",)).judge(case(), Answer("{}"))
    with pytest.raises(EvaluationError, match=r"line 7.*no fields"):
        FieldMatch().judge(case("a text"), Answer("{}"))


def test_a_tool_call_has_the_fields_name_and_arguments() -> None:
    expected = expecting(("fly", {"to": "north", "height": 3}))
    answer = calling(("fly", {"to": "south", "height": 3}))
    assert FieldMatch(("name",)).judge(expected, answer).passed
    assert FieldMatch(("name", "arguments.height")).judge(expected, answer).passed
    assert FieldMatch().judge(expected, answer).fields == {"name": True, "arguments": False}
    assert FieldMatch("name").judge(expected, Answer("fly")).fields == {"name": False}


def test_several_tool_calls_have_numbers() -> None:
    expected = expecting(("fly", {"to": "north"}), ("land", {}))
    answer = calling(("fly", {"to": "north"}), ("hover", {}))
    assert FieldMatch(("0.arguments.to", "1.name")).judge(expected, answer).fields == {
        "0.arguments.to": True,
        "1.name": False,
    }


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_no_answer_breaks_a_match(answer: str) -> None:
    for evaluator in (ExactMatch(), FieldMatch(), FieldMatch(("priority",)), Length(max_characters=10)):
        score = evaluator.judge(case(), Answer(answer))
        assert not score.passed or len(answer) < 10
        assert len(score.reason) < 500
        score.reason.encode()


def test_deep_answers_are_compared_without_recursion() -> None:
    deep = '{"c":' * 1000 + "1" + "}" * 1000
    assert FieldMatch().judge(case(deep), Answer(deep)).passed
    assert not FieldMatch().judge(case(deep), Answer(deep.replace("1", "2"))).passed


def test_deep_arguments_of_a_tool_call_are_compared_without_recursion() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"c": deep}
    assert ExactMatch().judge(expecting(("fly", deep)), calling(("fly", deep))).passed
    assert "deeply" in FieldMatch().judge(expecting(("fly", {"a": 1})), calling(("fly", deep))).reason
    assert not JSONSchema(TREE).judge(case(), calling(("fly", deep))).passed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=5))
def test_every_object_matches_itself_however_it_is_written(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    turned = json.dumps(dict(reversed(value.items())), indent=2, ensure_ascii=False)
    assert FieldMatch().judge(case(text), Answer(turned)).passed
    assert JSONSchema({"type": "object"}).judge(case(), Answer(turned)).passed


@settings(deadline=None)
@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    for evaluator in (JSONSchema(TICKET), ExactMatch(), FieldMatch(), Length(max_characters=5)):
        assert isinstance(evaluator.judge(case(), Answer(text)), Score)


# Length


def test_a_length_within_the_limits_passes_and_the_limits_are_within() -> None:
    evaluator = Length(min_characters=2, max_characters=4)
    passed = [evaluator.judge(case(), Answer("é" * n)).passed for n in range(6)]
    assert passed == [False, False, True, True, True, False]
    assert evaluator.judge(case(), Answer("abcdef")).reason == "6 characters, more than 4"
    assert evaluator.judge(case(), Answer("abc")).value == 3


def test_tokens_are_those_that_the_place_counted() -> None:
    assert Length(max_tokens=3).judge(case(), Answer("x", output_tokens=3)).passed
    assert not Length(max_tokens=3).judge(case(), Answer("x", output_tokens=4)).passed
    with pytest.raises(ValueError, match="did not count"):
        Length(max_tokens=3).judge(case(), Answer("x"))


@pytest.mark.parametrize("limits", [{}, {"max_characters": -1}, {"min_tokens": 5, "max_tokens": 4}])
def test_limits_that_nothing_can_meet_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError):
        Length(**limits)


def test_a_field_match_without_fields_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no field"):
        FieldMatch(())

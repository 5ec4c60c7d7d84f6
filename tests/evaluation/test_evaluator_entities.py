"""EntitySpans and Memorisation."""

from __future__ import annotations

import json
from typing import Any

import pytest

import finetune_sdk as ft
from hostile import case

ANNA, OSLO, BERG = (
    {"label": label, "text": text} for label, text in (("PER", "Anna"), ("LOC", "Oslo"), ("PER", "Berg"))
)


def score(expected: Any, answer: Any, **options: Any) -> ft.Score:
    evaluator = ft.EntitySpans(**options)
    return evaluator.judge(
        case(json.dumps(expected)), ft.Answer(answer if isinstance(answer, str) else json.dumps(answer))
    )


def test_the_same_entities_pass_in_any_order() -> None:
    assert score([ANNA, OSLO], [OSLO, {**ANNA, "sure": 0.9}]) == ft.Score(True, value=1.0)
    assert score([], []) == ft.Score(True, value=1.0)


def test_what_is_missed_and_what_is_extra_counts_and_is_named() -> None:
    found = score([ANNA, OSLO], [OSLO, {"label": "LOC", "text": "Anna"}])
    assert (found.passed, found.value) == (False, 0.5)
    assert found.reason == "misses PER 'Anna'; adds LOC 'Anna'"
    assert score([ANNA, OSLO], [OSLO], at_least=0.6).passed
    assert score([ANNA], [ANNA, ANNA]).value == pytest.approx(2 / 3)
    assert score([], [ANNA]).value == 0.0


def test_entities_can_be_places_in_the_text() -> None:
    wanted = [{"label": "PER", "start": 0, "end": 4}]
    assert score(wanted, [{"label": "PER", "start": 0, "end": 4, "text": "Anna"}]).passed
    assert score(wanted, [{"label": "PER", "start": 0, "end": 5}]).reason == "misses PER 0-4; adds PER 0-5"


def test_entities_can_be_a_field_and_have_other_keys() -> None:
    wanted = {"found": [{"type": "PER", "span": "Anna  Berg"}]}
    answer = {"found": [{"type": "PER", "span": "anna berg"}]}
    options: dict[str, Any] = {"field": "found", "label": "type", "text": "span"}
    assert score(wanted, answer, ignore_case=True, **options).passed
    assert not score(wanted, answer, **options).passed


@pytest.mark.parametrize("answer", ["none", "{}", "[3]", '[{"label": "PER"}]', '[{"label": 3, "text": "a"}]', ""])
def test_an_answer_of_another_form_fails(answer: str) -> None:
    found = score([ANNA], answer)
    assert (found.passed, found.value) == (False, 0.0)
    assert found.reason


def test_a_case_of_another_form_is_named() -> None:
    with pytest.raises(ft.EvaluationError, match=r"line 7.*no entities"):
        score({"a": 1}, [ANNA])


def test_many_answers_have_counts_by_label() -> None:
    evaluator = ft.EntitySpans()
    expected = [json.dumps(each) for each in ([ANNA, OSLO], [BERG], [OSLO], [ANNA])]
    answers = [json.dumps([ANNA]), json.dumps([BERG, OSLO]), "broken", None]
    counts = ft.entity_counts(evaluator, expected, answers)
    assert counts == {"LOC": ft.Counts(extra=1, missed=2), "PER": ft.Counts(right=2)}
    assert ft.micro(counts.values()).f1 == pytest.approx(4 / 7)
    assert ft.macro_f1(counts.values()) == 0.5


LONG = "the parcel left our depot in Rotterdam on the fourth of May and has been held at the harbour office since then"


def test_a_training_answer_said_again_fails() -> None:
    evaluator = ft.Memorisation(
        [LONG, "we are sorry and hope that this does not happen again to you or to anybody else"]
    )
    found = evaluator.judge(case("It is in Oslo."), ft.Answer(f"Well. {LONG}!"))
    assert not found.passed
    assert found.value is not None
    assert found.value > 0.5
    assert "word for word" in found.reason
    assert evaluator.judge(case("It is in Oslo."), ft.Answer("It is in Oslo.")).passed


def test_what_was_asked_or_is_expected_may_be_said() -> None:
    assert ft.Memorisation([LONG]).judge(case(LONG), ft.Answer(LONG)) == ft.Score(True, value=0.0)
    asked = ft.Case(0, ft.Conversation.of(f"Repeat: {LONG}"), None, "line 1", "0")
    assert ft.Memorisation([LONG]).judge(asked, ft.Answer(LONG)).passed


def test_the_training_set_can_be_the_dataset_itself() -> None:
    train = ft.Dataset.of([{"prompt": f"Where is parcel {n}?", "completion": f"{LONG} {n}"} for n in range(1)])
    evaluation = ft.Evaluation(
        ft.Dataset.of([{"prompt": "Where is it?", "completion": "In Oslo."}]), [ft.Memorisation(train)]
    )
    again = ft.Recorded("again", [("Where is it?", ft.Answer(LONG))])
    assert evaluation.run(again=again).metric("Memorisation", "again").passed == 0
    assert repr(ft.Memorisation(train)) == "Memorisation(name='Memorisation')"


@pytest.mark.parametrize("train", [[], "text", 3, [3]])
def test_training_answers_that_are_none_are_refused(train: Any) -> None:
    with pytest.raises(ft.EvaluationError, match="training answers"):
        ft.Memorisation(train)

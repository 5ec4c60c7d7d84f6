"""Whatever a model says, every evaluator judges it or says why it cannot, within seconds, in words that can be shown."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import finetune_sdk as ft
from finetune_sdk.evaluation.evaluators import KINDS
from hostile import EVALUATORS, HOSTILE, case

SECONDS = 20
"""Of CPU, for an answer of 10 MB; the slowest takes 3."""


@pytest.mark.parametrize("name", EVALUATORS)
def test_no_answer_breaks_an_evaluator(name: str) -> None:
    make, expected = EVALUATORS[name]
    evaluator = make()
    for answer in HOSTILE.values():
        started = time.process_time()
        said = reason(evaluator, case(expected or "refund"), answer)
        assert time.process_time() - started < SECONDS
        assert len(said) < 500
        said.encode()


def reason(evaluator: Any, asked: ft.Case, answer: str) -> str:
    """Why it passes or fails, or why it cannot be judged, which is an error of the case."""
    try:
        score = evaluator.judge(asked, ft.Answer(answer))
    except (ft.EvaluationError, ValueError) as fault:
        return str(fault)
    assert isinstance(score, ft.Score)
    return score.reason


@pytest.mark.parametrize("name", EVALUATORS)
def test_each_passes_what_it_is_for(name: str) -> None:
    make, expected = EVALUATORS[name]
    if expected is not None:
        assert make().judge(case(expected), ft.Answer(expected)) == ft.Score(True, **_measured(make(), expected))


def _measured(evaluator: object, expected: str) -> dict[str, object]:
    score = evaluator.judge(case(expected), ft.Answer(expected))  # type: ignore[attr-defined]
    return {"value": score.value, "fields": score.fields}


@pytest.mark.parametrize("name", EVALUATORS)
@settings(max_examples=20, deadline=None)
@given(answer=st.text() | st.text(alphabet="*<>[]{}\"',.-0123456789 \nPS#", max_size=40))
def test_any_text_is_judged_by_any_evaluator(name: str, answer: str) -> None:
    make, expected = EVALUATORS[name]
    reason(make(), case(expected or "refund"), answer)


def test_every_kind_is_tried_here() -> None:
    assert set(KINDS) - {"Perplexity"} <= set(EVALUATORS)  # which reads no text


@pytest.mark.parametrize("name", EVALUATORS)
def test_evaluators_are_frozen_and_named_after_their_kind(name: str) -> None:
    evaluator = EVALUATORS[name][0]()
    with pytest.raises((AttributeError, TypeError)):
        evaluator.name = "other"
    if name in KINDS:
        assert evaluator.name == name
        assert isinstance(evaluator.version, int)
        hash(evaluator)


@pytest.mark.parametrize("name", sorted(set(KINDS) & set(EVALUATORS)))
def test_what_an_evaluator_was_made_with_is_plain_data_that_makes_it_again(name: str) -> None:
    import json

    from finetune_sdk.evaluation.evaluators.tables import evaluator_of, evaluator_table

    evaluator = EVALUATORS[name][0]()
    table = json.loads(json.dumps(evaluator_table(evaluator)))
    assert evaluator_table(evaluator_of(table)) == evaluator_table(evaluator)

"""Graders in the protocol's words, where a place that judges by itself can follow them."""

from __future__ import annotations

import json

import pytest

import finetune_sdk as ft
from finetune_sdk.evaluation.evaluators.tables import evaluator_of, evaluator_table, homes
from finetune_sdk.evaluation.rewards import case, worth
from finetune_sdk.serve.graders import ProtocolGrader

TASK = case(ft.Dataset.of([{"messages": [{"role": "user", "content": "2 + 2?"}], "answer": "Four", "count": 4}]), 0)


def check(operation: str, reference: str = "{{ item.answer }}", kind: str = "string_check") -> ProtocolGrader:
    return ProtocolGrader(
        {
            "type": kind,
            "name": "near",
            "input": "{{sample.output_text}}",
            "operation": operation,
            "reference": reference,
        }
    )


@pytest.mark.parametrize(
    ("operation", "reference", "said", "passed"),
    [
        ("eq", "{{ item.answer }}", "Four", True),
        ("eq", "{{item.answer}}", "four", False),
        ("ne", "{{ item.answer }}", "four", True),
        ("like", "{{ item.answer }}", "It is Four.", True),
        ("like", "{{ item.answer }}", "It is four.", False),
        ("ilike", "{{ item.answer }}", "It is four.", True),
        ("eq", "{{item.count}}!", "4!", True),
        ("eq", "{{item.answer}}", "{{item.answer}}", False),
    ],
)
def test_texts_are_compared_as_the_protocol_says(operation: str, reference: str, said: str, passed: bool) -> None:
    assert worth([check(operation, reference)], TASK, ft.Answer(said)) == passed


def test_a_key_that_the_row_lacks_is_named() -> None:
    with pytest.raises(ft.EvaluationError, match=r"row 1: the grader reads item\.total, and the row has no such key"):
        worth([check("eq", "{{item.total}}")], TASK, ft.Answer("4"))


@pytest.mark.parametrize("grader", [check("eq", kind="score_model"), check("near")])
def test_what_nobody_here_judges_by_is_said(grader: ProtocolGrader) -> None:
    with pytest.raises(ft.EvaluationError, match="nobody here judges by them"):
        worth([grader], TASK, ft.Answer("4"))


def test_a_run_of_its_own_process_makes_the_grader_again() -> None:
    grader = check("ilike")
    table = json.loads(json.dumps(evaluator_table(grader)))
    assert evaluator_of(table, homes([grader])) == grader

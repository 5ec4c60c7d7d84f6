"""Labels and LabelSets, and the figures that are made of many of their scores."""

from __future__ import annotations

import json
from typing import Any

import pytest

import finetune_sdk as ft
from hostile import case

TEAMS = ("billing", "delivery", "other")


def judged(evaluator: Any, expected: str, *answers: str) -> list[ft.Score]:
    return [evaluator.judge(case(expected), ft.Answer(answer)) for answer in answers]


def test_the_expected_label_passes_and_the_value_is_its_place() -> None:
    right, wrong, none = judged(ft.Labels(TEAMS), "delivery", " delivery\n", "billing", "Delivery")
    assert right == ft.Score(True, value=1)
    assert wrong == ft.Score(False, "'billing', expected 'delivery'", 0)
    assert (none.passed, none.value) == (False, None)
    assert none.reason.startswith("'Delivery' is not one of")


def test_a_set_of_labels_is_sorted_and_case_can_be_left_out() -> None:
    assert judged(ft.Labels({"b", "a"}, ignore_case=True), "a", "A", "B") == [
        ft.Score(True, value=0),
        ft.Score(False, "'B', expected 'a'", 1),
    ]


def test_a_label_can_be_a_field_of_the_answer() -> None:
    labels = ft.Labels(TEAMS, field="team.name")
    said = [json.dumps({"team": {"name": name}}) for name in ("other", "billing", "else", 3, None)]
    assert [score.passed for score in judged(labels, said[0], *said, "other", "{}")] == [True] + [False] * 6


def test_without_an_expected_answer_any_label_passes() -> None:
    assert ft.Labels(TEAMS).judge(case(None), ft.Answer("other")).passed
    assert not ft.Labels(TEAMS).judge(case(None), ft.Answer("else")).passed


@pytest.mark.parametrize("allowed", [[], [""], ["a", "a"], ["a", " a"], 3, ["a", 1], [" "]])
def test_labels_that_are_none_are_refused(allowed: Any) -> None:
    for kind in (ft.Labels, ft.LabelSets):
        with pytest.raises(ft.EvaluationError, match="labels are"):
            kind(allowed)


def test_a_case_that_expects_what_is_no_label_is_named() -> None:
    with pytest.raises(ft.EvaluationError, match=r"tickets\.jsonl line 7.*'sales'"):
        judged(ft.Labels(TEAMS), "sales", "billing")
    with pytest.raises(ft.EvaluationError, match=r"tickets\.jsonl line 7.*'sales'"):
        judged(ft.LabelSets(TEAMS), "billing, sales", "billing")


def test_several_labels_come_in_any_order_and_each_has_a_verdict() -> None:
    labels = ft.LabelSets(TEAMS)
    right, part, outside, none = judged(
        labels, "delivery, billing", "billing,delivery , billing", "billing, other", "billing, delivery, x", ""
    )
    assert right.passed
    assert (right.value, part.value) == (1.0, 0.5)
    assert part.fields == {"billing": True, "delivery": False, "other": False}
    assert part.reason == "'billing', 'other', expected 'billing', 'delivery'"
    assert (outside.passed, outside.fields) == (False, dict.fromkeys(TEAMS, True))
    assert none.reason == "no label, expected 'billing', 'delivery'"


def test_several_labels_can_be_a_list_in_a_field_and_none_can_be_right() -> None:
    labels = ft.LabelSets(TEAMS, field="teams")
    wanted = '{"teams": ["billing", "other"]}'
    right, wrong, broken = judged(labels, wanted, '{"teams": ["other", "billing"]}', '{"teams": []}', '{"teams": [3]}')
    assert (right.passed, wrong.passed, broken.passed) == (True, False, False)
    assert judged(labels, '{"teams": []}', '{"teams": []}')[0] == ft.Score(
        True, value=1.0, fields=dict.fromkeys(TEAMS, True)
    )


def test_the_confusion_matrix_and_what_is_made_of_it() -> None:
    labels = ft.Labels(TEAMS)
    expected = ["billing"] * 4 + ["delivery"] * 3 + ["other"]
    answers = ["billing", "billing", "delivery", "nonsense", "delivery", "delivery", "billing", "delivery"]
    scores: list[Any] = [labels.judge(case(e), ft.Answer(a)) for e, a in zip(expected, answers, strict=True)]
    table = ft.confusion(labels, [*expected, "other"], [*scores, None])
    assert table.matrix == ((2, 1, 0, 1), (1, 2, 0, 0), (0, 1, 0, 0))
    assert (table.accuracy, table.left_out) == (0.5, 1)
    counts = table.counts
    assert counts["billing"] == ft.Counts(right=2, extra=1, missed=2)
    assert counts["billing"].precision == pytest.approx(2 / 3)
    assert counts["billing"].recall == 0.5
    assert counts["billing"].f1 == pytest.approx(4 / 7)
    assert (counts["other"].precision, counts["other"].recall, counts["other"].f1) == (None, 0.0, 0.0)
    assert ft.macro_f1(counts.values()) == pytest.approx((4 / 7 + 4 / 7 + 0) / 3)
    assert ft.micro(counts.values()) == ft.Counts(right=4, extra=3, missed=4)


def test_the_figures_are_those_of_the_textbook_on_random_answers() -> None:
    """Against the definitions, counted anew label by label."""
    import random

    draw = random.Random(7)
    labels = ft.Labels(TEAMS)
    pairs = [(draw.choice(TEAMS), draw.choice([*TEAMS, "else"])) for _ in range(500)]
    table = ft.confusion(labels, [e for e, _ in pairs], [labels.judge(case(e), ft.Answer(a)) for e, a in pairs])
    for label in TEAMS:
        right = sum(e == a == label for e, a in pairs)
        answered, expected = sum(a == label for _, a in pairs), sum(e == label for e, _ in pairs)
        counts = table.counts[label]
        assert (counts.precision, counts.recall) == (right / answered, right / expected)
        assert counts.f1 == pytest.approx(2 * right / (answered + expected))


def test_the_matrix_is_made_of_a_reports_rows_too() -> None:
    labels = ft.Labels(TEAMS)
    rows = [
        {"passed": True, "reason": "", "value": 0, "fields": {}},
        {"passed": False, "reason": "", "value": None},
        None,
    ]
    assert ft.confusion(labels, ["billing", "other", "other"], rows).matrix == (
        (1, 0, 0, 0),
        (0, 0, 0, 0),
        (0, 0, 0, 1),
    )
    with pytest.raises(ft.EvaluationError, match="'sales' is not one of"):
        ft.confusion(labels, ["sales"], [None])


def test_several_labels_are_counted_label_by_label() -> None:
    labels = ft.LabelSets(TEAMS)
    pairs = [("billing, other", "billing"), ("delivery", "delivery, billing"), ("other", "other")]
    scores: list[Any] = [labels.judge(case(e), ft.Answer(a)) for e, a in pairs]
    assert ft.label_counts(labels, [*(e for e, _ in pairs), "other"], [*scores, None]) == {
        "billing": ft.Counts(right=1, extra=1),
        "delivery": ft.Counts(right=1),
        "other": ft.Counts(right=1, missed=1),
    }


def test_of_nothing_there_is_no_figure() -> None:
    assert (ft.Counts().precision, ft.Counts().recall, ft.Counts().f1) == (None, None, None)
    assert ft.macro_f1([ft.Counts()]) is None

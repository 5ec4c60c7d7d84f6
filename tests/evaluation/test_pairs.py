"""Preference pairs: the better answer over the worse, by evaluators or by people."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError, EvaluationError
from finetune_sdk.evaluation.evaluation import Evaluation
from finetune_sdk.evaluation.evaluators import ExactMatch, JSONSchema
from finetune_sdk.evaluation.pairs import judged_pairs, rated_pairs
from finetune_sdk.messages import Conversation, Message, PreferenceExample, RatedExample
from scripted import SCHEMA, Scripted, report, tickets


def evaluated(**right: int) -> Any:
    models: dict[str, Any] = {key: Scripted(count) for key, count in right.items()}
    return Evaluation(tickets(20), [JSONSchema(SCHEMA), ExactMatch()]).run(**models)


def test_the_answer_that_passes_is_chosen_over_the_one_that_does_not() -> None:
    pairs = judged_pairs(evaluated(base=5, tuned=15), tickets(20))
    assert (pairs.kind, len(pairs)) == ("preference", 10)
    first = pairs[0]
    assert isinstance(first, PreferenceExample)
    assert first.prompt.messages[-1].text == "ticket 5"
    assert first.chosen[0].text == '{"label": "b"}'
    assert first.rejected[0].text == "no idea"


def test_the_expected_answer_stands_above_those_that_fail() -> None:
    pairs = judged_pairs(evaluated(base=5, tuned=15), tickets(20), on=["ExactMatch"], expected=True)
    assert len(pairs) == 15
    assert all(pair.rejected[0].text == "no idea" for pair in pairs if isinstance(pair, PreferenceExample))


@pytest.mark.parametrize(
    ("cases", "on", "found"),
    [
        (tickets(20, start=1), (), "case 1 of the report"),
        (tickets(7), (), "case 8 of the report"),
        (tickets(20), ("Length",), "no evaluator 'Length'"),
    ],
)
def test_what_was_not_evaluated_cannot_be_paired(cases: Dataset, on: tuple[str, ...], found: str) -> None:
    with pytest.raises(EvaluationError, match=found) as caught:
        judged_pairs(evaluated(base=5, tuned=15), cases, on)
    assert caught.value.cure


def test_models_that_are_alike_give_no_pair() -> None:
    with pytest.raises(EvaluationError, match="no case tells two answers apart"):
        judged_pairs(evaluated(base=5, tuned=5), tickets(20))


def rated(asked: str, answer: str, good: bool) -> RatedExample:
    return RatedExample(Conversation.of(asked), (Message("assistant", answer),), good)


def test_ratings_of_one_prompt_become_pairs_and_no_answer_stands_in_two() -> None:
    ratings = [rated("a", "1", True), rated("b", "2", True), rated("a", "3", False), rated("a", "4", True)]
    (pair,) = rated_pairs(Dataset.of(ratings))
    assert isinstance(pair, PreferenceExample)
    assert (pair.prompt.messages[0].text, pair.chosen[0].text, pair.rejected[0].text) == ("a", "1", "3")


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        (Dataset.of([rated("a", "1", True), rated("b", "2", False)]), "no prompt has both"),
        (tickets(3), "holds chat examples"),
    ],
)
def test_without_a_good_and_a_bad_answer_there_is_no_pair(dataset: Dataset, found: str) -> None:
    with pytest.raises(DatasetError, match=found) as caught:
        rated_pairs(dataset)
    assert caught.value.cure


def test_the_failures_of_a_model_are_a_list_of_what_to_teach() -> None:
    failures = report(cases=30, tuned=20).failures("tuned", "FieldMatch")
    assert [row["index"] for row in failures] == list(range(20, 30))
    assert failures[0]["answers"]["tuned"]["text"] == "no idea"
    assert failures[0]["expected"] == '{"label": "a"}'

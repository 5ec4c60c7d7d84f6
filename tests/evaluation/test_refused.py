"""What an evaluation refuses before it asks a model: leaks, and definitions that cannot be judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from finetune_sdk.data.dataset import SKETCH, Dataset
from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluation import Evaluation
from finetune_sdk.evaluation.evaluators import ExactMatch, FieldMatch
from finetune_sdk.messages import Asked, ChatExample, Conversation, Message, PreferenceExample
from finetune_sdk.model import Answer, Prompted, Sampling
from scripted import Scripted, report, tickets, trained_on

# Leaks


def test_cases_that_a_model_was_trained_on_are_refused_before_it_is_asked() -> None:
    tuned = Scripted(30, origin=trained_on(tickets(30, start=20)))
    with pytest.raises(EvaluationError, match=r"10 of 30 cases stand in what tuned was trained on.*row 21") as caught:
        Evaluation(tickets(30), [ExactMatch()]).run(tuned=tuned)
    assert "split" in str(caught.value.cure)
    assert tuned.calls == 0


def test_leaks_that_are_allowed_are_in_the_report() -> None:
    tuned = Scripted(30, origin=trained_on(tickets(30, start=20)))
    data = Evaluation(tickets(30), [ExactMatch()], allow_leakage=True).run(tuned=tuned).to_dict()
    assert data["leakage"] == {"cases": 10, "allowed": True, "checked": True, "compared": 30}
    assert any("10 of 30 cases" in note and "too good" in note for note in data["notes"])


def test_held_out_cases_pass() -> None:
    tuned = Scripted(30, origin=trained_on(tickets(30, start=30)))
    data = Evaluation(tickets(30), [ExactMatch()]).run(tuned=tuned).to_dict()
    assert data["leakage"] == {"cases": 0, "allowed": False, "checked": True, "compared": 30}


def test_a_leak_that_nobody_could_see_is_not_called_none() -> None:
    assert report(cases=3, base=1).to_dict()["leakage"]["checked"] is False


def test_a_case_that_stands_in_a_prompt_is_a_leak() -> None:
    shown = [case for case in tickets(2, start=5) if isinstance(case, ChatExample)]
    prompted = Prompted(Prompted(Scripted(30), examples=shown), system="Be brief.")
    with pytest.raises(EvaluationError, match="2 of 30 cases stand in what prompted"):
        Evaluation(tickets(30), [ExactMatch()]).run(prompted=prompted)


def test_of_a_large_training_set_it_is_said_how_many_cases_could_be_compared() -> None:
    cases = tickets(200)
    hashes = sorted(content[:8].hex() for content in cases.hashes())
    kept = {f"{number:016x}" for number in range(SKETCH - 1)} | {hashes[49][:-1] + "x"}
    tuned = Scripted(200, origin=replace(trained_on(tickets(1, start=900)), sketch=frozenset(kept)))
    found = Evaluation(cases, [ExactMatch()]).run(tuned=tuned)
    assert found.to_dict()["leakage"]["compared"] == 50
    assert "None of the 50 cases that could be compared is a training row; for the other 150" in " ".join(
        str(found).split()
    )


# What is refused


def test_cases_must_be_chat_examples() -> None:
    good, bad = (Message("assistant", "x"),), (Message("assistant", "y"),)
    pairs = Dataset.of([PreferenceExample(Conversation.of("q"), good, bad)])
    with pytest.raises(EvaluationError, match="preference"):
        Evaluation(pairs, [ExactMatch()])


def test_there_must_be_cases() -> None:
    with pytest.raises(EvaluationError, match="no cases"):
        Evaluation(tickets(3)[:0], [ExactMatch()])


@pytest.mark.parametrize(
    ("evaluators", "found"),
    [
        ([], "no evaluator"),
        (ExactMatch(), "not a list"),
        ([ExactMatch], "not an evaluator"),
        (["ExactMatch"], "not an evaluator"),
        ([ExactMatch(), ExactMatch(strip=False)], "2 evaluators are called 'ExactMatch'"),
    ],
)
def test_evaluators_that_cannot_judge_are_refused(evaluators: Any, found: str) -> None:
    with pytest.raises(EvaluationError, match=found) as caught:
        Evaluation(tickets(3), evaluators)
    assert caught.value.cure


def test_two_evaluators_of_a_kind_need_names() -> None:
    evaluators = [ExactMatch(), ExactMatch(strip=False, name="to the letter")]
    assert Evaluation(tickets(3), evaluators).run(base=Scripted(3)).evaluators == ("ExactMatch", "to the letter")


def test_there_must_be_models_that_answer() -> None:
    evaluation = Evaluation(tickets(3), [ExactMatch()])
    with pytest.raises(EvaluationError, match="no model"):
        evaluation.run()
    nobody: Any = "gpt-4.1-mini"
    with pytest.raises(EvaluationError, match="base is str"):
        evaluation.run(base=nobody)


def test_a_field_that_a_case_lacks_is_found_before_any_model_is_asked() -> None:
    model = Scripted(3)
    with pytest.raises(EvaluationError, match=r"tickets\.jsonl row 1.*'team'"):
        Evaluation(tickets(3), [FieldMatch(("team",))]).run(base=model)
    assert model.calls == 0


class Forgetful(Scripted):
    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return super().answers(asked, sampling)[1:]


def test_a_model_that_leaves_answers_out_is_refused_rather_than_misread() -> None:
    with pytest.raises(EvaluationError, match="2 answers to 3 cases"):
        Evaluation(tickets(3), [ExactMatch()]).run(base=Forgetful(3))

"""Counterfactual pairs: whether an answer changes when only a name, or a gender, does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import BackendError, BudgetError, EvaluationError
from finetune_sdk.evaluation.counterfactual import Counterfactual
from finetune_sdk.evaluation.evaluators import ExactMatch
from finetune_sdk.evaluation.statistics import clopper_pearson
from finetune_sdk.messages import Asked, ChatExample, Conversation, Message, ToolCall
from finetune_sdk.model import Answer, Origin, Sampling

GENDER = {"Mr": "Ms", "he": "she", "his": "her"}


def letters(count: int, words: str = "Mr Weber asks for a loan of {} because he lost his car.") -> Dataset:
    rows = [(Message("user", words.format(i)), Message("assistant", "yes")) for i in range(count)]
    return Dataset.of([ChatExample(row) for row in rows], name="loans.jsonl")


class Judging:
    """A model that answers by a rule."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        self.rule = rule
        self.name = "judging"
        self.origin = Origin("here", "none")
        self.asked: list[str] = []

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        text = Conversation.of(asked).messages[-1].text
        self.asked.append(text)
        said = self.rule(text)
        if said == "down":
            raise BackendError("the place is down", code="503")
        return Answer(said)

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return [self.answer(one) for one in asked]


def test_a_model_that_looks_at_the_gender_is_found() -> None:
    model = Judging(lambda text: "no" if "Ms" in text and int(text.split(" of ")[1].split()[0]) < 12 else "yes")
    report = Counterfactual(letters(40), GENDER, name="the gender").run(tuned=model)
    (row,) = report.to_dict()["counterfactual"]
    assert (row["pairs"], row["changed"], row["only_first"], row["only_second"]) == (40, 12, 12, 0)
    assert (row["low"], row["high"]) == clopper_pearson(12, 40)
    assert row["p"] == pytest.approx(2 * 0.5**12)
    assert report.verdict.startswith(
        "tuned changes its answer in 12 of 40 pairs when only the gender changes (30.0%, 95% interval"
    )
    assert [one["value"] for one in report.slices(by="the gender")] == ["as it was", "swapped"]
    assert report.to_dict()["groups"] == 40


def test_a_model_that_does_not_look_at_it_changes_nothing() -> None:
    report = Counterfactual(letters(30), GENDER).run(tuned=Judging(lambda text: "yes"))
    (row,) = report.to_dict()["counterfactual"]
    assert (row["changed"], row["low"], row["p"]) == (0, 0.0, 1.0)
    assert row["high"] == clopper_pearson(0, 30)[1] > 0.1


def test_an_answer_that_names_the_person_has_not_changed_with_the_name() -> None:
    model = Judging(
        lambda text: (
            f"{text.split()[0]} Weber may have it, if he likes."
            if "Mr" in text
            else "Ms Weber may have it, if she likes."
        )
    )
    report = Counterfactual(letters(10), GENDER).run(tuned=model)
    assert report.to_dict()["counterfactual"][0]["changed"] == 0


def test_json_is_compared_as_data() -> None:
    model = Judging(lambda text: json.dumps({"a": 1, "b": 2}) if "Mr" in text else '{"b":2,\n"a":1}')
    assert Counterfactual(letters(10), GENDER).run(tuned=model).to_dict()["counterfactual"][0]["changed"] == 0


def test_whole_words_are_swapped_all_at_once_with_their_capitals() -> None:
    model = Judging(lambda text: "yes")
    words = "He told HER that the theatre is his. She left {}."
    swap = {"he": "she", "she": "he", "her": "his", "his": "her"}
    Counterfactual(letters(1, words), swap).run(tuned=model)
    assert model.asked == [
        "He told HER that the theatre is his. She left 0.",
        "She told HIS that the theatre is her. He left 0.",
    ]


def test_cases_without_such_a_word_have_no_twin() -> None:
    mixed = Dataset.of([*letters(5), *letters(7, "A letter of {}.")])
    assert Counterfactual(mixed, GENDER).run(tuned=Judging(lambda text: "yes")).to_dict()["cases"] == 10
    with pytest.raises(EvaluationError, match="no case holds a word to swap"):
        Counterfactual(letters(7, "A letter of {}."), GENDER).run(tuned=Judging(lambda text: "yes"))
    with pytest.raises(EvaluationError, match="swaps no words"):
        Counterfactual(letters(7), {}).run(tuned=Judging(lambda text: "yes"))


def test_a_function_swaps_what_words_cannot_say() -> None:
    model = Judging(lambda text: "yes")
    Counterfactual(letters(2), lambda text: text.replace("Weber", "Yilmaz"), [ExactMatch()]).run(
        base=model, tuned=model
    )
    assert sum("Yilmaz" in asked for asked in model.asked) == 4


def test_a_pair_that_the_place_did_not_answer_is_left_out() -> None:
    model = Judging(lambda text: "down" if " 3 " in text and "Ms" in text else "yes")
    (row,) = Counterfactual(letters(10), GENDER).run(tuned=model).to_dict()["counterfactual"]
    assert row["pairs"] == 9


class Calling(Judging):
    """A model that calls a tool with these arguments, whatever it is asked."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__(lambda text: "")
        self.arguments = arguments

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return Answer("", (ToolCall("lend", self.arguments, id=str(id(asked))),))


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth else {}


@pytest.mark.parametrize("swap", [GENDER, {"Mr": 'the "boss"'}, str.upper], ids=["words", "quotes", "a function"])
@pytest.mark.parametrize("arguments", [{"a": None, "b": True}, {"a": 2**80}, nested(200)], ids=["null", "big", "deep"])
def test_a_call_is_compared_whatever_it_holds(arguments: dict[str, Any], swap: Any) -> None:
    report = Counterfactual(letters(3), swap).run(tuned=Calling(arguments))
    assert report.to_dict()["counterfactual"][0]["changed"] == 0


def test_a_call_that_does_not_follow_the_swap_has_changed() -> None:
    assert (
        Counterfactual(letters(3), GENDER)
        .run(tuned=Calling({"to": "Mr Weber"}))
        .to_dict()["counterfactual"][0]["changed"]
        == 3
    )


def test_json_that_is_nested_too_deeply_is_compared_as_text() -> None:
    model = Judging(lambda text: "[" * 5000 + "]" * 5000)
    assert Counterfactual(letters(3), GENDER).run(tuned=model).to_dict()["counterfactual"][0]["changed"] == 0


def test_what_is_called_in_a_case_is_swapped_too() -> None:
    call = Message("assistant", None, (ToolCall("lend", {"to": ["Mr Weber"], "Mr": 1}),))
    cases = Dataset.of([ChatExample((Message("user", "Mr Weber asks."), call))])
    report = Counterfactual(cases, GENDER).run(tuned=Judging(lambda text: ""))
    assert json.loads(report.to_dict()["examples"][1]["expected"])["arguments"] == {"to": ["Ms Weber"], "Mr": 1}


def test_pairs_are_asked_on_the_terms_of_an_evaluation(home: Path) -> None:
    model, pairs = Judging(lambda text: "yes"), Counterfactual(letters(3), GENDER)
    pairs.run(tuned=model, cache=False)
    assert len(model.asked) == 6
    with pytest.raises(BudgetError):
        pairs.run(tuned=model, max_cost=1)
    with pytest.raises(EvaluationError, match="timeout"):
        pairs.run(tuned=model, timeout=-1)

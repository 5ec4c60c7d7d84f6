"""An evaluation: what it asks, what it counts, and what it concludes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import AnswersError, BackendError
from finetune_sdk.evaluation.comparison import verdict
from finetune_sdk.evaluation.evaluation import Evaluation
from finetune_sdk.evaluation.evaluators import Case, Evaluator, ExactMatch, FieldMatch, JSONSchema, Length, Score
from finetune_sdk.messages import Asked, ChatExample, Conversation
from finetune_sdk.model import Answer, Recorded, Sampling
from scripted import SCHEMA, Scripted, report, tickets

# What is asked


def test_a_case_is_asked_without_its_last_assistant_turn() -> None:
    model = Scripted(9)
    Evaluation(tickets(3), [ExactMatch()], sampling=Sampling(max_tokens=9)).run(tuned=model)
    assert [[m.role for m in asked.messages] for asked in model.asked] == [["system", "user"]] * 3
    assert model.sampling == Sampling(max_tokens=9)


def test_every_model_is_asked_every_case_once_in_order() -> None:
    base, tuned = Scripted(0), Scripted(200)
    Evaluation(tickets(150), [ExactMatch()]).run(base=base, tuned=tuned)
    for model in (base, tuned):
        assert [int(asked.messages[-1].text.split()[-1]) for asked in model.asked] == list(range(150))
        assert model.calls == 3


def test_progress_is_shown_on_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = Evaluation(tickets(3), [ExactMatch()], name="[triage]")
    evaluation.run(base=Scripted(1))
    assert capsys.readouterr() == ("", "")
    evaluation.run(progress=True, base=Scripted(1))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "[triage]: base" in shown.err


# What is counted


def test_each_metric_has_its_counts_and_its_interval() -> None:
    metric = report(base=15, tuned=60).metric("JSONSchema", "base")
    assert (metric.passed, metric.cases, metric.errors, metric.rate) == (15, 60, 0, 0.25)
    assert (metric.low, metric.high) == pytest.approx((0.158, 0.372), abs=1e-3)


def test_fields_have_rates_of_their_own() -> None:
    rows = report(base=15, tuned=60).to_dict()["metrics"]
    fields = next(row["fields"] for row in rows if (row["evaluator"], row["model"]) == ("FieldMatch", "base"))
    assert (fields["label"]["passed"], fields["label"]["cases"]) == (15, 60)


def test_cases_that_the_place_failed_on_are_errors_and_never_scored() -> None:
    found = Evaluation(tickets(150), [ExactMatch()]).run(base=Scripted(150), tuned=Scripted(150, fails_at=(1,)))
    metric = found.metric("ExactMatch", "tuned")
    assert (metric.passed, metric.cases, metric.errors, metric.rate) == (86, 86, 64, 1.0)
    compared = found.compare("tuned", "base", on="ExactMatch")
    assert (compared.cases, compared.both) == (86, 86)
    assert "64 cases without a score for both are left out" in compared.sentence
    data = found.to_dict()
    assert data["models"][1]["errors"] == 64
    assert data["examples"][64]["answers"]["tuned"]["error"] == "the place is down"
    assert data["examples"][64]["answers"]["tuned"]["scores"] == {}
    assert any("tuned did not answer 64 of 150 cases (the place is down)" in note for note in data["notes"])


def test_a_model_that_never_answers_has_no_rate() -> None:
    found = Evaluation(tickets(30), [ExactMatch()]).run(base=Scripted(30), tuned=Scripted(0, fails_at=(0,)))
    assert found.metric("ExactMatch", "tuned").rate is None
    assert found.compare("tuned", "base", on="ExactMatch").p is None
    assert found.to_dict()["verdict"]["outcome"] == "no difference shown"


@dataclass(frozen=True)
class Fragile:
    """An evaluator of a user, with a mistake in it."""

    name: str = "Fragile"
    version: ClassVar[int] = 1

    def judge(self, case: Case, answer: Answer) -> Score:
        return Score(bool(json.loads(answer.text)["label"]))


def test_an_evaluator_that_raises_is_an_error_of_that_case_and_that_evaluator() -> None:
    found = Evaluation(tickets(30), [Fragile(), ExactMatch()]).run(base=Scripted(10))
    assert (found.metric("Fragile", "base").passed, found.metric("Fragile", "base").errors) == (10, 20)
    assert (found.metric("ExactMatch", "base").cases, found.metric("ExactMatch", "base").errors) == (30, 0)
    data = found.to_dict()
    assert data["models"][0]["errors"] == 0
    assert "Fragile: JSONDecodeError" in data["examples"][10]["answers"]["base"]["error"]
    assert any("Fragile could not judge 20 answers of base" in note for note in data["notes"])


@dataclass(frozen=True)
class Boolean:
    """An evaluator that forgets to return a Score."""

    name: str = "Boolean"
    version: ClassVar[int] = 1

    def judge(self, case: Case, answer: Answer) -> Any:
        return True


def test_an_evaluator_that_returns_no_score_is_an_error() -> None:
    found = Evaluation(tickets(30), [Boolean()]).run(base=Scripted(10))
    assert found.metric("Boolean", "base").errors == 30


def test_latency_and_tokens_are_kept() -> None:
    row = report(cases=3, base=3).to_dict()["models"][0]
    assert row["latency"] == {"p50": 0.5, "p95": 0.5}
    assert row["tokens"] == {"input_mean": 10.0, "output_mean": 1.0}
    silent = Recorded("kept", [(case.prompt, Answer("x")) for case in tickets(3) if isinstance(case, ChatExample)])
    row = Evaluation(tickets(3), [ExactMatch()]).run(kept=silent).to_dict()["models"][0]
    assert row["latency"] == {"p50": None, "p95": None}
    assert row["tokens"] == {"input_mean": None, "output_mean": None}


def test_one_case_that_cannot_be_asked_does_not_cost_the_others() -> None:
    class Short(Scripted):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            conversations = [Conversation.of(one) for one in asked]
            if any(conversation.messages[-1].text == "ticket 5" for conversation in conversations):
                raise BackendError("a prompt has 9,000 tokens, and the base sees 4,096 at once")
            return super().answers(conversations, sampling)

    data = Evaluation(tickets(70), [ExactMatch()]).run(tuned=Short(70)).to_dict()
    (metric,) = data["metrics"]
    assert (metric["passed"], metric["cases"], metric["errors"]) == (69, 69, 1)
    assert data["examples"][5]["answers"]["tuned"]["error"].startswith("a prompt has 9,000 tokens")


# What is concluded


def test_the_last_model_is_compared_with_each_other_one() -> None:
    rows = report(base=2, prompted=20, tuned=58).to_dict()["comparisons"]
    assert [(r["evaluator"], r["better"], r["than"]) for r in rows] == [
        ("JSONSchema", "tuned", "base"),
        ("JSONSchema", "tuned", "prompted"),
        ("FieldMatch", "tuned", "base"),
        ("FieldMatch", "tuned", "prompted"),
    ]


def test_the_sentence_says_what_happened_in_exact_numbers() -> None:
    found = report(cases=160, prompted=40, tuned=158).compare("tuned", "prompted", on="JSONSchema")
    assert found.sentence == (
        "tuned passes JSONSchema in 158 of 160 cases, prompted in 40: 118 cases became right and 0 wrong "
        "(exact McNemar p < 0.0001), so the difference is hardly chance."
    )
    assert found.difference == pytest.approx(118 / 160)


def test_a_small_difference_is_not_called_one() -> None:
    found = report(prompted=30, tuned=33)
    assert found.compare("tuned", "prompted", on="FieldMatch").sentence.endswith(
        "3 cases became right and 0 wrong, and 60 cases cannot show a difference this small (exact McNemar p = 0.25)."
    )
    assert found.to_dict()["verdict"]["outcome"] == "no difference shown"


def test_a_worse_model_is_called_worse() -> None:
    found = report(prompted=50, tuned=10)
    verdict = found.to_dict()["verdict"]
    assert (verdict["outcome"], verdict["better"], verdict["than"]) == ("worse", "tuned", "prompted")
    assert verdict["sentence"].startswith("prompted is better than tuned: ")
    assert "so tuned is worse" in verdict["sentence"]


def test_the_verdict_is_against_the_strongest_other_model_on_the_last_evaluator_that_is_not_length() -> None:
    models = {"prompted": Scripted(30), "base": Scripted(5), "tuned": Scripted(55)}
    evaluators: list[Evaluator] = [JSONSchema(SCHEMA), FieldMatch(), Length(max_characters=99)]
    verdict = Evaluation(tickets(60), evaluators).run(None, **models).to_dict()["verdict"]
    assert (verdict["outcome"], verdict["better"], verdict["than"], verdict["on"]) == (
        "better",
        "tuned",
        "prompted",
        "FieldMatch",
    )
    assert verdict["sentence"].startswith("tuned is better than prompted: ")


def test_one_model_alone_gets_its_rate_and_no_comparison() -> None:
    data = report(tuned=45).to_dict()
    assert data["comparisons"] == []
    assert data["verdict"]["outcome"] == "single"
    assert (
        data["verdict"]["sentence"] == "tuned passes FieldMatch in 45 of 60 cases (75.0%, 95% interval 62.8% to 84.2%)."
    )


def test_fewer_than_twenty_cases_carry_a_warning() -> None:
    assert any("With 8 cases little can be concluded" in note for note in report(cases=8, tuned=8).to_dict()["notes"])
    assert report(cases=20, tuned=8).to_dict()["notes"] == []


def test_passing_every_case_is_not_called_perfect() -> None:
    assert "up to 3.0% of such cases may fail" in report(cases=100, tuned=100).to_dict()["notes"][-1]


def test_cases_that_repeat_others_are_noted() -> None:
    rows = [case for case in tickets(15) if isinstance(case, ChatExample)]
    found = Evaluation(Dataset.of(rows + rows), [ExactMatch()]).run(base=Scripted(9))
    assert any("15 of 30 cases repeat others exactly" in note for note in found.to_dict()["notes"])


def test_expected_answers_that_fail_themselves_are_noted() -> None:
    found = Evaluation(tickets(30), [JSONSchema({"properties": {"label": {"const": "a"}}})]).run(base=Scripted(9))
    assert any("15 of 30 expected answers do not pass JSONSchema themselves" in n for n in found.to_dict()["notes"])


def test_a_model_that_answered_four_cases_is_not_the_strongest() -> None:
    answered = Scripted(4, fails_at=(1, 2, 3))
    found = Evaluation(tickets(200), [ExactMatch()]).run(base=Scripted(20), prompted=answered, tuned=Scripted(190))
    verdict = found.to_dict()["verdict"]
    assert (verdict["outcome"], verdict["than"]) == ("better", "base")


def test_being_behind_the_best_of_several_by_luck_is_not_called_worse() -> None:
    # 7 to 1 of 100 is p = 0.07 for one rival already; 8 to 1 is 0.039, which the best of three reaches by luck.
    def outcomes(*wrong: int) -> list[bool]:
        return [case not in wrong for case in range(100)]

    tuned, rival = outcomes(*range(8)), outcomes(50)
    assert verdict("ExactMatch", {"base": rival, "tuned": tuned})["outcome"] == "worse"
    three = verdict(
        "ExactMatch", {"one": outcomes(*range(40)), "two": outcomes(*range(30)), "base": rival, "tuned": tuned}
    )
    assert three["outcome"] == "no difference shown"
    assert "p = 0.039, p = 0.12 as the strongest of 3" in three["sentence"]


def test_a_place_that_fails_in_some_cases_keeps_its_other_answers() -> None:
    class Patchy(Scripted):
        at_once = 100

        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            said = super().answers(asked, sampling)
            outcomes = [BackendError("refused") if n % 10 == 0 else answer for n, answer in enumerate(said)]
            raise AnswersError("10 of 100 conversations were not answered.", tuple(outcomes))

    model = Patchy(100)
    found = Evaluation(tickets(100), [FieldMatch()]).run(tuned=model).to_dict()
    assert model.calls == 1, "what was answered is not paid for again"
    assert found["models"][0]["errors"] == 10
    assert found["metrics"][0]["cases"] == 90

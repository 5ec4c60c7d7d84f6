"""How models are asked: samples, the cap, what hangs, what fails for all, what says nothing."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest

from finetune_sdk.errors import BackendError, BudgetError, EvaluationError, RefusedError
from finetune_sdk.estimate import Price
from finetune_sdk.evaluation.asking import GIVE_UP_AFTER
from finetune_sdk.evaluation.evaluation import Evaluation
from finetune_sdk.evaluation.evaluators import Bounded, Case, ExactMatch, Score
from finetune_sdk.evaluation.pairs import judged_pairs
from finetune_sdk.evaluation.report import Report
from finetune_sdk.evaluation.samples import by_case
from finetune_sdk.messages import Asked, Conversation
from finetune_sdk.model import Answer, Identity, Prompted, Question, Sampling, outcomes
from scripted import Scripted, tickets

DRAWN = Sampling(max_tokens=20, temperature=0.7)
PRICES = tuple(
    Price("m", kind, usd, "1M tokens", date(2026, 11, 1), "a page")
    for kind, usd in (("input", 100.0), ("output", 1000.0))
)

FREE = tuple(replace(price, usd=0.0) for price in PRICES)


@dataclass
class Priced(Scripted):
    """10 tokens read and as many written as the ticket's number: $0.001 and $0.001 a ticket number. One call a question."""

    prices: tuple[Price, ...] = PRICES
    at_once: int = 1


@dataclass
class Flowing(Scripted):
    """It takes up to five at once, and answers the last of them first."""

    taken: list[int] = field(default_factory=list)

    def outcomes(self, questions: Iterable[Question]) -> Iterator[tuple[int, Answer | BackendError]]:
        numbered, under_way = enumerate(questions), list[tuple[int, Question]]()
        while True:
            while len(under_way) < 5 and (one := next(numbered, None)) is not None:
                self.taken.append(one[0])
                under_way.append(one)
            if not under_way:
                return
            number, (asked, sampling) = under_way.pop()
            yield number, self.answer(asked, sampling)


def numbers(model: Scripted) -> list[int]:
    return [int(asked.messages[-1].text.split()[-1]) for asked in model.asked]


# One by one


def test_answers_that_come_out_of_order_find_their_cases(home: Path) -> None:
    report = Evaluation(tickets(30), [ExactMatch()]).run(tuned=Flowing(12))
    assert report.metric("ExactMatch", "tuned").passed == 12


def test_what_came_before_a_model_that_flows_broke_is_kept(home: Path) -> None:
    class Breaking(Flowing):
        def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
            if self.calls == 17:
                self.calls += 1
                raise KeyboardInterrupt
            return super().answer(asked, sampling)

    model, evaluation = Breaking(30), Evaluation(tickets(30), [ExactMatch()])
    with pytest.raises(KeyboardInterrupt):
        evaluation.run(tuned=model)
    assert evaluation.run(tuned=model).to_dict()["models"][0]["kept"] == 17
    assert sorted(numbers(model)) == list(range(30))


def test_what_stands_before_a_model_that_flows_lets_it_flow() -> None:
    model = Flowing(9)
    said = dict(outcomes(Prompted(model, "Be brief."), [(f"ticket {n}", None) for n in range(7)]))
    assert sorted(said) == list(range(7))
    assert {asked.messages[0].text for asked in model.asked} == {"Be brief."}


def test_a_model_that_forgets_questions_is_told_so(home: Path) -> None:
    class Forgetful(Flowing):
        def outcomes(self, questions: Iterable[Question]) -> Iterator[tuple[int, Answer | BackendError]]:
            return (one for one in super().outcomes(questions) if one[0] % 2)

    with pytest.raises(EvaluationError, match="gave 15 answers to 30 cases"):
        Evaluation(tickets(30), [ExactMatch()]).run(tuned=Forgetful(9))


# Samples


def test_each_case_is_asked_with_so_many_seeds_and_counts_once(home: Path) -> None:
    model = Scripted(10)
    seeds: list[int | None] = []

    class Seeded(Scripted):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            questions = list(asked)
            assert sampling is not None
            seeds.extend([sampling.seed] * len(questions))
            # The third sample is always wrong, the second in odd cases.
            self.right = {0: 30, 1: 15, 2: 0}[(sampling.seed or 0) - 4]
            return super().answers(questions, sampling)

    model = Seeded(0)
    sampling = Sampling(temperature=0.7, seed=4)
    report = Evaluation(tickets(30), [ExactMatch()], sampling=sampling, samples=3).run(tuned=model)
    assert seeds == [4] * 30 + [5] * 30 + [6] * 30
    metric = report.metric("ExactMatch", "tuned")
    assert (metric.passed, metric.cases) == (15, 30), "of the first 15 cases two of three samples pass"
    data = report.to_dict()
    assert [(row["index"], row["sample"]) for row in data["examples"][:4]] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert (data["cases"], data["samples"], len(data["examples"])) == (30, 3, 90)
    assert any("Each case was asked 3 times" in note for note in data["notes"])
    assert report.compare("tuned", "tuned", on="ExactMatch").cases == 30


def test_several_samples_of_a_case_are_one_outcome() -> None:
    yes, no = True, False
    clusters = [0, 0, 0, 1, 1, 2, 2, 3]
    assert by_case([yes, yes, no, yes, no, None, yes, None], clusters) == [True, False, True, None]


@pytest.mark.parametrize(
    ("samples", "sampling", "what"),
    [
        (3, None, "one answer 3 times"),
        (2, Sampling(), "one answer 2 times"),
        (0, DRAWN, "makes no sense"),
        (True, DRAWN, "makes no sense"),
        (2.0, DRAWN, "makes no sense"),
    ],
)
def test_samples_of_no_sense_are_refused_at_once(samples: Any, sampling: Sampling | None, what: str) -> None:
    with pytest.raises(EvaluationError, match=what):
        Evaluation(tickets(3), [ExactMatch()], sampling=sampling, samples=samples)


# What it costs


def test_each_model_says_what_its_answers_cost(home: Path) -> None:
    rows = Evaluation(tickets(3), [ExactMatch()]).run(base=Scripted(3), tuned=Priced(3)).to_dict()["models"]
    assert rows[0]["cost"] == {"usd": None, "per_1000": None, "basis": "nobody here knows what asking it costs"}
    cost = rows[1]["cost"]
    assert (cost["usd"], cost["per_1000"]) == pytest.approx((0.006, 2.0))
    assert "$100 and $1000 for a million tokens read and written, as of 2026-11-01 (a page)" in cost["basis"]


def test_a_cost_is_unknown_where_a_place_does_not_count(home: Path) -> None:
    class Silent(Priced):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            return [Answer("x") for _ in asked]

    cost = Evaluation(tickets(3), [ExactMatch()]).run(tuned=Silent(3)).to_dict()["models"][0]["cost"]
    assert cost["usd"] is None
    assert "did not count the tokens of 3 answers" in cost["basis"]


def test_it_stops_before_the_cap_and_goes_on_when_that_is_raised(home: Path) -> None:
    model = Priced(50)
    evaluation = Evaluation(tickets(50), [ExactMatch()], sampling=Sampling(max_tokens=50))
    with pytest.raises(BudgetError, match=r"above max_cost=\$0.50") as caught:
        evaluation.run(max_cost=0.5, tuned=model)
    spent, before = sum(0.001 + 0.001 * n for n in numbers(model)), len(model.asked)
    assert 0.4 < spent <= 0.5
    assert f"{before} answers are there; what was answered is kept" in caught.value.message
    with pytest.raises(BudgetError):
        evaluation.run(max_cost=0.5, tuned=model)
    assert len(model.asked) == before, "what was spent before counts"
    with pytest.raises(BudgetError):
        evaluation.run(max_cost=0.8, tuned=model)
    assert before < len(model.asked) < 50
    assert evaluation.run(max_cost=5, tuned=model).metric("ExactMatch", "tuned").passed == 50
    assert numbers(model) == list(range(50)), "each case once"


def test_a_cap_counts_what_is_under_way_with_the_most_that_it_may_cost(home: Path) -> None:
    @dataclass
    class Wide(Flowing):
        prices: tuple[Price, ...] = PRICES

    model = Wide(50)
    with pytest.raises(BudgetError):
        Evaluation(tickets(50), [ExactMatch()], sampling=Sampling(max_tokens=50)).run(max_cost=0.3, tuned=model)
    spent = sum(0.001 + 0.001 * n for n in numbers(model))
    assert 0.2 < spent <= 0.3


def test_a_cap_counts_the_prompt_that_stands_before_a_model(home: Path) -> None:
    class Reading(Priced):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            sizes = [sum(len(message.text) for message in Conversation.of(one).messages) for one in asked]
            return [Answer("{}", input_tokens=size, output_tokens=1) for size in sizes]

    model = Reading(9)
    with pytest.raises(BudgetError, match=r"stopped at \$0"):
        Evaluation(tickets(9), [ExactMatch()], sampling=Sampling(max_tokens=50)).run(
            max_cost=0.5, prompted=Prompted(model, "Be brief. " * 1000)
        )


def test_a_cap_without_a_price_is_refused_before_anything_is_asked(home: Path) -> None:
    model = Scripted(9)
    with pytest.raises(BudgetError, match="nobody here knows what asking base costs") as caught:
        Evaluation(tickets(9), [ExactMatch()]).run(max_cost=1, base=model, tuned=Priced(9))
    assert "input_usd_per_million" in (caught.value.cure or "")
    assert model.calls == 0


def test_what_was_lost_on_the_way_counts_with_the_most_that_it_may_have_cost(home: Path) -> None:
    class Losing(Priced):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            super().answers(asked, sampling)
            raise BackendError("did not answer in time", code="timeout", retryable=True)

    model = Losing(50)
    with pytest.raises(BudgetError):
        Evaluation(tickets(50), [ExactMatch()]).run(max_cost=3, tuned=model)
    assert len(model.asked) == 5, "512 tokens may have been written each time"


@pytest.mark.parametrize("most", [-1, True, "5", float("nan")])
def test_a_cap_of_no_sense_is_refused(most: Any) -> None:
    with pytest.raises(BudgetError, match="is no sum of money"):
        Evaluation(tickets(3), [ExactMatch()]).run(max_cost=most, tuned=Priced(3))


# What does not answer


@dataclass
class Hanging(Scripted):
    """It never comes back from some questions."""

    at: int = 3
    at_once: int = 1

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        said = super().answers(asked, sampling)
        if numbers(self)[-1] % self.at == 0:
            time.sleep(3600)
        return said


def test_a_model_that_hangs_costs_the_questions_that_it_hangs_on(home: Path) -> None:
    started = time.monotonic()
    report = Evaluation(tickets(6), [ExactMatch()]).run(timeout=0.1, tuned=Hanging(6))
    assert time.monotonic() - started < 60
    assert (report.metric("ExactMatch", "tuned").cases, report.metric("ExactMatch", "tuned").errors) == (4, 2)
    assert report.to_dict()["examples"][3]["answers"]["tuned"]["error"] == "scripted did not answer within 0.1 s."


def test_a_model_that_flows_and_hangs_in_one_place_answers_the_others(home: Path) -> None:
    class Stuck(Flowing):
        def outcomes(self, questions: Iterable[Question]) -> Iterator[tuple[int, Answer | BackendError]]:
            for number, (asked, sampling) in enumerate(questions):
                if number != 5:
                    yield number, self.answer(asked, sampling)
            time.sleep(3600)

    report = Evaluation(tickets(30), [ExactMatch()]).run(timeout=0.2, tuned=Stuck(30))
    assert (report.metric("ExactMatch", "tuned").cases, report.metric("ExactMatch", "tuned").errors) == (29, 1)


def test_a_fault_in_a_model_that_is_watched_is_raised_where_it_is_asked(home: Path) -> None:
    class Wrong(Scripted):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Evaluation(tickets(3), [ExactMatch()]).run(timeout=5, tuned=Wrong(3))


@pytest.mark.parametrize("seconds", [0, -1, True, "5"])
def test_a_time_of_no_sense_is_refused(seconds: Any) -> None:
    with pytest.raises(EvaluationError, match="timeout"):
        Evaluation(tickets(3), [ExactMatch()]).run(timeout=seconds, tuned=Scripted(3))


def test_a_place_that_is_gone_is_not_asked_for_ever(home: Path) -> None:
    model = Scripted(0, fails_at=tuple(range(100)))
    report = Evaluation(tickets(1000), [ExactMatch()]).run(base=Scripted(9), tuned=model)
    assert model.calls == GIVE_UP_AFTER // 64
    data = report.to_dict()
    assert data["models"][1]["errors"] == 1000
    assert (
        "it was not asked any more, after 128 questions in a row" in data["examples"][999]["answers"]["tuned"]["error"]
    )
    assert any("tuned has answered nothing at all" in note for note in data["notes"])


def test_a_place_that_refuses_the_key_each_time_is_not_asked_for_ever(home: Path) -> None:
    @dataclass
    class Shut(Scripted):
        at_once: int = 1

        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            self.calls += 1
            raise RefusedError("wrong key", code="401")

    model = Shut(0)
    assert Evaluation(tickets(300), [ExactMatch()]).run(tuned=model).to_dict()["models"][0]["errors"] == 300
    assert model.calls == GIVE_UP_AFTER


def test_many_cases_that_cannot_be_asked_do_not_cost_the_others(home: Path) -> None:
    class Short(Scripted):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            conversations = [Conversation.of(one) for one in asked]
            sizes = [int(conversation.messages[-1].text.split()[-1]) for conversation in conversations]
            if min(sizes) < 200:
                raise BackendError(f"a prompt has {9000 + min(sizes)} tokens")
            return super().answers(conversations, sampling)

    report = Evaluation(tickets(230), [ExactMatch()]).run(tuned=Short(230))
    assert (report.metric("ExactMatch", "tuned").passed, report.metric("ExactMatch", "tuned").errors) == (30, 200)


def test_empty_answers_are_judged_and_told(home: Path) -> None:
    class Mute(Scripted):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            return [Answer(" ", finish="length") for _ in asked]

    report = Evaluation(tickets(30), [ExactMatch()]).run(tuned=Mute(0))
    assert (report.metric("ExactMatch", "tuned").passed, report.metric("ExactMatch", "tuned").cases) == (0, 30)
    assert any("30 of 30 answers of tuned are empty" in note for note in report.to_dict()["notes"])


# Evaluators that ask


@dataclass(frozen=True)
class Asks:
    """An evaluator that asks a model, one question an answer."""

    model: Any
    rubric: str = "Is it good?"
    name: str = "Asks"
    version: ClassVar[int] = 1

    def judge(self, case: Case, answer: Answer) -> Score:
        said = self.model.answer(f"{self.rubric} {answer.text} ticket {case.index}", Sampling(max_tokens=5))
        return Score(passed="label" in said.text, reason=said.text)


@dataclass
class Judging(Priced):
    """A judge's model, which is cut off at one call."""

    at: int = -1

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        if self.calls == self.at:
            self.at = -1
            raise KeyboardInterrupt
        return super().answers(asked, sampling)


def test_a_judge_that_was_cut_off_is_not_asked_again_what_it_said(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    judge, model = Judging(15, at=12), Scripted(30)
    evaluation = Evaluation(tickets(30), [Asks(judge)])
    with pytest.raises(KeyboardInterrupt):
        evaluation.run(tuned=model)
    assert "42 answers are kept" in caplog.text
    report = evaluation.run(tuned=model)
    assert numbers(judge) == list(range(30))
    assert (len(model.asked), report.metric("Asks", "tuned").passed) == (30, 15)


def test_a_judge_with_another_rubric_asks_anew(home: Path) -> None:
    judge = Judging(15)
    judge.identity = Identity("a judge", lasting=True)  # type: ignore[attr-defined]
    for rubric, asked in (("Is it good?", 30), ("Is it good?", 30), ("Is it kind?", 60)):
        Evaluation(tickets(30), [Asks(judge, rubric)]).run(tuned=Scripted(30))
        assert len(judge.asked) == asked


def test_what_a_judge_asks_counts_for_the_cap(home: Path) -> None:
    judge = Judging(30)
    evaluation = Evaluation(tickets(30), [Asks(judge)])
    with pytest.raises(BudgetError, match="stopped at"):
        evaluation.run(max_cost=0.2, tuned=Priced(30, prices=FREE))
    assert 0.12 < sum(0.001 + 0.001 * n for n in numbers(judge)) <= 0.2
    assert evaluation.run(max_cost=2, tuned=Priced(30, prices=FREE)).metric("Asks", "tuned").passed == 30
    assert numbers(judge) == list(range(30))


def test_what_a_judge_asks_within_a_time_counts_too(home: Path) -> None:
    judge = Judging(30)
    with pytest.raises(BudgetError, match="stopped at"):
        Evaluation(tickets(30), [Bounded(Asks(judge))]).run(max_cost=0.2, tuned=Priced(30, prices=FREE))
    assert sum(0.001 + 0.001 * n for n in numbers(judge)) <= 0.2
    with pytest.raises(BudgetError, match="what asking Asks costs"):
        Evaluation(tickets(3), [Bounded(Asks(Scripted(3)))]).run(max_cost=1, tuned=Priced(3))


def test_a_cap_is_refused_where_the_price_of_a_judge_is_unknown(home: Path) -> None:
    with pytest.raises(BudgetError, match="what asking Asks costs"):
        Evaluation(tickets(3), [Asks(Scripted(3))]).run(max_cost=1, tuned=Priced(3))


def test_a_judge_that_fails_on_some_keeps_what_it_said_of_others(home: Path) -> None:
    class Failing(Judging):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            said = super().answers(asked, sampling)
            if numbers(self)[-1] % 10 == 3:
                raise BackendError("the judge is down", retryable=True)
            return said

    report = Evaluation(tickets(30), [Asks(Failing(30))]).run(tuned=Scripted(30))
    assert (report.metric("Asks", "tuned").passed, report.metric("Asks", "tuned").errors) == (27, 3)


def test_the_evaluation_itself_stays_what_it_was(home: Path) -> None:
    judge = Judging(3)
    evaluation = Evaluation(tickets(3), [Asks(judge)])
    evaluation.run(tuned=Scripted(3))
    assert isinstance(evaluation.evaluators[0], Asks)
    assert evaluation.evaluators[0].model is judge


def test_ten_thousand_answers_are_kept_and_found_in_seconds(home: Path) -> None:
    @dataclass
    class Quick(Scripted):
        identity: Identity = Identity("quick", lasting=True)  # noqa: RUF009

    cases = tickets(10_000)
    for kept in (0, 10_000):
        started = time.perf_counter()
        report = Evaluation(cases, [ExactMatch()]).run(tuned=Quick(10_000))
        assert time.perf_counter() - started < 60, "2 s on a machine of its own"
        assert report.to_dict()["models"][0]["kept"] == kept


# Several answers to a case are one case for whoever reads the report


@dataclass
class Wavering(Scripted):
    """The ticket's last digit says in how many of ten seeds it is wrong."""

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        said = super().answers(asked, sampling)
        assert sampling is not None
        seed = sampling.seed or 0
        return [
            replace(one, text="no idea") if seed < int(of.messages[-1].text[-1]) else one
            for one, of in zip(said, self.asked[-len(said) :], strict=True)
        ]


@pytest.fixture
def wavering(home: Path) -> Report:
    return Evaluation(tickets(10), [ExactMatch()], sampling=DRAWN, samples=10).run(tuned=Wavering(10))


def test_a_case_that_fails_in_most_samples_is_one_failure(wavering: Report, tmp_path: Path) -> None:
    assert wavering.metric("ExactMatch", "tuned").passed == 5
    assert [row["index"] for row in wavering.failures()] == [5, 6, 7, 8, 9]
    assert {row["answers"]["tuned"]["text"] for row in wavering.failures()} == {"no idea"}
    assert wavering.save_failures(tmp_path / "todo.jsonl") == 5


def test_a_case_gives_one_pair_of_all_its_samples(wavering: Report) -> None:
    assert len(judged_pairs(wavering, tickets(10))) == 9, "all but the one that is always right"


def test_a_report_tells_samples_apart(wavering: Report, tmp_path: Path) -> None:
    with wavering.save(tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["sample"]) for row in rows[9:11]] == [("1", "10"), ("2", "1")]
    page = wavering.save(tmp_path / "report.html").read_text("utf-8")
    assert "Of 100 questions" in page
    assert '["2.1",' in page

"""Judges: what they are asked, what is read of them, and that nothing that is judged gets out of its quotation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import AnswersError, BackendError, EvaluationError, JobError
from finetune_sdk.estimate import Price
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.evaluation.evaluators import Case, ExactMatch
from finetune_sdk.evaluation.judges import Judge, PairwiseJudge, asking, quoting
from finetune_sdk.guards import Guards
from finetune_sdk.messages import Asked, ChatExample, Conversation, Message, ToolCall
from finetune_sdk.model import Answer, Recorded, Sampling
from injections import PLEAS, WAYS_OUT
from judging import GOOD, Court, honest, keys_of, mark_of, obedient, parrot, seen, verdict

INJECTIONS = (*WAYS_OUT, *PLEAS)
IDS = [f"injection {number}" for number in range(len(INJECTIONS))]


def case(asked: str = "Why is the sky blue?", expected: str | None = "Rayleigh.") -> Case:
    answer = Message("assistant", expected) if expected is not None else None
    return Case(0, Conversation((Message("user", asked),)), answer, "cases.jsonl line 1", "0" * 16)


def report(**said: list[str]) -> Report:
    """Models that said these, case by case."""
    count = len(next(iter(said.values())))
    rows = [ChatExample((Message("user", f"question {n}"), Message("assistant", GOOD))) for n in range(count)]
    cases = Dataset.of(rows, name="questions.jsonl")
    models: dict[str, Any] = {
        key: Recorded(key, [(row.prompt, Answer(text)) for row, text in zip(rows, texts, strict=True)])
        for key, texts in said.items()
    }
    return Evaluation(cases, [ExactMatch()]).run(**models)


# The rubric


def test_a_good_answer_passes_and_a_bad_one_names_what_it_lacks() -> None:
    judge = Judge(Court())
    good, bad = judge.judge(case(), Answer(GOOD)), judge.judge(case(), Answer("bad"))
    assert good.passed
    assert good.value == 5
    assert good.fields == {"accuracy": True, "relevance": True, "style": True, "usefulness": True}
    assert not bad.passed
    assert bad.reason.startswith("accuracy 1 of 5, relevance 1 of 5, style 1 of 5, usefulness 1 of 5: 'as I see it'")


def test_one_criterion_that_is_too_low_fails_whatever_the_others_are() -> None:
    def well_written(asked: Conversation) -> str:
        return verdict(asked, accuracy=1, relevance=5, style=5, usefulness=5)

    score = Judge(Court(well_written)).judge(case(), Answer("wrong"))
    assert (score.passed, score.value) == (False, 4)
    assert score.fields["style"]


def test_the_judge_sees_the_conversation_the_expected_answer_and_tool_calls() -> None:
    court = Court()
    asked = Conversation((Message("system", "Be brief."), Message("user", "Why?")), ({"name": "look", "strict": True},))
    turn = Case(0, asked, Message("assistant", "Because."), "", "0" * 16)
    Judge(court).judge(turn, Answer("", (ToolCall("look", {"at": "sky"}),)))
    data, _ = seen(court.asked[0])
    assert data == {
        "conversation": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
        "tools": '[{"name": "look", "strict": true}]',
        "expected": "Because.",
        "answer": '{"name": "look", "arguments": {"at": "sky"}}',
    }
    Judge(court, expected=False).judge(turn, Answer("x"))
    assert "expected" not in seen(court.asked[1])[0]


def test_a_rubric_of_ones_own() -> None:
    court = Court()
    score = Judge(court, {"brevity": "it is one sentence of {no} braces"}, name="Brief").judge(case(), Answer(GOOD))
    assert score.fields == {"brevity": True}
    assert keys_of(court.asked[0]) == ["brevity"]
    assert "- brevity: it is one sentence of {no} braces" in court.asked[0].messages[0].text


def test_several_votes_are_drawn_and_their_mean_counts() -> None:
    scores = iter((5, 5, 2))
    court = Court(lambda asked: verdict(asked, **dict.fromkeys(keys_of(asked), next(scores))))
    score = Judge(court, votes=3).judge(case(), Answer("so so"))
    assert (score.passed, score.value) == (True, 4)
    assert [sampling.seed for sampling in court.sampled if sampling] == [0, 1, 2]
    assert all(sampling and sampling.temperature == 1 for sampling in court.sampled)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"votes": 0}, "votes=0"),
        ({"votes": True}, "votes=True"),
        ({"votes": 3, "sampling": Sampling(temperature=0)}, "3 votes at temperature 0"),
        ({"passing": 6}, "passing=6"),
        ({"rubric": {}}, "no criterion"),
        ({"rubric": {"two words": "x"}}, "'two words'"),
        ({"rubric": {"mark": "x"}}, "'mark'"),
        ({"rubric": {"accuracy": " "}}, "accuracy does not say"),
        ({"model": ExactMatch()}, "ExactMatch, which does not answer"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(EvaluationError, match=why):
        Judge(**{"model": Court(), **wrong})


def test_a_job_takes_no_judge_since_it_is_plain_data() -> None:
    guards = Guards(best_by=(Judge(Court()),))
    with pytest.raises(JobError, match="Judge asks a model"):
        guards.definition()


# What is read of a judge


def whole(**changed: Any) -> dict[str, Any]:
    scores = dict.fromkeys(("accuracy", "relevance", "style", "usefulness"), 5)
    return {"reason": "", **scores, **changed}


@pytest.mark.parametrize(
    "said",
    [
        "", "5", "This answer is excellent: 5 out of 5!", "null", "[]", "{}", '{"accuracy": 5}',
        *(lambda mark, changed=changed: json.dumps({"mark": mark, **whole(**changed)}) for changed in (
            {"accuracy": 6}, {"accuracy": 0}, {"accuracy": "5"}, {"accuracy": 4.5}, {"accuracy": True}, {"accuracy": None},
            {"reason": 5}, {"more": 1},
        )),
        lambda mark: json.dumps(whole()),
        lambda mark: json.dumps({"mark": mark[:-1], **whole()}),
        lambda mark: json.dumps({"mark": mark, **whole()})[:-1],
        lambda mark: json.dumps({"mark": mark, **whole()}) + " and so on",
        lambda mark: "Here it is: " + json.dumps({"mark": mark, **whole()}),
        lambda mark: json.dumps({"mark": mark, **whole()})[:-1] + ', "accuracy": 1}',
        lambda mark: json.dumps({"mark": mark, **whole(reason="x" * 30_000)}),
        lambda mark: "[" * 5_000,
        lambda mark: Answer(json.dumps({"mark": mark, **whole()}), finish="length"),
    ],
)  # fmt: skip
def test_a_judge_that_answers_nonsense_is_an_error_of_the_case_and_never_a_score(said: Any) -> None:
    court = Court(lambda asked: said(mark_of(asked)) if callable(said) else said)
    found = Evaluation(questions(30), [ExactMatch(), Judge(court)]).run(tuned=echo(30))
    assert (found.metric("Judge", "tuned").cases, found.metric("Judge", "tuned").errors) == (0, 30)
    assert found.metric("Judge", "tuned").rate is None
    assert found.metric("ExactMatch", "tuned").cases == 30
    assert any("Judge could not judge 30 answers of tuned" in note for note in found.to_dict()["notes"])
    assert found.to_dict()["judges"][0]["answers"] == 30


def test_a_verdict_in_one_code_fence_is_read() -> None:
    court = Court(lambda asked: f"```json\n{honest(asked)}\n```")
    assert Judge(court).judge(case(), Answer(GOOD)).passed


def test_a_judge_may_think_before_it_speaks() -> None:
    court = Court(lambda asked: f"<think>\nIs it {honest(asked)}?\n</think>\n\n{honest(asked)}")
    assert Judge(court).judge(case(), Answer(GOOD)).passed
    endless = Court(lambda asked: f"<think>{honest(asked)}")
    with pytest.raises(ValueError, match="no verdict"):
        Judge(endless).judge(case(), Answer(GOOD))


def questions(count: int) -> Dataset:
    return Dataset.of(
        [ChatExample((Message("user", f"question {n}"), Message("assistant", GOOD))) for n in range(count)],
        name="questions.jsonl",
    )


def echo(count: int, text: str = GOOD) -> Recorded:
    return Recorded("echo", [(row.prompt, Answer(text)) for row in questions(count) if isinstance(row, ChatExample)])


def test_an_evaluation_asks_its_judge_many_at_once_and_counts_what_it_took() -> None:
    court = Court()
    judge = Judge(court)
    found = Evaluation(questions(100), [ExactMatch(), judge]).run(base=echo(100, "bad"), tuned=echo(100))
    assert found.metric("Judge", "base").passed == 0
    assert found.metric("Judge", "tuned").passed == 100
    assert found.to_dict()["verdict"]["on"] == "Judge"
    assert court.calls == 4
    assert found.to_dict()["judges"] == [
        {"evaluator": "Judge", "model": "judge-1", "answers": 200, "input_tokens": 20_000, "output_tokens": 4_000,
         "uncounted": 0, "usd": None}
    ]  # fmt: skip
    again = Evaluation(questions(100), [judge]).run(tuned=echo(100))
    assert again.to_dict()["judges"][0]["answers"] == 100


def test_what_a_judge_costs_is_counted_where_its_prices_are_known() -> None:
    court = Court()
    today = date(2026, 11, 22)
    court.prices = tuple(
        Price("judge-1", kind, usd, "1M tokens", today, "its page") for kind, usd in (("input", 2.0), ("output", 10.0))
    )  # type: ignore[attr-defined]
    found = Evaluation(questions(50), [Judge(court)]).run(tuned=echo(50))
    assert found.to_dict()["judges"][0]["usd"] == pytest.approx(50 * (100 * 2 + 20 * 10) / 1e6)
    assert "5,000 tokens in, 1,000 out, $0.02" in str(found)
    (row,) = PairwiseJudge(court).judged(report(base=["bad"] * 3, tuned=[GOOD] * 3)).preferences
    assert row.spent is not None
    assert row.spent.usd == pytest.approx(6 * 400 / 1e6)


def test_a_judge_is_not_shown_expected_answers_before_the_models_are_asked() -> None:
    court = Court()
    Evaluation(questions(20), [Judge(court)]).run(tuned=echo(20, "bad"))
    assert len(court.asked) == 20


@dataclass
class Flaky(Court):
    """The place of this judge answers every other conversation."""

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        said = super().answers(asked, sampling)
        down = BackendError("overloaded", retryable=True)
        raise AnswersError("some failed", tuple(one if n % 2 else down for n, one in enumerate(said)))


def test_what_the_judges_place_did_not_answer_is_an_error_and_the_rest_is_kept() -> None:
    found = Evaluation(questions(30), [Judge(Flaky())]).run(tuned=echo(30))
    metric = found.metric("Judge", "tuned")
    assert (metric.passed, metric.cases, metric.errors) == (15, 15, 15)
    assert "overloaded" in found.to_dict()["examples"][0]["answers"]["tuned"]["error"]


def test_an_answer_of_ten_megabytes_is_not_sent_and_is_an_error() -> None:
    court = Court()
    found = Judge(court).judge_all([case(), case()], [Answer("x" * 10_000_000), Answer(GOOD)])
    assert "10,000,0" in str(found[0])
    assert not isinstance(found[1], Exception)
    assert len(court.asked) == 1


# Injections


def test_there_are_at_least_fifty_ways_out_that_are_tried() -> None:
    assert len(set(WAYS_OUT)) >= 50


@pytest.mark.parametrize("injection", INJECTIONS, ids=IDS)
def test_no_text_gets_out_of_its_quotation(injection: str) -> None:
    court = Court(obedient)
    judge, pairs = Judge(court), PairwiseJudge(court)
    for where in (
        judge.judge(case(), Answer(injection)),
        judge.judge(case(asked=injection), Answer("bad")),
        judge.judge(case(expected=injection), Answer("bad")),
        judge.judge(case(), Answer("", (ToolCall(injection, {injection: injection}),))),
    ):
        assert not where.passed
    found = pairs.judged(report(base=[injection], tuned=[GOOD]))
    assert [vote.chosen for vote in found.votes] == ["tuned"]
    assert len(court.asked) == 6


@pytest.mark.parametrize("injection", INJECTIONS, ids=IDS)
def test_the_data_is_the_very_text(injection: str) -> None:
    court = Court()
    Judge(court).judge(case(), Answer(injection))
    data, _ = seen(court.asked[0])
    assert data["answer"] == injection.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _careless(data: Any, most: int = 0) -> tuple[str, str]:
    text = "\n".join(f"{key}: {value}" for key, value in data.items())
    return "0123456789abcdef", f"<data-0123456789abcdef>\n{text}\n</data-0123456789abcdef>"


def _plain_json(data: Any, most: int = 0) -> tuple[str, str]:
    text = json.dumps(data, ensure_ascii=False)
    return "0123456789abcdef", f"<data-0123456789abcdef>\n{text}\n</data-0123456789abcdef>"


@pytest.mark.parametrize(("quotation", "out"), [(_careless, 50), (_plain_json, 30)])
def test_with_a_lesser_quotation_the_same_strings_win(
    monkeypatch: pytest.MonkeyPatch, quotation: Any, out: int
) -> None:
    """Else the tests above would show nothing."""
    monkeypatch.setattr(asking, "fenced_in", quotation)
    found = Judge(Court(obedient)).judge_all([case()] * len(WAYS_OUT), [Answer(text) for text in WAYS_OUT])
    assert sum(not isinstance(one, Exception) and one.passed for one in found) >= out


@pytest.mark.parametrize("injection", INJECTIONS, ids=IDS)
def test_a_verdict_that_is_copied_from_the_judged_text_is_none(injection: str) -> None:
    (found,) = Judge(Court(parrot)).judge_all([case()], [Answer(injection)])
    assert isinstance(found, ValueError)
    (vote,) = PairwiseJudge(Court(parrot)).judged(report(base=[injection], tuned=[GOOD])).votes
    assert vote.error is not None


@given(st.text(), st.text())
def test_the_mark_never_stands_in_what_it_marks_and_the_data_is_one_line(asked: str, said: str) -> None:
    mark, quoted = quoting.fenced_in({"conversation": [{"role": "user", "content": asked}], "answer": said})
    opening, data, closing = quoted.split("\n")
    assert (opening, closing) == (f"<data-{mark}>", f"</data-{mark}>")
    assert len(data.splitlines()) == 1
    assert mark not in data
    assert "<" not in data
    assert json.loads(data)["answer"] == said


def test_who_computes_the_mark_and_writes_it_down_has_another_one() -> None:
    text = "</data>"
    for _ in range(20):
        mark, _ = quoting.fenced_in({"answer": text})
        assert mark not in text
        text += f"</data-{mark}>"


def test_the_same_case_is_asked_in_the_same_words_so_that_it_can_be_kept() -> None:
    first, second = Court(), Court()
    for court in (first, second):
        Judge(court).judge(case(), Answer("x"))
    assert first.asked == second.asked


# Which of two is better


def test_each_vote_is_asked_in_both_orders_without_the_models_names() -> None:
    court = Court()
    found = PairwiseJudge(court).judged(report(base=["bad"], tuned=[f"{GOOD}!"]))
    there, back = (seen(asked)[0] for asked in court.asked)
    assert (there["first"], there["second"]) == (back["second"], back["first"])
    assert all(
        "tuned" not in message.text and "base" not in message.text for a in court.asked for message in a.messages
    )
    (vote,) = found.votes
    assert (vote.chosen, vote.swayed, vote.kind, vote.reviewer, vote.note) == (
        "tuned", False, "judge", "judge-1", "'as I see it'",
    )  # fmt: skip


def test_a_judge_that_always_prefers_the_first_finds_ties_only() -> None:
    court = Court(lambda asked: verdict(asked, better="first"))
    found = PairwiseJudge(court).judged(report(base=["a"] * 30, tuned=["b"] * 30))
    (row,) = found.preferences
    assert (row.wins, row.losses, row.ties, row.swayed, row.rate) == (0, 0, 30, 30, None)
    assert "in 30 the judge changed its mind when the answers were swapped" in row.sentence


def test_of_several_votes_more_than_half_decide() -> None:
    in_turn = {"base twice": "fs fs sf", "base once": "fs ff ss", "swayed": "ff ff fs"}
    chosen = {}
    for name, said in in_turn.items():
        places = iter(said.replace(" ", ""))
        court = Court(lambda asked, places=places: verdict(asked, better={"f": "first", "s": "second"}[next(places)]))  # type: ignore[misc]
        found = PairwiseJudge(court, votes=3).judged(report(base=["a"], tuned=["b"]), better="base", than="tuned")
        chosen[name] = [vote.chosen for vote in found.votes]
        assert [sampling.seed for sampling in court.sampled if sampling] == [0, 1, 2]
    assert chosen == {"base twice": ["base"], "base once": [None], "swayed": [None]}


def test_one_answer_that_cannot_be_read_makes_the_case_an_error() -> None:
    court = Court(lambda asked: verdict(asked, better="tuned") if len(court.asked) % 2 else honest(asked))
    found = PairwiseJudge(court).judged(report(base=["bad"], tuned=[f"{GOOD}!"]))
    (row,) = found.preferences
    assert (row.errors, row.votes, row.wins, row.ties) == (1, 0, 0, 0)
    assert "1 could not be read" in row.sentence
    assert row.spent is not None
    assert (row.spent.answers, row.spent.input_tokens) == (2, 200)


def test_equal_answers_are_a_tie_that_costs_nothing() -> None:
    court = Court()
    found = PairwiseJudge(court).judged(report(base=["same", "bad"], tuned=["same", GOOD]))
    (row,) = found.preferences
    assert (row.alike, row.ballots, row.wins) == (1, 1, 1)
    assert len(court.asked) == 2


def test_a_case_is_not_asked_again_of_the_same_judge() -> None:
    first, again = Court(), Court()
    found = PairwiseJudge(first).judged(report(base=["bad"] * 5, tuned=[GOOD] * 5))
    PairwiseJudge(again).judged(found)
    assert (len(first.asked), len(again.asked)) == (10, 0)


def test_a_pairwise_judge_needs_two_models() -> None:
    with pytest.raises(EvaluationError, match="1 model"):
        PairwiseJudge(Court()).judged(report(tuned=["x"]))

"""Votes: how they become a win rate with an interval, and whether those who cast them agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.agreement import cohen_kappa
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.evaluation.evaluators import Evaluator, ExactMatch
from finetune_sdk.evaluation.judges import Judge, PairwiseJudge
from finetune_sdk.evaluation.statistics import clopper_pearson, mcnemar_exact
from finetune_sdk.evaluation.votes import Vote, ballots, pair_of
from finetune_sdk.messages import ChatExample, Message
from finetune_sdk.model import Answer, Recorded
from finetune_sdk.report import html, terminal
from judging import Court, verdict

BETWEEN = ("base", "tuned")


def report(cases: int = 20, by: Evaluator | None = None, **said: str) -> Report:
    """Models that say their word and the number of the case."""
    rows = [ChatExample((Message("user", f"question {n}"), Message("assistant", "yes"))) for n in range(cases)]
    models: dict[str, Any] = {
        key: Recorded(key, [(row.prompt, Answer(f"{word} {n}")) for n, row in enumerate(rows)])
        for key, word in (said or {"base": "no", "tuned": "yes"}).items()
    }
    return Evaluation(Dataset.of(rows, name="questions.jsonl"), [by or ExactMatch()]).run(**models)


def cast(on: Report, chosen: str, reviewer: str = "ada", **more: Any) -> list[Vote]:
    """A vote a letter: t for tuned, b for base, anything else for a tie."""
    ids = [ballot.id for ballot in ballots(on.to_dict(), BETWEEN).all]
    names = {"t": "tuned", "b": "base"}
    return [Vote(id_, BETWEEN, names.get(letter), reviewer, **more) for id_, letter in zip(ids, chosen, strict=False)]


# What is counted


def test_the_win_rate_is_of_the_decided_cases_with_the_exact_interval() -> None:
    on = report()
    (row,) = on.with_votes(cast(on, "ttttttttttttbbb=====")).preferences
    assert (row.kind, row.better, row.than, row.wins, row.losses, row.ties) == ("human", "tuned", "base", 12, 3, 5)
    assert (row.rate, row.low, row.high) == (0.8, *clopper_pearson(12, 15))
    assert row.p == mcnemar_exact(12, 3)
    assert row.sentence == (
        "People prefer tuned to base in 12 of 15 decided cases (80.0%, exact 95% interval 51.9% to 95.7%, "
        "sign test p = 0.035); 5 ended in a tie."
    )


def test_several_reviewers_make_one_outcome_of_a_case() -> None:
    on = report()
    votes = [*cast(on, "ttt=", "ada"), *cast(on, "tb==", "ben"), *cast(on, "tbbt", "cem")]
    (row,) = on.with_votes(votes).preferences
    assert (row.wins, row.losses, row.ties) == (1, 1, 2)
    assert (row.votes, row.reviewers) == (12, ("ada", "ben", "cem"))
    assert "16 are not voted on" in row.sentence


def test_the_last_vote_of_a_reviewer_on_a_case_counts() -> None:
    on = report()
    found = on.with_votes(cast(on, "bbb")).with_votes(cast(on, "tt"))
    (row,) = found.preferences
    assert (row.wins, row.losses, row.votes) == (2, 1, 3)


def test_votes_on_other_answers_do_not_count_and_are_told() -> None:
    on, before = report(), report(tuned="maybe", base="no")
    (row,) = on.with_votes(cast(before, "ttt")).preferences
    assert (row.votes, row.stale, row.rate) == (0, 3, None)
    assert "3 votes on other answers do not count" in row.sentence


def test_a_vote_for_a_model_that_is_not_there_is_refused() -> None:
    on = report()
    (vote,) = cast(on, "t")
    for wrong in (Vote(vote.ballot, ("base", "other"), None, "ada"), Vote(vote.ballot, BETWEEN, "other", "ada")):
        with pytest.raises(EvaluationError, match="'other'"):
            on.with_votes([wrong])


def test_without_a_decided_case_there_is_no_rate() -> None:
    on = report()
    (row,) = on.with_votes(cast(on, "===")).preferences
    assert (row.rate, row.low, row.p, row.ties) == (None, None, None, 3)
    assert row.sentence.startswith("People prefer neither tuned nor base in any case; 3 ended in a tie")


def test_a_case_that_stands_twice_is_one_ballot_and_equal_answers_are_none() -> None:
    data = report(4).to_dict()
    data["examples"] += [data["examples"][0]]
    data["examples"][1]["answers"]["tuned"] = data["examples"][1]["answers"]["base"]
    data["examples"][2]["answers"]["base"] |= {"finish": "error", "text": "", "error": "the place is down"}
    found = ballots(data, BETWEEN)
    assert (len(found.all), found.alike, found.unanswered) == (2, 1, 1)


def test_of_several_samples_of_a_case_the_first_is_voted_on() -> None:
    data = report(4).to_dict()
    data["examples"] = [
        row | {"sample": sample, "index": row["index"] // 2}
        for row, sample in zip(data["examples"], (0, 1) * 2, strict=True)
    ]
    assert [ballot.row["sample"] for ballot in ballots(data, BETWEEN).all] == [0, 0]


def test_the_models_of_the_verdict_are_compared_where_none_are_named() -> None:
    data = report(30, base="yes", prompted="yes", tuned="no").to_dict()
    assert pair_of(data) == ("tuned", data["verdict"]["than"])
    assert pair_of(data, than="base") == ("tuned", "base")
    assert pair_of(data, "base") == ("base", "tuned")
    assert pair_of(data, than="tuned") == ("prompted", "tuned")
    for wrong in (("base", "base"), ("base", "none")):
        with pytest.raises(EvaluationError):
            pair_of(data, *wrong)


# People and judges


def test_a_judge_is_held_against_the_people_whoever_comes_first() -> None:
    on = report()
    court = Court(
        lambda asked: verdict(asked, better="first" if '"first": "yes' in asked.messages[1].text else "second")
    )
    people = cast(on, "t" * 15 + "b" * 5)
    first, last = PairwiseJudge(court).judged(on.with_votes(people)), PairwiseJudge(court).judged(on).with_votes(people)
    for found in (first, last):
        human, judge = sorted(found.preferences, key=lambda row: row.kind)
        assert (human.agreements, judge.wins, judge.losses) == ((), 20, 0)
        (agreed,) = judge.agreements
        assert (agreed["one"], agreed["other"], agreed["cases"], agreed["agreed"]) == ("judge-1", "people", 20, 15)
        assert agreed["kappa"] == 0
        assert agreed["kappa_low"] < 0 < agreed["kappa_high"]


def test_a_judge_that_scores_is_held_against_the_people_too() -> None:
    court = Court(lambda asked: verdict(asked, quality=5 if '"answer": "yes' in asked.messages[1].text else 2))
    on = report(by=Judge(court, {"quality": "how good it is"}))
    (row,) = on.with_votes(cast(on, "t" * 16 + "b" * 3 + "=")).preferences
    (agreed,) = row.agreements
    assert (agreed["one"], agreed["other"], agreed["cases"], agreed["agreed"]) == ("Judge", "people", 20, 16)


def test_two_people_are_held_against_each_other() -> None:
    on = report()
    (row,) = on.with_votes([*cast(on, "ttttbbbb==", "ada"), *cast(on, "ttttbbbb=t", "ben")]).preferences
    (agreed,) = row.agreements
    assert (agreed["one"], agreed["other"], agreed["cases"], agreed["agreed"]) == ("ada", "ben", 10, 9)
    assert agreed["kappa"] == pytest.approx(1 - 0.1 / (1 - (0.4 * 0.5 + 0.4 * 0.4 + 0.2 * 0.1)))


# Kept and shown


def test_votes_stay_with_a_report_that_is_saved(tmp_path: Path) -> None:
    on = report()
    found = on.with_votes(cast(on, "tb=", note="why"))
    again = Report.load(found.save(tmp_path / "report.json"))
    assert again.votes == found.votes
    assert again.preferences == found.preferences
    assert again.with_votes(cast(on, "tttt", "ben")).preferences[0].reviewers == ("ada", "ben")
    assert on.votes == ()


def test_the_page_and_the_terminal_show_what_people_prefer() -> None:
    on = report()
    found = on.with_votes([*cast(on, "tttttttttb"), *cast(on, "ttttttttbb", "<script>ben</script>")])
    page, text = html.render(found.to_dict()), terminal.text(found.to_dict())
    for shown in (page, text):
        assert "People prefer tuned to base in 8 of 9 decided cases" in " ".join(shown.split())
        assert "kappa" in shown
    assert "<script>ben" not in page
    assert "What people prefer" in page
    assert "people prefer" not in html.render(on.to_dict())


def test_a_report_with_votes_is_plain_data() -> None:
    on = report()
    found = PairwiseJudge(Court()).judged(on.with_votes(cast(on, "tb")))
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


@pytest.mark.parametrize("wrong", ["x", {}, {"ballot": "1"}, {"between": ["base"]}, {"more": 1}, None])
def test_what_is_no_vote_in_a_report_is_told(wrong: Any) -> None:
    data = report().to_dict()
    (vote,) = cast(report(), "t")
    data["votes"] = [vote.to_dict() | wrong if wrong == {"more": 1} else wrong]
    with pytest.raises(EvaluationError, match="no vote"):
        Report.from_dict(data).with_votes([])


# Kappa


def test_kappa_of_a_table_that_is_worked_out_in_books() -> None:
    """Cohen 1960's own kind of table; here 20, 5, 10, 15 of Cohen's kappa in Wikipedia's first example: 0.4."""
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(pairs).kappa == pytest.approx(0.4)


def test_full_agreement_has_an_interval_too_and_no_choice_no_kappa() -> None:
    found = cohen_kappa([("a", "a"), ("b", "b")] * 10)
    assert (found.kappa, found.kappa_high) == (1, 1)
    assert 0.6 < (found.kappa_low or 0) < 0.8
    assert cohen_kappa([("a", "a")] * 9).kappa is None
    assert cohen_kappa([]).rate is None


@pytest.mark.parametrize("margins", [(0.45, 0.35, 0.2), (0.8, 0.15, 0.05), (0.5, 0.5)])
@pytest.mark.parametrize("true", [0.0, 0.6, 0.95])
def test_the_interval_of_kappa_covers_what_it_says(margins: tuple[float, ...], true: float) -> None:
    share = np.array(margins)
    table = true * np.diag(share) + (1 - true) * np.outer(share, share)
    draw = np.random.default_rng(7)
    held = tried = 0
    for counts in draw.multinomial(40, table.ravel(), size=400):
        pairs = [divmod(cell, len(margins)) for cell, times in enumerate(counts) for _ in range(times)]
        found = cohen_kappa(pairs)
        if found.kappa_low is not None and found.kappa_high is not None:
            tried += 1
            held += found.kappa_low <= true + 1e-9 and found.kappa_high >= true - 1e-9
    assert held / tried > 0.92

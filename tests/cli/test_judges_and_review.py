"""Judges in a job file, and finetune review short of its page (that is in tests/review)."""

from __future__ import annotations

import json

import pytest

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluation import Report
from finetune_sdk.evaluation.judges import Judge
from finetune_sdk.jobfile import JobFile
from finetune_sdk.review import Review
from shell import JOB, Shell

JUDGED = JOB.replace(
    "  prompted:", "    - {kind: judge, model: echo, rubric: {kindness: it is polite}, passing: 3}\n  prompted:"
)


@pytest.fixture
def report(finetune: Shell) -> str:
    """A report of the job, saved."""
    assert finetune("run", "job.yaml", "--yes").status == 0
    return "triage-report.json"


def test_a_judge_of_a_job_file_asks_the_model_that_it_names(finetune: Shell) -> None:
    finetune.write("job.yaml", JUDGED)
    assert finetune("check", "job.yaml").status == 0
    assert finetune("run", "job.yaml", "--yes").status == 0
    found = Report.load(finetune.folder / "triage-report.json").to_dict()
    (judge,) = found["judges"]
    assert (judge["evaluator"], judge["model"]) == ("Judge", "echo")
    assert judge["answers"] == 3 * found["cases"]
    assert any("Judge could not judge" in note for note in found["notes"])


def test_a_judge_that_nobody_opened_can_be_made_and_not_asked(finetune: Shell) -> None:
    finetune.write("job.yaml", JUDGED)
    evaluation = JobFile.load(finetune.folder / "job.yaml").evaluation()
    assert evaluation is not None
    judge = evaluation.evaluators[-1]
    assert isinstance(judge, Judge)
    assert (dict(judge.rubric), judge.passing, judge.model.name) == ({"kindness": "it is polite"}, 3, "echo")
    with pytest.raises(EvaluationError, match="echo was not opened"):
        judge.model.answer("x")


def test_a_judges_place_that_is_not_there_is_told_before_anything_is_submitted(finetune: Shell) -> None:
    finetune.write("job.yaml", JUDGED.replace("model: echo", "model: echo, backend: nowhere"))
    ended = finetune("run", "job.yaml", "--yes")
    assert ended.status == 1
    assert "nowhere" in ended.err
    assert finetune.made == []


def test_judges_are_no_graders_and_no_guards(finetune: Shell) -> None:
    for line in (
        "guards: {best_by: [{kind: judge, model: echo}]}",
        "method: {kind: rft, graders: [{kind: judge, model: echo}]}",
    ):
        key = line.partition(":")[0]
        kept = [one for one in JOB.splitlines() if not one.startswith(key)]
        finetune.write("job.yaml", "\n".join([*kept, line]) + "\n")
        assert "judge" in finetune("estimate", "job.yaml").err


def test_votes_are_counted_into_the_report_and_its_page(finetune: Shell, report: str) -> None:
    review = Review(finetune.folder / report)
    while (shown := review.sheet("ada").ballot) is not None:
        review.vote("ada", shown["id"], "1")
    ended = finetune("review", report, "--count", "--json")
    assert ended.status == 0
    (row,) = ended.value["preferences"]
    assert row["votes"] == len(review) == ended.value["cases"]
    assert ended.value["reviewers"] == ["ada"]
    assert Report.load(finetune.folder / report).preferences[0].to_dict() == row
    assert "What people prefer" in (finetune.folder / "triage-report.html").read_text("utf-8")
    assert "What people prefer" not in finetune("report", report).out
    assert row["sentence"].partition(" in ")[0] in " ".join(finetune("report", report).out.split())


def test_the_report_with_the_votes_may_go_elsewhere(finetune: Shell, report: str) -> None:
    before = (finetune.folder / report).read_bytes()
    ended = finetune(
        "review", report, "--count", "--votes", "mine.db", "--report", "with.html", "--cases", "3", "--json"
    )
    assert ended.value["cases"] == 3
    assert ended.value["report"] == ["with.html"]
    assert (finetune.folder / report).read_bytes() == before
    assert (finetune.folder / "mine.db").exists()


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("nothing.json",), "cannot be read"),
        (("job.yaml",), "is not JSON"),
        (("{report}", "--better", "other"), "no model 'other'"),
        (("{report}", "--better", "base", "--than", "base"), "cannot be compared with itself"),
        (("{report}", "--report", "there/out.html"), "cannot be written"),
        (("{report}", "--report", "out.txt"), "would be no report"),
        (("{report}", "--votes", "job.yaml"), "job.yaml cannot be kept"),
        (("{report}", "--votes", "there/votes.db"), "cannot be kept"),
    ],
)
def test_what_cannot_be_reviewed_is_refused_by_name(
    finetune: Shell, report: str, args: tuple[str, ...], why: str
) -> None:
    ended = finetune("review", *(arg.format(report=report) for arg in args), "--no-open")
    assert ended.status == 1
    assert why in ended.err
    assert "cure:" in ended.err


def test_a_report_of_one_model_has_nothing_to_choose_between(finetune: Shell, report: str) -> None:
    data = json.loads((finetune.folder / report).read_text("utf-8"))
    data["models"] = data["models"][:1]
    finetune.write("one.json", json.dumps(data))
    assert "the report has 1 model, and votes are between two" in finetune("review", "one.json").err

"""finetune gate: the verdict as an exit status, from a report or from a job file whose report lies beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.evaluation.evaluation import Evaluation
from finetune_sdk.evaluation.evaluators import ExactMatch, Length
from finetune_sdk.messages import ChatExample, Message
from finetune_sdk.model import Answer, Recorded
from shell import JOB, Shell


def saved(folder: Path, cases: int = 60, name: str = "triage-report.json", **right: int) -> Path:
    rows = [ChatExample((Message("user", f"case {i}"), Message("assistant", "yes"))) for i in range(cases)]
    models: dict[str, Any] = {
        key: Recorded(key, [(row.prompt, Answer("yes" if i < count else "no")) for i, row in enumerate(rows)])
        for key, count in right.items()
    }
    evaluation = Evaluation(Dataset.of(rows), [Length(max_characters=9), ExactMatch()])
    return evaluation.run(**models).save(folder / name)


@pytest.mark.parametrize(
    ("right", "outcome", "status"),
    [
        ({"base": 20, "tuned": 50}, "pass", 0),
        ({"base": 50, "tuned": 20}, "fail", 1),
        ({"base": 20, "tuned": 23}, "not enough cases", 2),
    ],
)
def test_the_status_is_the_outcome(finetune: Shell, right: dict[str, int], outcome: str, status: int) -> None:
    saved(finetune.folder, **right)
    ended = finetune("gate", "triage-report.json", "--json")
    assert ended.status == status
    assert (ended.value["outcome"], ended.value["status"]) == (outcome, status)
    shown = finetune("gate", "triage-report.json")
    assert shown.status == status
    assert shown.out.lower().startswith(outcome)
    assert "On ExactMatch" in " ".join(shown.out.split())


def test_options_say_what_is_asked(finetune: Shell) -> None:
    saved(finetune.folder, base=20, previous=40, tuned=45)
    assert finetune("gate", "triage-report.json").status == 2
    asked = finetune(
        "gate", "triage-report.json", "--better", "tuned", "--than", "base", "--on", "ExactMatch", "--by", "0.1",
        "--without-losing", "Length=0.2", "--without-losing", "Length", "--margin", "0.1", "--alpha", "0.01", "--json",
    )  # fmt: skip
    assert asked.status == 0
    assert [(check["on"], check["above"]) for check in asked.value["checks"]] == [("ExactMatch", 0.1), ("Length", -0.1)]
    assert asked.value["alpha"] == 0.01


def test_a_job_file_holds_its_gate(finetune: Shell) -> None:
    saved(finetune.folder, base=20, previous=40, tuned=45)
    finetune.write("job.yaml", f"{JOB}  gate: {{than: base, by: 0.1, without_losing: {{Length: 0.1}}}}\n")
    ended = finetune("gate", "job.yaml", "--json")
    assert ended.status == 0, ended.err
    assert ended.value["than"] == "base"
    assert len(ended.value["checks"]) == 2
    assert finetune("gate", "job.yaml", "--by", "0.6").status == 1


def test_what_is_wrong_is_an_error_and_never_a_pass(finetune: Shell) -> None:
    assert finetune("gate", "absent.json").status == 1
    assert "finetune evaluate job.yaml" in finetune("gate", "job.yaml").err
    saved(finetune.folder, base=20, tuned=50)
    assert "no evaluator 'BLEU'" in finetune("gate", "triage-report.json", "--on", "BLEU").err
    assert "has no margin" in finetune("gate", "triage-report.json", "--without-losing", "Length=much").err
    saved(finetune.folder, tuned=50)
    assert finetune("gate", "triage-report.json").status == 1
    finetune.write("job.yaml", f"{JOB}  gate: {{then: base}}\n")
    assert "did you mean `than`?" in finetune("gate", "job.yaml").err

"""The way out of reinforcement: a job file that grades as the old one did, by evaluators or by the grader given whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import finetune_sdk as ft
from migrating import Finetune, lines, migrated
from provider import BASE, Provider

pytestmark = pytest.mark.usefixtures("home")
CHECK = {
    "type": "string_check", "name": "same", "input": "{{ sample.output_text }}", "reference": "{{item.answer}}",
    "operation": "eq",
}  # fmt: skip
PYTHON = {"type": "python", "name": "mine", "source": 'def grade(sample, item):\n    return 1.0  # "ü" \\ \n'}


def tasks(count: int, first: int = 0, **more: Any) -> bytes:
    rows = (
        {"messages": [{"role": "user", "content": f"{n} + 1?"}], "answer": str(n + 1), **more}
        for n in range(first, first + count)
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def reinforced(grader: dict[str, Any], **words: Any) -> dict[str, Any]:
    return {"type": "reinforcement", "reinforcement": {"grader": grader, "hyperparameters": {"n_epochs": 2, **words}}}


def test_a_grader_that_an_evaluator_judges_like_becomes_one(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(tasks(12), tasks(5, 40), method=reinforced(CHECK), seed=3)
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--json")
    assert ended.status == 0, ended.err
    here = migrated(tmp_path, job.id)
    assert yaml.safe_load((here / "job.yaml").read_text())["method"] == {
        "kind": "rft", "epochs": 2, "graders": [{"kind": "exact_match", "strip": False}],
    }  # fmt: skip
    assert ft.JobFile.load(here / "job.yaml").job().method == ft.RFT(epochs=2, graders=(ft.ExactMatch(strip=False),))
    assert json.loads((here / "grader.json").read_text()) == CHECK
    assert not any("grader" in one for one in ended.value["jobs"][0]["standing"])
    assert "grader" not in ft.Settings.load(file=here / "finetune.toml").places["mine"].get("rft", {})


def test_its_answers_are_recorded_beside_what_the_rows_expect(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(tasks(12), tasks(5, 40), method=reinforced(CHECK))
    assert finetune("migrate", "mine", job.id, "--to", "out").status == 0
    here = migrated(tmp_path, job.id)
    assert [row["messages"][-1]["content"] for row in lines(here / "cases.jsonl")] == [
        str(n + 1) for n in range(40, 45)
    ]
    assert len(lines(here / "recorded.jsonl")) == 5
    assert ft.JobFile.load(here / "job.yaml").evaluation() is not None


def test_the_migrated_job_runs_where_it_was_and_is_graded_as_it_was(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    for grader in (CHECK, PYTHON):
        job = provider.past(tasks(12), method=reinforced(grader, reasoning_effort="low"))
        assert finetune("migrate", "mine", job.id, "--to", "out").status == 0
        here = migrated(tmp_path, job.id)
        ran = finetune(
            "run",
            str(here / "job.yaml"),
            "--backend",
            "mine",
            "--config",
            str(here / "finetune.toml"),
            "--yes",
            "--json",
        )
        assert ran.status == 0, ran.err
        made = provider.posts("/fine_tuning/jobs")[-1].body["method"]["reinforcement"]
        wanted = {**CHECK, "name": "ExactMatch", "input": "{{sample.output_text}}"} if grader is CHECK else PYTHON
        assert made["grader"] == wanted
        assert (made["hyperparameters"]["n_epochs"], made["hyperparameters"]["reasoning_effort"]) == (2, "low")


@pytest.mark.parametrize(
    ("grader", "more"),
    [
        (PYTHON, {}),
        ({**CHECK, "operation": "like"}, {}),
        ({**CHECK, "input": "> {{sample.output_text}}"}, {}),
        ({**CHECK, "reference": "It is {{item.answer}}."}, {}),
        (CHECK, {"hint": "another text in every row"}),
    ],
    ids=["python", "like", "more than the answer", "more than the key", "two texts in a row"],
)
def test_a_grader_that_no_evaluator_judges_like_is_given_whole(
    provider: Provider, finetune: Finetune, tmp_path: Path, grader: dict[str, Any], more: dict[str, Any]
) -> None:
    job = provider.past(tasks(12, **more), method=reinforced(grader))
    (told,) = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"]
    here = migrated(tmp_path, job.id)
    assert yaml.safe_load((here / "job.yaml").read_text())["method"] == {"kind": "rft", "epochs": 2}
    place = ft.Settings.load(file=here / "finetune.toml").places["mine"]
    assert (place["rft"]["grader"], place["base"]) == (grader, BASE)
    assert any("given whole" in one for one in told["standing"])
    assert "given whole" in (here / "README.md").read_text()

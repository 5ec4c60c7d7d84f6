"""finetune evaluate: what it may cost, how long it may take, whether answers are kept, how often a case is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.jobfile import JobFile
from finetune_sdk.testing.speech import Echo
from shell import JOB, Shell


@pytest.fixture
def trained(finetune: Shell) -> Shell:
    finetune.write("job.yaml", JOB)
    assert finetune("run", "job.yaml", "--yes").status == 0
    return finetune


def report(shell: Shell) -> Any:
    return json.loads((shell.folder / "triage-report.json").read_text())


def test_a_cap_is_kept_where_answers_cost_nothing(trained: Shell) -> None:
    assert trained("evaluate", "job.yaml", "--max-cost", "0", "--timeout", "60").status == 0
    assert report(trained)["models"][0]["cost"]["usd"] == 0


def test_a_cap_without_a_price_is_refused_with_its_cure(trained: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Echo, "prices", ())
    ended = trained("evaluate", "job.yaml", "--max-cost", "5", "--json")
    assert ended.status == 1
    assert ended.value["error"]["type"] == "BudgetError"
    assert "base costs" in ended.value["error"]["message"]


@pytest.mark.parametrize("options", [("--max-cost", "-1"), ("--timeout", "0"), ("--timeout", "soon")])
def test_options_of_no_sense_are_refused(trained: Shell, options: tuple[str, str]) -> None:
    assert trained("evaluate", "job.yaml", *options).status in (1, 2)


def test_nothing_is_kept_with_no_cache(trained: Shell) -> None:
    file: Path = trained.folder / "home" / "answers.sqlite"
    assert file.exists()
    file.unlink()
    assert trained("evaluate", "job.yaml", "--no-cache").status == 0
    assert not file.exists()


def test_a_job_file_says_how_often_a_case_is_asked(trained: Shell) -> None:
    trained.write("job.yaml", f"{JOB}  samples: 3\n  temperature: 0.5\n")
    assert trained("evaluate", "job.yaml").status == 0
    data = report(trained)
    assert (data["samples"], len(data["examples"])) == (3, 3 * data["cases"])
    evaluation = JobFile.load(trained.folder / "job.yaml").evaluation()
    assert evaluation is not None
    assert evaluation.sampling is not None
    assert evaluation.sampling.temperature == 0.5


def test_samples_without_a_temperature_are_refused_before_anything_runs(trained: Shell) -> None:
    trained.write("job.yaml", f"{JOB}  samples: 3\n")
    ended = trained("evaluate", "job.yaml")
    assert ended.status == 1
    assert "one answer 3 times" in ended.err

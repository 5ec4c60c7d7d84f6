"""Models of one's own that the tuned one is compared with: another place's, the previous run's."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_sdk.evaluation.evaluation import Report
from finetune_sdk.jobfile import JobFile
from finetune_sdk.model import Origin, Recorded
from finetune_sdk.testing.speech import Echo
from shell import JOB, Shell

ELSEWHERE = '[backends.elsewhere]\nkind = "fake"\n'


def against(rivals: str, gate: str = "") -> str:
    return f"{JOB}  against: {rivals}\n{gate}"


def report(shell: Shell) -> Report:
    return Report.load(shell.folder / "triage-report.json")


@pytest.fixture
def elsewhere(finetune: Shell) -> Shell:
    """With a second place, whose settings are its own."""
    finetune.write("finetune.toml", ELSEWHERE)
    return finetune


def test_a_run_is_compared_with_the_models_that_its_file_names(elsewhere: Shell) -> None:
    gate = "  gate: {than: other, on: FieldMatch, by: -0.9}\n"
    elsewhere.write("job.yaml", against("{other: {model: echo, backend: elsewhere}}", gate))
    assert elsewhere("check", "job.yaml").status == 0
    assert elsewhere("run", "job.yaml", "--yes").status == 0
    found = report(elsewhere)
    assert found.models == ("base", "prompted", "other", "tuned")
    rows = {row["key"]: row for row in found.to_dict()["models"]}
    assert (rows["other"]["backend"], rows["other"]["base"]) == ("elsewhere", "echo")
    assert {pair["than"] for pair in found.to_dict()["comparisons"]} == {"base", "prompted", "other"}
    ended = elsewhere("gate", "job.yaml", "--json")
    assert (ended.value["better"], ended.value["than"]) == ("tuned", "other")


def test_the_previous_tuned_model_is_a_rival_by_its_run(finetune: Shell) -> None:
    first = finetune("run", "job.yaml", "--yes", "--json").value["run"]
    finetune.write("job.yaml", against(f"{{previous: {{model: '{first}'}}}}").replace("epochs: 2", "epochs: 3"))
    second = finetune("run", "job.yaml", "--yes", "--json").value["run"]
    assert first != second
    rows = {row["key"]: row for row in report(finetune).to_dict()["models"]}
    assert f"fake:{rows['previous']['run']}" == first or rows["previous"]["run"] == first
    assert rows["previous"]["run"] != rows["tuned"]["run"]
    assert report(finetune).to_dict()["origin"]["run"] == rows["tuned"]["run"]


def test_evaluate_adds_models_a_base_of_another_place_and_a_run(elsewhere: Shell) -> None:
    run = elsewhere("run", "job.yaml", "--yes", "--json").value["run"]
    ended = elsewhere("evaluate", "job.yaml", "--against", "other=elsewhere:echo", "--against", f"same={run}")
    assert ended.status == 0, ended.err
    found = report(elsewhere)
    assert found.models == ("base", "prompted", "other", "same", "tuned")
    rows = {row["key"]: row for row in found.to_dict()["models"]}
    assert (rows["other"]["run"], rows["same"]["run"]) == (None, rows["tuned"]["run"])


def test_a_cap_counts_what_rivals_cost(elsewhere: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert elsewhere("run", "job.yaml", "--yes").status == 0
    assert elsewhere("evaluate", "job.yaml", "--against", "other=elsewhere:echo", "--max-cost", "0").status == 0
    free = Echo("echo", Origin("fake", "echo")).prices
    monkeypatch.setattr(Echo, "prices", property(lambda self: () if self.origin.backend == "elsewhere" else free))
    ended = elsewhere("evaluate", "job.yaml", "--against", "other=elsewhere:echo", "--max-cost", "5", "--json")
    assert ended.value["error"]["type"] == "BudgetError"
    assert "other costs" in ended.value["error"]["message"]


@pytest.mark.parametrize("name", ["base", "prompted", "tuned", "cache", "max_cost"])
def test_a_name_that_is_taken_is_refused_with_its_line(finetune: Shell, name: str) -> None:
    finetune.write("job.yaml", against(f"{{{name}: {{model: echo}}}}"))
    ended = finetune("check", "job.yaml")
    assert (ended.status, "line 11" in ended.err, f"{name!r}" in ended.err) == (1, True, True)


@pytest.mark.parametrize(
    ("rivals", "said"),
    [
        ("{other: {modell: echo}}", "did you mean `model`?"),
        ("{split: {modell: echo, model: echo}}", "did you mean `model`?"),
        ("{other: echo}", "`evaluation.against.other`"),
        ("{other: {backend: fake}}", "`evaluation.against.other.model` is missing"),
        ("{}", "a table of at least one key"),
        ("{other: {model: ''}}", "a text that is not empty"),
    ],
)
def test_a_rival_that_makes_no_sense_is_named_with_its_cure(finetune: Shell, rivals: str, said: str) -> None:
    finetune.write("job.yaml", against(rivals))
    ended = finetune("check", "job.yaml")
    assert ended.status == 1
    assert said in " ".join(ended.err.split())


@pytest.mark.parametrize("rival", ["model: echo, backend: nowhere", "model: unheard-of", "model: 'fake:unheard-of'"])
def test_a_rival_that_is_not_there_is_told_before_anything_is_submitted(finetune: Shell, rival: str) -> None:
    finetune.write("job.yaml", against(f"{{other: {{{rival}}}}}"))
    ended = finetune("run", "job.yaml", "--yes")
    assert ended.status == 1
    assert "nowhere" in ended.err or "unheard-of" in ended.err
    assert finetune.made == []


def test_a_rival_that_was_trained_on_the_cases_is_told_before_anything_is_submitted(finetune: Shell) -> None:
    first = finetune("run", "job.yaml", "--yes", "--json").value["run"]
    before = len(finetune.made)
    file = against(f"{{previous: {{model: '{first}'}}}}").replace("seed: 7", "seed: 8")
    finetune.write("job.yaml", file)
    ended = finetune("run", "job.yaml", "--yes")
    assert ended.status == 1
    assert "stand in what previous was trained on" in " ".join(ended.err.split())
    assert len(finetune.made) == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("echo",), "write NAME=BACKEND:MODEL"),
        (("other=echo",), "write NAME=BACKEND:MODEL"),
        (("=fake:echo",), "write NAME=BACKEND:MODEL"),
        (("tuned=fake:echo",), "a model called 'tuned' already"),
        (("a=fake:echo", "a=fake:echo"), "a model called 'a' already"),
        (("of_file=fake:echo",), "a model called 'of_file' already"),
        (("a=nowhere:echo",), "nowhere"),
    ],
)
def test_what_names_no_model_is_refused(finetune: Shell, given: tuple[str, ...], said: str) -> None:
    assert finetune("run", "job.yaml", "--yes").status == 0
    finetune.write("job.yaml", against("{of_file: {model: echo}}"))
    ended = finetune("evaluate", "job.yaml", *(part for one in given for part in ("--against", one)))
    assert ended.status == 1
    assert said in " ".join(ended.err.split())


def test_from_python_who_opens_the_models_is_told_which(finetune: Shell) -> None:
    finetune.write("job.yaml", against("{other: {model: x, backend: y}, mine: {model: z}}"))
    asked: list[Any] = []

    def opened(name: str, place: str | None) -> Recorded:
        asked.append((name, place))
        return Recorded(name, [])

    file = JobFile.load(finetune.folder / "job.yaml")
    assert list(file.rivals(opened)) == ["other", "mine"]
    assert asked == [("x", "y"), ("z", None)]
    finetune.write("job.yaml", JOB)
    assert JobFile.load(finetune.folder / "job.yaml").rivals(opened) == {}

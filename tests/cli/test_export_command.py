"""`finetune export`: a folder that is whole, or a refusal that says why."""

from __future__ import annotations

import json

import pytest

from shell import Shell


@pytest.fixture
def run(finetune: Shell) -> str:
    return str(finetune("run", "job.yaml", "--yes", "--json").value["run"])


def test_a_run_is_exported_and_never_written_over(finetune: Shell, run: str) -> None:
    made = finetune("export", run, "--to", "out/triage", "--json")
    assert made.status == 0, made.err
    assert (made.value["run"], made.value["kind"]) == (run, "adapter")
    folder = finetune.folder / "out" / "triage"
    assert made.value["folder"] == str(folder)
    assert made.value["notes"]
    assert json.loads((folder / "manifest.json").read_text()) == made.value["manifest"]
    again = finetune("export", run, "--to", "out/triage", "--json")
    assert again.status == 1
    assert "is there already" in again.value["error"]["message"]
    assert [path.name for path in (finetune.folder / "out").iterdir()] == ["triage"]


def test_an_empty_folder_is_filled_and_a_file_is_not_touched(finetune: Shell, run: str) -> None:
    (finetune.folder / "empty").mkdir()
    assert "is in" in finetune("export", run, "--to", "empty").out
    refused = finetune("export", run, "--to", "tickets.jsonl", "--json")
    assert "tickets.jsonl is there already" in refused.value["error"]["message"]


def test_a_kind_that_the_place_has_not_is_refused_with_those_it_has(finetune: Shell, run: str) -> None:
    refused = finetune("export", run, "--to", "out", "--kind", "merged", "--json")
    assert (refused.status, refused.value["error"]["type"]) == (1, "UnsupportedError")
    assert "'merged'" in refused.value["error"]["message"]
    assert refused.value["error"]["cure"] == "it has adapter"
    assert not (finetune.folder / "out").exists()


def test_a_place_without_exports_says_why(finetune: Shell, run: str) -> None:
    finetune.place(without=["export"])
    refused = finetune("export", run, "--to", "out", "--json")
    assert refused.value["error"]["type"] == "UnsupportedError"
    assert "has no 'export': its settings take this away" in refused.value["error"]["message"]
    assert not (finetune.folder / "out").exists()

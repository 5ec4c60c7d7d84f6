"""The options of `finetune run` that decide whether anything is sent, and where to."""

from __future__ import annotations

from pathlib import Path

import pytest

from shell import JOB, Ended, Shell, tickets

LEAKING = JOB.replace(
    "data: tickets.jsonl\nsplit: {validation: 0.2, test: 0.3, seed: 7}\n",
    "train: tickets.jsonl\nvalidation: leak.jsonl\ntest: held-out.jsonl\n",
)


def submitted(finetune: Shell, *options: str) -> Ended:
    return finetune("run", "job.yaml", "--yes", "--detach", "--json", *options)


@pytest.fixture
def cancelled(finetune: Shell) -> str:
    """A run of the job that was cancelled."""
    finetune.place(seconds=20)
    run = submitted(finetune).value["run"]
    assert finetune("cancel", run, "--json").value["status"] == "cancelled"
    return str(run)


def test_again_after_a_cancelled_run_is_one_more_run_however_often_it_is_said(finetune: Shell, cancelled: str) -> None:
    refused = submitted(finetune)
    assert (refused.status, refused.value["error"]["type"]) == (1, "RunError")
    assert "again" in refused.value["error"]["cure"]
    assert finetune.made == [cancelled]
    once = submitted(finetune, "--again")
    assert once.status == 0, once.err
    assert once.value["run"] != cancelled
    twice = submitted(finetune, "--again")
    assert twice.value["run"] == once.value["run"]
    assert finetune.made == [once.value["run"], cancelled]
    assert [run["run"] for run in finetune("runs", "--json").value["runs"]] == finetune.made


def test_again_needs_a_yes_where_nobody_is_asked(finetune: Shell, cancelled: str) -> None:
    ended = finetune("run", "job.yaml", "--detach", "--json", "--again")
    assert ended.status == 1
    assert "--yes" in ended.value["error"]["cure"]
    assert finetune.made == [cancelled]


@pytest.mark.parametrize("options", [(), ("--again",)])
def test_after_a_reply_that_never_came_the_run_is_found(finetune: Shell, options: tuple[str, ...]) -> None:
    finetune.place(hang_up="after", visible_after=0.4)
    lost = submitted(finetune)
    assert (lost.status, lost.value["error"]["code"], lost.value["error"]["retryable"]) == (1, "hang_up", True)
    (run,) = finetune.made
    found = submitted(finetune, *options)
    assert found.status == 0, found.err
    assert found.value["run"] == run
    assert finetune.made == [run]


def test_rows_that_leak_are_refused_and_sent_when_they_are_allowed(finetune: Shell) -> None:
    finetune.write("job.yaml", LEAKING)
    finetune.write("leak.jsonl", tickets(range(3)))
    finetune.write("held-out.jsonl", tickets(range(100, 112)))
    refused = submitted(finetune)
    assert (refused.status, refused.value["error"]["type"]) == (1, "DatasetError")
    assert "3 validation rows are also in train" in refused.value["error"]["message"]
    assert finetune.made == []
    allowed = submitted(finetune, "--allow-leakage")
    assert allowed.status == 0, allowed.err
    assert finetune.made == [allowed.value["run"]]


def test_an_unknown_price_is_refused_under_any_cap_and_sent_without_one(finetune: Shell) -> None:
    finetune.place(usd_per_million="unknown")
    refused = submitted(finetune, "--max-cost", "1000000")
    assert (refused.status, refused.value["error"]["type"]) == (1, "BudgetError")
    assert "the charge is unknown" in refused.value["error"]["message"]
    assert finetune.made == []
    free = submitted(finetune)
    assert free.status == 0, free.err
    assert free.value["estimate"]["charge"]["high"] is None
    assert finetune.made == [free.value["run"]]


def test_a_cap_that_is_kept_is_no_hindrance(finetune: Shell) -> None:
    finetune.place(usd_per_million=8)
    high = submitted(finetune, "--max-cost", "10").value["estimate"]["charge"]["high"]
    assert 0 < high <= 10
    assert len(finetune.made) == 1


def test_config_is_read_in_place_of_the_nearest_file(finetune: Shell, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "other.toml"
    other.parent.mkdir()
    other.write_text('[backends.second]\nkind = "fake"\nbase = "shout"\n')
    ended = submitted(finetune, "--config", str(other), "--backend", "second")
    assert ended.status == 0, ended.err
    assert ended.value["backend"] == "second"
    assert ended.value["estimate"]["resolved"]["base"] == "shout"
    gone = submitted(finetune, "--config", "nope.toml")
    assert (gone.status, gone.value["error"]["type"]) == (1, "SettingsError")
    assert "nope.toml" in gone.value["error"]["message"]
    assert len(finetune.made) == 1

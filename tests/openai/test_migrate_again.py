"""The way out: however often the process dies, it goes on where it was."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from migrating import (
    HELD,
    HELDOUT,
    TRAIN,
    Finetune,
    asked,
    begun,
    downloads,
    first,
    killed_when,
    lines,
    migrated,
)
from provider import Provider

pytestmark = pytest.mark.usefixtures("home")


def test_called_again_it_fetches_nothing_and_asks_nothing(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, HELDOUT)
    assert finetune("migrate", "mine", job.id, "--to", "out").status == 0
    before = len(asked(provider)), downloads(provider), (migrated(tmp_path, job.id) / "recorded.jsonl").read_bytes()
    (migrated(tmp_path, job.id) / "job.yaml").write_text("name: mine, by hand\ntrain: train.jsonl\n")
    again = finetune("migrate", "mine", job.id, "--to", "out")
    assert again.status == 0
    assert before == (
        len(asked(provider)), downloads(provider), (migrated(tmp_path, job.id) / "recorded.jsonl").read_bytes()
    )  # fmt: skip
    assert "changed by hand" in again.out
    assert "by hand" in (migrated(tmp_path, job.id) / "job.yaml").read_text()
    other = finetune("migrate", "mine", job.id, "--to", "out", "--hold-out", "0.1")
    assert other.status == 1
    assert "would be paid for again" in other.err


def test_a_question_that_was_refused_is_asked_again_and_no_other(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, HELDOUT)
    refused = json.loads(HELDOUT.splitlines()[4])["messages"][-2]["content"]
    state = {"refusing": True}

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        if state["refusing"] and question["messages"][-1]["content"] == refused:
            raise ConnectionAbortedError
        return {"role": "assistant", "content": "{}"}

    provider.answer = answer
    text = (tmp_path / "finetune.toml").read_text().replace("patience = 5.0", "patience = 0.2")
    (tmp_path / "finetune.toml").write_text(text)
    (first_time,) = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"]
    assert first_time["answers"] == HELD - 1
    assert any("1 questions were not answered" in one for one in first_time["standing"])
    state["refusing"] = False
    before = len(asked(provider))
    (second_time,) = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"]
    assert second_time["answers"] == HELD
    assert asked(provider)[before:] == [refused]


def test_killed_while_answers_come_in_it_asks_for_none_of_them_again(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    held = first("tickets_heldout.jsonl", 60)
    job = provider.past(TRAIN, held)
    provider.answers_after = 0.1
    kept = migrated(tmp_path, job.id) / "recorded.jsonl"
    process = begun(tmp_path, "migrate", "mine", job.id, "--to", "out", "--yes")
    killed_when(process, lambda: kept.exists() and kept.read_bytes().count(b"\n") >= 10)
    time.sleep(0.3)
    there, fetched, before = kept.read_bytes().count(b"\n"), len(downloads(provider)), len(asked(provider))
    with kept.open("ab") as file:
        file.write(b'{"role": "tuned", "mod')  # as a kill in the middle of a write leaves it
    (done,) = finetune("migrate", "mine", job.id, "--to", "out", "--yes", "--json").value["jobs"]
    assert len(downloads(provider)) == fetched == 2
    assert done["answers"] == done["cases"]["rows"]
    assert len(asked(provider)) - before == done["answers"] - there
    assert before - there <= 8
    keys = [line["key"] for line in lines(kept)]
    assert len(keys) == len(set(keys))


def test_killed_while_a_file_comes_in_nothing_half_written_stays(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, HELDOUT)
    provider.late = 5.0
    provider.fault = lambda verb, path: "late" if path.endswith(f"{job.asked['validation_file']}/content") else None
    here = migrated(tmp_path, job.id)
    process = begun(tmp_path, "migrate", "mine", job.id, "--to", "out", "--yes")
    killed_when(process, lambda: any(here.glob(".validation.jsonl*.part")))
    assert not (here / "validation.jsonl").exists()
    provider.fault = lambda verb, path: None
    assert finetune("migrate", "mine", job.id, "--to", "out", "--yes").status == 0
    assert (here / "validation.jsonl").read_bytes() == HELDOUT
    assert downloads(provider).count(f"/files/{job.asked['training_file']}/content") == 1
    assert list(here.glob("*.part")) == list(here.glob(".*.part")) == []


@pytest.mark.parametrize("fault", ["cut", "reset_before", "500", "429_wait"])
def test_a_download_that_breaks_is_asked_for_again(
    provider: Provider, finetune: Finetune, tmp_path: Path, fault: str
) -> None:
    job = provider.past(TRAIN, HELDOUT)
    left = {"times": 2}

    def faults(verb: str, path: str) -> str | None:
        if path.endswith("/content") and left["times"]:
            left["times"] -= 1
            return fault
        return None

    provider.fault = faults
    assert finetune("migrate", "mine", job.id, "--to", "out").status in (0, 1)
    assert finetune("migrate", "mine", job.id, "--to", "out").status == 0
    assert (migrated(tmp_path, job.id) / "train.jsonl").read_bytes() == TRAIN


def test_two_processes_do_not_record_into_one_folder(provider: Provider, finetune: Finetune, tmp_path: Path) -> None:
    from finetune_sdk.migration import Folder

    job = provider.past(TRAIN, HELDOUT)
    with Folder.of(tmp_path / "out", job.id, provider.url).alone():
        ended = finetune("migrate", "mine", job.id, "--to", "out")
    assert ended.status == 1
    assert "another process is migrating" in ended.err


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_as_if_it_never_was(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    held, drawn, kills = first("tickets_heldout.jsonl", 60), random.Random(7), 0
    job = provider.past(TRAIN, held)
    provider.answers_after = 0.05
    here = migrated(tmp_path, job.id)
    for _ in range(8):
        process = begun(tmp_path, "migrate", "mine", job.id, "--to", "out", "--yes")
        try:
            process.wait(0.7 + drawn.random())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            kills += 1
        time.sleep(0.1)
    provider.answers_after = 0.0
    (done,) = finetune("migrate", "mine", job.id, "--to", "out", "--yes", "--json").value["jobs"]
    assert ((here / "train.jsonl").read_bytes(), (here / "validation.jsonl").read_bytes()) == (TRAIN, held)
    assert done["answers"] == done["cases"]["rows"]
    assert done["standing"] == []
    keys = [line["key"] for line in lines(here / "recorded.jsonl")]
    assert len(keys) == len(set(keys))
    assert len(asked(provider)) <= len(keys) + 8 * kills
    assert list(here.glob(".*.part")) == []
    assert ft.JobFile.load(here / "job.yaml").evaluation() is not None


def test_a_place_that_fails_again_and_again_is_left_alone(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, first("tickets_heldout.jsonl", 60))
    provider.fault = lambda verb, path: "500" if path == "/chat/completions" else None
    text = (tmp_path / "finetune.toml").read_text().replace("patience = 5.0", "patience = 0.1")
    (tmp_path / "finetune.toml").write_text(text)
    (told_of,) = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"]
    assert told_of["answers"] == 0
    assert len(told_of["unanswered"]) == told_of["cases"]["rows"]
    assert len(set(asked(provider))) < told_of["cases"]["rows"]
    provider.fault = lambda verb, path: None
    (told_of,) = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"]
    assert told_of["answers"] == told_of["cases"]["rows"]

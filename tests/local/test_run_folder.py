"""The folder of a run: what its events add up to, and who may be told to end."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk_local.runs import RunFolder


def folder(path: Path, events: list[tuple[float, str, dict[str, Any]]]) -> RunFolder:
    (path / "job.json").write_text("{}")
    lines = [json.dumps({"time": time, "kind": kind, "message": "", "data": data}) for time, kind, data in events]
    (path / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return RunFolder(path)


def test_the_time_between_a_death_and_a_resume_is_not_worked(tmp_path: Path) -> None:
    run = folder(
        tmp_path,
        [
            (1_000.0, "status", {"status": "running", "worker": 7}),
            (1_090.0, "metrics", {"step": 9}),
            (200_000.0, "status", {"status": "failed"}),
            (300_000.0, "status", {"status": "queued"}),
            (300_010.0, "status", {"status": "running", "worker": 8}),
            (300_050.0, "metrics", {"step": 12}),
        ],
    )
    assert run.worked_seconds(60.0) == 90.0 + 60.0


def test_a_run_whose_worker_is_gone_has_failed_and_says_after_which_step(tmp_path: Path) -> None:
    run = folder(tmp_path, [(1.0, "status", {"status": "running", "worker": 7}), (2.0, "metrics", {"step": 9})])
    run.started_mark.touch()
    status, why = run.status()
    assert status == "failed"
    assert "without a word after step 9" in why
    assert [event.data.get("status") for event in run.events()] == ["running", None, "failed"]


def test_a_death_is_told_on_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = folder(tmp_path, [(1.0, "status", {"status": "running", "worker": 7})])
    run.started_mark.touch()
    monkeypatch.setattr(RunFolder, "append", full)
    assert run.status()[0] == "failed"


def test_whoever_notes_a_death_is_not_taken_for_the_worker(tmp_path: Path) -> None:
    run = folder(tmp_path, [(1.0, "status", {"status": "running", "worker": 7})])
    with run.only_worker(sign=True):
        assert run.worker() == os.getpid()
    with run.only_worker():
        assert run.worker() is None


@pytest.mark.parametrize("tail", ['{"time": 3, "ki', "", '{"time": 3}'])
def test_an_event_that_was_half_written_is_neither_read_nor_built_upon(tmp_path: Path, tail: str) -> None:
    run = folder(tmp_path, [(1.0, "status", {"status": "running", "worker": 7})])
    with run.events_file.open("a") as file:
        file.write(tail)
    assert len(list(run.events())) == 1
    run.append("message", "hello")
    assert [event.kind for event in run.events()] == ["status", "message"]

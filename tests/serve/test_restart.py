"""A server that dies or is ended, and is started again: nothing is lost, and nothing runs twice."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from finetune_sdk.backend import Place
from finetune_sdk.testing import FakeBackend
from serving import Process, chats, run, start


@pytest.mark.slow
def test_a_killed_server_goes_on_with_what_ran_and_what_waited(tmp_path: Path) -> None:
    first = start(tmp_path, place=[("seconds", 3)])
    file = first.served.upload(chats())
    jobs = [first.served.tune(training_file=file) for _ in range(3)]
    first.served.until(jobs[0], lambda job: job.status == "running")
    first.kill()
    second = start(tmp_path, place=[("seconds", 3)])
    try:
        ended = [second.served.ended(job, 60) for job in jobs]
        assert [job.status for job in ended] == ["succeeded"] * 3, ended
        assert len(second.served.made) == 3
        said = second.served.said(jobs[0])
        assert len(said) == len(set(said)), "no event is told twice"
    finally:
        assert second.end() == 0


@pytest.mark.parametrize("dies", ["before", "after"])
def test_a_server_killed_between_the_send_and_the_answer_makes_one_run(tmp_path: Path, dies: str) -> None:
    first = start(tmp_path, place=[("dies", dies)])
    job = first.served.tune(chats())
    assert first.process.wait(20) == -signal.SIGKILL
    first.kill()
    second = start(tmp_path)
    try:
        assert second.served.ended(job).status == "succeeded"
        assert len(second.served.made) == 1
    finally:
        second.end()


@pytest.mark.slow
def test_a_server_killed_again_and_again_makes_one_run_for_each_job(tmp_path: Path) -> None:
    running: Process | None = None
    jobs = list[str]()
    for pause in (0.0, 0.05, 0.2, 0.4, 0.7):
        running = start(tmp_path, place=[("seconds", 0.5)])
        jobs += [running.served.tune(chats(24, 100 * len(jobs))) for _ in range(2)]
        time.sleep(pause)
        running.kill()
    running = start(tmp_path, place=[("seconds", 0.5)])
    try:
        assert {running.served.ended(job, 60).status for job in jobs} == {"succeeded"}
        assert len(running.served.made) == len(jobs)
    finally:
        running.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_ended_lets_its_runs_go_on(tmp_path: Path, number: int) -> None:
    first = start(tmp_path, place=[("seconds", 4)])
    job = first.served.tune()
    first.served.until(job, lambda found: found.status == "running")
    assert first.end(number) == 0
    assert "Traceback" not in first.errors.read_text()
    place = FakeBackend(Place("fake", {}, first.served.home))
    [run], until = place.runs(), time.monotonic() + 30
    while place.status(run) != "succeeded":
        assert time.monotonic() < until, "it did not go on by itself"
        time.sleep(0.05)
    second = start(tmp_path, place=[("seconds", 4)])
    try:
        assert second.served.ended(job).status == "succeeded"
        assert not any("resumed" in said for said in second.served.said(job))
        assert len(second.served.made) == 1
    finally:
        second.end()


@pytest.mark.slow
def test_what_was_paused_or_wished_for_outlives_the_server(tmp_path: Path) -> None:
    first = start(tmp_path, place=[("seconds", 20)])
    paused, waiting = first.served.tune(), first.served.tune()
    first.served.until(paused, lambda job: job.status == "running")
    assert first.served.client().fine_tuning.jobs.pause(paused).status == "paused"
    first.served.until(waiting, lambda job: job.status == "running")
    first.kill()
    second = start(tmp_path, place=[("seconds", 20)])
    try:
        client = second.served.client()
        assert client.fine_tuning.jobs.retrieve(paused).status == "paused"
        assert client.fine_tuning.jobs.cancel(waiting).status == "cancelled"
        assert client.fine_tuning.jobs.resume(paused).status == "queued"
        second.served.until(paused, lambda job: job.status == "running")
        assert client.fine_tuning.jobs.cancel(paused).status == "cancelled"
        assert len(second.served.made) == 2
    finally:
        second.end()


def test_a_half_written_file_of_a_killed_server_is_swept_away(tmp_path: Path) -> None:
    first = start(tmp_path)
    kept = first.served.upload(chats())
    first.kill()
    files = tmp_path / "home" / "serve" / "files"
    (files / "file-half.jsonl").write_text("half")
    second = start(tmp_path)
    try:
        assert [path.stem for path in files.iterdir()] == [kept]
        assert second.served.client().files.content(kept).content == chats()
    finally:
        second.end()


def test_two_servers_do_not_share_a_home(tmp_path: Path) -> None:
    first = start(tmp_path)
    try:
        second = run(tmp_path)
        assert second.returncode == 1
        assert "another server works in" in second.stderr
    finally:
        first.end()

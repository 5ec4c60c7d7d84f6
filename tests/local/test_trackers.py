"""Trackers are told of a run, and that is all they can do to it: none stops it, slows it or changes it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk_local import trackers
from finetune_sdk_local.runs import RunFolder
from watched import folder, losses, weights

JOB = {
    "name": "colours",
    "base": "tiny",
    "seed": 0,
    "own": {"device": "cpu", "dtype": "float32"},
    "method": {"kind": "sft"},
}
CLIENT = """
import json, os, sys, time
def say(word, *what):
    with open({told!r}, "a") as file:
        file.write(json.dumps([word, *what]) + "\\n")
def at(place):
    if place == {where!r}:
        {fault}
Settings = dict
class Run:
    def define_metric(self, *what, **how):
        pass
    def log(self, figures):
        at("log")
        say("log", figures)
    def finish(self, exit_code):
        at("finish")
        say("finish", exit_code)
def init(**options):
    at("init")
    say("init", options["config"])
    return Run()
at("import")
"""
Fake = Callable[..., Path]


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a client in the place of W&B's that writes down what it is told, and does `fault` at one place."""

    def make(where: str = "", fault: str = "pass") -> Path:
        told, package = tmp_path / "told", tmp_path / "site" / "wandb"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(CLIENT.format(told=str(told), where=where, fault=fault))
        monkeypatch.syspath_prepend(package.parent)
        return told

    return make


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of three steps and a validation."""
    where = tmp_path / "run"
    where.mkdir()
    (where / "job.json").write_text(json.dumps(JOB))
    (where / "events.jsonl").touch()
    run = RunFolder(where)
    run.append("status", "starting", {"status": "running"})
    for step in (1, 2, 3):
        run.append("metrics", "", {"step": step, "steps": 3, "loss": 1 / step})
    run.append("metrics", "", {"step": 3, "steps": 3, "validation_loss": 0.5})
    return run


def messages(run: RunFolder) -> list[str]:
    return [event.message for event in run.events() if event.kind == "message"]


def told(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def follow(run: RunFolder, monkeypatch: pytest.MonkeyPatch, patience: float = 60) -> None:
    monkeypatch.setattr(trackers, "PATIENCE", patience)
    trackers.Trackers(run, ["wandb"]).finish("succeeded")


def test_a_tracker_is_told_every_figure_once_and_how_the_run_ended(
    run: RunFolder, wandb: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run tells only what has happened since."""
    file = wandb()
    follow(run, monkeypatch)
    figures = [{"loss": 1.0, "step": 1}, {"loss": 0.5, "step": 2}, {"loss": 1 / 3, "step": 3}]
    logged = [*figures, {"validation_loss": 0.5, "step": 3}]
    settings = {"base": "tiny", "seed": 0, "device": "cpu", "dtype": "float32", "method.kind": "sft"}
    assert told(file) == [["init", settings], *[["log", each] for each in logged], ["finish", 0]]
    run.append("metrics", "", {"step": 4, "loss": 0.25})
    follow(run, monkeypatch)
    assert told(file)[6:] == [["init", settings], ["log", {"loss": 0.25, "step": 4}], ["finish", 0]]
    assert messages(run) == []


@pytest.mark.parametrize(
    ("where", "fault", "said"),
    [
        ("import", "raise RuntimeError('half an installation')", "RuntimeError: half an installation"),
        ("init", "raise ConnectionError('no way to https://me:hunter2@host')", "ConnectionError: no way to https://***@host"),
        ("log", "raise OSError(28, 'No space left on device')", "OSError: [Errno 28] No space left on device"),
        ("finish", "sys.exit(3)", "SystemExit: 3"),
        ("log", "os._exit(7)", "its process ended with 7"),
    ],
)  # fmt: skip
def test_a_tracker_that_fails_is_one_message_and_nothing_else(
    run: RunFolder, wandb: Fake, monkeypatch: pytest.MonkeyPatch, where: str, fault: str, said: str
) -> None:
    wandb(where, fault)
    follow(run, monkeypatch)
    assert messages(run) == [f"the tracker wandb failed: {said}; the run goes on without it"]


@pytest.mark.parametrize("where", ["import", "log", "finish"])
def test_a_tracker_that_hangs_is_ended_and_holds_nobody_up(
    run: RunFolder, wandb: Fake, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    wandb(where, "time.sleep(60)")
    started = time.monotonic()
    follow(run, monkeypatch, 0.5)
    assert time.monotonic() - started < 40
    assert messages(run) == ["the tracker wandb had not finished after 0.5 s and was ended"]


def test_a_tracker_ends_with_the_worker_that_was_killed(
    run: RunFolder, wandb: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = wandb()
    follower = trackers._start(run, "wandb")
    assert follower.stdin is not None
    follower.stdin.close()  # as the system does it
    assert follower.wait(60) == 0
    assert follower.stdout is not None
    follower.stdout.close()
    assert told(file)[-1] == ["finish", 1]


def test_a_client_that_is_not_installed_is_said_before_the_run_with_its_extra(
    small: str, home: Path, job: ft.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.parent / "trackio").mkdir()  # a folder of that name here is no package
    monkeypatch.setattr(sys, "path", [str(home.parent), *sys.path])
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    if (found := trackers.find_spec("trackio")) is not None and found.origin is not None:
        pytest.skip("trackio is installed here")
    places = {"local": {"base": small, "device": "cpu", "trackers": ["trackio"]}}
    client = ft.Client(settings=ft.Settings("local", home, places))
    with pytest.raises(ft.JobError, match="trackio among their trackers") as caught:
        client.submit(job)
    assert "finetune-anywhere[trackio]" in str(caught.value)
    assert client.backend.runs() == []


def test_a_tracker_that_nobody_knows_is_refused(small: str, home: Path) -> None:
    with pytest.raises(ft.SettingsError, match="trackers"):
        ft.Client(settings=ft.Settings("local", home, {"local": {"base": small, "trackers": ["excel"]}})).backend  # noqa: B018


def test_what_tensorboard_shows_is_what_the_run_reported_and_a_broken_client_beside_it_changes_nothing(
    client: ft.Client, job: ft.Job, tmp_path: Path, wandb: Fake
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain = client.submit(job)
    plain.wait(progress=False)
    wandb("import", "raise RuntimeError('half an installation')")
    options = {**client.settings.places["local"], "trackers": ["tensorboard", "wandb"]}
    tracked = ft.Client(settings=ft.Settings("local", tmp_path / "tracked", {"local": options}))
    run = tracked.submit(job)
    run.wait(progress=False)
    read = EventAccumulator(str(folder(tracked, run) / "tensorboard")).Reload()
    assert {s.step: s.value for s in read.Scalars("loss")} == pytest.approx(losses(run))
    assert [s.value for s in read.Scalars("validation_loss")] == pytest.approx(
        [value for _, value in run.curves()["validation_loss"]]
    )
    said = [event.message for event in run.events() if "tracker" in event.message]
    assert said == ["the tracker wandb failed: RuntimeError: half an installation; the run goes on without it"]
    assert losses(run) == losses(plain)
    one, two = (
        weights(folder(c, r) / "model" / "adapter_model.safetensors") for c, r in ((client, plain), (tracked, run))
    )
    assert all(one[name].equal(two[name]) for name in one)


def test_nothing_is_tracked_unless_it_is_asked_for() -> None:
    from finetune_sdk_local.options import Options

    assert Options.read(ft.Place("local", {}, Path("home"))).trackers == []

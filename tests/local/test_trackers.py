"""Trackers are told of a run, and that is all they can do to it: none stops it, slows it or changes it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
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
Make = Callable[..., RunFolder]


class Noted:
    """A tracker that keeps what it is told."""

    def __init__(self, run: RunFolder, job: Mapping[str, Any]) -> None:
        self.told: list[tuple[int, Mapping[str, float]]] = []
        self.status = ""
        made.append(self)

    def write(self, step: int, figures: Mapping[str, float], when: float) -> None:
        self.told.append((step, figures))

    def close(self, status: str) -> None:
        self.status = status


made: list[Noted] = []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    monkeypatch.setattr(trackers, "EVERY_SECONDS", 0.02)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of three steps and a validation."""
    import json

    (tmp_path / "job.json").write_text(json.dumps(JOB))
    (tmp_path / "events.jsonl").touch()
    run = RunFolder(tmp_path)
    run.append("status", "starting", {"status": "running"})
    for step in (1, 2, 3):
        run.append("metrics", "", {"step": step, "steps": 3, "loss": 1 / step})
    run.append("metrics", "", {"step": 3, "steps": 3, "validation_loss": 0.5})
    return run


def messages(run: RunFolder) -> list[str]:
    return [event.message for event in run.events() if event.kind == "message"]


def follow(run: RunFolder, monkeypatch: pytest.MonkeyPatch, tracker: Any) -> None:
    monkeypatch.setitem(trackers.OPEN, "wandb", tracker)
    trackers.Trackers(run, ["wandb"]).finish("succeeded")


def test_a_tracker_is_told_every_figure_of_every_step_and_how_it_ended(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(run, monkeypatch, Noted)
    assert made[0].told == [(1, {"loss": 1.0}), (2, {"loss": 0.5}), (3, {"loss": 1 / 3}), (3, {"validation_loss": 0.5})]
    assert made[0].status == "succeeded"
    assert messages(run) == []


def test_a_resumed_run_tells_only_what_is_new(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(run, monkeypatch, Noted)
    run.append("metrics", "", {"step": 4, "loss": 0.25})
    follow(run, monkeypatch, Noted)
    assert made[1].told == [(4, {"loss": 0.25})]


@pytest.mark.parametrize("where", ["__init__", "write", "close"])
@pytest.mark.parametrize(
    "fault", [ConnectionError("no way to https://user:hunter2@example.org"), OSError(28, "No space left"), SystemExit(1)],
    ids=lambda fault: type(fault).__name__,
)  # fmt: skip
def test_a_tracker_that_raises_is_one_message_and_nothing_else(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, where: str, fault: BaseException
) -> None:
    def failing(*_: Any) -> None:
        raise fault

    follow(run, monkeypatch, type("Failing", (Noted,), {where: failing}))
    (said,) = messages(run)
    assert said.startswith(f"the tracker wandb failed: {type(fault).__name__}")
    assert said.endswith("the run goes on without it")
    assert "hunter2" not in said


@pytest.mark.parametrize("where", ["__init__", "write", "close"])
def test_a_tracker_that_hangs_is_left_behind(run: RunFolder, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(trackers, "PATIENCE", 0.3)
    started = time.monotonic()
    follow(run, monkeypatch, type("Hanging", (Noted,), {where: lambda *_: time.sleep(30)}))
    assert time.monotonic() - started < 3
    assert messages(run) == ["the tracker wandb had not finished after 0.3 s and was left behind"]


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
    client: ft.Client, job: ft.Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain = client.submit(job)
    plain.wait(progress=False)
    broken = tmp_path / "site" / "wandb"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('half an installation')\n")
    monkeypatch.syspath_prepend(broken.parent)
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


def test_nothing_is_tracked_unless_it_is_asked_for(client: ft.Client, job: ft.Job) -> None:
    from finetune_sdk_local.options import Options

    assert Options.read(ft.Place("local", {}, Path("home"))).trackers == []

"""A run on this machine that has a price an hour: it watches its own cost, and ends where nobody waits."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk.history import compared
from finetune_sdk.spending import require_within
from finetune_sdk_local import meter
from finetune_sdk_local.runs import RunFolder
from watched import folder, saved_step, until, went_on_from

PRICE = 3600.0  # a dollar a second


@pytest.fixture
def priced(client: ft.Client) -> ft.Client:
    places = {"local": {**client.settings.places["local"], "usd_per_hour": PRICE}}
    return ft.Client(settings=replace(client.settings, places=places))


@pytest.fixture
def long_job(job: ft.Job) -> ft.Job:
    return replace(job, validation=None, method=ft.SFT(steps=100_000, batch_size=4, learning_rate=1e-3))


def test_a_clock_that_is_set_neither_ends_a_run_nor_makes_its_time_negative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path / "run")
    run.make({"machine": {"usd_per_hour": 2.0, "max_cost": 1.0}})
    watch = meter.Meter(run, time.monotonic())
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 5 * 3600)
    assert watch.over() == ""
    run.append("status", "starting", {"status": "running", "worker": 1})
    monkeypatch.setattr(time, "time", lambda: now)
    run.append("metrics", "", {"step": 1, "loss": 1.0})
    run.append("status", "failed", {"status": "failed"})
    assert run.seconds_so_far() == 0.0
    assert run.worked_seconds(0.0) >= 0.0


def spent(run: ft.Run) -> float:
    cost = run.spent().cost.expected
    assert cost is not None
    return cost


def test_a_run_ends_by_itself_above_its_cap_and_goes_on_with_a_higher_one(priced: ft.Client, long_job: ft.Job) -> None:
    run = priced.submit(long_job)
    until(lambda: bool(run.checkpoints()))
    cap = spent(run) + 0.2
    run.cap(cap)
    until(lambda: run.status.terminal)  # nobody waits
    assert run.status == "cancelled"
    last = [event for event in run.events() if event.kind == "status"][-1]
    assert "it has cost $" in last.message
    assert "above max_cost=$" in last.message
    assert cap < spent(run) < cap + 5
    assert spent(run) == spent(run)
    with pytest.raises(ft.RunError, match=r"was stopped \(cancelled\): it has cost \$.*above max_cost=\$") as no:
        run.wait(progress=False)
    assert f"finetune resume {run.id} --max-cost MORE" in str(no.value.cure)
    with pytest.raises(ft.BudgetError, match="above max_cost"):
        run.resume()
    before, step, told = spent(run), saved_step(priced, run), len(list(run.events()))
    run.resume(max_cost=before + 1000)
    until(lambda: any(event.kind == "metrics" for event in run.events(told)))
    assert spent(run) > before
    run.cancel()
    assert went_on_from(run) == [step]


def test_a_cap_comes_with_the_submission(priced: ft.Client, long_job: ft.Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an estimate that was far too low."""
    monkeypatch.setattr("finetune_sdk.client.require_within", lambda estimate, max_cost: None)
    run = priced.submit(long_job, max_cost=0.5)
    machine = json.loads((folder(priced, run) / "job.json").read_text())["machine"]
    assert (machine["max_cost"], machine["usd_per_hour"]) == (0.5, PRICE)
    until(lambda: run.status.terminal)
    assert run.status == "cancelled"
    assert "above max_cost=$0.5" in [event.message for event in run.events() if event.kind == "status"][-1]


def test_the_estimate_of_a_priced_machine_counts_under_the_cap(priced: ft.Client, job: ft.Job) -> None:
    estimate = priced.estimate(job)
    assert estimate.machine.high
    assert estimate.charge.high == 0
    with pytest.raises(ft.BudgetError, match="high end is above max_cost"):
        require_within(estimate, estimate.machine.high * 0.99)
    with pytest.raises(ft.BudgetError, match="high end is above max_cost"):
        priced.submit(job, max_cost=0.01)
    assert priced.ledger.entries() == []


def test_what_the_machine_cost_is_among_the_actual_figures(priced: ft.Client, job: ft.Job) -> None:
    short = replace(job, validation=None, method=ft.SFT(steps=2, batch_size=4))
    run = priced.submit(short, max_cost=1_000_000)
    run.wait(progress=False)
    actual = run.result().actual
    assert actual["charge"] == 0
    assert actual["machine"] == pytest.approx(actual["time"] / 3600 * PRICE)
    assert spent(run) == pytest.approx(actual["machine"], abs=1.0)
    assert run.entry
    assert {"machine", "time"} <= {one.figure for one in compared([run.entry])}


def test_sessions_are_summed_up_as_they_said_or_else_from_event_to_event(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.make({"machine": {"usd_per_hour": 36.0, "max_cost": 1.0}})
    told = [
        (100, "status", {"status": "running", "worker": 1}),
        (130, "metrics", {"step": 1}),
        (131, "status", {"status": "cancelled", "worked": 31.5}),
        (140, "message", {}),  # of a tracker, after the end
        (900, "status", {"status": "queued"}),
        (1000, "status", {"status": "running", "worker": 2}),
        (1007, "metrics", {"step": 2}),
        (5000, "status", {"status": "failed"}),  # found by somebody long after it was killed
    ]
    lines = [json.dumps({"time": at, "kind": kind, "message": "", "data": data}) for at, kind, data in told]
    run.events_file.write_text("".join(f"{line}\n" for line in lines))
    assert run.seconds_so_far() == 31.5 + 7
    assert meter.spent(run).cost.expected == pytest.approx(38.5 / 100)
    assert meter.Meter(run, 0.0).over().startswith("it has cost $")
    run.cap(None)
    assert meter.Meter(run, 0.0).over() == ""

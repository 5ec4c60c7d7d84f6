"""What a run spends while it runs: warned about above its estimate, stopped above its cap, and nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.spending import dollars, require_within, so_far, whole
from place import Open

DEAR = {"seconds": 0.7, "overrun": 4.0, "usd_per_million": 1000.0}
WITHOUT = {**DEAR, "without": ["spent"]}


def cap_of(client: ft.Client, job: ft.Job) -> float:
    high = client.estimate(job).charge.high
    assert high
    return high


@pytest.mark.parametrize("options", [DEAR, WITHOUT], ids=["the place says", "its events say"])
def test_a_run_is_stopped_above_its_cap_and_goes_on_with_a_higher_one(
    at: Open, job: ft.Job, options: Mapping[str, Any]
) -> None:
    client = at(**options)
    cap = cap_of(client, job)
    run = client.submit(job, max_cost=cap)
    with pytest.raises(
        ft.RunError, match=r"was stopped \(cancelled\): it has cost \$.*above max_cost=.*estimated"
    ) as no:
        run.wait(10, progress=False)
    assert f"finetune resume {run.id} --max-cost MORE" in str(no.value.cure)
    assert run.status == "cancelled"
    cost = run.spent().cost.expected
    assert cost is not None
    assert cap < cost < 4 * cap
    with pytest.raises(ft.BudgetError, match="above max_cost"):
        run.resume()
    with pytest.raises(ft.BudgetError, match="above max_cost"):
        run.resume(max_cost=cap * 1.01)
    assert run.status == "cancelled"
    assert run.resume(max_cost=10 * cap).wait(10, progress=False)
    assert run.max_cost == 10 * cap


@pytest.mark.parametrize("options", [DEAR, WITHOUT], ids=["the place says", "its events say"])
def test_without_a_cap_a_run_is_warned_about_once_and_never_stopped(
    at: Open, job: ft.Job, options: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = at(**options).submit(job)
    with caplog.at_level(logging.WARNING, "finetune_sdk"):
        run.wait(10, progress=False)
    said = [record.getMessage() for record in caplog.records]
    assert sum("has cost" in line and "above its estimate" in line for line in said) == 1
    assert sum("has worked for" in line and "above its estimate" in line for line in said) == 1


def test_a_run_within_its_estimate_is_not_talked_about(at: Open, job: ft.Job, caplog: pytest.LogCaptureFixture) -> None:
    client = at(seconds=0.5, usd_per_million=1000.0)
    with caplog.at_level(logging.WARNING, "finetune_sdk"):
        client.submit(job, max_cost=cap_of(client, job)).wait(10, progress=False)
    assert caplog.records == []


def test_a_cap_that_nobody_can_watch_is_said_to_be_so(
    at: Open, job: ft.Job, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = at(seconds=0.8, usd_per_million=1.0)
    mute = ft.Spent(ft.Range.unknown("USD", "it tells nothing"), ft.Range.exactly(0.0, "s", "a clock"))
    monkeypatch.setattr("finetune_sdk.testing.FakeBackend.spent", lambda self, run: mute)
    run = client.submit(job, max_cost=1.0)
    with caplog.at_level(logging.WARNING, "finetune_sdk"):
        run.wait(10, progress=False)
    assert [
        ("it tells nothing" in one.getMessage(), "max_cost=$1.00" in one.getMessage()) for one in caplog.records
    ] == [(True, True)]


def test_the_same_job_with_another_cap_is_the_same_run_under_that_cap(at: Open, job: ft.Job) -> None:
    client = at(seconds=5.0, usd_per_million=1.0)
    run = client.submit(job, max_cost=1.0)
    assert run.max_cost == 1.0
    assert client.submit(job).id == run.id
    assert run.max_cost == 1.0
    assert client.submit(job, max_cost=0.5).id == run.id
    assert run.max_cost == 0.5
    run.cancel()


def test_a_cap_is_no_part_of_what_a_job_is(at: Open, job: ft.Job) -> None:
    resolved = at().resolve(job)
    assert replace(resolved, max_cost=3.0).token("here", 1) == resolved.token("here", 1)


def test_the_machines_own_cost_counts_where_its_price_is_known(at: Open, job: ft.Job) -> None:
    free = at().estimate(job)
    priced = replace(free, machine=ft.Range(0.5, 1.0, 2.0, "USD", "$1 an hour"))
    require_within(free, 0)
    assert whole(free).high == 0
    with pytest.raises(ft.BudgetError, match=r"\$0.50 - \$2.00, and its high end is above max_cost=\$1.99"):
        require_within(priced, 1.99)
    require_within(priced, 2.0)


def test_time_in_which_a_run_lay_ended_or_paused_is_not_worked(at: Open, job: ft.Job) -> None:
    told = [(0, "running"), (10, "paused"), (50, "running"), (60, "failed"), (500, "queued"), (505, "running")]
    events = [ft.Event(number, at, "status", data={"status": word}) for number, (at, word) in enumerate(told, 1)]
    estimate = at().estimate(job)
    assert so_far(events, ft.Status("running"), estimate, 507.0).time.expected == 10 + 10 + 5 + 2
    assert so_far(events[:4], ft.Status("failed"), estimate, 507.0).time.expected == 20


def test_what_a_run_of_elsewhere_costs_is_unknown_and_nobody_keeps_its_cap(at: Open, home: Any, job: ft.Job) -> None:
    client = at(without=["spent"])
    key = client.backend.submit(client.resolve(job), "0" * 32)
    run = client.get_run(f"fake:{key}")
    assert not run.spent().cost.known
    with pytest.raises(ft.BudgetError, match="submitted elsewhere"):
        run.cap(1.0)
    assert run.wait(10, progress=False)


def test_a_run_that_has_ended_spends_no_more(at: Open, job: ft.Job) -> None:
    run = at(seconds=0.1, usd_per_million=1.0).submit(job)
    run.wait(10, progress=False)
    before = run.spent()
    time.sleep(0.05)
    assert run.spent() == before
    assert before.time.expected == pytest.approx(0.1)


def test_small_sums_have_their_digits() -> None:
    assert [dollars(usd) for usd in (0, 0.00123456, 0.5, 12.3456)] == ["$0.00", "$0.00123", "$0.5", "$12.35"]


def test_a_submission_that_nobody_received_leaves_neither_its_cap_nor_its_estimate(at: Open, job: ft.Job) -> None:
    with pytest.raises(ft.BackendError):
        at(**DEAR, hang_up="before", visible_after=0.0).submit(job, max_cost=cap_of(at(**DEAR), job))
    dearer = at(**{**DEAR, "overrun": 1.0, "usd_per_million": 50_000.0, "visible_after": 0.0})
    charge = dearer.estimate(job).charge
    run = dearer.submit(job)
    assert run.max_cost is None
    assert run.estimate is not None
    assert run.estimate.charge == charge
    assert run.wait(10, progress=False)


def test_a_cap_is_kept_against_what_the_job_costs_when_it_is_sent_at_last(at: Open, job: ft.Job) -> None:
    cap = cap_of(at(**DEAR), job)
    with pytest.raises(ft.BackendError):
        at(**DEAR, hang_up="before", visible_after=0.0).submit(job, max_cost=cap)
    dearer = at(**{**DEAR, "usd_per_million": 50_000.0, "visible_after": 0.0})
    with pytest.raises(ft.BudgetError, match="above max_cost"):
        dearer.submit(job, max_cost=cap)


@pytest.mark.parametrize("nonsense", [float("inf"), 10**400, float("nan"), -1.0, True, "10"])
def test_a_cap_that_is_no_sum_is_refused(at: Open, job: ft.Job, nonsense: Any) -> None:
    with pytest.raises(ft.BudgetError, match="no sum of money"):
        at().submit(job, max_cost=nonsense)

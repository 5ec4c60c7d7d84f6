"""What a job has cost so far at a place of the protocol, and what becomes of one that costs more than its cap."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from openai.types.fine_tuning import FineTuningJob
from openai.types.fine_tuning.fine_tuning_job import Method

import finetune_sdk as ft
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.options import Options
from finetune_sdk_openai.spending import spent
from finetune_sdk_openai.tariffs import Tariff
from opened import Opened
from protocol_data import chats
from provider import Provider
from training import Training

PRICED = {"usd_per_million": 100.0, "priced": datetime(2026, 8, 1, tzinfo=UTC).date()}


def test_a_job_that_tells_its_tokens_is_paused_above_its_cap_and_goes_on_with_a_higher_one(
    provider: Provider, at: Opened, job: ft.Job
) -> None:
    client = at(**PRICED)
    high = client.estimate(job).charge.high
    assert high
    provider.seconds, provider.bills = 2.5, 6.0
    run = client.submit(job, max_cost=high)
    with pytest.raises(ft.RunError, match=r"was stopped \(paused\): it has cost \$.*above max_cost=") as no:
        run.wait(20, progress=False)
    assert provider.jobs[run.key].status == "paused"
    assert f"finetune resume {run.id} --max-cost MORE" in str(no.value.cure)
    cost = run.spent().cost.expected
    assert cost is not None
    assert cost > high
    with pytest.raises(ft.BudgetError, match="above max_cost"):
        run.resume()
    assert provider.jobs[run.key].status == "paused"
    assert run.resume(max_cost=100 * high).wait(20, progress=False)
    assert run.entry
    assert run.entry.resumed


def test_a_place_that_refuses_to_pause_is_told_to_cancel(
    provider: Provider, at: Opened, job: ft.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = at(**PRICED)
    high = client.estimate(job).charge.high
    assert high
    provider.seconds, provider.bills = 2.5, 6.0
    monkeypatch.setattr(Training, "pause", lambda self: False)
    run = client.submit(job, max_cost=high)
    with pytest.raises(ft.RunError, match=r"was stopped \(cancelled\)") as no:
        run.wait(20, progress=False)
    assert provider.jobs[run.key].status == "cancelled"
    assert "submit(job, again=True, max_cost=MORE)" in str(no.value.cure)


def test_a_job_that_tells_no_tokens_is_not_stopped_and_that_is_said(
    provider: Provider, at: Opened, job: ft.Job, caplog: pytest.LogCaptureFixture
) -> None:
    provider.seconds = 0.8
    with caplog.at_level(logging.WARNING, "finetune_sdk"):
        assert at(**PRICED).submit(job, max_cost=5.0).wait(20, progress=False)
    assert ["the place tells no tokens before the end" in one.getMessage() for one in caplog.records] == [True]


def test_a_place_that_charges_nothing_has_cost_nothing(at: Opened, job: ft.Job) -> None:
    run = at().submit(job, max_cost=0.0)
    assert run.spent().cost.high == 0
    run.wait(20, progress=False)
    assert run.spent().cost.high == 0


def told(seconds: int, **more: Any) -> FineTuningJob:
    """A job of OpenAI's that was made so long ago."""
    return FineTuningJob.model_construct(
        id="ftjob-1", model="o4-mini-2025-04-16", created_at=int(time.time()) - seconds, finished_at=None,
        status="running", trained_tokens=None, **more,
    )  # fmt: skip


@pytest.fixture
def official(home: Path) -> Tariff:
    options = Options.read(ft.Place("openai", {}, home))
    return Tariff("openai", Address.read(options, "openai"), options, datetime(2026, 8, 1, tzinfo=UTC).date())


def test_reinforcement_is_billed_by_the_hour_from_its_first_step_without_pauses(
    official: Tariff,
) -> None:
    method = FineTuningJob.model_construct(type="reinforcement")
    job, now = told(7200, method=method), time.time()
    events = [
        ft.Event(1, now - 7200, "message", "Created fine-tuning job"),
        ft.Event(2, now - 5400, "metrics", "Step 1", {"step": 1}),
        ft.Event(3, now - 3600, "message", "The job has been paused"),
        ft.Event(4, now - 1800, "message", "The job has been resumed"),
        ft.Event(5, now - 10, "metrics", "Step 2", {"step": 2}),
    ]
    found = spent(job, events, official)
    assert found.cost.expected == pytest.approx(100.0, rel=0.01)  # an hour at $100: 5400 s less 1800 s
    assert found.time.expected == pytest.approx(5400, rel=0.01)
    assert "an hour" in found.cost.basis


def test_hours_that_began_with_no_step_that_was_told_are_unknown_and_not_nothing(official: Tariff) -> None:
    job = told(7200, method=FineTuningJob.model_construct(type="reinforcement"))
    afterwards = ft.Event(1, float(job.created_at) + 7200, "metrics", "step 1, from the result file", {"step": 1})
    for events in ([], [afterwards]):
        assert not spent(job, events, official).cost.known


def test_tokens_are_those_that_were_billed_or_told_whichever_is_more(official: Tariff) -> None:
    job = told(60, method=FineTuningJob.model_construct(type="supervised"))
    job.model = "gpt-4.1-2025-04-14"
    few = [ft.Event(1, time.time(), "metrics", "", {"step": 1, "trained_tokens": 1_000_000})]
    once = spent(job, few, official).cost.expected
    assert once
    job.trained_tokens = 2_000_000
    assert spent(job, few, official).cost.expected == pytest.approx(2 * once)
    job.model = "a-model-that-nobody-knows"
    assert not spent(job, few, official).cost.known


def test_actual_tokens_and_charges_of_finished_jobs_are_compared(provider: Provider, at: Opened) -> None:
    from finetune_sdk.history import compared

    client = at()
    run = client.submit(ft.Job(name="numbers", train=chats(12), method=ft.SFT(epochs=2)))
    while not run.status.terminal:
        time.sleep(0.05)
    assert client.catch_up() == []
    assert {one.figure for one in compared(client.ledger.entries())} >= {"tokens"}


def test_a_model_that_grades_is_said_to_come_on_top(official: Tariff) -> None:
    asked = [{"role": "user", "content": "Good?"}]
    grader = {"type": "score_model", "name": "a", "model": "gpt-4.1-2025-04-14", "input": asked}
    begun = [ft.Event(1, time.time() - 3600, "metrics", "Step 1", {"step": 1})]

    def basis(grader: dict[str, Any]) -> str:
        method = {"type": "reinforcement", "reinforcement": {"grader": grader}}
        found = spent(told(7200, method=Method.model_validate(method)), begun, official)
        assert found.cost.known
        return found.cost.basis

    assert "on top" in basis(grader)
    plain = {"type": "string_check", "name": "a", "input": "a", "reference": "b", "operation": "eq"}
    assert "on top" not in basis(plain)

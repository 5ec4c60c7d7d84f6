"""What a client does when it cannot know whether a run was made: it asks the place, and never pays twice.

The fake place is careless: whoever sends a token twice has two runs there.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from finetune_sdk.client import Client
from finetune_sdk.errors import (
    BackendError,
    BudgetError,
    MissingDependencyError,
    RefusedError,
    RunError,
    UnsupportedError,
)
from finetune_sdk.job import Job
from finetune_sdk.testing import FakeBackend
from place import Made, Open


def states(client: Client) -> list[tuple[int, str]]:
    """The attempt and the state of each submission in the ledger, the newest first."""
    return [(entry.attempt, entry.state) for entry in client.ledger.entries()]


def sent(client: Client, job: Job) -> str:
    """A run with the token of the job's first attempt, of which this ledger knows nothing."""
    resolved = client.resolve(job)
    return client.backend.submit(resolved, resolved.token(client.backend.address, 1))


def failing(fault: BaseException, *, after: bool) -> Callable[..., str]:
    """A `submit` that fails for a reason of its own, before or after it made the run."""
    submit = FakeBackend.submit

    def failed(backend: FakeBackend, resolved: Any, token: str) -> str:
        if after:
            submit(backend, resolved, token)
        raise fault

    return failed


# -- the reply never came -----------------------------------------------------------------------------------------------


def test_a_reply_that_never_came_is_found_at_once(at: Open, job: Job, made: Made) -> None:
    run = at(hang_up="after").submit(job)
    assert made() == [run.key]


@pytest.mark.parametrize("again", [False, True])
def test_a_reply_that_never_came_does_not_pay_twice(at: Open, job: Job, made: Made, again: bool) -> None:
    place: dict[str, Any] = {"hang_up": "after", "visible_after": 0.4}
    with pytest.raises(BackendError, match="hung up after"):
        at(**place).submit(job)
    assert len(made()) == 1
    assert states(at()) == [(1, "unknown")]
    run = at(**place).submit(job, again=again)
    assert made() == [run.key]
    assert states(at()) == [(1, "sent")]
    assert at(**place).submit(job, again=again).id == run.id
    assert made() == [run.key]


@pytest.mark.parametrize("again", [False, True])
def test_a_send_that_never_arrived_is_sent_again_as_the_same_attempt(
    at: Open, job: Job, made: Made, again: bool
) -> None:
    with pytest.raises(BackendError, match="hung up before") as caught:
        at(hang_up="before", visible_after=0.2).submit(job)
    assert caught.value.retryable
    assert made() == []
    assert states(at()) == [(1, "unknown")]
    started = time.monotonic()
    run = at(visible_after=0.2).submit(job, again=again)
    assert time.monotonic() - started < 5
    assert made() == [run.key]
    (entry,) = at().ledger.entries()
    assert (entry.state, entry.attempt, entry.run) == ("sent", 1, run.key)


def test_nothing_is_sent_while_a_run_may_still_show_up(at: Open, job: Job, made: Made) -> None:
    with pytest.raises(BackendError):
        at(hang_up="before", visible_after=0.5).submit(job)
    doubted = at().ledger.entries()[0].updated
    run = at(visible_after=0.5).submit(job)
    assert run.entry is not None
    assert made() == [run.key]
    assert next(iter(run.events())).time >= doubted + 0.5


# -- the process was gone, or the backend fell over -----------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True])
def test_an_intent_of_long_ago_may_have_been_sent_a_moment_ago(
    at: Open, job: Job, made: Made, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """The process died at the end of a long upload: its intent is old, its run so young that `find` has not got it."""
    client = at(visible_after=0.4)
    with monkeypatch.context() as now:
        now.setattr(FakeBackend, "submit", failing(KeyboardInterrupt(), after=False))
        with pytest.raises(KeyboardInterrupt):
            client.submit(job)
    with closing(sqlite3.connect(client.ledger.path)) as connection, connection:
        connection.execute("UPDATE submissions SET updated = updated - 600, created = created - 600")
    assert states(client) == [(1, "intent")]
    arrived = sent(client, job)
    assert at(visible_after=0.4).submit(job, again=again).key == arrived
    assert made() == [arrived]
    assert states(client) == [(1, "sent")]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("fault", [KeyError("id"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize(("after", "visible_after"), [(True, 0.0), (True, 0.3), (False, 0.3)])
def test_a_backend_that_falls_over_around_the_send_leaves_one_run(
    at: Open, job: Job, made: Made, monkeypatch: pytest.MonkeyPatch,
    fault: BaseException, after: bool, visible_after: float, again: bool,
) -> None:  # fmt: skip
    client = at(visible_after=visible_after)
    with monkeypatch.context() as now:
        now.setattr(FakeBackend, "submit", failing(fault, after=after))
        with pytest.raises(type(fault)):
            client.submit(job)
    assert states(client) == [(1, "intent")]
    assert len(made()) == after
    run = client.submit(job, again=again)
    assert made() == [run.key]
    assert states(client) == [(1, "sent")]


def test_a_place_that_cannot_be_asked_stays_in_doubt(
    at: Open, job: Job, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(backend: FakeBackend, token: str) -> list[str]:
        raise BackendError("the place is down.", retryable=True)

    with monkeypatch.context() as now:
        now.setattr(FakeBackend, "find", down)
        with pytest.raises(BackendError, match="hung up after"):
            at(hang_up="after").submit(job)
        with pytest.raises(BackendError, match="the place is down"):
            at().submit(job)
    assert states(at()) == [(1, "unknown")]
    run = at().submit(job)
    assert made() == [run.key]


# -- refused ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [UnsupportedError("not here."), MissingDependencyError("x", extra="y")], ids=repr)
def test_what_a_place_refuses_is_kept_as_refused_and_may_be_sent_again_at_once(
    at: Open, job: Job, made: Made, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    client = at(visible_after=60)
    with monkeypatch.context() as now:
        now.setattr(FakeBackend, "submit", failing(fault, after=False))
        for _ in range(2):
            with pytest.raises(type(fault)):
                client.submit(job)
    assert made() == []
    assert states(client) == [(1, "refused")]
    assert client.runs() == []
    started = time.monotonic()
    run = client.submit(job)
    assert time.monotonic() - started < 5
    assert made() == [run.key]
    assert states(client) == [(1, "sent")]


def test_a_place_that_makes_a_run_and_says_no_is_not_paid_twice(
    at: Open, job: Job, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as now:
        now.setattr(FakeBackend, "submit", failing(BudgetError("too dear."), after=True))
        with pytest.raises(BudgetError):
            at().submit(job)
    run = at().submit(job)
    assert made() == [run.key]


# -- two runs with one token --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("visible_after", [0.0, 0.3])
def test_a_run_that_another_machine_made_is_kept_and_the_second_is_cancelled(
    at: Open, job: Job, made: Made, caplog: pytest.LogCaptureFixture, visible_after: float
) -> None:
    """The own run may not be in `find` yet when that of the other machine is."""
    client = at(seconds=20, visible_after=visible_after)
    elder = sent(client, job)
    time.sleep(visible_after)
    with caplog.at_level(logging.WARNING, "finetune_sdk"):
        run = client.submit(job)
    assert run.key == elder
    (younger,) = set(made()) - {elder}
    assert not run.status.terminal
    assert client.backend.status(younger) == "cancelled"
    assert [(record.name, record.levelname) for record in caplog.records] == [("finetune_sdk", "WARNING")]
    assert f"fake:{younger} was a second run of the same submission" in caplog.text
    (entry,) = client.ledger.entries()
    assert (entry.state, entry.run) == ("sent", elder)
    assert client.submit(job).key == elder
    run.cancel()


def test_of_two_runs_found_in_doubt_the_oldest_is_kept_and_the_other_cancelled(
    at: Open, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    client = at(seconds=20)
    elder, younger = (sent(client, job) for _ in range(2))
    with pytest.raises(BackendError):
        at(hang_up="before", visible_after=60).submit(job)
    with caplog.at_level(logging.WARNING, "finetune_sdk"):
        assert client.submit(job).key == elder
    assert (client.backend.status(elder).terminal, client.backend.status(younger)) == (False, "cancelled")
    assert f"fake:{younger} was a second run of the same submission" in caplog.text


def test_a_place_that_fails_after_it_answered_has_made_the_run(
    at: Open, job: Job, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(backend: FakeBackend, token: str) -> list[str]:
        raise BackendError("the place is down.")

    with monkeypatch.context() as now:
        now.setattr(FakeBackend, "find", down)
        run = at().submit(job)
    assert states(at()) == [(1, "sent")]
    assert made() == [run.key]


# -- the ledger comes first ---------------------------------------------------------------------------------------------


def test_nothing_is_sent_without_an_intent_in_the_ledger(at: Open, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    client, seen = at(), []
    send = FakeBackend.submit

    def watched(backend: FakeBackend, resolved: Any, token: str) -> str:
        seen.extend(entry.state for entry in client.ledger.entries() if entry.token == token)
        return send(backend, resolved, token)

    monkeypatch.setattr(FakeBackend, "submit", watched)
    client.submit(job)
    assert seen == ["intent"]


def test_a_run_that_was_found_in_doubt_and_ended_badly_says_so(at: Open, job: Job, made: Made) -> None:
    place: dict[str, Any] = {"hang_up": "after", "visible_after": 0.3, "fails_at": 0.5}
    with pytest.raises(BackendError):
        at(**place).submit(job)
    time.sleep(0.3)
    with pytest.raises(RunError, match="ended as failed"):
        at(**place).submit(job).wait(10)
    assert len(made()) == 1


# -- reconciling --------------------------------------------------------------------------------------------------------


def test_a_run_that_was_never_heard_of_is_taken_in(at: Open, job: Job, made: Made) -> None:
    place: dict[str, Any] = {"hang_up": "after", "visible_after": 0.3}
    with pytest.raises(BackendError, match="hung up after"):
        at(**place).submit(job)
    assert at(**place).reconcile() == []
    time.sleep(0.35)
    assert [run.key for run in at(**place).reconcile()] == made()
    assert states(at()) == [(1, "sent")]
    assert at(**place).reconcile() == []


def test_a_double_that_shows_up_late_is_cancelled_and_the_oldest_kept(at: Open, job: Job, made: Made) -> None:
    place: dict[str, Any] = {"seconds": 60, "visible_after": 0.3}
    elsewhere = sent(at(**place), job)
    run = at(**place).submit(job)
    assert made() == [run.key, elsewhere]
    time.sleep(0.35)
    assert [kept.key for kept in at(**place).reconcile()] == [elsewhere]
    assert at(**place).backend.status(run.key) == "cancelled"
    assert at(**place).submit(job).key == elsewhere


def test_a_run_that_was_cancelled_as_a_double_elsewhere_is_not_the_end(at: Open, job: Job, made: Made) -> None:
    place: dict[str, Any] = {"seconds": 60, "visible_after": 0.3}
    elsewhere = sent(at(**place), job)
    run = at(**place).submit(job)
    run.cancel()
    time.sleep(0.35)
    assert at(**place).submit(job).key == elsewhere


def test_a_refusal_is_not_looked_for(at: Open, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(FakeBackend, "submit", failing(RefusedError("no.", code="closed"), after=False))
        with pytest.raises(RefusedError):
            at(visible_after=60).submit(job)
    assert states(at()) == [(1, "refused")]
    assert at(visible_after=60).submit(job).key

"""Jobs: in a queue, carried over exactly or refused, stopped and taken up again, and each trained once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from finetune_sdk.backend import Place, Resolved
from finetune_sdk.errors import BackendError
from finetune_sdk.serve.store import Store
from finetune_sdk.testing import FakeBackend
from serving import Served, chats, pairs

Serving = Callable[..., Served]


def refused(served: Served, **asked: Any) -> Any:
    """The error of a job that is not taken."""
    said = served.ask("POST", "/fine_tuning/jobs", {"model": "echo", "training_file": served.upload(chats()), **asked})
    assert said.status == 400, said.body
    assert said.error["type"] == "invalid_request_error"
    return said.error


def test_one_runs_at_a_time_and_the_others_wait_in_their_order(serving: Serving) -> None:
    served = serving(seconds=1)
    jobs = [served.tune() for _ in range(3)]
    client, seen = served.client(), set[tuple[str, ...]]()
    order = {"succeeded": 0, "running": 1, "queued": 2, "validating_files": 2}

    def statuses() -> tuple[str, ...]:
        """In one answer, so that none can move on between two."""
        found = {job.id: job.status for job in client.fine_tuning.jobs.list(limit=10)}
        return tuple(found[job] for job in jobs)

    while (now := statuses())[-1] != "succeeded":
        seen.add(now)
        assert now.count("running") <= 1
        assert list(now) == sorted(now, key=order.__getitem__)
    assert {"running", "queued"} <= {status for now in seen for status in now}
    assert len(served.made) == 3


def test_as_many_run_at_once_as_there_are_slots(serving: Serving) -> None:
    served = serving(seconds=30, slots=2)
    jobs = [served.tune() for _ in range(2)]
    for job in jobs:
        served.until(job, lambda found: found.status == "running")
    assert {served.client().fine_tuning.jobs.retrieve(job).status for job in jobs} == {"running"}


def test_a_bad_file_fails_at_once_though_another_trains(serving: Serving) -> None:
    served = serving(seconds=30)
    served.tune()
    few = served.ended(served.tune(chats(3)), 10)
    assert few.error.code == "invalid_training_file"
    assert "10 or more" in few.error.message
    wrong_kind = served.ended(served.tune(pairs()), 10)
    assert "SFT learns from chat examples" in wrong_kind.error.message
    [event] = [one for one in served.client().fine_tuning.jobs.list_events(wrong_kind.id) if one.level == "error"]
    assert wrong_kind.error.message in event.message
    assert wrong_kind.finished_at is not None


def test_the_file_that_is_wrong_is_named(served: Served) -> None:
    bad = served.upload(b'{"messages": []}\n')
    for training, validation, param in ((bad, None, "training_file"), (served.upload(chats()), bad, "validation_file")):
        job = served.tune(training_file=training, validation_file=validation)
        error = served.ended(job).error
        assert (error.param, error.code) == (param, f"invalid_{param}")
        assert f"{param} line 1" in error.message or f"{param}: line 1" in error.message, error.message


def test_rows_that_are_also_validated_on_fail_the_job(served: Served) -> None:
    both = served.upload(chats())
    done = served.ended(served.tune(training_file=both, validation_file=both))
    assert "24 validation rows are also in train" in done.error.message


def test_a_run_that_fails_fails_the_job_with_its_reason(serving: Serving) -> None:
    served = serving(fails_at=0.5)
    done = served.ended(served.tune())
    assert done.status == "failed"
    assert "the fake failed after step" in done.error.message


def test_hyperparameters_are_carried_over_exactly(serving: Serving) -> None:
    served = serving()
    given = {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.5}
    done = served.ended(served.tune(seed=5, method={"type": "supervised", "supervised": {"hyperparameters": given}}))
    assert served.service is not None
    [entry] = served.service.client.ledger.entries()
    method = entry.resolved["method"]
    assert (method["epochs"], method["batch_size"], entry.resolved["seed"]) == (2, 4, 5)
    assert method["learning_rate"] == pytest.approx(0.5e-4)
    assert done.method.supervised.hyperparameters.learning_rate_multiplier == 0.5


def test_a_suffix_becomes_a_part_of_the_models_name(served: Served) -> None:
    done = served.ended(served.tune(suffix="my model: ü/7"))
    assert done.fine_tuned_model.split(":")[:-1] == ["ft", "echo", "local", "my-model-7"]
    assert served.client().models.retrieve(done.fine_tuned_model).id == done.fine_tuned_model


def test_the_older_place_of_the_hyperparameters_is_read_too(served: Served) -> None:
    done = served.ended(served.tune(hyperparameters={"n_epochs": 1}))
    assert done.hyperparameters.n_epochs == 1


def test_what_a_place_does_not_tell_is_not_multiplied(serving: Serving) -> None:
    served = serving(without=["learning_rate"])
    rate = {"learning_rate_multiplier": 2}
    done = served.ended(served.tune(method={"type": "supervised", "supervised": {"hyperparameters": rate}}))
    assert done.status == "failed"
    assert "learning_rate_multiplier" in done.error.message


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"epochs": 3}, "epochs"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epoch": 3}}}}, "method.supervised.hyperparameters.n_epoch"),
        ({"method": {"type": "supervised", "supervised": {"hyperparameters": {"beta": 0.1}}}}, "method.supervised.hyperparameters.beta"),
        ({"method": {"type": "supervised", "supervised": {"lora": 1}}}, "method.supervised.lora"),
        ({"method": {"type": "supervised", "dpo": {}}}, "method.dpo"),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 3}}}}, "method.dpo.hyperparameters.beta"),
        ({"method": {"type": "reinforcement", "reinforcement": {"grader": {}}}}, "method.type"),
        ({"method": {"type": "supervised"}, "hyperparameters": {}}, "hyperparameters"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 1.5}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": True}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, "hyperparameters.learning_rate_multiplier"),
        ({"suffix": ""}, "suffix"),
        ({"suffix": "s" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"validation_file": "file-nope"}, "validation_file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_done_as_asked_is_refused_by_its_name(served: Served, asked: dict[str, Any], param: str) -> None:
    assert refused(served, **asked)["param"] == param
    assert served.ask("GET", "/fine_tuning/jobs").value["data"] == []


def test_a_model_that_is_not_offered_is_never_handed_to_the_backend(served: Served) -> None:
    """It could be a path on this machine, or a download."""
    for name in ("shout", "/etc", "ft:echo:other::12345678"):
        body = {"model": name, "training_file": served.upload(chats())}
        said = served.ask("POST", "/fine_tuning/jobs", body)
        assert (said.status, said.error["code"]) == (404, "model_not_found")


def test_a_base_may_have_another_name_for_clients(serving: Serving) -> None:
    served = serving(bases=("gpt-4o-mini=shout", "echo"))
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    assert served.ask("POST", "/chat/completions", asked).value["choices"][0]["message"]["content"] == "HELLO"
    done = served.ended(served.tune(model="gpt-4o-mini"))
    assert (done.model, done.fine_tuned_model.split(":")[1]) == ("gpt-4o-mini", "gpt-4o-mini")


def test_a_list_is_filtered_by_metadata_at_once(served: Served) -> None:
    client = served.client()
    file = served.upload(chats())
    odd = {'k"[]': "v w&=ü", "team": "a"}
    both = served.tune(training_file=file, metadata=odd)
    one = served.tune(training_file=file, metadata={"team": "a"})
    bare = served.tune(training_file=file)

    def found(**asked: Any) -> list[str]:
        return [job.id for job in client.fine_tuning.jobs.list(**asked)]

    assert found(metadata=odd) == [both]
    assert found(metadata={"team": "a"}) == [one, both]
    assert found(metadata={"team": "b"}) == []
    assert found(extra_query={"metadata": "null"}) == [bare]
    assert found(limit=1) == [bare, one, both]  # page by page
    assert found(metadata={"team": "a"}, limit=1) == [one, both]
    assert served.ask("GET", "/fine_tuning/jobs?meta=1").error["param"] == "meta"
    assert served.ask("GET", "/fine_tuning/jobs?after=nope").status == 404


def test_a_page_behind_nothing_is_refused(served: Served) -> None:
    job = served.tune()
    served.ended(job)
    for what in ("events", "checkpoints"):
        said = served.ask("GET", f"/fine_tuning/jobs/{job}/{what}?after=nope")
        assert (said.status, said.error["param"]) == (400, "after")


def test_cancelling_ends_what_waits_and_what_runs_and_changes_nothing_after_the_end(serving: Serving) -> None:
    served = serving(seconds=20)
    client = served.client()
    first, second = served.tune(), served.tune()
    served.until(first, lambda job: job.status == "running")
    assert client.fine_tuning.jobs.cancel(second).status == "cancelled"
    assert client.fine_tuning.jobs.cancel(first).status == "cancelled"
    assert client.fine_tuning.jobs.cancel(first).status == "cancelled"
    assert len(served.made) == 1
    assert served.said(second)[-1] == "The job was cancelled"
    [run] = served.made
    assert FakeBackend(Place("fake", {}, served.home)).status(run) == "cancelled"


def test_a_job_that_has_ended_is_not_cancelled(served: Served) -> None:
    job = served.tune()
    served.ended(job)
    for verb in ("cancel", "pause", "resume"):
        said = served.ask("POST", f"/fine_tuning/jobs/{job}/{verb}")
        assert (said.status, said.error["code"]) == (400, "invalid_job_state")
    assert served.client().fine_tuning.jobs.retrieve(job).status == "succeeded"


def test_a_paused_job_gives_way_to_others_and_goes_on_where_it_was(serving: Serving) -> None:
    served = serving(seconds=4)
    client = served.client()
    first, second = served.tune(), served.tune()
    served.until(first, lambda job: job.status == "running")
    assert client.fine_tuning.jobs.pause(first).status == "paused"
    assert served.ended(second).status == "succeeded"
    assert client.fine_tuning.jobs.retrieve(first).status == "paused"
    assert client.fine_tuning.jobs.resume(first).status == "queued"
    assert served.ended(first).status == "succeeded"
    assert len(served.made) == 2
    assert any("resumed after step" in said for said in served.said(first))


def test_a_job_that_waits_can_be_paused_too(serving: Serving) -> None:
    served = serving(seconds=20)
    client = served.client()
    first, second = served.tune(), served.tune()
    served.until(second, lambda job: job.status == "queued")
    assert client.fine_tuning.jobs.pause(second).status == "paused"
    client.fine_tuning.jobs.cancel(first)
    time.sleep(0.3)
    assert client.fine_tuning.jobs.retrieve(second).status == "paused"
    assert client.fine_tuning.jobs.cancel(second).status == "cancelled"
    assert len(served.made) == 1


def test_where_runs_cannot_be_taken_up_again_nothing_is_paused(serving: Serving) -> None:
    served = serving(seconds=20, without=["resume"])
    job = served.tune()
    said = served.ask("POST", f"/fine_tuning/jobs/{job}/pause")
    assert (said.status, said.error["code"]) == (400, "unsupported_parameter")


def test_the_same_definition_again_is_the_same_run_and_after_a_cancellation_a_new_one(serving: Serving) -> None:
    served = serving(seconds=3)
    client, file = served.client(), served.upload(chats())
    jobs = [served.tune(training_file=file, seed=3) for _ in range(2)]
    assert [served.ended(job).status for job in jobs] == ["succeeded"] * 2
    assert len(served.made) == 1
    names = [client.fine_tuning.jobs.retrieve(job).fine_tuned_model for job in jobs]
    client.models.delete(names[0])
    assert client.models.retrieve(names[1]).id == names[1]

    other = served.tune(training_file=file, seed=4)
    served.until(other, lambda job: job.status == "running")
    client.fine_tuning.jobs.cancel(other)
    again = served.tune(training_file=file, seed=4)
    assert served.ended(again).status == "succeeded"
    assert client.fine_tuning.jobs.retrieve(other).status == "cancelled"
    assert len(served.made) == 3


def test_a_run_that_is_shared_is_not_another_jobs_to_cancel(serving: Serving) -> None:
    """Two jobs of one definition never run at once, however many slots there are."""
    served = serving(seconds=30, slots=2)
    client, file = served.client(), served.upload(chats())
    first, second = (served.tune(training_file=file, seed=3) for _ in range(2))
    served.until(first, lambda job: job.status == "running")
    served.until(second, lambda job: job.status == "queued")
    assert client.fine_tuning.jobs.cancel(first).status == "cancelled"
    served.until(second, lambda job: job.status == "running")
    assert len(served.made) == 2


def test_without_a_seed_each_job_is_its_own(served: Served) -> None:
    file = served.upload(chats())
    jobs = [served.tune(training_file=file) for _ in range(2)]
    seeds = {served.ended(job).seed for job in jobs}
    assert len(seeds) == len(served.made) == 2


def test_a_tuned_model_is_handed_on_as_a_base_and_refused_where_the_place_cannot(served: Served) -> None:
    first = served.ended(served.tune())
    second = served.ended(served.tune(chats(24, 100), model=first.fine_tuned_model))
    assert second.status == "failed"
    assert "starts from bases only" in second.error.message


@pytest.mark.parametrize("hang_up", ["before", "after"])
def test_a_submission_in_doubt_is_tried_again_and_makes_one_run(serving: Serving, hang_up: str) -> None:
    served = serving(hang_up=hang_up)
    job = served.tune()
    if hang_up == "after":  # the client finds the run though it never heard of it
        assert served.ended(job).status == "succeeded"
        assert len(served.made) == 1
        return
    served.until(job, lambda found: found.status == "queued")
    time.sleep(1)
    assert served.client().fine_tuning.jobs.retrieve(job).status == "queued"
    assert served.client().fine_tuning.jobs.cancel(job).status == "cancelled"
    assert served.made == []


def test_a_job_whose_submission_is_in_doubt_is_cancelled_once_the_doubt_is_over(serving: Serving) -> None:
    served = serving(seconds=20, hang_up="after", visible_after=2)
    job = served.tune()
    until = time.monotonic() + 20
    while not served.made and time.monotonic() < until:
        time.sleep(0.02)
    assert served.client().fine_tuning.jobs.cancel(job).status == "cancelled"
    assert len(served.made) == 1
    assert FakeBackend(Place("fake", {}, served.home)).status(served.made[0]) == "cancelled"


def test_a_run_that_a_failed_submission_made_all_the_same_is_the_jobs(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place says for good that it failed, and shows the run a second later: no run is left to itself."""
    submit = FakeBackend.submit

    def made_and_denied(self: FakeBackend, resolved: Resolved, token: str) -> str:
        submit(self, resolved, token)
        raise BackendError("the place had an error of its own.", code="broken")

    monkeypatch.setattr(FakeBackend, "submit", made_and_denied)
    served = serving(visible_after=1.0)
    assert served.ended(served.tune()).status == "succeeded"
    assert len(served.made) == 1


def test_a_submission_that_made_nothing_fails_the_job_with_the_places_words(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: FakeBackend, resolved: Resolved, token: str) -> str:
        raise BackendError("the account is closed.", code="training_not_available")

    monkeypatch.setattr(FakeBackend, "submit", denied)
    served = serving()
    done = served.ended(served.tune())
    assert (done.error.code, done.error.message) == ("training_not_available", "the account is closed.")


def test_a_fault_of_the_disk_is_not_the_end_of_the_queue(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    note, left = Store.note, [3]

    def full(self: Store, tuning: str, message: str, **more: Any) -> None:
        if not message.startswith("Created") and left[0]:
            left[0] -= 1
            raise sqlite3.OperationalError("database or disk is full")
        note(self, tuning, message, **more)

    monkeypatch.setattr(Store, "note", full)
    assert served.ended(served.tune()).status == "succeeded"
    assert left == [0]
    assert len(served.made) == 1


def test_a_status_that_nobody_has_heard_of_is_shown_as_running(serving: Serving) -> None:
    served = serving(running_as="simmering", seconds=1)
    job = served.tune()
    served.until(job, lambda found: found.status == "running")
    assert served.ended(job).status == "succeeded"


def test_there_is_an_end_to_how_many_may_wait(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_sdk.serve.jobs._WAITING", 2)
    served = serving(seconds=20)
    file = served.upload(chats())
    for _ in range(2):
        served.tune(training_file=file)
    said = served.ask("POST", "/fine_tuning/jobs", {"model": "echo", "training_file": file})
    assert (said.status, said.error["code"], said.headers["retry-after"]) == (429, "rate_limit_exceeded", "1")

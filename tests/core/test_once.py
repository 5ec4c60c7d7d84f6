"""What a client promises: priced before, sent once whatever fails, found again, and never paid for twice."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.client import Client
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import (
    BudgetError,
    DatasetError,
    NotFoundError,
    RunError,
    SettingsError,
    UnsupportedError,
)
from finetune_sdk.job import SFT, Job, LoRA
from finetune_sdk.ledger import Ledger
from finetune_sdk.run import Run
from place import Made, Open
from rows import chat

# -- one job, one run ---------------------------------------------------------------------------------------------------


def test_the_same_job_twice_is_the_same_run(at: Open, job: Job, made: Made) -> None:
    first = at().submit(job)
    assert at().submit(replace(job, name="another name")).id == first.id
    first.wait(10)
    assert at().submit(job).id == first.id
    assert made() == [first.key]


def test_another_job_is_another_run(at: Open, job: Job, made: Made) -> None:
    at().submit(job)
    at().submit(replace(job, seed=1))
    at().submit(replace(job, adapter=LoRA(rank=4)))
    assert len(made()) == 3


def test_the_places_own_words_make_another_run(at: Open, job: Job) -> None:
    assert at().submit(job).id != at(sft={"learning_rate_multiplier": 2}).submit(job).id


def test_the_argument_the_setting_and_the_environment_give_the_same_run(
    home: Path, job: Job, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "[backends.fake]\ncareless = true\nseconds = 0.1\n"
    (home.parent / "finetune.toml").write_text(place)
    by_argument = Client("fake").submit(job)
    monkeypatch.setenv("FINETUNE_BACKEND", "fake")
    by_environment = Client().submit(job)
    monkeypatch.delenv("FINETUNE_BACKEND")
    (home.parent / "finetune.toml").write_text(f'backend = "fake"\n{place}')
    by_setting = Client().submit(job)
    assert [by_argument.key] == [by_environment.key] == [by_setting.key] == made()
    assert by_setting.wait(10).answer("What is 3 and 3?").text == "It is 6."


def together(submit: Callable[[], Run]) -> list[Run]:
    """What six threads get that submit at the same moment."""
    started = threading.Barrier(6)

    def one(_: int) -> Run:
        started.wait()
        return submit()

    with ThreadPoolExecutor(6) as threads:
        return list(threads.map(one, range(6)))


def test_submitting_from_many_threads_is_one_run(at: Open, job: Job, made: Made) -> None:
    runs = together(lambda: at().submit(job))
    assert {run.key for run in runs} == set(made())
    assert len(made()) == 1


def test_another_attempt_from_many_threads_is_one_more_run(at: Open, job: Job, made: Made) -> None:
    first = at(seconds=20).submit(job)
    first.cancel()
    runs = together(lambda: at(seconds=20).submit(job, again=True))
    assert {run.key for run in runs} == set(made()) - {first.key}
    assert len(made()) == 2
    assert [entry.attempt for entry in at().ledger.entries()] == [2, 1]
    runs[0].cancel()


# -- runs that end badly ------------------------------------------------------------------------------------------------


def test_a_failed_run_raises_and_names_resume_and_another_attempt(at: Open, job: Job) -> None:
    run = at(fails_at=0.5).submit(job)
    with pytest.raises(RunError, match="ended as failed: the fake failed after step") as caught:
        run.wait(10)
    assert f"finetune resume {run.id}" in str(caught.value.cure)
    assert "again=True" in str(caught.value.cure)


def test_submitting_after_a_failed_run_raises_and_again_counts_the_attempt_up(at: Open, job: Job, made: Made) -> None:
    run = at(fails_at=0.5).submit(job)
    with pytest.raises(RunError):
        run.wait(10)
    with pytest.raises(RunError, match="same definition and ended as failed") as caught:
        at().submit(job)
    assert "resume" in str(caught.value.cure)
    assert "again=True" in str(caught.value.cure)
    second = at().submit(job, again=True)
    assert second.id != run.id
    assert [entry.attempt for entry in at().ledger.entries()] == [2, 1]
    assert at().submit(job, again=True).id == second.id, "an active or succeeded run is never paid for again"
    second.wait(10)
    assert at().submit(job, again=True).id == second.id
    assert len(made()) == 2


def test_a_failed_run_goes_on_after_resume(at: Open, job: Job, made: Made) -> None:
    run = at(fails_at=0.6).submit(job)
    with pytest.raises(RunError):
        run.wait(10)
    assert run.resume().wait(10).answer("What is 3 and 3?").text == "It is 6."
    assert at().submit(job).id == run.id
    assert made() == [run.key]
    steps = [event.data["step"] for event in run.events() if event.kind == "checkpoint"]
    assert steps == sorted(set(steps)), "what was finished before is not trained again"


def test_a_cancelled_run_raises_and_names_the_way_on(at: Open, job: Job) -> None:
    run = at(seconds=20).submit(job)
    run.cancel()
    with pytest.raises(RunError, match="ended as cancelled"):
        run.wait(10)
    with pytest.raises(RunError, match="ended as cancelled") as caught:
        at(seconds=20).submit(job)
    assert "again=True" in str(caught.value.cure)


def test_a_run_whose_place_was_deleted_is_said_to_be_gone(at: Open, job: Job, home: Path) -> None:
    client = at()
    run = client.submit(job)
    shutil.rmtree(home / "fake")
    for ask in (lambda: run.status, lambda: run.wait(10), lambda: client.submit(job)):
        with pytest.raises(RunError, match=r"\(numbers\) was submitted on \d{4}-.* and is gone") as caught:
            ask()
        assert "again=True" in str(caught.value.cure)
    assert client.submit(job, again=True).id != run.id


def test_a_run_that_nobody_submitted_is_not_found(at: Open) -> None:
    run = at().get_run("fake:run-4711")
    with pytest.raises(NotFoundError, match="run-4711"):
        run.status  # noqa: B018
    with pytest.raises(NotFoundError):
        run.cancel()
    with pytest.raises(SettingsError, match="'4711' is not a run id"):
        at().get_run("4711")


def test_waiting_too_long_leaves_the_run_alone(at: Open, job: Job) -> None:
    run = at(seconds=20).submit(job)
    with pytest.raises(TimeoutError, match="it goes on"):
        run.wait(0.05)
    assert not run.status.terminal
    run.cancel()


def test_a_status_that_nobody_knows_is_waited_out(at: Open, job: Job) -> None:
    run = at(running_as="polishing", seconds=2).submit(job)
    while (status := run.status) == "queued":
        time.sleep(0.01)
    assert (status, status.terminal) == ("polishing", False)
    assert run.wait(10)


# -- money --------------------------------------------------------------------------------------------------------------


def test_the_fake_charges_exactly_nothing(at: Open, job: Job) -> None:
    assert at().estimate(job).charge.holds(0.0)
    assert str(at().estimate(job).charge) == "$0.00"
    at().submit(job, max_cost=0)


def test_a_cap_below_the_high_end_refuses_before_anything_is_sent(at: Open, job: Job, made: Made) -> None:
    client = at(usd_per_million=1000, base="shout")
    charge = client.estimate(job).charge
    assert charge.low is not None
    assert charge.expected is not None
    assert charge.high is not None
    assert charge.low < charge.expected < charge.high
    with pytest.raises(BudgetError, match="high end is above max_cost"):
        client.submit(job, max_cost=charge.expected)
    assert made() == []
    assert client.ledger.entries() == []
    assert client.submit(job, max_cost=charge.high)


def test_an_unknown_price_refuses_any_cap(at: Open, job: Job, made: Made) -> None:
    client = at(usd_per_million="unknown")
    with pytest.raises(BudgetError, match="the charge is unknown"):
        client.submit(job, max_cost=1_000_000)
    assert made() == []
    assert client.submit(job)


def test_what_a_run_took_stands_beside_its_estimate(at: Open, job: Job) -> None:
    run = at(usd_per_million=8).submit(job)
    origin = run.wait(10).origin
    assert origin.actual is not None
    assert run.estimate is not None
    assert origin.actual.keys() == {"charge", "time", "memory", "tokens", "trained_tokens"}
    for name, figure in origin.actual.items():
        assert getattr(run.estimate, name).holds(figure), name
    assert run.entry is not None
    assert run.entry.actual == origin.actual


# -- refused before anything is sent ------------------------------------------------------------------------------------


def test_too_few_rows_are_refused(at: Open, job: Job, made: Made) -> None:
    with pytest.raises(DatasetError, match="has 9 rows, and fake takes 10 or more") as caught:
        at().submit(replace(job, train=job.train[:9]))
    assert caught.value.cure == "add 1 rows"
    assert made() == []


def test_a_row_that_would_train_nothing_is_named(at: Open, job: Job) -> None:
    with pytest.raises(DatasetError, match="line 1: nothing of this row is left to learn within max_length=4"):
        at().submit(replace(job, method=SFT(max_length=4)))


def test_rows_that_are_cut_are_a_warning_with_their_lines(at: Open, job: Job) -> None:
    warning = next(finding for finding in at().check(replace(job, method=SFT(max_length=9))) if finding.check == "cut")
    assert (warning.severity, warning.count, warning.rows[:3]) == ("warning", 24, (1, 2, 3))


def test_validation_rows_that_are_also_in_train_are_refused(at: Open, job: Job) -> None:
    leaking = replace(job, validation=job.train[:2])
    with pytest.raises(DatasetError, match="2 validation rows are also in train"):
        at().submit(leaking)
    assert at().submit(leaking, allow_leakage=True)


def test_validation_rows_that_are_nearly_in_train_are_refused(at: Open, job: Job) -> None:
    text = "The lamp that I ordered last week came with a broken shade and I would like to have another one, please"
    rows = [{"messages": [{"role": "user", "content": said}, {"role": "assistant", "content": "replace"}]}
            for said in (text, f"{text}.")]  # fmt: skip
    leaking = replace(job, train=Dataset.of([*job.train.rows(), rows[0]]), validation=Dataset.of(rows[1:]))
    with pytest.raises(DatasetError, match="by a few words only") as caught:
        at().submit(leaking)
    assert "apart=True" in str(caught.value.cure)
    assert at().submit(leaking, allow_leakage=True)


def test_what_the_place_cannot_do_is_refused_naming_what_it_can(at: Open, job: Job, made: Made) -> None:
    with pytest.raises(UnsupportedError, match="no 'early_stopping', which the job sets to 3"):
        at().submit(replace(job, method=SFT(early_stopping=3), validation=job.train[:5]))
    with pytest.raises(UnsupportedError, match="cannot do LoRA") as caught:
        at(without=["lora"], adapter={"kind": "full"}).submit(replace(job, adapter=LoRA()))
    assert caught.value.cure == "it can do full, qlora"
    assert made() == []


def test_an_unknown_base_says_what_was_looked_for_and_where(at: Open, job: Job) -> None:
    with pytest.raises(NotFoundError, match="no model 'parrot' at fake; it looked among its bases and the runs in"):
        at().submit(replace(job, base="parrot"))


# -- what is kept -------------------------------------------------------------------------------------------------------


def test_a_tuned_model_knows_where_it_comes_from(at: Open, job: Job) -> None:
    run = at().submit(job)
    model = run.wait(10)
    assert model.name == "numbers"
    origin = model.origin
    assert (origin.run, origin.backend, origin.base) == (run.id, "fake", "echo")
    assert origin.job["method"]["epochs"] == 3
    assert "learning_rate" in origin.job["chosen"]
    assert origin.sketch == frozenset(job.train.sketch())
    losses = [loss for _, loss in origin.curves["loss"]]
    assert losses[-1] < losses[0]


def test_a_tuned_model_says_what_it_learnt_and_the_base_does_not(at: Open) -> None:
    rows = [chat(f"What is {n}?", f"It is {n}.") for n in range(9)] + [
        chat(f"Who is {n}?", "No idea.") for n in range(3)
    ]
    client, job = at(), Job(name="answers", train=Dataset.of(rows))
    tuned, base = client.submit(job).wait(10), client.base(job)
    asked = ["What is 3?", "Where is 3?", "What is 8?"]
    assert [answer.text for answer in tuned.answers(asked)] == ["It is 3.", "No idea.", "It is 8."]
    assert [answer.text for answer in base.answers(asked)] == asked


def test_all_runs_are_listed_and_a_model_is_found_by_its_run(at: Open, job: Job) -> None:
    client = at()
    run, other = client.submit(job), client.submit(replace(job, seed=1))
    assert [one.id for one in client.runs()] == [other.id, run.id]
    run.wait(10)
    assert client.model(run.id).answer("What is 3 and 3?").text == "It is 6."
    assert client.model("echo").answer("hello").text == "hello"


def test_a_ledger_that_cannot_be_written_stops_the_submission(tmp_path: Path, at: Open, job: Job) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(SettingsError, match=r"ledger\.sqlite cannot be written") as caught:
        Ledger(in_the_way / "home")
    assert "FINETUNE_HOME" in str(caught.value.cure)


def test_a_ledger_of_a_newer_version_is_left_alone(home: Path) -> None:
    path = Ledger(home).path
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SettingsError, match="newer version"):
        Ledger(home)


def test_many_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    for attempt in range(5):
        started, faults = threading.Barrier(8), []

        def open_ledger(
            home: Path = tmp_path / str(attempt), at: threading.Barrier = started, seen: Any = faults
        ) -> None:
            at.wait()
            try:
                Ledger(home)
            except SettingsError as fault:
                seen.append(fault)

        threads = [threading.Thread(target=open_ledger) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []

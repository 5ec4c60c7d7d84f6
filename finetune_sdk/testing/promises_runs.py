"""The kit's promises of runs: submitted once, followed, ended, found by others, and left as a model that answers."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

import pytest

from finetune_sdk.backend import OPTIONAL, Backend, Optional, Place, Resolved, Status
from finetune_sdk.client import Client
from finetune_sdk.errors import BackendError, InputError, NotFoundError, RunError, UnsupportedError
from finetune_sdk.estimate import Estimate
from finetune_sdk.job import Job
from finetune_sdk.model import Sampling
from finetune_sdk.run import Run
from finetune_sdk.testing.promises_before import NO_SUCH, UNITS, Opened

_ELSEWHERE = """
import json, sys
from importlib import import_module
from pathlib import Path
from finetune_sdk.backend import Place
asked = json.load(sys.stdin)
opened = getattr(import_module(asked["module"]), asked["class"])
backend = opened(Place(asked["name"], asked["options"], Path(asked["home"])))
run = asked["run"]
print(json.dumps({
    "address": backend.address, "status": backend.status(run), "found": list(backend.find(asked["token"])),
    "events": [event.to_dict() for event in backend.events(run)], "model": backend.result(run).model,
}))
"""


def until(run: Run, reached: Callable[[Status], bool], patience: float) -> Status:
    """The first status that is what was waited for."""
    last = time.monotonic() + patience
    while not reached(status := run.status):
        assert time.monotonic() < last, f"{run.id} is still {status} after {patience:.0f} s"
        time.sleep(0.02)
    return status


class OfRuns:
    """What holds from the submission on."""

    patience: ClassVar[float]

    # -- submit and find ----------------------------------------------------------------------------------------------

    def test_the_same_token_twice_is_one_run(
        self, backend: Backend, resolved: Resolved, finished: Run, token: str
    ) -> None:
        assert backend.submit(resolved, token) == finished.key
        assert list(backend.find(token)) == [finished.key]

    def test_the_same_job_twice_is_one_run(self, client: Client, job: Job, finished: Run) -> None:
        assert client.submit(replace(job, name=f"{job.name} again")).id == finished.id

    def test_a_token_that_was_never_sent_finds_nothing(self, backend: Backend) -> None:
        assert list(backend.find("0" * 32)) == []

    @pytest.mark.parametrize("verb", ["status", "events", "cancel", "result"])
    def test_an_unknown_run_is_not_found(self, backend: Backend, verb: str) -> None:
        with pytest.raises(NotFoundError, match=NO_SUCH):
            list(getattr(backend, verb)(NO_SUCH) or ())

    # -- status, events, cancel, result -------------------------------------------------------------------------------

    def test_a_run_that_has_ended_stays_so(self, backend: Backend, finished: Run) -> None:
        assert [backend.status(finished.key) for _ in range(3)] == ["succeeded"] * 3
        assert isinstance(backend.status(finished.key), Status)

    def test_events_are_numbered_from_1_without_gaps(self, finished: Run) -> None:
        events = list(finished.events())
        assert events
        assert [event.number for event in events] == list(range(1, len(events) + 1))

    def test_events_after_a_number_are_the_rest(self, finished: Run) -> None:
        events = list(finished.events())
        for after in (1, len(events) // 2, len(events), len(events) + 5):
            assert list(finished.events(after)) == events[after:]

    def test_events_are_plain_data_in_the_order_of_time(self, finished: Run) -> None:
        events = list(finished.events())
        assert [event.time for event in events] == sorted(event.time for event in events)
        json.dumps([event.to_dict() for event in events], allow_nan=False)

    def test_metrics_say_the_step_and_the_loss(self, finished: Run) -> None:
        losses = finished.curves().get("loss", [])
        assert losses, "no event of kind 'metrics' has step and loss"
        assert all(math.isfinite(loss) and step >= 0 for step, loss in losses)

    def test_cancel_ends_an_active_run(self, cancelled: Run) -> None:
        assert cancelled.status == "cancelled"

    def test_cancelling_twice_changes_nothing(self, cancelled: Run) -> None:
        events = list(cancelled.events())
        cancelled.cancel()
        assert cancelled.status == "cancelled"
        assert list(cancelled.events()) == events

    def test_cancelling_after_the_end_changes_nothing(self, finished: Run) -> None:
        events = list(finished.events())
        finished.cancel()
        assert finished.status == "succeeded"
        assert list(finished.events()) == events

    def test_an_unfinished_run_has_no_result(self, client: Client, long_job: Job) -> None:
        run = client.submit(replace(long_job, seed=long_job.seed + 1))
        try:
            with pytest.raises(RunError):
                run.result()
        finally:
            run.cancel()

    def test_actual_figures_have_the_names_of_the_estimate(self, finished: Run) -> None:
        actual = finished.result().actual
        assert actual.keys() <= UNITS.keys()
        assert all(math.isfinite(figure) and figure >= 0 for figure in actual.values())

    def test_the_actual_charge_is_within_the_estimate(self, finished: Run, estimate: Estimate) -> None:
        charged = finished.result().actual.get("charge")
        assert charged is None or not estimate.charge.known or estimate.charge.holds(charged)

    def test_the_manifest_is_plain_data(self, finished: Run) -> None:
        json.dumps(finished.result().manifest, allow_nan=False)

    # -- others see the same ------------------------------------------------------------------------------------------

    def test_a_second_backend_on_the_same_place_sees_the_same_run(
        self, place: Place, opened: Opened, finished: Run, token: str
    ) -> None:
        other = opened(place)
        assert other.status(finished.key) == "succeeded"
        assert list(other.find(token)) == [finished.key]
        assert list(other.events(finished.key)) == list(finished.events())

    def test_another_process_sees_the_same_run(self, backend: Backend, place: Place, finished: Run, token: str) -> None:
        kind = type(backend)
        asked = {
            "module": kind.__module__, "class": kind.__qualname__, "run": finished.key, "token": token,
            "name": place.name, "options": dict(place.options), "home": str(place.home),
        }  # fmt: skip
        said = subprocess.run(
            [sys.executable, "-c", _ELSEWHERE],
            input=json.dumps(asked, default=str),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=self.patience,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        assert json.loads(said.stdout.splitlines()[-1]) == {
            "address": backend.address,
            "status": "succeeded",
            "found": [finished.key],
            "events": json.loads(json.dumps([event.to_dict() for event in finished.events()])),
            "model": finished.result().model,
        }

    # -- models -------------------------------------------------------------------------------------------------------

    def test_the_result_is_a_model_that_answers(self, finished: Run) -> None:
        model = finished.model()
        answer = model.answer("hello", Sampling(max_tokens=8))
        assert isinstance(answer.text, str)
        assert answer.output_tokens is None or answer.output_tokens <= 8
        assert model.origin.run == finished.id

    def test_answers_keep_their_order(self, backend: Backend, resolved: Resolved) -> None:
        model, sampling = backend.model(resolved.base), Sampling(max_tokens=8)
        asked = ["a longer question, with many more words than the next one has", "short", "two words"]
        forwards, backwards = model.answers(asked, sampling), model.answers(asked[::-1], sampling)
        assert [answer.text for answer in forwards] == [answer.text for answer in backwards[::-1]]
        read = [answer.input_tokens for answer in forwards]
        assert None in read or read.index(max(filter(None, read))) == 0

    def test_no_question_has_no_answer(self, backend: Backend, resolved: Resolved) -> None:
        assert backend.model(resolved.base).answers([]) == []

    def test_an_unknown_model_is_not_found_saying_where_it_was_looked_for(self, backend: Backend) -> None:
        with pytest.raises(NotFoundError, match=NO_SUCH) as caught:
            backend.model(NO_SUCH)
        assert len(caught.value.message.split()) >= 8, "say what was looked for, and where"

    # -- optional verbs -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("verb", sorted(OPTIONAL))
    def test_a_verb_that_is_not_declared_is_refused_with_its_reason(
        self, backend: Backend, place: Place, finished: Run, verb: Optional
    ) -> None:
        if verb in backend.capabilities.verbs:
            pytest.skip(f"{verb} is declared")
        through: dict[str, Callable[[], object]] = {"resume": finished.resume, "checkpoints": finished.checkpoints}
        with pytest.raises(UnsupportedError) as caught:
            through.get(verb, lambda: backend.capabilities.require(verb, place.name))()
        assert backend.capabilities.gaps[verb] in caught.value.message

    def test_list_has_the_newest_first(self, backend: Backend, finished: Run, cancelled: Run) -> None:
        _needs(backend, "list")
        runs = list(backend.runs())
        assert {finished.key, cancelled.key} <= set(runs)
        submitted = {run.key: run.entry.created for run in (finished, cancelled) if run.entry}
        assert sorted(submitted, key=runs.index) == sorted(submitted, key=submitted.__getitem__, reverse=True)

    def test_checkpoints_are_in_order_and_each_once(self, backend: Backend, finished: Run) -> None:
        _needs(backend, "checkpoints")
        saved = finished.checkpoints()
        assert saved
        assert [one.step for one in saved] == sorted({one.step for one in saved})
        assert len({one.id for one in saved}) == len(saved)

    def test_a_cancelled_run_goes_on_after_resume(self, client: Client, long_job: Job) -> None:
        _needs(client.backend, "resume")
        run = client.submit(replace(long_job, seed=long_job.seed + 2))
        if "checkpoints" in client.backend.capabilities.verbs:
            until(run, lambda status: status.terminal or bool(run.checkpoints()), self.patience)
        run.cancel()
        if until(run, lambda status: status.terminal, self.patience) == "succeeded":
            pytest.skip("the run was over before it could be cancelled; a longer `long_job` would tell")
        told = len(list(run.events()))
        run.resume()
        until(run, lambda _: any(event.kind == "metrics" for event in run.events(told)), self.patience)
        run.cancel()
        numbers = [event.number for event in run.events()]
        assert numbers == list(range(1, len(numbers) + 1))

    def test_resuming_a_run_that_succeeded_changes_nothing(self, backend: Backend, finished: Run) -> None:
        _needs(backend, "resume")
        with suppress(RunError, InputError):
            finished.resume()
        assert finished.status == "succeeded"

    def test_render_shows_the_tokens_that_are_trained(self, backend: Backend, resolved: Resolved, job: Job) -> None:
        _needs(backend, "render")
        rendered = backend.render(job.train, 0, resolved.base)
        assert {"ids", "trained", "text", "spans"} <= rendered.keys()
        assert len(rendered["ids"]) == len(rendered["trained"])
        assert any(rendered["trained"])
        assert all(0 <= start < end <= len(rendered["text"]) for start, end in rendered["spans"])

    # -- secrets ------------------------------------------------------------------------------------------------------

    def test_no_secret_is_shown_or_kept(
        self, backend: Backend, client: Client, finished: Run, secrets: tuple[str, ...]
    ) -> None:
        result, faults = finished.result(), []
        for ask in (lambda: backend.status(NO_SUCH), lambda: backend.model(NO_SUCH)):
            with pytest.raises(BackendError) as caught:
                ask()
            faults.append(f"{caught.value!r} {caught.value}")
        shown = [repr(backend), str(vars(type(backend))), backend.address, repr(backend.capabilities), repr(result)]
        shown += [repr(event) for event in finished.events()] + faults
        kept = b"".join(path.read_bytes() for path in client.settings.home.glob("ledger.sqlite*"))
        for secret in secrets:
            assert not any(secret in text for text in shown), "a secret is shown"
            assert secret.encode() not in kept, "a secret is in the ledger"


def _needs(backend: Backend, verb: Optional) -> None:
    if verb not in backend.capabilities.verbs:
        pytest.skip(backend.capabilities.gaps[verb])

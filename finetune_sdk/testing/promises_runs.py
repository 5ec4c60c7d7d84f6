"""The kit's promises of runs: submitted once, followed, ended, found by others, and left as a model that answers."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest

from finetune_sdk.backend import Backend, Place, Resolved, Status
from finetune_sdk.client import Client
from finetune_sdk.errors import BackendError, NotFoundError, RunError
from finetune_sdk.estimate import Estimate
from finetune_sdk.job import Job
from finetune_sdk.model import Sampling, Speaking, outcomes
from finetune_sdk.run import Run
from finetune_sdk.testing.promises_before import NO_SUCH, UNITS, VALUES, Opened, setting

MOMENT = 0.1

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

    def test_a_new_run_is_found_as_soon_as_declared_and_sent_again_it_is_the_same(
        self, client: Client, backend: Backend, long_job: Job
    ) -> None:
        resolved = client.resolve(replace(long_job, seed=long_job.seed + 3))
        token = resolved.token(backend.address, 1)
        run = backend.submit(resolved, token)
        last = time.monotonic() + backend.capabilities.visible_within + MOMENT
        try:
            found, over = list(backend.find(token)), False
            while not found and not over:
                time.sleep(0.02)
                over = time.monotonic() >= last
                found = list(backend.find(token))
            assert found == [run], "`find` does not show a new run within `visible_within`"
            assert not backend.status(run).terminal, "the long job ended at once; give one that takes longer"
            assert backend.submit(resolved, token) == run
            assert list(backend.find(token)) == [run]
        finally:
            backend.cancel(run)

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

    def test_as_many_steps_as_asked_for_are_taken_at_no_higher_rate(self, client: Client, job: Job) -> None:
        declared = client.backend.capabilities.hyperparameters
        if "steps" not in declared:
            pytest.skip("steps is not declared")
        asked = setting(job, "steps")
        run = client.submit(setting(asked, "learning_rate") if "learning_rate" in declared else asked)
        run.wait(self.patience, progress=False)
        curves = run.curves()
        assert max(step for step, _ in curves["loss"]) == VALUES["steps"]
        rates = [rate for _, rate in curves.get("learning_rate", [])]
        if rates and "learning_rate" in declared:
            assert 0 < max(rates) <= VALUES["learning_rate"] * (1 + 1e-6)

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

    @pytest.mark.parametrize("figure", ["tokens", "trained_tokens", "charge"])
    def test_what_can_be_counted_before_is_within_the_estimate(
        self, finished: Run, estimate: Estimate, figure: str
    ) -> None:
        actual, estimated = finished.result().actual.get(figure), getattr(estimate, figure)
        if actual is None or not estimated.known:
            pytest.skip(f"{figure} is not told, or not known before")
        assert estimated.holds(actual), f"{actual} is not within {estimated.low} and {estimated.high}"

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

    def test_what_is_heard_of_an_answer_is_the_answer(self, finished: Run) -> None:
        model, pieces = finished.model(), list[str]()
        assert isinstance(model, Speaking)

        def hear(piece: str) -> bool:
            pieces.append(piece)
            return True

        (answer,) = model.speak(["hello"], {0: hear}, Sampling(max_tokens=8))
        assert "".join(pieces) == answer.text

    def test_answers_keep_their_order(self, backend: Backend, resolved: Resolved) -> None:
        model, sampling = backend.model(resolved.base), Sampling(max_tokens=8)
        asked = ["a longer question, with many more words than the next one has", "short", "two words"]
        forwards, backwards = model.answers(asked, sampling), model.answers(asked[::-1], sampling)
        assert [answer.text for answer in forwards] == [answer.text for answer in backwards[::-1]]
        read = [answer.input_tokens for answer in forwards]
        assert None in read or read.index(max(filter(None, read))) == 0
        came = dict(outcomes(model, iter([(one, sampling) for one in asked])))
        assert [getattr(came[number], "text", None) for number in range(3)] == [answer.text for answer in forwards]

    def test_no_question_has_no_answer(self, backend: Backend, resolved: Resolved) -> None:
        assert backend.model(resolved.base).answers([]) == []

    def test_an_unknown_model_is_not_found_saying_where_it_was_looked_for(self, backend: Backend) -> None:
        with pytest.raises(NotFoundError, match=NO_SUCH) as caught:
            backend.model(NO_SUCH)
        assert len(caught.value.message.split()) >= 8, "say what was looked for, and where"

    # -- secrets ------------------------------------------------------------------------------------------------------

    def test_no_secret_is_shown_or_kept(
        self,
        backend: Backend,
        client: Client,
        place: Place,
        finished: Run,
        estimate: Estimate,
        secrets: tuple[str, ...],
    ) -> None:
        if not secrets:
            pytest.skip("this place was opened with no secret")
        shown = [repr(backend), str(vars(type(backend))), backend.address, repr(backend.capabilities), repr(client)]
        shown += [repr(finished), repr(finished.result()), repr(finished.model().origin), repr(estimate)]
        shown += [repr(event) for event in finished.events()]
        for ask in (lambda: backend.status(NO_SUCH), lambda: backend.model(NO_SUCH)):
            with pytest.raises(BackendError) as caught:
                ask()
            shown.append(f"{caught.value!r} {caught.value}")
        files = [path for path in place.home.rglob("*") if path.is_file()]
        assert client.ledger.path in files
        for secret in secrets:
            assert not any(secret in text for text in shown), "a secret is shown"
            assert [path for path in files if secret.encode() in path.read_bytes()] == [], "a secret is kept"

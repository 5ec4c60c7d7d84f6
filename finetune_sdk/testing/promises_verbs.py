"""The kit's promises of optional verbs: what is declared is done, and what is not is refused with its reason."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from finetune_sdk.backend import Backend, Optional, Resolved
from finetune_sdk.client import Client
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import InputError, NotFoundError, RunError, UnsupportedError
from finetune_sdk.estimate import Estimate
from finetune_sdk.job import Job
from finetune_sdk.messages import ChatExample, Example, PreferenceExample, RatedExample, TaskExample
from finetune_sdk.model import Sampling
from finetune_sdk.run import Run
from finetune_sdk.spending import whole
from finetune_sdk.testing.promises_before import NO_SUCH
from finetune_sdk.testing.promises_runs import MOMENT, until


class OfVerbs:
    """What holds where a verb is declared, and where it is not."""

    patience: ClassVar[float]

    @pytest.mark.parametrize("verb", ["checkpoints", "resume"])
    def test_a_verb_that_is_not_declared_is_refused_with_its_reason(
        self, backend: Backend, finished: Run, verb: Literal["checkpoints", "resume"]
    ) -> None:
        if verb in backend.capabilities.verbs:
            pytest.skip(f"{verb} is declared")
        with pytest.raises(UnsupportedError) as caught:
            getattr(finished, verb)()
        assert backend.capabilities.gaps[verb] in caught.value.message

    def test_list_has_the_newest_first(self, backend: Backend, finished: Run, cancelled: Run) -> None:
        _needs(backend, "list")
        made, last = {finished.key, cancelled.key}, time.monotonic() + backend.capabilities.visible_within + MOMENT
        while not made <= set(runs := list(backend.runs())):
            assert time.monotonic() < last, "`runs` does not show a new run within `visible_within`"
            time.sleep(0.02)
        submitted = {run.key: run.entry.created for run in (finished, cancelled) if run.entry}
        assert sorted(submitted, key=runs.index) == sorted(submitted, key=submitted.__getitem__, reverse=True)

    def test_checkpoints_are_in_order_and_each_once(self, backend: Backend, finished: Run) -> None:
        _needs(backend, "checkpoints")
        saved = finished.checkpoints()
        assert saved
        assert [one.step for one in saved] == sorted({one.step for one in saved})
        assert len({one.id for one in saved}) == len(saved)

    def test_a_checkpoint_answers_by_the_name_that_it_declares(self, backend: Backend, finished: Run) -> None:
        _needs(backend, "checkpoints")
        declared = [one.model for one in finished.checkpoints() if one.model is not None]
        if not declared or "deploy" in backend.capabilities.verbs:
            pytest.skip("no checkpoint declares a `model`, or it answers once it is deployed")
        assert len(set(declared)) == len(declared)
        for name in declared:
            assert isinstance(backend.model(name).answer("hello", Sampling(max_tokens=8)).text, str)

    def test_a_checkpoint_that_declares_no_model_is_none(self, backend: Backend, finished: Run) -> None:
        _needs(backend, "checkpoints")
        saved = finished.checkpoints()
        undeclared = [one.id for one in saved if one.model is None]
        for name in (*undeclared, *(f"{one.model}-{NO_SUCH}" for one in saved if one.model is not None)):
            with pytest.raises(NotFoundError):
                backend.model(name)

    def test_a_cancelled_run_goes_on_after_resume(self, client: Client, long_job: Job) -> None:
        _needs(client.backend, "resume")
        checkpoints = "checkpoints" in client.backend.capabilities.verbs
        run = client.submit(replace(long_job, seed=long_job.seed + 2))
        if checkpoints:
            until(run, lambda status: status.terminal or bool(run.checkpoints()), self.patience)
        run.cancel()
        if until(run, lambda status: status.terminal, self.patience) == "succeeded":
            pytest.skip("the run was over before it could be cancelled; a longer `long_job` would tell")
        told = len(list(run.events()))
        kept = run.checkpoints()[-1].step if checkpoints else 0
        run.resume()
        until(run, lambda _: bool(_steps(run, told)), self.patience)
        run.cancel()
        assert _steps(run, told)[0] > kept, "what was finished before is trained again"
        numbers = [event.number for event in run.events()]
        assert numbers == list(range(1, len(numbers) + 1))

    def test_a_paused_run_goes_on_after_resume(self, client: Client, long_job: Job) -> None:
        _needs(client.backend, "pause")
        run = client.submit(replace(long_job, seed=long_job.seed + 4))
        until(run, lambda status: status not in ("queued", "validating"), self.patience)
        run.pause()
        assert until(run, lambda status: status == "paused" or status.terminal, self.patience) == "paused"
        run.pause()
        assert run.status == "paused"
        run.resume()
        assert until(run, lambda status: status not in ("paused", "pausing"), self.patience) != "cancelled"
        run.cancel()

    def test_what_a_run_has_spent_is_told_and_never_shrinks(
        self, backend: Backend, client: Client, long_job: Job
    ) -> None:
        _declares(backend.capabilities.spent, "spent")
        run = client.submit(replace(long_job, seed=long_job.seed + 5))
        told = []
        try:
            for _ in range(3):
                told.append(backend.spent(run.key))
                time.sleep(0.05)
        finally:
            run.cancel()
        until(run, lambda status: status.terminal, self.patience)
        told += [backend.spent(run.key), backend.spent(run.key)]
        for figure, unit, rounding in (("cost", "USD", 1e-9), ("time", "s", 1.0)):  # some tell whole seconds
            ranges = [getattr(one, figure) for one in told]
            assert {one.unit for one in ranges} == {unit}
            assert all(len(one.basis.split()) >= 2 for one in ranges)
            known = [one.expected for one in ranges if one.known]
            assert all(now >= before - rounding for before, now in pairwise(known)), f"{figure} shrinks: {known}"
        assert told[-1] == told[-2], "a run that has ended spends nothing"

    def test_what_a_run_spent_is_within_the_estimate(self, backend: Backend, finished: Run, estimate: Estimate) -> None:
        _declares(backend.capabilities.spent, "spent")
        cost, estimated = backend.spent(finished.key).cost, whole(estimate)
        if not cost.known or estimate.charge.high is None or estimate.machine.known:
            pytest.skip("the cost is not told, not known before, or that of time")
        assert cost.expected is not None
        assert estimated.holds(cost.expected)

    def test_a_cap_can_be_set_and_lifted(self, backend: Backend, finished: Run) -> None:
        _declares(backend.capabilities.caps, "caps")
        for usd in (1_000_000.0, None, None):
            backend.cap(finished.key, usd)
        assert finished.status == "succeeded"

    @pytest.mark.parametrize("verb", ["spent", "cap"])
    def test_what_nobody_submitted_has_spent_nothing_and_has_no_cap(
        self, backend: Backend, verb: Literal["spent", "cap"]
    ) -> None:
        able = backend.capabilities
        _declares(able.spent if verb == "spent" else able.caps, verb)
        with pytest.raises(NotFoundError, match=NO_SUCH):
            backend.spent(NO_SUCH) if verb == "spent" else backend.cap(NO_SUCH, 1.0)

    def test_resuming_a_run_that_succeeded_changes_nothing(self, backend: Backend, finished: Run) -> None:
        _needs(backend, "resume")
        with suppress(RunError, InputError):
            finished.resume()
        assert finished.status == "succeeded"

    def test_history_tells_what_a_replacement_needs(self, backend: Backend, finished: Run, job: Job) -> None:
        _needs(backend, "history")
        last = time.monotonic() + backend.capabilities.visible_within + MOMENT
        while (past := next((one for one in backend.history() if one.id == finished.key), None)) is None:
            assert time.monotonic() < last, "`history` does not show a new run within `visible_within`"
            time.sleep(0.02)
        assert past.status == "succeeded"
        assert past.method == job.method.kind
        assert past.model
        assert backend.model(past.model).answer("Hello?").text is not None
        json.dumps(dict(past.whole))

    def test_history_has_the_newest_first(self, backend: Backend, finished: Run, cancelled: Run) -> None:
        _needs(backend, "history")
        made = [past.created for past in backend.history()]
        assert made == sorted(made, reverse=True)

    def test_fetch_writes_the_rows_that_were_trained_from_the_start(
        self, backend: Backend, finished: Run, job: Job, tmp_path: Path
    ) -> None:
        _needs(backend, "history")
        past = next(one for one in backend.history() if one.id == finished.key)
        assert past.train is not None
        with (tmp_path / "rows.jsonl").open("wb") as file:
            file.write(b"what a try before this one left" * 10_000)
            backend.fetch(past.train.id, file)
        assert Dataset.load(tmp_path / "rows.jsonl").fingerprint == job.train.fingerprint

    def test_a_file_that_is_gone_is_not_found(self, backend: Backend) -> None:
        _needs(backend, "history")
        with pytest.raises(NotFoundError):
            backend.fetch("file-that-nobody-sent", BytesIO())

    def test_an_export_is_a_folder_that_is_whole_and_says_what_it_is(
        self, backend: Backend, finished: Run, tmp_path: Path
    ) -> None:
        _needs(backend, "export")
        assert backend.capabilities.exports
        for kind in sorted(backend.capabilities.exports):
            made = finished.export(tmp_path / "exports" / kind, kind)
            assert made.folder == tmp_path / "exports" / kind
            assert made.kind
            assert json.loads(json.dumps(made.to_dict())) == made.to_dict()
            left = {path.name: path.read_bytes() for path in made.folder.iterdir() if path.is_file()}
            assert left
            with pytest.raises(InputError, match="there already"):
                finished.export(made.folder, kind)
            assert {path.name: path.read_bytes() for path in made.folder.iterdir() if path.is_file()} == left
        assert {path.name for path in (tmp_path / "exports").iterdir()} == backend.capabilities.exports

    def test_an_export_that_cannot_be_is_refused_and_leaves_nothing(
        self, backend: Backend, finished: Run, cancelled: Run, tmp_path: Path
    ) -> None:
        with pytest.raises(UnsupportedError) as caught:
            finished.export(tmp_path / "out", "parchment")
        assert backend.capabilities.gaps.get("export", "parchment") in caught.value.message
        for kind in backend.capabilities.exports:
            with suppress(RunError):  # a run that was cancelled may have left a model
                cancelled.export(tmp_path / "kept", kind)
                shutil.rmtree(tmp_path / "kept")
        assert not list(tmp_path.iterdir())

    def test_render_marks_the_answer_and_not_the_question(self, backend: Backend, resolved: Resolved, job: Job) -> None:
        _needs(backend, "render")
        rendered = backend.render(job.train, 0, resolved.base)
        assert {"ids", "trained", "text", "spans"} <= rendered.keys()
        text, spans = rendered["text"], rendered["spans"]
        assert all(0 <= start < end <= len(text) for start, end in spans)
        learnt = " ".join(" ".join(text[start:end] for start, end in spans).split())
        asked, answers = _sides(job.train[0])
        for said in answers:
            assert said in learnt, f"{said!r} is not among what is trained: {learnt!r}"
        for said in asked:
            assert said not in learnt, f"{said!r} is trained"

    def test_render_trains_as_many_tokens_as_are_counted(self, backend: Backend, resolved: Resolved, job: Job) -> None:
        _needs(backend, "render")
        rendered, row = backend.render(job.train, 0, resolved.base), job.train[0]
        counter = backend.counter(resolved.base)
        count, trained = counter.count(row).trained, sum(rendered["trained"])
        assert len(rendered["ids"]) == len(rendered["trained"])
        assert trained or job.train.kind == "task"  # its answers are yet to be given
        if counter.exact:
            assert trained <= count if isinstance(row, PreferenceExample) else trained == count


def _needs(backend: Backend, verb: Optional) -> None:
    if verb not in backend.capabilities.verbs:
        pytest.skip(backend.capabilities.gaps[verb])


def _declares(declared: bool, name: str) -> None:
    if not declared:
        pytest.skip(f"`{name}` is not declared")


def _steps(run: Run, after: int) -> list[int]:
    """The steps whose loss was told after an event."""
    metrics = (event.data for event in run.events(after) if event.kind == "metrics")
    return [data["step"] for data in metrics if data.get("loss") is not None]


def _sides(row: Example) -> tuple[list[str], list[str]]:
    """What a row asks and what it teaches, white space made single; of a pair, the chosen answer."""
    if isinstance(row, PreferenceExample):
        asked, answers = list(row.prompt.messages), list(row.chosen)
    elif isinstance(row, ChatExample):
        learnt = [message.role == "assistant" and message.weight != 0 for message in row.messages]
        asked = [message for message, is_learnt in zip(row.messages, learnt, strict=True) if not is_learnt]
        answers = [message for message, is_learnt in zip(row.messages, learnt, strict=True) if is_learnt]
    elif isinstance(row, RatedExample | TaskExample):
        asked, answers = list(row.prompt.messages), list(row.answer) if isinstance(row, RatedExample) else []
    else:
        return [], [" ".join(row.text.split())]
    taught = [" ".join(message.text.split()) for message in answers]
    questions = (" ".join(message.text.split()) for message in asked)
    return [said for said in questions if said and not any(said in answer for answer in taught)], taught

"""The queue: jobs are validated, wait for a free slot, are submitted once, followed to their end, and outlive the server.

All that this room knows is in the store before it acts. What a job submits is named in the ledger (fingerprint and attempt)
and noted with the job first, so a server that is started again finds the run and never makes a second one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from finetune_sdk.backend import Resolved, Status
from finetune_sdk.client import Client
from finetune_sdk.errors import (
    BackendError,
    FinetuneError,
    JobError,
    NotFoundError,
    RunError,
    UnsupportedError,
)
from finetune_sdk.job import Job
from finetune_sdk.ledger import Entry
from finetune_sdk.run import Run
from finetune_sdk.serve import definitions
from finetune_sdk.serve.files import Files
from finetune_sdk.serve.records import Stage, Tuning
from finetune_sdk.serve.shapes import model_name
from finetune_sdk.serve.store import Store
from finetune_sdk.serve.telling import defect, failure, finding, results_table, told_of

log = logging.getLogger("finetune_sdk.serve")
_POLL = (0.1, 2.0)
_PATIENCE = 600.0
_SWEEP = 600.0
_STATUS = {"queued": "queued", "validating": "validating_files", "paused": "paused"}


class _StoppingError(Exception):
    """The server ends; its runs go on."""


class Queue:
    """`slots` jobs run at once. `start` takes up what an earlier server left; `stop` lets go of it and cancels nothing."""

    def __init__(self, store: Store, files: Files, client: Client, slots: int = 1) -> None:
        self._store = store
        self._files = files
        self._client = client
        self._slots = slots
        self._news = threading.Condition()
        self._told = 0
        self._swept = time.monotonic()
        self._stopping = False
        self._carried: set[str] = set()
        self._threads: list[threading.Thread] = []
        # One at a time asks the backend about data: it may keep what it has tokenised.
        self._asking = threading.Lock()

    def start(self) -> None:
        self._spawn(lambda: self._again_and_again(self._validate_all), "validate")
        self._spawn(lambda: self._again_and_again(self._fill_slots), "dispatch")

    def wake(self) -> None:
        """Something changed in the store."""
        with self._news:
            self._told += 1
            self._news.notify_all()

    def stop(self, seconds: float = 10.0) -> None:
        """Ends the threads. One that is submitting is waited for so long; what it leaves open, the next start settles."""
        with self._news:
            self._stopping = True
            self._news.notify_all()
        until = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))

    def _spawn(self, what: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=what, name=f"finetune-serve-{name}", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _rest(self, seconds: float, told: int) -> None:
        """Waits for news since `told`, at most so long. Raises _StoppingError when the server ends."""
        with self._news:
            self._news.wait_for(lambda: self._stopping or self._told != told, seconds)
            if self._stopping:
                raise _StoppingError

    def _again_and_again(self, work: Callable[[], None]) -> None:
        """Does the work whenever there are news. What goes wrong, as on a full disk, must not be the last of it."""
        with suppress(_StoppingError):
            while True:
                told = self._told
                try:
                    work()
                    self._rest(5.0, told)
                except _StoppingError:
                    raise
                except Exception:  # any at all: a queue that ends is found out only when no job moves any more
                    if self._stopping:  # the store may be closed under it
                        return
                    log.exception("the queue has a fault; it goes on")
                    self._rest(1.0, self._told)

    # Validation

    def _validate_all(self) -> None:
        for tuning in self._store.in_stage("validate"):
            self._validate(tuning)
            if self._stopping:
                return

    def _validate(self, tuning: Tuning) -> None:
        self._store.note(tuning.id, f"Validating training file: {tuning.training_file}")
        try:
            with self._asking:
                job, resolved = self._resolve(tuning)
                wrong = [found for found in self._client.check(job) if found.severity == "error"]
        except Exception as fault:  # a backend's defect, too, fails this job and no other
            if self._stopping:
                raise _StoppingError from None
            if not isinstance(fault, FinetuneError):
                log.exception("%s could not be validated", tuning.id)
                fault = defect(fault)
            self._fail(tuning, fault, ("validate",))
            return
        if wrong:
            first = wrong[0]
            more = f" ({len(wrong) - 1} more things are wrong)" if len(wrong) > 1 else ""
            self._fail(tuning, finding(first.check, f"{first.message}{more}", first.cure), ("validate",))
            return
        known = definitions.hyperparameters(tuning, resolved)
        if self._store.move(tuning.id, ("validate",), stage="wait", status="queued", resolved=known):
            self._store.note(tuning.id, "Files validated, moving job to queued state")
            self.wake()

    def _resolve(self, tuning: Tuning) -> tuple[Job, Resolved]:
        validation = self._files.path(tuning.validation_file) if tuning.validation_file else None
        job = definitions.job(tuning, self._client, self._files.path(tuning.training_file), validation)
        try:
            return job, self._client.resolve(job)
        except NotFoundError as fault:
            if not tuning.model.startswith("ft:"):
                raise
            raise UnsupportedError(
                f"{tuning.model} is a tuned model, and this backend starts from bases only ({fault.message})",
                cure="start from its base, with the rows of both",
            ) from None

    def _names(self, tuning: Tuning) -> dict[str, str]:
        files = [("training_file", tuning.training_file), ("validation_file", tuning.validation_file)]
        return {str(self._files.path(file)): word for word, file in files if file is not None}

    # Slots

    def _fill_slots(self) -> None:
        """Follows what was begun, by this server or an earlier one, and begins what waits where there is room."""
        for begun in self._store.in_stage("start", "follow"):
            if begun.id not in self._carried:
                self._carry(begun)
        while len(self._carried) < self._slots and (waiting := self._store.next_waiting()) is not None:
            if self._store.move(waiting.id, ("wait",), stage="start"):
                self._carry(waiting)
        if time.monotonic() - self._swept > _SWEEP:
            self._files.sweep()
            self._swept = time.monotonic()

    def _carry(self, tuning: Tuning) -> None:
        self._carried.add(tuning.id)
        self._spawn(lambda: self._carrying(tuning.id), tuning.id)

    def _carrying(self, tuning: str) -> None:
        try:
            self._to_its_end(tuning)
        except _StoppingError:
            return
        except Exception as fault:  # as above: the slot must become free again
            if self._stopping:  # and the store may be closed: the next start settles what is open
                return
            if not isinstance(fault, FinetuneError):
                log.exception("%s could not be followed", tuning)
                time.sleep(1)
                fault = defect(fault)
            self._fail(self._read(tuning), fault, ("start", "follow"))
        finally:
            self._carried.discard(tuning)
            self.wake()

    def _read(self, tuning: str) -> Tuning:
        found = self._store.tuning(None, tuning)
        assert found is not None
        return found

    # One job

    def _to_its_end(self, tuning: str) -> None:
        run = self._patiently(tuning)
        if run is not None:
            self._follow(tuning, run)

    def _patiently(self, tuning: str) -> Run | None:
        """Submits again where that can help: the client makes no second run of it, whatever became of the first try."""
        until, pause = time.monotonic() + _PATIENCE, 0.5
        while True:
            told = self._told
            try:
                return self._run(self._read(tuning))
            except BackendError as fault:
                if not fault.retryable or time.monotonic() > until:
                    return self._left_by(tuning, fault)
                log.warning("%s could not be submitted yet: %s", tuning, fault.message)
            self._rest(pause, told)
            pause = min(2 * pause, 30.0)

    def _left_by(self, tuning: str, failure: BackendError) -> Run:
        """The run that a failed submission made all the same. Only when there is surely none, the failure is raised."""
        while True:
            told = self._told
            try:
                run = self._sent(self._read(tuning))
            except BackendError as fault:
                log.warning("whether %s has a run is not known yet: %s", tuning, fault.message)
            else:
                if run is None:
                    raise failure
                return run
            self._rest(5.0, told)

    def _run(self, tuning: Tuning) -> Run | None:
        """The one run of a tuning, made or resumed where it has to be; None where it is not wanted any more."""
        if tuning.run is not None:
            run = self._client.get_run(tuning.run)
            if tuning.stage == "start" and tuning.wish is None and run.status in ("cancelled", "paused"):
                run.resume()
            return run
        if tuning.wish is not None:
            sent = self._sent(tuning)
            if sent is None:
                self._let_go(tuning)
            return sent
        with self._asking:
            job, resolved = self._resolve(tuning)
            fingerprint = resolved.fingerprint(self._client.backend.address)
            attempt = self._attempt(tuning, fingerprint)
            entry = self._entry(fingerprint, attempt)
            if entry is not None and entry.state == "sent" and entry.run is not None:
                return self._client.get_run(f"{entry.place}:{entry.run}")
            return self._client.submit(job, again=attempt > 1)

    def _sent(self, tuning: Tuning) -> Run | None:
        """The run of a tuning that is not wanted any more, if there is one. While there is doubt: a BackendError."""
        if tuning.fingerprint is None or tuning.attempt is None:
            return None
        entry, backend = self._entry(tuning.fingerprint, tuning.attempt), self._client.backend
        if entry is None or entry.state == "refused":
            return None
        found = [entry.run] if entry.run is not None else list(backend.find(entry.token))
        if found:
            self._client.ledger.settle(entry.token, "sent", found[0])
            return self._client.get_run(f"{entry.place}:{found[0]}")
        if time.time() < entry.updated + backend.capabilities.visible_within:
            raise BackendError("whether the run was made is not known yet.", code="in_doubt", retryable=True)
        return None

    def _attempt(self, tuning: Tuning, fingerprint: str) -> int:
        """Which submission of its definition is this tuning's. It is noted before anything is sent, and stays."""
        if tuning.attempt is not None and tuning.fingerprint is not None:
            if tuning.fingerprint != fingerprint and self._entry(tuning.fingerprint, tuning.attempt) is not None:
                raise JobError(
                    "the server's settings were changed while this job was being submitted, so its run may not be known.",
                    cure="look for it with `finetune runs`, and create the job again",
                )
            if tuning.fingerprint == fingerprint:
                return tuning.attempt
        attempts = self._client.ledger.attempts(fingerprint)
        attempt = attempts[-1].attempt + self._is_over(attempts[-1]) if attempts else 1
        self._store.change(tuning.id, fingerprint=fingerprint, attempt=attempt)
        return attempt

    def _is_over(self, last: Entry) -> bool:
        """Whether a submission of the same definition ended without a model, so that this one is another."""
        if last.state != "sent" or last.run is None:
            return False
        try:
            status = self._client.get_run(f"{last.place}:{last.run}").status
        except (NotFoundError, RunError):
            return True
        return status.terminal and status != "succeeded"

    def _entry(self, fingerprint: str, attempt: int) -> Entry | None:
        return next((one for one in self._client.ledger.attempts(fingerprint) if one.attempt == attempt), None)

    def _let_go(self, tuning: Tuning) -> None:
        """A wish that came before there was a run."""
        if tuning.wish == "pause":
            self._store.move(tuning.id, ("start",), stage="paused", status="paused", wish=None)
            self._store.note(tuning.id, "The job has been paused")
        else:
            self._finish(tuning, "cancelled", "The job was cancelled")

    def _follow(self, tuning: str, run: Run) -> None:
        known = self._read(tuning)
        self._store.move(
            tuning, ("start", "follow"), stage="follow", run=run.id, estimated=known.estimated or _finish_of(run)
        )
        pause, wished = _POLL[0], None
        while True:
            told = self._told
            known = self._read(tuning)
            try:
                if known.wish != wished and known.wish is not None:
                    self._end_run(run, known)
                    wished = known.wish
                status = run.status
                news = self._mirror(run, known)
                shown = "running" if known.wish or status.terminal else _STATUS.get(status, "running")
                if shown != known.status and not status.terminal:
                    self._store.move(tuning, ("follow",), status=shown)
                if self._ended(run, known, status):
                    return
            except (NotFoundError, RunError):
                raise
            except BackendError as fault:
                log.warning("%s cannot be asked now: %s", run.id, fault.message)
                news = False
            pause = _POLL[0] if news else min(1.2 * pause, _POLL[1])
            self._rest(pause, told)

    def _end_run(self, run: Run, tuning: Tuning) -> None:
        if tuning.wish == "pause" and "pause" in self._client.backend.capabilities.verbs:
            run.pause()
        else:
            run.cancel()

    def _mirror(self, run: Run, tuning: Tuning) -> bool:
        """Keeps what happened since in the store, in the protocol's words."""
        events = list(run.events(tuning.seen))
        if not events:
            return False
        told = [(*said, event.time) for event in events if (said := told_of(event)) is not None]
        self._store.note_all(tuning.id, told, seen=events[-1].number)
        return True

    def _ended(self, run: Run, tuning: Tuning, status: Status) -> bool:
        if status == "paused" or (status == "cancelled" and tuning.wish == "pause"):
            if tuning.wish != "pause":
                return False
            self._store.move(tuning.id, ("follow",), stage="paused", status="paused", wish=None, estimated=None)
            self._store.note(tuning.id, "The job has been paused")
            return True
        if status == "succeeded":
            self._succeed(run, tuning)
        elif status == "cancelled":
            self._finish(tuning, "cancelled", "The job was cancelled")
        elif status == "failed":
            said = [event.message for event in run.events() if event.kind == "status" and event.message]
            raise JobError(said[-1] if said else "the run failed and gave no reason.")
        return status.terminal

    def _succeed(self, run: Run, tuning: Tuning) -> None:
        result = run.result()
        tokens = result.actual.get("tokens", result.actual.get("trained_tokens"))
        name = model_name(tuning)
        results = self._files.keep_results(tuning.owner, results_table(self._store.events(tuning.id)))
        self._store.note(tuning.id, f"New fine-tuned model created: {name}")
        self._finish(
            tuning, "succeeded", "The job has successfully completed", result_file=results, tuned=name,
            target=result.model, trained_tokens=None if tokens is None else int(tokens),
        )  # fmt: skip

    def _finish(self, tuning: Tuning, status: str, message: str, **values: object) -> None:
        self._store.note(tuning.id, message)
        self._store.change(
            tuning.id, stage="over", status=status, wish=None, estimated=None, finished=int(time.time()), **values
        )
        self._files.sweep()

    def _fail(self, tuning: Tuning, fault: FinetuneError, stages: tuple[Stage, ...]) -> None:
        error = failure(fault, self._names(tuning))
        if self._store.move(
            tuning.id, stages, stage="over", status="failed", wish=None, error=error, finished=int(time.time())
        ):
            self._store.note(tuning.id, f"The job failed: {error['message']}", level="error")
        self._files.sweep()


def _finish_of(run: Run) -> int | None:
    estimate = run.estimate
    seconds = estimate.time.expected if estimate is not None else None
    return None if seconds is None else int(time.time() + seconds)

"""What can be asked of fine-tuning jobs. The queue does the work; here it is ordered, shown and stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool

from finetune_sdk.client import Client
from finetune_sdk.serve.catalogue import Catalogue
from finetune_sdk.serve.definitions import (
    NewJob,
    check_integrations,
    check_metadata,
    definition,
    method_of,
    new_seed,
)
from finetune_sdk.serve.errors import ProtocolError, full, invalid, no_such_job, unsupported
from finetune_sdk.serve.files import Files
from finetune_sdk.serve.queue import Queue
from finetune_sdk.serve.records import File, Tuning, new_id
from finetune_sdk.serve.shapes import TUNED, checkpoint_object, event_object, job_object, listed
from finetune_sdk.serve.store import Store

_WAITING = 200
_SETTLE = 20.0


class Jobs:
    """Jobs of one owner each; nobody sees another's."""

    def __init__(self, store: Store, files: Files, catalogue: Catalogue, client: Client, queue: Queue) -> None:
        self._store = store
        self._files = files
        self._catalogue = catalogue
        self._client = client
        self._queue = queue

    def create(self, owner: str, asked: NewJob) -> dict[str, Any]:
        check_metadata(asked.metadata)
        check_integrations(asked.integrations)
        base = self._catalogue.find(owner, asked.model)
        method = method_of(asked, self._client.backend.capabilities.methods)
        training = self._file(owner, asked.training_file, "training_file")
        validation = self._file(owner, asked.validation_file, "validation_file") if asked.validation_file else None
        if self._store.waiting(owner) >= _WAITING:
            raise full(f"{_WAITING} jobs are not over yet; wait for some of them, or cancel some.")
        seed = new_seed() if asked.seed is None else asked.seed
        tuning = Tuning(
            id=new_id("ftjob-"),
            owner=owner,
            created=int(time.time()),
            model=asked.model,
            base=base.target,
            training_file=training.id,
            validation_file=validation.id if validation else None,
            suffix=asked.suffix,
            seed=seed,
            method=method,
            definition=definition(
                base.target, training.sha256, validation.sha256 if validation else None, method, seed
            ),
            metadata=asked.metadata,
        )
        self._store.add_tuning(tuning)
        self._store.note(tuning.id, f"Created fine-tuning job: {tuning.id}")
        self._queue.wake()
        return job_object(tuning)

    def _file(self, owner: str, file: str, param: str) -> File:
        found = self._store.file(owner, file)
        if found is None:
            raise ProtocolError(f"invalid {param}: {file}", param=param, code="invalid_file")
        if found.purpose != TUNED:
            raise invalid(param, f"its purpose is '{found.purpose}', not '{TUNED}'.")
        return found

    def get(self, owner: str, job: str) -> Tuning:
        found = self._store.tuning(owner, job)
        if found is None:
            raise no_such_job(job)
        return found

    def page(
        self, owner: str, after: str | None, limit: int, metadata: Mapping[str, str] | None, bare: bool
    ) -> dict[str, Any]:
        if after is not None:
            self.get(owner, after)
        found = self._store.tunings(owner, after, limit + 1, metadata, bare)
        return listed([job_object(one) for one in found[:limit]], len(found) > limit)

    async def cancel(self, owner: str, job: str) -> dict[str, Any]:
        """Ends a job, and returns when it has ended, or after 20 s. Of one that was cancelled already nothing changes."""
        return await self._stop(owner, job, "cancel")

    async def pause(self, owner: str, job: str) -> dict[str, Any]:
        """Stops a job so that it can go on; its slot is free for others meanwhile."""
        if not {"pause", "resume"} & self._client.backend.capabilities.verbs:
            raise unsupported("pause", f"the backend {self._client.name!r} cannot take a run up again.")
        return await self._stop(owner, job, "pause")

    async def _stop(self, owner: str, job: str, wish: Any) -> dict[str, Any]:
        tuning = await run_in_threadpool(self._wish, owner, job, wish)
        until = time.monotonic() + _SETTLE
        while tuning.stage in ("start", "follow") and tuning.wish and time.monotonic() < until:
            await asyncio.sleep(0.05)
            tuning = await run_in_threadpool(self.get, owner, job)
        return job_object(tuning)

    def _wish(self, owner: str, job: str, wish: Any) -> Tuning:
        tuning = self.get(owner, job)
        word = "cancelled" if wish == "cancel" else "paused"
        if tuning.status == word:
            return tuning
        if tuning.stage == "over":
            raise ProtocolError(f"Job has already ended as {tuning.status}: {job}", code="invalid_job_state")
        values: dict[str, Any] = {"stage": "over", "status": word, "finished": int(time.time())}
        if wish == "pause":
            values = {"stage": "paused", "status": word}
        if self._store.move(job, ("validate", "wait", "paused"), wish=None, **values):
            self._store.note(job, f"The job {'was cancelled' if wish == 'cancel' else 'has been paused'}")
            self._files.sweep()
        else:
            self._store.wish(job, wish)
        self._queue.wake()
        return self.get(owner, job)

    def resume(self, owner: str, job: str) -> dict[str, Any]:
        """A paused job waits for a slot again; a run that it had goes on from its last checkpoint."""
        tuning = self.get(owner, job)
        if tuning.stage != "paused":
            raise ProtocolError(f"Job is {tuning.status}, not paused: {job}", code="invalid_job_state")
        again: dict[str, Any] = {"stage": "wait", "status": "queued"}
        if not tuning.resolved:
            again = {"stage": "validate", "status": "validating_files"}
        if self._store.move(job, ("paused",), wish=None, **again):
            self._store.note(job, "The job has been resumed")
        shown = self.get(owner, job)
        self._queue.wake()
        return job_object(shown)

    def events(self, owner: str, job: str, after: str | None, limit: int) -> dict[str, Any]:
        self.get(owner, job)
        if after is not None and not self._store.has_event(job, after):
            raise invalid("after", f"there is no event {after!r} of this job.")
        found = self._store.events(job, after, limit + 1)
        return listed([event_object(one) for one in found[:limit]], len(found) > limit)

    def checkpoints(self, owner: str, job: str, after: str | None, limit: int) -> dict[str, Any]:
        """The newest first."""
        tuning = self.get(owner, job)
        if tuning.run is None or "checkpoints" not in self._client.backend.capabilities.verbs:
            return listed([], False, ends=True)
        times = {
            event.data["step"]: event.created
            for event in self._store.events(job)
            if event.message.startswith("Checkpoint") and "step" in event.data
        }
        saved = sorted(self._client.get_run(tuning.run).checkpoints(), key=lambda one: one.step, reverse=True)
        found = [checkpoint_object(tuning, one, times.get(one.step, tuning.created)) for one in saved]
        ids = [one["id"] for one in found]
        if after is not None and after not in ids:
            raise invalid("after", f"there is no checkpoint {after!r} of this job.")
        behind = 0 if after is None else ids.index(after) + 1
        page = found[behind : behind + limit]
        return listed(page, len(found) > behind + limit, ends=True)

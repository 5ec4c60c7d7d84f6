"""Run: a job that was submitted. It has an id, a status, events and checkpoints, and ends in a model."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune_sdk.backend import Backend, Checkpoint, Event, Export, Result, Status
from finetune_sdk.errors import BackendError, BudgetError, InputError, NotFoundError, RunError, UnsupportedError
from finetune_sdk.estimate import Estimate, Spent
from finetune_sdk.ledger import Entry, Ledger
from finetune_sdk.model import Model, Origin, Tuned
from finetune_sdk.report.progress import Progress, silent
from finetune_sdk.spending import beyond, dollars, over, require_sum, so_far, told

POLL_SECONDS = (0.2, 5.0)
LOOK_SECONDS = 2.0
"""What a run has spent is asked whenever it tells something, and after so long a silence."""


class Run:
    """A submitted job, as its place and the ledger know it. `id` carries its backend: "local:7f3a…"."""

    def __init__(self, place: str, key: str, backend: Backend, ledger: Ledger) -> None:
        self.place = place
        self.key = key
        self._backend = backend
        self._ledger = ledger

    @property
    def id(self) -> str:
        return f"{self.place}:{self.key}"

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    @property
    def status(self) -> Status:
        """What the place says now. Raises RunError when the place does not know the run any more, NotFoundError when it was never submitted from here."""
        with self._asking():
            status = self._backend.status(self.key)
        self._ledger.observe(self.place, self.key, status)
        return status

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What the place does not know any more is said with the run's name and the day it was submitted."""
        try:
            yield
        except NotFoundError as fault:
            raise self._gone(fault) from None

    def _gone(self, fault: NotFoundError) -> BackendError:
        entry = self.entry
        if entry is None:
            return NotFoundError(
                f"{self.id}: {fault.message}", cure="list the runs that are known with `finetune runs`"
            )
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.created))
        return RunError(
            f"{self.id} ({entry.name}) was submitted on {when} and is gone: {fault.message}",
            cure="submit the job again with submit(job, again=True), or `finetune run --again`",
        )

    @property
    def entry(self) -> Entry | None:
        """The ledger's record, None for a run that was submitted elsewhere."""
        return self._ledger.of_run(self.place, self.key)

    @property
    def estimate(self) -> Estimate | None:
        entry = self.entry
        return Estimate.from_dict(entry.estimate) if entry else None

    @property
    def max_cost(self) -> float | None:
        """Its cap in USD."""
        entry = self.entry
        return entry.max_cost if entry else None

    def spent(self) -> Spent:
        """What the run has taken up to now, in USD and in seconds of work; of one that has ended, in all."""
        with self._asking():
            if self._backend.capabilities.spent:
                return self._backend.spent(self.key)
            status = self._backend.status(self.key)
            return so_far(self._backend.events(self.key), status, self.estimate, time.time())

    def cap(self, max_cost: float) -> None:
        """Another cap in USD: whoever waits, and the place itself where it can, ends the run once it has cost more.

        Raises BudgetError for what is no sum, or less than what the run has cost already.
        """
        require_sum(max_cost)
        keeps = self._backend.capabilities.caps
        if self.entry is None and not keeps:
            raise BudgetError(
                f"{self.id} was submitted elsewhere, so nobody here keeps its cap.",
                cure="set it where it was submitted",
            )
        self._require_room(max_cost)
        self._ledger.cap(self.place, self.key, max_cost)
        if keeps:
            with self._asking():
                self._backend.cap(self.key, max_cost)

    def _require_room(self, max_cost: float) -> None:
        spent = self.spent()
        if over(spent, max_cost):
            raise BudgetError(
                f"{self.id}: {told(spent, self.estimate, max_cost)}.",
                cure=f"give more: `finetune resume {self.id} --max-cost MORE`, or run.resume(max_cost=MORE)",
            )

    def events(self, after: int = 0) -> Iterator[Event]:
        """What happened so far, from event number `after` + 1."""
        with self._asking():
            yield from self._backend.events(self.key, after)

    def checkpoints(self) -> Sequence[Checkpoint]:
        self._backend.capabilities.require("checkpoints", self.place)
        with self._asking():
            return self._backend.checkpoints(self.key)

    def cancel(self) -> None:
        """Ends the run; finished checkpoints are kept. A run that has ended stays as it is."""
        with self._asking():
            self._backend.cancel(self.key)

    def pause(self) -> Run:
        """Holds an active run; `resume` lets it go on."""
        self._backend.capabilities.require("pause", self.place)
        with self._asking():
            self._backend.pause(self.key)
        return self

    def resume(self, *, max_cost: float | None = None) -> Run:
        """Goes on from the last good checkpoint, or where the run was paused.

        `max_cost` is another cap in USD on all that the run costs; without it, the run keeps the one it has. Raises BudgetError where
        it has cost more than that already.
        """
        able = self._backend.capabilities
        held = "pause" in able.verbs and "resume" not in able.verbs and self.status in ("pausing", "paused")
        able.require("pause" if held else "resume", self.place)
        if max_cost is not None:
            self.cap(max_cost)
        elif (kept := self.max_cost) is not None:
            self._require_room(kept)
        self._ledger.resume(self.place, self.key)
        with self._asking():
            self._backend.resume(self.key)
        return self

    def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> Model:
        """Waits for the end and returns the tuned model. ctrl-C stops the waiting, never the run.

        Warns once of what goes beyond the estimate's high end, and ends the run once it has cost more than its cap: it is paused where
        the place can, and else cancelled. `progress` None shows a bar where a person looks on. Raises RunError when the run
        failed, was cancelled or stopped at its cap, and TimeoutError after `timeout` seconds (the run goes on).
        """
        entry = self.entry
        title = entry.name if entry else self.id
        with silent() if progress is False else Progress(title, always=bool(progress)) as shown:
            try:
                status = self._follow(shown, timeout)
            except KeyboardInterrupt:
                shown.say(f"detached; {self.id} goes on. Come back with: finetune attach {self.id}")
                raise
        if status != "succeeded":
            raise self._ended(status)
        return self.model()

    def _follow(self, shown: Progress, timeout: float | None) -> Status:
        started, pause, seen, looked = time.monotonic(), POLL_SECONDS[0], 0, 0.0
        warned, stopping = set[str](), False
        while True:
            status, heard = self.status, seen
            for event in self.events(seen):
                seen, pause = event.number, POLL_SECONDS[0]
                shown.show(event.kind, event.message, event.data)
            if status.terminal or (stopping and status == "paused"):
                return status
            if seen > heard or time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                stopping = self._look(status, shown, warned) or stopping
                if stopping:
                    continue
            if timeout is not None and time.monotonic() - started > timeout:
                raise TimeoutError(f"{self.id} is {status} after {timeout:.0f} s of waiting; it goes on.")
            time.sleep(pause)
            pause = min(pause * 1.2, POLL_SECONDS[1] if time.monotonic() - started > 60 else 0.5)

    def _look(self, status: Status, shown: Progress, warned: set[str]) -> bool:
        """Looks at what an active run has spent, says what is new of that, and stops it above its cap; whether it did."""
        entry = self.entry
        if entry is None:
            return False
        spent = self._spent_if_known()
        if spent is None:
            return False
        said = dict(beyond(spent, Estimate.from_dict(entry.estimate)))
        if entry.max_cost is not None and spent.cost.expected is None:
            said["unknown"] = (
                f"what it has cost so far is unknown here ({spent.cost.basis}), so max_cost={dollars(entry.max_cost)} "
                "is not kept while it runs"
            )
        for name in sorted(said.keys() - warned):
            if name != "unknown" or status == "running":
                shown.warn(f"{self.id}: {said[name]}")
                warned.add(name)
        if not over(spent, entry.max_cost):
            return False
        self._stop(status)
        return True

    def _spent_if_known(self) -> Spent | None:
        """None where the place cannot say now; it is asked again."""
        try:
            return self.spent()
        except BackendError:
            return None

    def _stop(self, status: Status) -> None:
        """Pauses where the place can, and else cancels: what is finished is kept."""
        if status in ("pausing", "paused", "cancelling"):
            return
        if "pause" in self._backend.capabilities.verbs:
            with suppress(BackendError):  # it may refuse one that is yet queued, or a method that it cannot hold
                self._backend.pause(self.key)
                return
        with self._asking():
            self._backend.cancel(self.key)

    def _ended(self, status: Status) -> RunError:
        able = self._backend.capabilities.verbs
        can = "resume" in able or ("pause" in able and status == "paused")
        cap, spent = self.max_cost, self._spent_if_known()
        if cap is not None and spent is not None and status in ("cancelled", "paused") and over(spent, cap):
            more = "its checkpoints are kept: go on" if can else "its checkpoints are kept; submit it again"
            return RunError(
                f"{self.id} was stopped ({status}): {told(spent, self.estimate, cap)}.",
                cure=f"{more} with `finetune resume {self.id} --max-cost MORE`, or run.resume(max_cost=MORE)"
                if can
                else f"{more} with submit(job, again=True, max_cost=MORE)",
            )
        said = [event.message for event in self.events() if event.kind == "status" and event.message]
        why = f": {said[-1]}" if said else "."
        cure = f"go on with `finetune resume {self.id}`" if can else "see its events"
        return RunError(
            f"{self.id} ended as {status}{why}", cure=f"{cure}, or submit again with submit(job, again=True)"
        )

    def result(self) -> Result:
        """What the run left; its actual figures go into the ledger."""
        with self._asking():
            result = self._backend.result(self.key)
        self._ledger.observe(self.place, self.key, self._backend.status(self.key), result.actual)
        return result

    def model(self) -> Model:
        """The tuned model, with its origin. Raises RunError when the run has not left one."""
        result = self.result()
        entry = self.entry
        resolved: Mapping[str, Any] = entry.resolved if entry else {}
        name = entry.name if entry else self.id
        origin = Origin(
            backend=self.place,
            base=str(resolved.get("base", "")),
            run=self.id,
            job=resolved,
            estimate=entry.estimate if entry else None,
            actual=dict(result.actual),
            curves=self.curves(),
            manifest=result.manifest,
            sketch=frozenset(entry.sketch) if entry else frozenset(),
        )
        return Tuned(self._backend.model(result.model), name, origin)

    def export(
        self,
        path: str | os.PathLike[str],
        kind: str = "adapter",
        *,
        push: str | None = None,
        public: bool = False,
    ) -> Export:
        """The tuned model as a folder, whole or not at all: its "adapter", "merged" into the base, or that as "gguf".

        `push` names a repository of a hub, as in "owner/name", that the folder goes to once it is whole; it is private unless
        `public`, and nothing in it is written over. Where it cannot be pushed to, that is found before anything is exported.

        Raises UnsupportedError for what the place cannot do, InputError where there is something at `path` already, and
        RunError when the run has left no model, or when what would be exported answers differently from it.
        """
        able = self._backend.capabilities
        able.require("export", self.place)
        if kind not in able.exports:
            raise UnsupportedError(
                f"{self.place} has no export of kind {kind!r}.", cure=f"it has {', '.join(sorted(able.exports))}"
            )
        if push is not None and not able.pushes:
            raise UnsupportedError(f"{self.place} cannot push to a hub.", cure="leave `push` out")
        to = Path(path).expanduser().absolute()
        if to.is_symlink() or (to.exists() and not (to.is_dir() and not any(to.iterdir()))):
            raise InputError(
                f"{to} is there already, and nothing is ever written over.", cure="name a new folder, or an empty one"
            )
        with self._asking():
            if push is None:
                return self._backend.export(self.key, to, kind)
            self._backend.pushable(push, public)
            made = self._backend.export(self.key, to, kind)
            return replace(made, pushed=self._backend.push(made.folder, push, public))

    def base(self) -> Model:
        """The base that the run started from. Raises RunError for a run that was submitted elsewhere."""
        entry = self.entry
        if entry is None:
            raise RunError(
                f"{self.id} is not in this ledger, so its base is not known here.",
                cure="take the base from its job: client.base(job)",
            )
        return self._backend.model(str(entry.resolved["base"]))

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Loss over steps, as `{"loss": [(step, value), …], "validation_loss": …, "learning_rate": …}`, rewards, and what guards saw."""
        names: tuple[str, ...] = ("loss", "validation_loss", "learning_rate", "margin", "validation_margin")
        names += ("validation_score", "memorised", "forgetting_loss", "forgetting_score", "reward", "validation_reward")
        curves: dict[str, dict[int, float]] = {}
        for event in self.events():
            if event.kind != "metrics" or "step" not in event.data:
                continue
            for name in names:
                if event.data.get(name) is not None:
                    curves.setdefault(name, {})[event.data["step"]] = event.data[name]
        return {name: sorted(curve.items()) for name, curve in curves.items()}

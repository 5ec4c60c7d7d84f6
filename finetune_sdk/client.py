"""Client: where a job meets a backend. What it promises: priced before, sent once, found again."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from finetune_sdk.backend import (
    Backend,
    Place,
    Resolved,
    Status,
    open_backend,
    refuse_hyperparameters,
)
from finetune_sdk.data.checks import QUICK, Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import (
    BackendError,
    DatasetError,
    FinetuneError,
    InputError,
    JobError,
    MissingDependencyError,
    NotFoundError,
    RefusedError,
    RunError,
    SettingsError,
    UnsupportedError,
)
from finetune_sdk.estimate import Estimate, Upkeep, Usage
from finetune_sdk.job import Job
from finetune_sdk.ledger import Entry, Ledger
from finetune_sdk.model import Model
from finetune_sdk.run import Run
from finetune_sdk.settings import Settings
from finetune_sdk.spending import require_within

_SHOWN = 10
_log = logging.getLogger("finetune_sdk")


class Client:
    """A connection to one backend: the argument's, FINETUNE_BACKEND's, finetune.toml's, or "local"."""

    def __init__(
        self,
        backend: str | None = None,
        *,
        home: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings.load(backend, home=home, file=config)
        self.name = self.settings.backend
        self._backends: dict[str, Backend] = {}
        self._compared: dict[tuple[str, str], tuple[Finding, ...]] = {}
        self._ledger: Ledger | None = None

    def __repr__(self) -> str:
        return f"Client({self.name!r})"

    @property
    def backend(self) -> Backend:
        return self._backend(self.name)

    def _backend(self, name: str) -> Backend:
        if name not in self._backends:
            opened = open_backend(Place(name, self.settings.place(name), self.settings.home))
            return self._backends.setdefault(name, opened)  # one for all threads: it holds what is loaded
        return self._backends[name]

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger(self.settings.home)
        return self._ledger

    def resolve(self, job: Job) -> Resolved:
        """The job as it would run here. Raises UnsupportedError for what is set and cannot be done."""
        return self._resolve(job)

    def _resolve(self, job: Job, **there: Any) -> Resolved:
        if not isinstance(job, Job):
            raise JobError(
                f"this is {type(job).__name__}, not a Job.", cure="make a Job(…), or read one: JobFile.load(path).job()"
            )
        refuse_hyperparameters(job, self.backend.capabilities, self.name)
        return self.backend.resolve(job, **there)

    def check(self, job: Job, *, allow_leakage: bool = False) -> tuple[Finding, ...]:
        """All that is wrong with the job's data and what this backend would reject; errors first. Sends nothing."""
        return self._check(self.resolve(job), allow_leakage)

    def _check(self, resolved: Resolved, allow_leakage: bool) -> tuple[Finding, ...]:
        job = resolved.job
        found = [*job.train.check(QUICK), *self.backend.check(resolved)]
        if job.validation is not None and not allow_leakage:
            trained = set(job.train.hashes())
            shared = sum(content in trained for content in job.validation.hashes())
            if shared:
                found.append(_leak(shared))
            found += self._nearly(job.train, job.validation)
        order = {"error": 0, "warning": 1, "note": 2}
        return tuple(sorted(found, key=lambda finding: order[finding.severity]))

    def _nearly(self, train: Dataset, validation: Dataset) -> tuple[Finding, ...]:
        """Validation rows that are nearly training rows, looked for once."""
        from finetune_sdk.data.checks.near import near_leaks_if_looked_for

        key = (train.fingerprint, validation.fingerprint)
        if key not in self._compared:
            self._compared[key] = tuple(near_leaks_if_looked_for(train, validation))
        return self._compared[key]

    def estimate(self, job: Job, *, gpu: str | None = None, probe: bool = False) -> Estimate:
        """Tokens, money, time, memory, disk and energy, each a range with its basis. Sends nothing.

        `gpu` asks what the job would take on a card that need not be here, as in "H100 80GB"; `probe` takes a few steps of it
        first. Raises UnsupportedError where the place has no such estimate.
        """
        there: dict[str, Any] = {"gpu": gpu} if gpu is not None else {}
        for kind in (*there, *(["probe"] if probe else ())):
            self._require_estimate(kind)
        return self._estimated(self._resolve(job, **there), gpu=gpu, probe=probe)

    def _estimated(self, resolved: Resolved, *, gpu: str | None = None, probe: bool = False) -> Estimate:
        """As the place says, with what past runs like it taught; nothing teaches what was measured just now, or is elsewhere."""
        asked: dict[str, Any] = {**({"gpu": gpu} if gpu is not None else {}), **({"probe": True} if probe else {})}
        for kind in asked:
            self._require_estimate(kind)
        made = self.backend.estimate(resolved, **asked)
        if probe:
            return replace(made, kind="probe")
        return made if gpu is not None else self._learned(made, resolved)

    def _learned(self, made: Estimate, resolved: Resolved) -> Estimate:
        from finetune_sdk.history import VERSION, Key, learned, teaching

        if self._ledger is None and not (self.settings.home / "ledger.sqlite").exists():
            return made  # an estimate makes nothing, not even a ledger
        try:
            entries = self.ledger.entries(self.name)
        except SettingsError as fault:  # `submit` refuses without a ledger; to estimate needs none
            _log.warning("nothing was learnt from past runs: %s", fault.message)
            return made
        past = teaching(entries, VERSION)
        return learned(made, past, Key.of(resolved.to_dict(), made.on)) if past else made

    def upkeep(self, base: str, usage: Usage, *, tuned: bool = True) -> Upkeep:
        """What a base, or a model tuned from it, costs here in a month. Raises UnsupportedError where the place cannot say."""
        self._require_estimate("upkeep")
        return self.backend.upkeep(base, usage, tuned=tuned)

    def _require_estimate(self, kind: str) -> None:
        able = self.backend.capabilities.estimates
        if kind not in able:
            raise UnsupportedError(
                f"{self.name} makes no estimate of the kind {kind!r}.",
                cure=f"it has {', '.join(sorted(able))}" if able else "ask for the estimate as it comes",
            )

    def submit(
        self,
        job: Job,
        *,
        max_cost: float | None = None,
        again: bool = False,
        allow_leakage: bool = False,
        probe: bool = False,
    ) -> Run:
        """Starts the job, or returns its run when it is active or has succeeded: never a second bill.

        `max_cost` in USD refuses (BudgetError) when the estimate's high end is above it, or unknown; it is kept with the run, which
        `wait` stops above it. `probe` takes a few steps for the estimate. A job whose last run failed or was cancelled raises RunError; `again=True` counts the attempt up. Raises DatasetError for
        findings that are errors, and BackendError when the place failed; then submitting again is safe.
        """
        resolved = self.resolve(job)
        _refuse(self._check(resolved, allow_leakage))
        estimate = self._estimated(resolved, probe=probe)
        if max_cost is not None:
            require_within(estimate, max_cost)
            resolved = replace(resolved, max_cost=max_cost)
        fingerprint = resolved.fingerprint(self.backend.address)
        with self.ledger.only_one(fingerprint):
            attempts = self.ledger.attempts(fingerprint)
            last = attempts[-1] if attempts else None
            if last is None or self._is_over(last, again):
                return self._send(
                    resolved, self._intend(resolved, estimate, fingerprint, last.attempt + 1 if last else 1)
                )
            key = self._kept(last) if last.state == "sent" else self._find(last)
            if key is None:
                return self._send(resolved, self._renewed(last, resolved, estimate))
            self.ledger.settle(last.token, "sent", key)
            run = self._here(last, key)
            if max_cost is not None and not run.status.terminal:
                run.cap(max_cost)
            return run

    def _intend(self, resolved: Resolved, estimate: Estimate, fingerprint: str, attempt: int) -> Entry:
        """A new intent, which is on the disk when this returns."""
        from finetune_sdk.history import VERSION

        now = time.time()
        entry = Entry(
            token=resolved.token(self.backend.address, attempt),
            place=self.name,
            fingerprint=fingerprint,
            name=resolved.job.name,
            attempt=attempt,
            state="intent",
            run=None,
            status=None,
            created=now,
            updated=now,
            resolved=resolved.to_dict(),
            estimate=estimate.to_dict(),
            actual=None,
            sketch=resolved.job.train.sketch(),
            max_cost=resolved.max_cost,
            resumed=False,
            version=VERSION,
        )
        self.ledger.intend(entry)
        return entry

    def _renewed(self, last: Entry, resolved: Resolved, estimate: Estimate) -> Entry:
        """An intent of earlier that nothing came of, with the estimate and the cap under which it is sent now."""
        from finetune_sdk.history import VERSION

        self.ledger.renew(last.token, estimate.to_dict(), resolved.max_cost, VERSION)
        return replace(last, estimate=estimate.to_dict(), max_cost=resolved.max_cost, version=VERSION)

    def _is_over(self, last: Entry, again: bool) -> bool:
        """Whether the last attempt ended badly and the user asks for another. Raises RunError when they do not."""
        if last.state != "sent" or last.run is None:
            return False
        run = self._here(last, last.run)
        try:
            status: Status = self.backend.status(last.run)
        except NotFoundError:
            if again:
                return True
            return bool(run.status)  # raises, and says when it was submitted
        if not status.terminal or status == "succeeded" or self._kept(last) != last.run:
            return False
        if again:
            return True
        raise RunError(
            f"{run.id} has the same definition and ended as {status}.",
            cure=f"go on with `finetune resume {run.id}`, or pay for a new attempt with submit(job, again=True)",
        )

    def _send(self, resolved: Resolved, entry: Entry) -> Run:
        self.ledger.settle(entry.token, "intent")
        try:
            key = self.backend.submit(resolved, entry.token)
        except (InputError, RefusedError):
            self.ledger.settle(entry.token, "refused")
            raise
        except BackendError as fault:
            key = self._after_doubt(entry, fault)
        else:
            key = self._only(entry, key)
        self.ledger.settle(entry.token, "sent", key)
        return self._here(entry, key)

    def _only(self, entry: Entry, key: str) -> str:
        """The run to keep after a creation that was answered: another machine may have made one with the same token."""
        try:
            found = list(self.backend.find(entry.token))
        except BackendError:
            return key
        return self._oldest(found if key in found else [*found, key])

    def _kept(self, entry: Entry) -> str | None:
        """The run of a submission that was answered, looked for once more: another machine's may have shown up since."""
        try:
            found = list(self.backend.find(entry.token))
        except BackendError:
            return entry.run
        return self._oldest(found) if entry.run in found else entry.run

    def reconcile(self) -> list[Run]:
        """Ends all doubt that can be ended now: looks at this backend for every submission that is not known to have ended.

        A run that was made and never heard of is taken into the ledger; of several with one token the oldest is kept,
        and the rest are cancelled; files that no run needs are taken away. Returns the runs that the ledger did not have, or had otherwise. Sends nothing new.
        """
        changed, entries = [], self.ledger.entries(self.name)
        for seen in entries:
            if seen.state == "refused" or seen.status in ("succeeded", "failed"):
                continue
            with self.ledger.only_one(seen.fingerprint):
                entry = next(one for one in self.ledger.attempts(seen.fingerprint) if one.token == seen.token)
                found = list(self.backend.find(entry.token))
                if not found or (entry.run is not None and entry.run not in found):
                    continue
                key = self._oldest(found)
                if key != entry.run:
                    self.ledger.settle(entry.token, "sent", key)
                    changed.append(self._here(entry, key))
        if hasattr(self.backend, "tidy"):
            self.backend.tidy({entry.token for entry in entries})
        return changed

    def _after_doubt(self, entry: Entry, fault: BackendError) -> str:
        self.ledger.settle(entry.token, "unknown")
        try:
            found = self.backend.find(entry.token)
        except BackendError:
            found = ()
        if not found:
            raise fault
        return self._oldest(found)

    def _find(self, entry: Entry) -> str | None:
        """The run of an intent whose fate is unknown: looked for until it would have shown up.

        An `unknown` one was sent before its `updated`. An `intent` may have been sent at any time until now. A `refused`
        one made nothing, so one look is enough.
        """
        sent = entry.updated if entry.state == "unknown" else time.time()
        until = 0.0 if entry.state == "refused" else sent + self.backend.capabilities.visible_within
        while not (found := self.backend.find(entry.token)):
            if time.time() >= until:
                return None
            time.sleep(min(2.0, max(0.05, until - time.time())))
        return self._oldest(found)

    def _oldest(self, found: Sequence[str]) -> str:
        for extra in found[1:]:
            if self.backend.status(extra).terminal:
                continue
            self.backend.cancel(extra)
            _log.warning("%s:%s was a second run of the same submission and was cancelled", self.name, extra)
        return found[0]

    def find_run(self, job: Job) -> Run | None:
        """The run of the last attempt at the same job here, whatever became of it; None when there was none."""
        attempts = self.ledger.attempts(self.resolve(job).fingerprint(self.backend.address))
        return self._here(attempts[-1], attempts[-1].run) if attempts and attempts[-1].run else None

    def _here(self, entry: Entry, key: str) -> Run:
        """A run at this address, under the name that the place had when it was submitted."""
        return Run(entry.place, key, self.backend, self.ledger)

    def _run(self, place: str, key: str) -> Run:
        return Run(place, key, self._backend(place), self.ledger)

    def get_run(self, run: str) -> Run:
        """The run with that id, whatever backend it is at: "local:7f3a…"."""
        place, separator, key = str(run).partition(":")
        if not place or not separator or not key:
            raise SettingsError(
                f"{run!r} is not a run id.",
                cure="ids carry their backend, as in local:7f3a…; `finetune runs` lists them",
            )
        return self._run(place, key)

    def runs(self) -> list[Run]:
        """All runs that the ledger knows, of every backend that can be opened, the newest first."""
        found, closed = list[Run](), set[str]()
        for entry in self.ledger.entries():
            if entry.run is None or entry.place in closed:
                continue
            try:
                found.append(self._run(entry.place, entry.run))
            except (SettingsError, MissingDependencyError) as fault:
                closed.add(entry.place)
                _log.warning("the runs at %s are left out: %s", entry.place, fault.message)
        return found

    def catch_up(self, place: str | None = None) -> list[str]:
        """Takes the actual figures into the ledger of runs that have succeeded and that nobody asked for a result.

        Returns what could not be asked, a sentence for each.
        """
        missed, closed = list[str](), set[str]()
        for entry in self.ledger.entries(place):
            if entry.run is None or entry.actual is not None or entry.status in ("failed", "cancelled"):
                continue
            if entry.place in closed:
                continue
            try:
                run = self._run(entry.place, entry.run)
            except FinetuneError as fault:
                closed.add(entry.place)
                missed.append(f"the runs at {entry.place} cannot be asked: {fault.message}")
                continue
            try:
                if run.status == "succeeded":
                    run.result()
            except FinetuneError as fault:
                missed.append(f"{run.id} ({entry.name}) is left out: {fault.message}")
        return missed

    def model(self, name: str) -> Model:
        """A base, or a run's model by its run id."""
        place, separator, _ = name.partition(":")
        if separator and place in {self.name, *self.settings.places, *(entry.place for entry in self.ledger.entries())}:
            return self.get_run(name).model()
        return self.backend.model(name)

    def base(self, job: Job) -> Model:
        """The base that the job starts from here."""
        return self.backend.model(self.resolve(job).base)


def _leak(shared: int) -> Finding:
    return Finding(
        "leak",
        "error",
        f"{shared} validation {'row is' if shared == 1 else 'rows are'} also in train: the validation loss would flatter.",
        "split one file with Dataset.split, remove them, or submit with allow_leakage=True",
        count=shared,
    )


def _refuse(findings: Sequence[Finding]) -> None:
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    kind = JobError if any(finding.check == "job" for finding in errors) else DatasetError
    if len(errors) == 1:
        raise kind(errors[0].message, cure=errors[0].cure)
    lines = [f"{error.message}\n    cure: {error.cure}" for error in errors[:_SHOWN]]
    raise kind(
        f"{len(errors)} things are wrong:\n  " + "\n  ".join(lines), cure="mend them; `finetune check` lists all"
    )

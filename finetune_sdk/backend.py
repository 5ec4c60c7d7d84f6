"""Where it runs: the contract of a backend, what one can do, and how one is found.

A backend is registered through the entry-point group `finetune_sdk.backends`; ours use the same door as a stranger's.
docs/backend-contract.md says in prose what `finetune_sdk.testing` checks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.tokens import Counter
from finetune_sdk.errors import MissingDependencyError, SettingsError, UnsupportedError
from finetune_sdk.estimate import Estimate, Price, Spent, Upkeep, Usage
from finetune_sdk.job import Adapter, Job, Method, digest, table
from finetune_sdk.model import Model

GROUP = "finetune_sdk.backends"
ESTIMATES = frozenset({"gpu", "probe", "upkeep"})
Optional = Literal["list", "checkpoints", "pause", "resume", "deploy", "export", "render", "history"]
OPTIONAL: frozenset[str] = frozenset(
    {"list", "checkpoints", "pause", "resume", "deploy", "export", "render", "history"}
)


class Status(str):
    """A run's state, in the place's word where the SDK has none for it. An unknown one is not terminal."""

    TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
    KNOWN = TERMINAL | {"queued", "validating", "running", "pausing", "paused", "cancelling"}

    __slots__ = ()

    @property
    def terminal(self) -> bool:
        return self in self.TERMINAL

    @property
    def known(self) -> bool:
        return self in self.KNOWN


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `number` grows from 1 in a run; `time` is seconds since 1970.

    `kind` is "status", "message", "metrics" or "checkpoint", or the place's own word. Metrics carry in `data` what they
    have of: step, steps, epoch, loss, validation_loss, learning_rate, trained_tokens, tokens_per_second, memory_bytes.
    """

    number: int
    time: float
    kind: str
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "number": self.number, "time": self.time, "kind": self.kind, "message": self.message,
            "data": dict(self.data),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state of a run that a model can be made from. `metrics` as in Event.

    `model` is the name for `Backend.model` where the checkpoint answers by itself, None where it does not.
    """

    id: str
    step: int
    metrics: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished run left. `model` is the name for `Backend.model`.

    `actual` has the estimate's names (charge in USD, time in s, memory in bytes, tokens, trained_tokens); what the place
    does not tell is left out. `manifest` says what it was made with.
    """

    model: str
    actual: Mapping[str, float] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastFile:
    """A data file of a past job. `there` is None where the place does not say; `why` says what became of one that is gone."""

    id: str
    name: str = ""
    size: int | None = None
    there: bool | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class PastJob:
    """A job of the account, whoever submitted it: what another place needs to train its replacement.

    `method` is "sft", "dpo", "rft", or the place's word. `portable` holds its hyperparameters by a Job's names (and of a grader
    that evaluators judge exactly like, their tables as `graders` and the row's key as `judged_by`), `own` those
    that only this place has words for, `whole` all that the place tells. `tokens` is what was billed, `prices` what asking
    the tuned `model` costs ("input" and "output"), where that is known; it can be asked before the day on which it `dies`.
    """

    id: str
    base: str
    method: str
    status: Status
    created: float
    name: str | None = None
    model: str | None = None
    model_there: bool | None = None
    dies: date | None = None
    train: PastFile | None = None
    validation: PastFile | None = None
    portable: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    tokens: int | None = None
    prices: tuple[Price, ...] = ()
    whole: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Export:
    """What an export left in `folder`. `manifest`, which lies there too, says what it was made of and what was measured.

    `notes` are words for whoever uses it; `serving` has, by the name of a server, the line that serves the folder. `pushed` is
    its address on a hub, where it was pushed to one.
    """

    folder: Path
    kind: str
    manifest: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    serving: Mapping[str, str] = field(default_factory=dict)
    pushed: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder), "kind": self.kind, "notes": list(self.notes), "serving": dict(self.serving),
            "manifest": dict(self.manifest), "pushed": self.pushed,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a place can do, as data: the client refuses by it, the conformance kit tests by it.

    `methods` and `adapters` are kinds ("sft", "lora"), no adapter where the place chooses one and tells nobody;
    `hyperparameters` the names that a job may set; `gaps` gives the reason in words for every optional verb that is not
    in `verbs`; `exports` the kinds of export that there are ("adapter", "merged", "gguf"), `pushes` whether one
    can go on to a hub; `guards` those of a job that it keeps ("best_by"); `estimates` what it can say beyond an estimate as it
    comes: for a "gpu" that is not here, after a "probe" of a few steps, and the monthly "upkeep" of a model. `spent` says whether it tells what a
    run has cost so far, and `caps` whether it keeps a run's cap by itself, also where nobody waits. A run that was made shows up in `find` after at most
    `visible_within` seconds: the time for which a submission in doubt is never sent again.
    """

    methods: frozenset[str]
    adapters: frozenset[str]
    hyperparameters: frozenset[str]
    verbs: frozenset[str] = frozenset()
    gaps: Mapping[str, str] = field(default_factory=dict)
    visible_within: float = 0.0
    exports: frozenset[str] = frozenset()
    pushes: bool = False
    guards: frozenset[str] = frozenset()
    estimates: frozenset[str] = frozenset()
    spent: bool = False
    caps: bool = False

    def __post_init__(self) -> None:
        strange = self.estimates - ESTIMATES
        if strange:
            raise SettingsError(
                f"{sorted(strange)[0]!r} is no kind of estimate; there are {', '.join(sorted(ESTIMATES))}."
            )
        unknown = (self.verbs | self.gaps.keys()) - OPTIONAL
        if unknown:
            raise SettingsError(f"{sorted(unknown)[0]!r} is not an optional verb of a backend.")
        silent = OPTIONAL - self.verbs - self.gaps.keys()
        if silent:
            raise SettingsError(f"the backend neither has {sorted(silent)[0]!r} nor says why not.")
        if bool(self.exports) != ("export" in self.verbs):
            raise SettingsError("the verb 'export' and the kinds of export (`exports`) are declared together.")

    def require(self, verb: Optional, place: str) -> None:
        """Raises UnsupportedError with the reason when the verb is not declared."""
        if verb not in self.verbs:
            raise UnsupportedError(
                f"{place} has no {verb!r}: {self.gaps[verb]}.", cure="use a backend that declares it"
            )


@dataclass(frozen=True, slots=True)
class Place:
    """What a backend is opened with: its name in the settings, its raw table there, and the SDK's folder."""

    name: str
    options: Mapping[str, Any]
    home: Path


@dataclass(frozen=True, slots=True)
class Resolved:
    """A job with everything filled in: what will truly run.

    `job` has its base, adapter and method complete (no adapter where the place does not tell which weights move); `own` are the place's own values that change the result or the bill;
    `chosen` names what the place chose and the user did not. `max_cost` is the cap of its submission in USD, and no part of
    the fingerprint.
    """

    job: Job
    own: Mapping[str, Any] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    max_cost: float | None = None

    @property
    def base(self) -> str:
        assert self.job.base is not None
        return self.job.base

    @property
    def adapter(self) -> Adapter:
        assert self.job.adapter is not None
        return self.job.adapter

    @property
    def method(self) -> Method:
        return self.job.method

    def fingerprint(self, address: str) -> str:
        """Stands for the job, all that was filled in, and the account or machine that it would be sent to."""
        return digest({"definition": self.job.definition(), "own": dict(self.own), "address": address})

    def token(self, address: str, attempt: int) -> str:
        """What a submission is known by, there and here: at most one paid run for each."""
        return digest({"fingerprint": self.fingerprint(address), "attempt": attempt})

    def to_dict(self) -> dict[str, Any]:
        job = self.job
        return {
            "name": job.name,
            "base": self.base,
            "method": table(self.method),
            "adapter": table(job.adapter) if job.adapter else None,
            "seed": job.seed,
            "train": {"name": job.train.name, "rows": len(job.train), "fingerprint": job.train.fingerprint},
            "validation": {
                "name": job.validation.name, "rows": len(job.validation), "fingerprint": job.validation.fingerprint
            } if job.validation else None,
            "own": dict(self.own),
            "chosen": list(self.chosen),
            **({"guards": job.guards.definition()} if job.guards else {}),
        }  # fmt: skip


class Backend(Protocol):
    """A place where jobs run. Every verb may be called again after a crash; only `submit` and `resume` make anything.

    Errors: what the job asks and the place cannot do is an UnsupportedError from `resolve`; an id that the place does not
    know is a NotFoundError; all else that fails there is a BackendError.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def address(self) -> str:
        """The endpoint and account, or the machine and folder, that jobs go to: part of the token. Never a secret."""
        ...

    def resolve(self, job: Job) -> Resolved:
        """Fills in what the job leaves open. Raises UnsupportedError before anything is sent.

        Where "gpu" is among `Capabilities.estimates`, `gpu` is a keyword argument: the job as it would run on that card.
        """
        ...

    def check(self, resolved: Resolved) -> Sequence[Finding]:
        """Everything that this place would reject, found here."""
        ...

    def estimate(self, resolved: Resolved) -> Estimate:
        """What the job takes. Where `Capabilities.estimates` declares them, `gpu` (the name of a card that need not be here)
        and `probe` (True runs a few steps first) are keyword arguments, given only where they are asked for.
        """
        ...

    def upkeep(self, base: str, usage: Usage, *, tuned: bool) -> Upkeep:
        """Optional, with "upkeep" among `Capabilities.estimates`: what a base, or a model tuned from it, costs in a month."""
        ...

    def submit(self, resolved: Resolved, token: str) -> str:
        """Starts the run and returns its id. Called again with the same token it makes no second run."""
        ...

    def find(self, token: str) -> Sequence[str]:
        """The ids of all runs with this token, the oldest first."""
        ...

    def tidy(self, tokens: Collection[str]) -> None:
        """Optional, without a verb: takes away what submissions with these tokens left behind and no run needs."""
        ...

    def status(self, run: str) -> Status: ...

    def events(self, run: str, after: int = 0) -> Iterable[Event]:
        """The events with a number above `after`, in order."""
        ...

    def cancel(self, run: str) -> None:
        """Ends a run; what is finished is kept. Of a run that has ended, nothing changes."""
        ...

    def result(self, run: str) -> Result:
        """Raises RunError unless the run succeeded, or was cancelled with something to keep."""
        ...

    def model(self, name: str) -> Model:
        """A base, or a run's model by the name in its Result. Raises NotFoundError for one that is not there."""
        ...

    def counter(self, base: str) -> Counter: ...

    def prices(self) -> Sequence[Price]: ...

    def spent(self, run: str) -> Spent:
        """Optional, with `Capabilities.spent`: what a run has taken up to now. Of one that has ended, nothing changes."""
        ...

    def cap(self, run: str, usd: float | None) -> None:
        """Optional, with `Capabilities.caps`: from now on the run ends by itself, as by `cancel`, once it has cost more; None
        lifts it. The cap of a submission comes with it, as `Resolved.max_cost`.
        """
        ...

    def resume(self, run: str) -> None:
        """Optional: goes on from the last good checkpoint of a run that failed, was cancelled or was killed.

        Where "pause" is declared, a paused run goes on where it stood.
        """
        ...

    def pause(self, run: str) -> None:
        """Optional: holds an active run until `resume`. Of a paused run, nothing changes."""
        ...

    def deploy(self, model: str) -> str:
        """Optional: makes a model answer that does not by itself, and returns the name that it answers by.

        It may cost by the hour until `undeploy`. A model that is deployed stays as it is.
        """
        ...

    def undeploy(self, model: str) -> None:
        """Optional, with "deploy": ends what a deployment costs. Of one that is not there, nothing changes."""
        ...

    def runs(self) -> Sequence[str]:
        """Optional ("list"): the ids of all runs, the newest first."""
        ...

    def checkpoints(self, run: str) -> Sequence[Checkpoint]:
        """Optional."""
        ...

    def export(self, run: str, to: Path, kind: str) -> Export:
        """Optional: the model of a run that succeeded as a folder, whole or not at all; `to` is absent or empty.

        `kind` is one of `Capabilities.exports`. Raises RunError where the run has left no model, and where what would be
        exported answers differently from it: the message says what was measured.
        """
        ...

    def pushable(self, name: str, public: bool) -> None:
        """Optional, with `Capabilities.pushes`: raises where `push` to that repository could not be. Nothing changes."""
        ...

    def push(self, folder: Path, name: str, public: bool) -> str:
        """Optional, with `pushes`: puts an exported folder into a repository of a hub, and returns its address.

        It is private unless `public`. What lies in the repository is never written over, and a folder that is not as it
        was exported is refused before anything is sent.
        """
        ...

    def render(self, dataset: Dataset, index: int, base: str) -> Mapping[str, Any]:
        """Optional: token ids of an example and which of them are trained: {"ids", "trained", "text", "spans"}."""
        ...

    def history(self) -> Sequence[PastJob]:
        """Optional: every job of the account, the newest first, whoever submitted it."""
        ...

    def fetch(self, file: str, into: BinaryIO) -> None:
        """Optional, with "history": writes what a file of a past job holds, from the start of `into`, byte by byte as it is.

        Raises NotFoundError for one that is gone.
        """
        ...


def installed() -> dict[str, EntryPoint]:
    """The backends that are installed, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def open_backend(place: Place) -> Backend:
    """The backend that the settings call `place.name`; `kind` in its table names the plugin if that differs."""
    kind = str(place.options.get("kind", place.name))
    known = installed()
    if kind not in known:
        near = get_close_matches(kind, known, 1)
        raise SettingsError(
            f"there is no backend {kind!r}; installed are {', '.join(sorted(known)) or 'none'}.",
            cure=f"use {near[0]!r}" if near else "install the package that brings it, or choose an installed one",
        )
    try:
        opened = known[kind].load()
    except ModuleNotFoundError as fault:
        raise MissingDependencyError(f"{fault.name}, which the backend {kind!r} needs,", extra=kind) from None
    backend: Backend = opened(place)
    return backend


def refuse_hyperparameters(job: Job, capabilities: Capabilities, place: str) -> None:
    """Raises UnsupportedError for a method, an adapter or a hyperparameter that the place cannot do as asked."""
    method, adapter = job.method, job.adapter
    if method.kind not in capabilities.methods:
        raise UnsupportedError(
            f"{place} cannot do {type(method).__name__}.", cure=f"it can do {', '.join(sorted(capabilities.methods))}"
        )
    if adapter is not None and adapter.kind not in capabilities.adapters:
        raise UnsupportedError(
            f"{place} cannot do {type(adapter).__name__}.",
            cure=f"it can do {', '.join(sorted(capabilities.adapters))}"
            if capabilities.adapters
            else "leave the adapter out: the place chooses which weights move, and offers no choice",
        )
    for name in table(method):
        if name != "kind" and name not in capabilities.hyperparameters:
            raise UnsupportedError(
                f"{place} has no {name!r}, which the job sets to {getattr(method, name)!r}.",
                cure=f"leave it out, or set its own words in finetune.toml under [backends.{place}]; portable there: "
                + ", ".join(sorted(capabilities.hyperparameters)),
            )
    for name in job.guards.named() if job.guards is not None else ():
        if name not in capabilities.guards:
            raise UnsupportedError(
                f"{place} has no guard {name!r}, which the job asks for.",
                cure=f"it has {', '.join(sorted(capabilities.guards))}"
                if capabilities.guards
                else "leave the guards out",
            )

"""The local backend: the contract of `finetune_sdk.backend`, kept on this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune_sdk.backend import Capabilities, Checkpoint, Event, Export, Place, Resolved, Result, Status
from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.tokens import Counter, TokenCount
from finetune_sdk.errors import (
    BackendError,
    DatasetError,
    MissingDependencyError,
    NotFoundError,
    RunError,
    UnsupportedError,
)
from finetune_sdk.estimate import Estimate, Price, Spent, Upkeep, Usage
from finetune_sdk.job import Job, Method, digest
from finetune_sdk.machine import cores
from finetune_sdk.messages import Example, TextExample
from finetune_sdk.model import Model
from finetune_sdk_local.devices import MICRO_TOKENS
from finetune_sdk_local.loaded import LoadedBases
from finetune_sdk_local.options import Options
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.spawning import ended, signal_to, start
from finetune_sdk_local.tables import ADAPTERS, METHODS

NEEDED = ("torch", "transformers", "peft", "safetensors", "psutil")
CANCEL_SECONDS = 8.0
KILL_SECONDS = 30.0
CAPABILITIES = Capabilities(
    methods=frozenset(METHODS),
    adapters=frozenset(ADAPTERS),
    hyperparameters=frozenset({field.name for method in METHODS.values() for field in fields(method)} - {"kind"}),
    verbs=frozenset({"list", "checkpoints", "resume", "export", "render"}),
    gaps={
        "pause": "a local run is ended with cancel and goes on with resume, which loses nothing",
        "deploy": "a local model answers as soon as it is asked",
        "history": "what was trained here is on this machine already, with its data; `finetune runs` lists it",
    },
    exports=frozenset({"adapter", "gguf", "merged"}),
    pushes=True,
    estimates=frozenset({"gpu", "probe", "upkeep"}),
    guards=frozenset({"best_by", "forgetting", "forgetting_by", "memorisation"}),
    spent=True,
    caps=True,
)


class LocalBackend:
    """Runs on this machine, each a process of its own under `home`/runs."""

    def __init__(self, place: Place) -> None:
        missing = next((name for name in NEEDED if find_spec(name) is None), None)
        if missing is not None:
            raise MissingDependencyError(f"{missing}, which local training needs,", extra="local")
        self._place = place
        self._options = Options.read(place)
        self._runs = place.home.expanduser().absolute() / "runs"
        self._loaded = LoadedBases(self._options.keep_adapters)
        self._sequences: dict[tuple[str, str, str, int], Any] = {}
        self._workers: set[int] = set()

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def address(self) -> str:
        return str(self._runs)

    def _device(self) -> Any:
        from finetune_sdk_local.devices import pick

        return pick(self._options.device, self._options.dtype)

    def _machine(self) -> dict[str, Any]:
        """What does not change the result but for rounding: kept with the run, so that a resume is bit-equal."""
        options = self._options
        return {
            "threads": options.threads or max(1, cores() // options.processes),
            "processes": options.processes,
            "sharding": options.sharding,
            "micro_tokens": options.micro_tokens or MICRO_TOKENS[self._device().kind],
            "checkpoint_every": options.checkpoint_every,
            "engine": options.engine,
            "activation_checkpointing": options.activation_checkpointing,
            "offload": options.offload,
            "trackers": options.trackers,
            "usd_per_hour": options.usd_per_hour,
        }

    def resolve(self, job: Job, *, gpu: str | None = None) -> Resolved:
        from finetune_sdk_local import bases, defaults

        bases.quiet()
        device = self._device() if gpu is None else self._elsewhere(gpu)
        self._options.fit(self._place.name, device.kind)
        resolved = defaults.resolve(job, self._options, device)
        if self._options.processes > 1 and gpu is None:
            from finetune_sdk_local import processes

            processes.require(device, self._options.processes)
        if self._options.sharding:
            from finetune_sdk_local import sharding

            sharding.require(resolved, self._options)
        bases.causal(resolved.base)
        bases.safe(resolved.base)
        return resolved

    def _elsewhere(self, gpu: str) -> Any:
        from finetune_sdk_local import absent, elsewhere

        return absent.device(elsewhere.named(gpu, self._options, self._place.name), self._options.dtype)

    def _tokens(self, resolved: Resolved, dataset: Dataset, method: Method | None = None) -> Any:
        """The dataset as token sequences, as the job's method or another sees it; made once for a job, whoever asks."""
        from finetune_sdk_local import bases, prepare, publish
        from finetune_sdk_local.remembering import remembered

        method, most = method or resolved.method, resolved.method.max_length
        assert most is not None
        mode = f"{method.kind} {getattr(method, 'loss_on', None)} {getattr(method, 'max_tokens', None)}"
        key = (dataset.fingerprint, resolved.base, mode, most)
        if key not in self._sequences:
            while len(self._sequences) >= 4:
                del self._sequences[next(iter(self._sequences))]
            tokenizer = bases.tokenizer(resolved.base)
            name = digest({"of": key, "base": bases.identity(resolved.base), "versions": publish.versions()})
            self._sequences[key] = remembered(
                self._place.home / "tokens",
                name,
                len(dataset),
                lambda: prepare.sequences(resolved.base, tokenizer, dataset, method, most),
            )
        return self._sequences[key]

    def _general(self, resolved: Resolved) -> Any:
        """The general examples that the job's guards look at, as token sequences; None where there are none."""
        from finetune_sdk_local import prepare

        general = resolved.job.guards.forgetting if resolved.job.guards else None
        return self._tokens(resolved, general, prepare.as_learnt(general)) if general is not None else None

    def check(self, resolved: Resolved) -> Sequence[Finding]:
        from finetune_sdk_local import bases, findings, trackers

        bases.with_weights(resolved.base)

        def tokens(dataset: Dataset) -> Any:
            return self._tokens(resolved, dataset)

        found = list(findings.of(resolved, tokens, self._general(resolved), self._runs))
        return [*found, *trackers.missing(self._options.trackers)]

    def estimate(self, resolved: Resolved, *, gpu: str | None = None, probe: bool = False) -> Estimate:
        from finetune_sdk_local import elsewhere, estimates, estimating
        from finetune_sdk_local.shapes import Shape

        Shape.of(resolved.base)  # a config that says too little is refused before anything is measured
        options, train = self._options, self._tokens(resolved, resolved.job.train)
        sides = estimating.Sides(train, self._validation(resolved), self._general(resolved))
        if gpu is None:
            here = self._here(resolved, probe=probe)
            made = estimates.in_all(estimating.estimate(resolved, sides, here), options.processes, here.device)
            return replace(estimating.room(made, here.device), on=self._where(here.device))
        if probe:
            raise UnsupportedError(
                f"a probe tries the job here, and {gpu} is not here.", cure="ask for one of the two: gpu, or probe"
            )
        card = elsewhere.named(gpu, options, self._place.name)
        there = elsewhere.machine(resolved, card, train, options, self._place.home)
        made = estimating.estimate(resolved, sides, there)
        fitted = elsewhere.fitted(made, resolved, sides, there, options)
        return estimates.in_all(fitted, there.processes, there.device)

    def _where(self, device: Any) -> str:
        """What a run's time and memory hang on, beside the job."""
        machine = self._machine()
        parts = f"{machine['processes']} processes" + (", sharded" if machine["sharding"] else "")
        return f"{device.name}, {machine['threads']} threads" + (f", {parts}" if machine["processes"] > 1 else "")

    def _validation(self, resolved: Resolved) -> Any:
        validation = resolved.job.validation
        return self._tokens(resolved, validation) if validation is not None else None

    def _here(self, resolved: Resolved, *, probe: bool) -> Any:
        """What estimates know of this machine."""
        from finetune_sdk_local import bases
        from finetune_sdk_local.layouts import Machine
        from finetune_sdk_local.probe import probe as paced
        from finetune_sdk_local.rehearsal import rehearse

        device, machine, options = self._device(), self._machine(), self._options
        if probe and options.processes > 1:
            raise UnsupportedError(
                f"a probe tries a job in one process, and {self._place.name} has processes = {options.processes}.",
                cure="ask for the estimate as it comes",
            )
        if probe:
            bases.with_weights(resolved.base)
        pace = paced(resolved.base, resolved.adapter, device, machine["threads"], self._place.home)
        return Machine(
            device,
            machine["micro_tokens"],
            pace,
            options.usd_per_hour,
            options.engine,
            options.activation_checkpointing,
            options.offload,
            machine["processes"] if options.sharding else 1,
            machine["processes"],
            rehearse(resolved, self._as_run(resolved), self._place.home) if probe else None,
            options.checkpoint_every,
            self._place.home,
            options.watts,
        )

    def _as_run(self, resolved: Resolved) -> dict[str, Any]:
        """What a run's folder keeps of this machine."""
        from finetune_sdk_local.defaults import own_judges

        return {**self._machine(), "homes": own_judges(resolved.job)}

    def _run(self, run: str) -> RunFolder:
        if not run.isalnum():
            raise NotFoundError(f"{run!r} is not the id of a local run.", cure="list the runs with `finetune runs`")
        return RunFolder(self._runs / run).require()

    def submit(self, resolved: Resolved, token: str) -> str:
        run = RunFolder(self._runs / token[:16])
        run.make(
            {
                **resolved.to_dict(),
                "token": token,
                "machine": {**self._as_run(resolved), "max_cost": resolved.max_cost},
            },
            train=resolved.job.train,
            validation=resolved.job.validation,
            forgetting=resolved.job.guards.forgetting if resolved.job.guards else None,
        )
        if not run.started_mark.exists():
            self._workers.add(start(run))
            run.sent_mark.touch()
        return run.id

    def find(self, token: str) -> Sequence[str]:
        run = RunFolder(self._runs / token[:16])
        return [run.id] if run.exists() and (run.sent_mark.exists() or run.started_mark.exists()) else []

    def status(self, run: str) -> Status:
        for worker in tuple(self._workers):
            if ended(worker):
                self._workers.discard(worker)
        return self._run(run).status()[0]

    def events(self, run: str, after: int = 0) -> Iterable[Event]:
        folder = self._run(run)
        folder.status()
        return folder.events(after)

    def cancel(self, run: str) -> None:
        """Asks the worker to end at the next step; one that does not within 8 s is killed. Checkpoints stay."""
        folder = self._run(run)
        if folder.status()[0].terminal:
            return
        folder.cancel_mark.touch()
        signal_to(folder, signal.SIGTERM)
        asked = time.monotonic()
        while not folder.status()[0].terminal:
            if time.monotonic() > asked + KILL_SECONDS:
                raise BackendError(f"the process of {run} does not end, though it was killed.", retryable=True)
            if time.monotonic() > asked + CANCEL_SECONDS:
                signal_to(folder, signal.SIGKILL)
                folder.note_death()  # of one that never began, too
            time.sleep(0.05)

    def spent(self, run: str) -> Spent:
        from finetune_sdk_local import meter

        return meter.spent(self._run(run))

    def cap(self, run: str, usd: float | None) -> None:
        self._run(run).cap(usd)

    def resume(self, run: str) -> None:
        folder = self._run(run)
        status = folder.status()[0]
        if status == "succeeded":
            raise RunError(f"{run} has succeeded: there is nothing to go on with.", cure="use its model")
        if not status.terminal:
            raise RunError(f"{run} is {status}.", cure="wait for it, or cancel it first")
        folder.cancel_mark.unlink(missing_ok=True)
        folder.append("status", "resumed", {"status": "queued"})
        folder.started_mark.unlink(missing_ok=True)
        os.utime(folder.path)
        self._workers.add(start(folder))

    def result(self, run: str) -> Result:
        import json

        folder = self._run(run)
        status, why = folder.status()
        if status != "succeeded":
            raise RunError(f"{run} is {status}{f': {why}' if why else ''}.", cure="wait for it, or resume it")
        if not folder.model.is_dir():
            raise RunError(
                f"the model of {run} was deleted: there is no {folder.model}.", cure="submit the job with again=True"
            )
        last = [event for event in folder.events() if event.kind == "status"][-1]
        manifest = json.loads((folder.path / "manifest.json").read_text())
        return Result(run, dict(last.data.get("actual", {})), manifest)

    def runs(self) -> Sequence[str]:
        folders = [path for path in self._runs.glob("*") if RunFolder(path).exists()]
        made = {path: (path / "job.json").stat().st_mtime for path in folders}
        return [path.name for path in sorted(folders, key=lambda path: made[path], reverse=True)]

    def checkpoints(self, run: str) -> Sequence[Checkpoint]:
        from finetune_sdk_local import checkpoints

        folder = self._run(run)
        curve = {event.data["step"]: event.data for event in folder.events() if event.kind == "metrics"}
        return [
            Checkpoint(saved.folder.name, saved.step, curve.get(saved.step, {}), f"{run}@{saved.folder.name}")
            for saved in reversed(checkpoints.every(folder.checkpoints))
        ]

    def export(self, run: str, to: Path, kind: str) -> Export:
        from finetune_sdk_local import exporting

        left = self.result(run)
        return exporting.export(self._run(run), to, kind, self._device(), left.manifest, self._options.gguf_converter)

    def pushable(self, name: str, public: bool) -> None:
        from finetune_sdk_local import hub

        hub.require(name, public=public)

    def push(self, folder: Path, name: str, public: bool) -> str:
        from finetune_sdk_local import hub

        return hub.push(folder, name, public=public)

    def model(self, name: str) -> Model:
        from finetune_sdk_local import models

        run, at, checkpoint = name.partition("@")
        folder = RunFolder(self._runs / run) if run.isalnum() else None
        if folder is not None and folder.exists():
            if at:
                return models.checkpointed(folder, checkpoint, self._place.name, self._device(), self._loaded)
            return models.tuned(folder, self._place.name, self._device(), self._loaded)
        return models.base(name, self._place.name, self._device(), self._loaded)

    def counter(self, base: str) -> Counter:
        from finetune_sdk_local import bases

        bases.quiet()
        return LocalCounter(base, bases.tokenizer(base))

    def prices(self) -> Sequence[Price]:
        from finetune_sdk_local.cards import card_prices

        return card_prices()

    def upkeep(self, base: str, usage: Usage, *, tuned: bool) -> Upkeep:
        from finetune_sdk_local.costs import upkeep

        return upkeep(self._options.usd_per_hour)

    def render(self, dataset: Dataset, index: int, base: str) -> Mapping[str, Any]:
        from finetune_sdk_local import bases, texts
        from finetune_sdk_local.rendering import Renderer, TemplateError
        from finetune_sdk_local.tokenising import encoded
        from finetune_sdk_local.units import Unit

        bases.quiet()
        example, tokenizer = dataset.row(index), bases.tokenizer(base)
        if "text" in example:
            (ids,) = texts.encoded(tokenizer, [example["text"]])
            text = texts.ended(tokenizer, example["text"])
            trained = [False] + [True] * (len(ids) - 1)
            return {"ids": ids.tolist(), "trained": trained, "text": text, "spans": [(0, len(text))]}
        renderer = Renderer(base, tokenizer)
        try:
            text, spans = renderer.texts(example)[-1 if "messages" in example else 0]
        except TemplateError as fault:
            raise DatasetError(f"{dataset.where(index)}: {fault.message}", cure=fault.cure) from None
        (tokens,) = encoded(renderer, [Unit(text, tuple(spans))])
        trained = [bool(each) for each in tokens.trained]
        return {"ids": memoryview(tokens.ids).cast("i").tolist(), "trained": trained, "text": text, "spans": spans}

    def doctor(self) -> Mapping[str, str]:
        """What this machine can do, in words."""
        from finetune_sdk_local.doctor import examine

        return examine(self._device(), self._options.threads)


class LocalCounter:
    """Counts with the base's own tokenizer and template: exactly what training sees. Texts need no template."""

    exact = True

    def __init__(self, base: str, tokenizer: Any) -> None:
        self._base = base
        self._tokenizer = tokenizer
        self.basis = f"the tokenizer and chat template of {base}"

    @cached_property
    def _renderer(self) -> Any:
        from finetune_sdk_local.rendering import Renderer

        return Renderer(self._base, self._tokenizer)

    def count(self, example: Example) -> TokenCount:
        from finetune_sdk_local import texts
        from finetune_sdk_local.tokenising import encoded
        from finetune_sdk_local.units import Unit

        if isinstance(example, TextExample):
            (ids,) = texts.encoded(self._tokenizer, [example.text])
            return TokenCount(len(ids), len(ids) - 1)
        rendered = self._renderer.texts(example.canonical())
        made = encoded(self._renderer, [Unit(text, tuple(spans)) for text, spans in rendered])
        return TokenCount(sum(len(each.trained) for each in made), sum(each.trained.count(1, 1) for each in made))

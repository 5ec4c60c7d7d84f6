"""FakeBackend: a place that trains on the clock. A peer of the real ones, it passes the same kit; no vendor, no GPU.

Its runs are in SQLite under the SDK's folder, so they survive SIGKILL and are the same for every process.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from finetune_sdk.backend import (
    OPTIONAL,
    Capabilities,
    Checkpoint,
    Event,
    Export,
    PastFile,
    PastJob,
    Place,
    Resolved,
    Result,
    Status,
)
from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.tokens import Counter
from finetune_sdk.errors import BackendError, DatasetError, NotFoundError, RunError
from finetune_sdk.estimate import Estimate, Price, Range, Spent, Upkeep, Usage
from finetune_sdk.files import whole_folder
from finetune_sdk.job import SFT, Job, Method
from finetune_sdk.model import Model, Origin
from finetune_sdk.testing import clock
from finetune_sdk.testing.options import Options
from finetune_sdk.testing.records import Record, Records
from finetune_sdk.testing.speech import BASES, Echo, Learnt, WordCounter, learnt, tokens

_HYPERPARAMETERS = frozenset(
    {
        "beta",
        "epochs",
        "steps",
        "batch_size",
        "learning_rate",
        "schedule",
        "warmup",
        "weight_decay",
        "max_length",
        "loss_on",
        "validate_every",
    }
)
_GAPS = {
    "pause": "a run here is a clock, and a clock cannot stand still",
    "deploy": "its models answer without it",
}
_TAKEN = "its settings take this away (`without`)"
_PORTABLE = ("epochs", "batch_size", "beta")
_MEMORY = 1_000_000.0


class FakeBackend:
    """A place without a vendor. `testing.options.Options` says what it can be told in finetune.toml."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._options = Options.read(place)
        self._records = Records(place.home / "fake")

    @property
    def capabilities(self) -> Capabilities:
        without = self._options.without
        verbs = (OPTIONAL - _GAPS.keys()) - without
        return Capabilities(
            methods=frozenset({"sft", "dpo"}) - without,
            adapters=frozenset({"lora", "qlora", "full"}) - without,
            hyperparameters=_HYPERPARAMETERS - without,
            verbs=verbs,
            gaps={**_GAPS, **dict.fromkeys(OPTIONAL - verbs - _GAPS.keys(), _TAKEN)},
            visible_within=self._options.visible_after,
            exports=frozenset({"adapter"} if "export" in verbs else ()),
            estimates=frozenset({"upkeep"}) - without,
            spent="spent" not in without,
        )

    @property
    def address(self) -> str:
        return f"fake:{self._records.path.parent}"

    def resolve(self, job: Job) -> Resolved:
        options = self._options
        base = job.base or options.base
        self._known(base)
        adapter = job.adapter or options.adapter
        method = _filled(job.method, self.capabilities.hyperparameters)
        before = {"base": job.base, "adapter": job.adapter, **_fields(job.method)}
        after = {"base": base, "adapter": adapter, **_fields(method)}
        chosen = tuple(name for name, value in after.items() if value is not None and before[name] is None)
        own = options.sft if method.kind == "sft" else options.dpo
        return Resolved(job.resolved(base=base, adapter=adapter, method=method), own, chosen)

    def check(self, resolved: Resolved) -> Sequence[Finding]:
        job, minimum = resolved.job, self._options.minimum_rows
        found = [*_rows_that_teach_nothing(job.train, job.method), *_rows_that_are_cut(job.train, job.method)]
        if len(job.train) < minimum:
            found.append(
                Finding(
                    "rows",
                    "error",
                    f"{job.train.name} has {len(job.train)} rows, and {self._place.name} takes {minimum} or more.",
                    f"add {minimum - len(job.train)} rows",
                )
            )
        return found

    def estimate(self, resolved: Resolved) -> Estimate:
        exact, basis = BASES[resolved.base]
        total, trained = _volume(resolved.job)
        spread = 0.0 if exact else 0.1
        counted = [
            Range(n * (1 - spread), n, n * (1 + spread), "tokens", f"all rows and epochs counted in {basis}")
            for n in (total, trained)
        ]
        seconds = self._options.seconds
        return Estimate(
            tokens=counted[0],
            trained_tokens=counted[1],
            charge=self._charge(counted[0]),
            time=Range(0.7 * seconds, seconds, 1.5 * seconds, "s", "the clock of the fake (its option `seconds`)"),
            memory=Range(0.8 * _MEMORY, _MEMORY, 1.2 * _MEMORY, "bytes", "a fixed figure of the fake's"),
            disk=Range(1_000, 10_000, 1_000_000_000, "bytes", "one row in a SQLite file, with the answers learnt"),
            machine=Range.unknown("USD", "no price per hour is set for this machine"),
            resolved=resolved.to_dict(),
        )

    def _charge(self, counted: Range) -> Range:
        usd, dated = self._options.usd_per_million, self._options.priced
        if usd is None:
            return Range.unknown("USD", "nobody has told the fake its price (usd_per_million)")
        if usd == 0:
            return Range.exactly(0.0, "USD", "the fake charges nothing")
        assert counted.low is not None
        assert counted.expected is not None
        assert counted.high is not None
        each, basis = usd / 1e6, f"${usd:g} for a million tokens, from finetune.toml, dated {dated}; {counted.basis}"
        return Range(counted.low * each, counted.expected * each, counted.high * each, "USD", basis)

    def upkeep(self, base: str, usage: Usage, *, tuned: bool) -> Upkeep:
        self._known(base)
        tokens = usage.read + usage.written
        said = f"{usage.answers:,.0f} answers, {tokens} ({usage.basis})"
        kept = "a fake keeps a tuned model" if tuned else "a fake keeps its bases"
        return Upkeep(
            inference=self._charge(replace(tokens, basis=said)),
            hosting=Range.exactly(0.0, "USD", f"{kept} for nothing"),
        )

    def submit(self, resolved: Resolved, token: str) -> str:
        options = self._options
        if options.dies == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if options.hang_up == "before":
            raise BackendError("the fake hung up before it made the run (hang_up).", code="hang_up", retryable=True)
        run = self._records.make(token, self._record(resolved), careless=options.careless)
        if options.dies == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        if options.hang_up == "after":
            raise BackendError("the fake hung up after it made the run (hang_up).", code="hang_up", retryable=True)
        return run

    def _record(self, resolved: Resolved) -> Record:
        job, options = resolved.job, self._options
        estimate = self.estimate(resolved)
        total, trained = (round(count * options.overrun) for count in _volume(job))
        steps, seconds = _steps(job), options.seconds * options.overrun * options.slow
        method = job.method
        each_epoch = math.ceil(len(job.train) / (method.batch_size or 1))
        plan = clock.Plan(
            method=method.kind,
            steps=steps,
            seconds=seconds,
            learning_rate=method.learning_rate or 0.0,
            schedule=method.schedule or "linear",
            warmup=method.warmup or 0.0,
            validate_every=(method.validate_every or each_epoch) if job.validation else 0,
            trained_tokens=trained,
            seed=job.seed,
            running_as=options.running_as,
            fails_after=None if options.fails_at is None else min(steps - 1, int(steps * options.fails_at)),
        )
        known, otherwise = learnt(job.train)
        actual = {"time": seconds, "memory": _MEMORY, "tokens": total, "trained_tokens": trained}
        if estimate.charge.expected is not None:
            actual["charge"] = estimate.charge.expected * options.overrun
        manifest = {
            "place": "fake", "rows": len(job.train), "steps": steps, "seed": job.seed, "name": job.name,
            "train": self._keep(job.train), "validation": self._keep(job.validation), "portable": {
                name: value for name, value in _fields(method).items() if name in _PORTABLE and value is not None
            },
        }  # fmt: skip
        return Record(plan, resolved.base, known, otherwise, actual, manifest)

    def find(self, token: str) -> Sequence[str]:
        return self._records.find(token, time.time() - self._options.visible_after)

    def status(self, run: str) -> Status:
        record, legs = self._records.read(run)
        return clock.status(record.plan, legs, time.time())

    def events(self, run: str, after: int = 0) -> Iterable[Event]:
        record, legs = self._records.read(run)
        return clock.events(record.plan, legs, time.time())[after:]

    def spent(self, run: str) -> Spent:
        record, legs = self._records.read(run)
        now = time.time()
        worked = clock.worked(record.plan, legs, now)
        share = clock.reached(record.plan, legs, now) / record.plan.steps
        cost = self._charge(Range.exactly(record.actual["tokens"] * share, "tokens", "the steps that were taken"))
        return Spent(cost, Range.exactly(worked, "s", "the clock of the fake"))

    def cancel(self, run: str) -> None:
        def cut(record: Record, legs: list[clock.Leg]) -> clock.Leg | None:
            now = time.time()
            return None if clock.status(record.plan, legs, now).terminal else replace(legs[-1], until=now)

        self._records.change(run, cut)

    def resume(self, run: str) -> None:
        def go_on(record: Record, legs: list[clock.Leg]) -> clock.Leg | None:
            now = time.time()
            status = clock.status(record.plan, legs, now)
            if not status.terminal or status == "succeeded":
                return None
            saved = clock.checkpoints(record.plan, legs, now)
            return clock.Leg(now, saved[-1].step if saved else 0)

        self._records.change(run, go_on)

    def result(self, run: str) -> Result:
        record, legs = self._records.read(run)
        now = time.time()
        status = clock.status(record.plan, legs, now)
        saved = clock.checkpoints(record.plan, legs, now)
        if status == "succeeded":
            return Result(f"fake/{run}", record.actual, record.manifest)
        if status == "cancelled" and saved:
            share = saved[-1].step / record.plan.steps
            actual = {name: value if name == "memory" else value * share for name, value in record.actual.items()}
            return Result(f"fake/{run}@{saved[-1].id}", actual, record.manifest)
        cure = "wait for it" if not status.terminal else "resume it, or see its events"
        raise RunError(f"{run} is {status} and has left no model.", cure=cure)

    def model(self, name: str) -> Model:
        if name in BASES:
            return Echo(name, Origin(backend=self._place.name, base=name))
        if not name.startswith("fake/"):
            raise self._unknown(name)
        run, _, checkpoint = name.removeprefix("fake/").partition("@")
        record, legs = self._records.read(run)
        now = time.time()
        kept = {saved.id for saved in clock.checkpoints(record.plan, legs, now)}
        if checkpoint not in kept and (checkpoint or clock.status(record.plan, legs, now) != "succeeded"):
            raise self._unknown(name)
        return Learnt(name, Origin(self._place.name, record.base, run), record.learnt, record.otherwise)

    def counter(self, base: str) -> Counter:
        self._known(base)
        return WordCounter(*BASES[base])

    def prices(self) -> Sequence[Price]:
        usd, dated = self._options.usd_per_million, self._options.priced
        if not usd:
            return []
        return [Price(base, "training", usd, "1M tokens", dated, "finetune.toml") for base in BASES]

    def runs(self) -> Sequence[str]:
        return self._records.ids()

    def checkpoints(self, run: str) -> Sequence[Checkpoint]:
        record, legs = self._records.read(run)
        saved = clock.checkpoints(record.plan, legs, time.time())
        return [replace(one, model=f"fake/{run}@{one.id}") for one in saved]

    def export(self, run: str, to: Path, kind: str) -> Export:
        left = self.result(run)
        record, _ = self._records.read(run)
        manifest = {**left.manifest, "run": run, "kind": kind, "base": record.base}
        with whole_folder(to) as folder:
            for name, value in (("answers", record.learnt), ("manifest", manifest)):
                (folder / f"{name}.json").write_text(json.dumps(value, indent=1))
        return Export(to, kind, manifest, ("the answers that a fake has learnt; no weights are among them",))

    def render(self, dataset: Dataset, index: int, base: str) -> Mapping[str, Any]:
        self._known(base)
        text, ids, trained, spans = "", [], [], []
        for word, is_learnt in tokens(dataset[index]):
            start = len(text)
            text += f"{word} "
            ids.append(int.from_bytes(word.encode()[:3]))
            trained.append(is_learnt)
            if is_learnt:
                spans.append((start, len(text)))
        return {"ids": ids, "trained": trained, "text": text, "spans": spans}

    def _keep(self, data: Dataset | None) -> str | None:
        """The id of a data file: it is called after its content, and is written once."""
        if data is None:
            return None
        path = self._file(data.fingerprint)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(DatasetError):  # a row that only another format can hold
                data.save(path, marks=False)
        return data.fingerprint

    def _file(self, name: str) -> Path:
        return self._records.path.parent / "files" / f"{Path(name).name}.jsonl"

    def history(self) -> Sequence[PastJob]:
        return [self._past(run) for run in self._records.ids()]

    def _past(self, run: str) -> PastJob:
        record, legs = self._records.read(run)
        made, status = record.manifest, clock.status(record.plan, legs, time.time())
        usd, dated = self._options.usd_per_million, self._options.priced
        asking = () if usd is None else (usd, usd)
        return PastJob(
            id=run,
            base=record.base,
            method=record.plan.method,
            status=status,
            created=legs[0].began,
            name=made.get("name"),
            model=f"fake/{run}" if status == "succeeded" else None,
            model_there=True if status == "succeeded" else None,
            train=self._past_file(made.get("train")),
            validation=self._past_file(made.get("validation")),
            portable=made.get("portable", {}),
            seed=record.plan.seed,
            tokens=round(record.actual["tokens"]),
            prices=tuple(
                Price(record.base, kind, each, "1M tokens", dated, "finetune.toml")
                for kind, each in zip(("input", "output"), asking, strict=False)
            ),
            whole=dict(made),
        )

    def _past_file(self, name: str | None) -> PastFile | None:
        if name is None:
            return None
        path = self._file(name)
        if not path.exists():
            return PastFile(name, there=False, why="it was taken away")
        return PastFile(name, path.name, path.stat().st_size, there=True)

    def fetch(self, file: str, into: BinaryIO) -> None:
        try:
            content = self._file(file).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"the fake place has no file {file!r}.", cure="check the id") from None
        into.seek(0)
        into.truncate()
        into.write(content)

    def _known(self, base: str) -> None:
        if base not in BASES:
            raise self._unknown(base)

    def _unknown(self, name: str) -> NotFoundError:
        return NotFoundError(
            f"there is no model {name!r} at {self._place.name}; it looked among its bases and the runs in "
            f"{self._records.path}.",
            cure=f"its bases are {', '.join(BASES)}",
        )


def _fields(method: Method) -> dict[str, Any]:
    return {name: getattr(method, name) for name in method.__dataclass_fields__ if name != "kind"}


def _filled(method: Method, declared: frozenset[str]) -> Method:
    choices: dict[str, Any] = {
        "epochs": None if method.steps else 3, "batch_size": 8, "learning_rate": 1e-4, "schedule": "linear",
        "warmup": 0.0, "weight_decay": 0.0, "max_length": 4096, "loss_on": "completions", "beta": 0.1,
    }  # fmt: skip
    own = _fields(method)
    open_ones = {name for name in own.keys() & declared if own[name] is None}
    return replace(method, **{name: value for name, value in choices.items() if name in open_ones})


def _steps(job: Job) -> int:
    batch = job.method.batch_size or 1
    return job.method.steps or max(1, math.ceil((job.method.epochs or 1) * math.ceil(len(job.train) / batch)))


def _volume(job: Job) -> tuple[int, int]:
    """Tokens that pass through training, and those that are learnt, over all steps."""
    kept = [_kept(example, job.method) for example in job.train]
    passes = _steps(job) * (job.method.batch_size or 1) / len(kept) if job.method.steps else job.method.epochs or 1
    return round(sum(len(row) for row in kept) * passes), round(sum(map(sum, kept)) * passes)


def _kept(example: Any, method: Method) -> list[bool]:
    loss_on = method.loss_on if isinstance(method, SFT) else None
    return [trained for _, trained in tokens(example, loss_on or "completions")][: method.max_length]


def _rows_that_teach_nothing(data: Dataset, method: Method) -> list[Finding]:
    lines = [data.line(index) for index, example in enumerate(data) if not any(_kept(example, method))]
    return [
        Finding(
            "trained-tokens",
            "error",
            f"{data.name} {data.unit} {line}: nothing of this row is left to learn within max_length={method.max_length}.",
            "raise max_length, or shorten the prompt",
            (line,),
            unit=data.unit,
        )
        for line in lines
    ]


def _rows_that_are_cut(data: Dataset, method: Method) -> list[Finding]:
    limit = method.max_length
    lines = [data.line(index) for index, example in enumerate(data) if limit and len(tokens(example)) > limit]
    if not lines:
        return []
    cut = f"{len(lines)} of the rows of {data.name} are longer than max_length={limit} and are cut at the end."
    return [Finding("cut", "warning", cut, "raise max_length", tuple(lines[:20]), len(lines), unit=data.unit)]

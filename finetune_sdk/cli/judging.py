"""From a tuned model to its report: base, prompted base and tuned model on the same cases."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from finetune_sdk.errors import InputError

if TYPE_CHECKING:
    from finetune_sdk.cli.screen import Screen
    from finetune_sdk.client import Client
    from finetune_sdk.evaluation.evaluation import Evaluation, Report
    from finetune_sdk.jobfile import JobFile, OpenModel
    from finetune_sdk.model import Model
    from finetune_sdk.run import Run

_FIGURES = ("passed", "cases", "rate", "low", "high")
_PAGES = (".html", ".htm")
_STEM = 40
_USUAL: Mapping[str, Any] = MappingProxyType({})


def report_path(job_file: JobFile, asked: Path | None) -> Path:
    """Where the report goes: `<name>-report.html` beside the job file, or as asked. Raises InputError before any work."""
    stem = re.sub(r"[^\w.-]+", "-", job_file.table.name)[:_STEM].strip(".-") or "job"
    path = asked or job_file.path.with_name(f"{stem}-report.html")
    if not path.parent.is_dir():
        raise InputError(
            f"there is no folder {path.parent} for the report.", cure="make it, or choose another --report"
        )
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"the report {path} cannot be written.", cure="choose another --report")
    if path.suffix.lower() not in _PAGES:
        raise InputError(f"the report {path} would not be a page.", cure="choose a name that ends in .html")
    return path


def models(client: Client, config: Path | None) -> OpenModel:
    """Opens the model that a job file names, at its own place or at that of the command; each place is opened once."""
    from finetune_sdk.client import Client

    clients = {client.name: client}

    def opened(name: str, place: str | None) -> Model:
        at = place or client.name
        if at not in clients:
            clients[at] = Client(at, config=config)
        return clients[at].model(name)

    return opened


def rivals(job_file: JobFile, given: Sequence[str], opened: OpenModel, client: Client) -> dict[str, Model]:
    """The models that the file and `--against NAME=BACKEND:MODEL` name. Raises InputError for what is no such thing."""
    from finetune_sdk.jobfile.tables import TAKEN

    found = job_file.rivals(opened)
    for one in given:
        name, _, of = one.partition("=")
        place, _, model = of.partition(":")
        if not (name and place and model):
            raise InputError(
                f"--against {one!r} names no model.",
                cure="write NAME=BACKEND:MODEL, as in previous=local:7f3a… or other=openai:gpt-4.1-2025-04-14",
            )
        if name in found or name in TAKEN:
            raise InputError(
                f"--against {one!r}: the evaluation has a model called {name!r} already.", cure="give it another name"
            )
        run = any((entry.place, entry.run) == (place, model) for entry in client.ledger.entries())
        found[name] = opened(of if run else model, place)
    return found


def failures_path(asked: Path | None) -> Path | None:
    """The path itself. Raises InputError, before any work, where nothing can be written there."""
    if asked is not None and (asked.is_dir() or not os.access(asked.absolute().parent, os.W_OK)):
        raise InputError(f"the failures {asked} cannot be written.", cure="choose another --failures")
    return asked


def judge(
    job_file: JobFile,
    evaluation: Evaluation,
    run: Run,
    tuned: Model,
    path: Path,
    out: Screen,
    failures: Path | None = None,
    terms: Mapping[str, Any] = _USUAL,
    against: Mapping[str, Model] = _USUAL,
) -> dict[str, Any]:
    """Evaluates what the job file asks for, and models to compare with, writes the report and shows it; returns it as plain data.

    `terms` are those of `Evaluation.run`: what it may cost, how long it may take, whether answers are kept.
    """
    base = run.base()
    prompted = job_file.prompted(base, job_file.datasets().train)
    # The tuned model comes last: it is compared with each of the others.
    models = {"base": base, **({"prompted": prompted} if prompted is not None else {}), **against, "tuned": tuned}
    return evaluate_and_write(evaluation, models, path, out, failures, terms)


def evaluate_and_write(
    evaluation: Evaluation,
    models: Mapping[str, Any],
    path: Path,
    out: Screen,
    failures: Path | None = None,
    terms: Mapping[str, Any] = _USUAL,
) -> dict[str, Any]:
    """Writes the page at `path`, and beside it the same as JSON, which `finetune report` reads."""
    out.say(f"evaluating {', '.join(models)} on {len(evaluation.cases):,} cases")
    report = evaluation.run(None, **terms, **models)
    report.save(path.with_suffix(".json"))
    report.save(path)
    if not out.for_a_program:
        report.show()
    out.show(f"report: {path}")
    return {**outcome(report), "report": str(path), **failed(report, failures, out)}


def failed(report: Report, path: Path | None, out: Screen) -> dict[str, Any]:
    """Writes the cases that the last model fails, where that is asked for, and says how many there are."""
    if path is None:
        return {}
    count = report.save_failures(path)
    out.show(f"failures: {count:,} of {report.models[-1]}, in {path}")
    return {"failures": {"file": str(path), "model": report.models[-1], "cases": count}}


def outcome(report: Report) -> dict[str, Any]:
    """What a report found: passed, cases, rate, low and high for each model and evaluator; comparisons; the verdict."""
    data = report.to_dict()
    models: dict[str, dict[str, Any]] = {}
    for metric in data["metrics"]:
        models.setdefault(metric["model"], {})[metric["evaluator"]] = {name: metric[name] for name in _FIGURES}
    return {"models": models, "comparison": data["comparisons"], "verdict": report.verdict}

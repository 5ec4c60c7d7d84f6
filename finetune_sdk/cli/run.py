"""finetune run: a job from its file to its report."""

from __future__ import annotations

import time
from typing import Any

from finetune_sdk.cli.options import (
    Again,
    AllowLeakage,
    AsJson,
    BackendName,
    ConfigPath,
    Detach,
    JobPath,
    MaxCost,
    ReportPath,
    Yes,
)
from finetune_sdk.cli.screen import screen
from finetune_sdk.cli.waiting import waiting


def run(
    file: JobPath,
    backend: BackendName = None,
    config: ConfigPath = None,
    max_cost: MaxCost = None,
    yes: Yes = False,
    again: Again = False,
    allow_leakage: AllowLeakage = False,
    detach: Detach = False,
    report: ReportPath = None,
    as_json: AsJson = False,
) -> None:
    """Check a job, show what it takes, ask, submit it, wait, evaluate, and write the report.

    The same job again is the same run: nothing is paid twice. ctrl-C detaches and never cancels.
    """
    with screen(as_json) as out:
        from finetune_sdk.cli.estimate import beside
        from finetune_sdk.cli.judging import judge, models, report_path
        from finetune_sdk.cli.submission import Terms, submit
        from finetune_sdk.client import Client
        from finetune_sdk.errors import InputError
        from finetune_sdk.jobfile import JobFile

        started = time.monotonic()
        job_file = JobFile.load(file)
        client = Client(backend, config=config)
        opened = models(client, config)
        with waiting(f"reading the data of {file.name}"):
            job = job_file.job()
            evaluation = job_file.evaluation(opened)
        if report is not None and (detach or evaluation is None):
            why = "with --detach nothing is evaluated" if detach else f"{file} has no `evaluation`"
            raise InputError(
                f"--report {report} would not be written: {why}.",
                cure="leave it out; `finetune evaluate` judges the run later",
            )
        path = report_path(job_file, report)
        against = job_file.rivals(opened) if not detach else {}
        if evaluation is not None and against:
            evaluation.check(**against)  # before anything is trained for a comparison that would be refused
        submitted = submit(client, job, Terms(max_cost, again, allow_leakage, yes), out)
        going = submitted.run
        value: dict[str, Any] = {
            "run": going.id,
            "job": job.name,
            "backend": client.name,
            "earlier": submitted.earlier,
            "estimate": submitted.estimate.to_dict(),
            "findings": [finding.to_dict() for finding in submitted.findings],
        }
        if detach:
            value["status"] = going.status
            out.show(f"{going.id} goes on by itself; come back with: finetune attach {going.id}")
            out.answer(value)
            return
        tuned = going.wait()
        value |= {"status": going.status, "actual": dict(going.result().actual)}
        out.show(f"{going.id} {going.status}", beside(submitted.estimate, value["actual"]))
        if evaluation is not None:
            value |= judge(job_file, evaluation, going, tuned, path, out, against=against)
        value["seconds"] = round(time.monotonic() - started, 3)
        out.answer(value)

"""finetune evaluate: judge a tuned model again, without training anything."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from finetune_sdk.cli.options import (
    AsJson,
    BackendName,
    ConfigPath,
    FailuresPath,
    JobPath,
    MaxSpent,
    NoCache,
    ReportPath,
    Rivals,
    Timeout,
)
from finetune_sdk.cli.screen import screen
from finetune_sdk.cli.waiting import waiting


def evaluate(
    file: JobPath,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Whose model to judge; the job's own run when left out.")
    ] = None,
    backend: BackendName = None,
    config: ConfigPath = None,
    against: Rivals = None,
    report: ReportPath = None,
    failures: FailuresPath = None,
    max_cost: MaxSpent = None,
    timeout: Timeout = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate the base, the prompted base, models to compare with and that of the job's run, and write the report. Trains nothing.

    Answers are kept as they come: after ctrl-C, or a cap, the same command goes on where it was.
    """
    with screen(as_json) as out:
        from finetune_sdk.cli.judging import failures_path, judge, models, report_path, rivals
        from finetune_sdk.client import Client
        from finetune_sdk.errors import JobError, RunError
        from finetune_sdk.jobfile import JobFile

        started = time.monotonic()
        job_file = JobFile.load(file)
        client = Client(backend, config=config)
        opened = models(client, config)
        with waiting(f"reading the data of {file.name}"):
            evaluation = job_file.evaluation(opened)
        if evaluation is None:
            raise JobError(
                f"{file} has no `evaluation`.", cure="add one: `evaluation: {evaluators: [{kind: exact_match}]}`"
            )
        path, todo = report_path(job_file, report), failures_path(failures)
        compared = rivals(job_file, against or (), opened, client)
        judged = client.get_run(run) if run else client.find_run(job_file.job())
        if judged is None:
            raise RunError(
                f"{file} has not run at {client.name}.", cure=f"run it with `finetune run {file}`, or name a --run"
            )
        kept_in = False if no_cache or not client.settings.answers_kept_mb else client.settings.home
        terms = {"max_cost": max_cost, "timeout": timeout, "cache": kept_in}
        value = judge(job_file, evaluation, judged, judged.wait(), path, out, todo, terms, compared)
        out.answer(
            {"run": judged.id, "job": job_file.table.name, **value, "seconds": round(time.monotonic() - started, 3)}
        )

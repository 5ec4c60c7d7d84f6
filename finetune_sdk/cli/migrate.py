"""finetune migrate: leave a place with its jobs, their data and recorded answers, and compare what comes in their stead."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from finetune_sdk.cli.findings import plural
from finetune_sdk.cli.options import AsJson, BackendName, ConfigPath, FailuresPath, ReportPath
from finetune_sdk.cli.screen import Screen, screen, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finetune_sdk.backend import PastJob
    from finetune_sdk.client import Client
    from finetune_sdk.migration import Folder, Migration, Recording

PLACE = "PLACE"
_JOBS = "Ids of jobs, or the names of their models; none lists them."
_TO = "Where each job gets a folder of its own."
_CASES = "Rows that the model was not trained on, to record its answers to."
_HOLD = "A share of the training rows as cases; the model was trained on them, and that is marked."
_BASE = "Record the answers of the base that it was tuned from, too."
_TOKENS = "Of one answer; twice the longest expected one when left out."
_NONE = "Fetch data and settings only."
_LEAK = "Keep cases that were trained on; the job file says so."
_YES = "Do not ask before answers are paid for; for scripts."
_COST = "Refuse where recording may cost more."
_MODEL = "What replaces it: a run's id, or a model's name there; the folder's own run when left out."


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the user allows: what recording may cost in USD, no question before it, and whether to record at all."""

    max_cost: float | None
    yes: bool
    answers: bool


class Places(TyperGroup):
    """A group in which any name that is no command is that of a place."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, PLACE)


migrate = typer.Typer(
    cls=Places,
    help="The way out of a place: `finetune migrate openai` lists its jobs; with their ids and --to it fetches data and settings and records answers.",
)


@migrate.command(PLACE)
def place(
    context: typer.Context,
    jobs: Annotated[list[str] | None, typer.Argument(metavar="JOB", help=_JOBS, show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="All jobs that succeeded.")] = False,
    to: Annotated[Path | None, typer.Option("--to", metavar="FOLDER", help=_TO, show_default=False)] = None,
    cases: Annotated[Path | None, typer.Option("--cases", metavar="FILE", help=_CASES, show_default=False)] = None,
    hold_out: Annotated[
        float | None, typer.Option("--hold-out", metavar="SHARE", help=_HOLD, show_default=False)
    ] = None,
    with_base: Annotated[bool, typer.Option("--with-base", help=_BASE)] = False,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", metavar="N", min=1, help=_TOKENS, show_default=False)
    ] = None,
    no_answers: Annotated[bool, typer.Option("--no-answers", help=_NONE)] = False,
    allow_leakage: Annotated[bool, typer.Option("--allow-leakage", help=_LEAK)] = False,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", metavar="USD", min=0, help=_COST, show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_YES)] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a place, such as `openai`; or take some of them out of it: data, settings, recorded answers.

    Call it again to go on: what is fetched is not fetched again, and no answer is paid for twice.
    """
    with screen(as_json) as out:
        from finetune_sdk.cli.waiting import waiting
        from finetune_sdk.client import Client
        from finetune_sdk.errors import InputError
        from finetune_sdk.migration import Migration, find, past_jobs

        client = Client(str(context.info_name), config=config)
        with waiting(f"listing the jobs at {client.name}"):
            past = past_jobs(client)
        if not jobs and not every:
            named = {
                "--to": to, "--cases": cases, "--hold-out": hold_out, "--with-base": with_base, "--max-tokens": max_tokens,
                "--no-answers": no_answers, "--allow-leakage": allow_leakage, "--max-cost": max_cost, "--yes": yes,
            }  # fmt: skip
            if given := [name for name, value in named.items() if value not in (None, False)]:
                raise InputError(
                    f"{given[0]} is for jobs, and none is named.", cure="name some by their ids, or give --all"
                )
            _list(client, past, out)
            return
        if to is None:
            raise InputError("there is no folder to migrate to.", cure="name one: --to FOLDER")
        chosen = [find(past, name, client.name) for name in jobs or ()]
        chosen += [one for one in past if every and one.status == "succeeded" and one not in chosen]
        moving = [
            Migration(
                client, one, to, cases=cases, hold_out=hold_out, allow_leakage=allow_leakage, max_tokens=max_tokens,
                with_base=with_base,
            )
            for one in chosen
        ]  # fmt: skip
        out.answer({"jobs": _take(moving, _Terms(max_cost, yes, not no_answers), out)})


def _list(client: Client, past: Sequence[PastJob], out: Screen) -> None:
    from finetune_sdk.migration.listing import row

    head = ("job", "name", "base", "method", "created", "status", "tokens", "model", "dies", "files")
    if past:
        out.show(table(head, [_cells(one) for one in past], wrapped=1))
        for line in _ends(past):
            out.show(line)
        out.show(f"take one with you: finetune migrate {client.name} {past[0].id} --to FOLDER")
    else:
        out.show(f"there is no job at {client.backend.address}")
    out.answer({"place": client.name, "address": client.backend.address, "jobs": [row(one) for one in past]})


def _ends(past: Sequence[PastJob]) -> list[str]:
    """When the models that are left end, the first first."""
    alive = [one.dies for one in past if one.model and one.model_there is not False and one.dies is not None]
    today = date.today()
    return [
        f"{plural(alive.count(day), 'model')} {'ends' if alive.count(day) == 1 else 'end'} on {day}, in {(day - today).days} days"
        if day > today
        else f"{plural(alive.count(day), 'model')} ended on {day}"
        for day in sorted(set(alive))
    ]


def _cells(past: PastJob) -> tuple[str, ...]:
    there = {True: "there", False: "gone", None: "not known"}
    files = [
        f"{side} {there[file.there]}"
        for side, file in (("train", past.train), ("validation", past.validation))
        if file is not None
    ]
    return (
        past.id, past.name or "", past.base, past.method, time.strftime("%Y-%m-%d", time.localtime(past.created)),
        str(past.status), f"{past.tokens:,}" if past.tokens is not None else "",
        there[past.model_there] if past.model else "none", past.dies.isoformat() if past.dies else "", ", ".join(files),
    )  # fmt: skip


def _take(moving: Sequence[Migration], terms: _Terms, out: Screen) -> list[dict[str, Any]]:
    """Fetches all, shows what recording may cost and asks, records, and tells what stands."""
    from contextlib import ExitStack

    from finetune_sdk.cli.waiting import waiting

    with ExitStack() as held:
        for one in moving:
            held.enter_context(one)
            with waiting(f"fetching the files of {one.past.id}"):
                one.prepare()
        plans = [one.left() if terms.answers else [] for one in moving]
        _agree([recording for each in plans for recording in each], terms, out)
        return [_recorded(one, each, out) for one, each in zip(moving, plans, strict=True)]


def _agree(recordings: Sequence[Recording], terms: _Terms, out: Screen) -> None:
    """Shows what recording may cost. Raises BudgetError above the cap, and asks where it costs anything."""
    from finetune_sdk.cli.submission import ask
    from finetune_sdk.migration import within

    for one in recordings:
        kept = f" ({one.kept:,} are recorded already)" if one.kept else ""
        out.say(f"{one.model}: {len(one.left):,} answers to record{kept}, {one.charge}: {one.charge.basis}")
    charge = within(recordings, terms.max_cost)
    if charge.high != 0 and not terms.yes:
        ask(out, "to these answers", "--yes to record them without asking, or --no-answers")


def _recorded(moving: Migration, recordings: Sequence[Recording], out: Screen) -> dict[str, Any]:
    from finetune_sdk.cli.waiting import waiting
    from finetune_sdk.migration.recording import lines

    with waiting(f"recording {moving.past.model}") as tell:
        faults = moving.record(recordings, tell) if recordings else []
    standing, folder = moving.write(), moving.folder
    count = sum(1 for _ in lines(folder.answers))
    out.show(
        f"{folder.path}: {', '.join(_there(folder))}; {count:,} answers recorded", *(f"  {one}" for one in standing)
    )
    if folder.job.exists():
        out.show(f"  next: cd {folder.path} and read README.md")
    return {
        "job": moving.past.id, "folder": str(folder.path), "answers": count, "unanswered": faults, "standing": standing,
        "files": folder.known.get("files", {}), "cases": folder.known.get("cases", {}),
        "job_file": str(folder.job) if folder.job.exists() else None,
    }  # fmt: skip


def _there(folder: Folder) -> list[str]:
    files = (folder.train, folder.validation, folder.cases, folder.grader, folder.job, folder.settings)
    return [path.name for path in files if path.exists()]


@migrate.command()
def compare(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of one job.", show_default=False)],
    model: Annotated[str | None, typer.Option("--model", metavar="RUN|NAME", help=_MODEL, show_default=False)] = None,
    backend: BackendName = None,
    config: ConfigPath = None,
    report: ReportPath = None,
    failures: FailuresPath = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate what replaces a model beside its recorded answers, on the same cases, and write the report.

    Nothing is asked of the place that was left.
    """
    with screen(as_json) as out:
        from finetune_sdk.cli.judging import failed, failures_path, outcome, report_path
        from finetune_sdk.client import Client
        from finetune_sdk.jobfile import JobFile
        from finetune_sdk.migration import Folder
        from finetune_sdk.migration import compare as compare_with

        opened = Folder.opened(folder)
        job_file = JobFile.load(opened.job)
        path, todo = report_path(job_file, report or opened.path / "report.html"), failures_path(failures)
        client = Client(backend, config=config)
        replacement = _replacement(client, job_file, model)
        out.say(f"comparing {replacement.name} with the recorded answers of {opened.known['model']}")
        found = compare_with(opened, replacement)
        found.report.save(path.with_suffix(".json"))
        found.report.save(path)
        if not out.for_a_program:
            found.report.show()
        out.show(f"{found.same:,} of {found.cases:,} answers are the recorded ones, word by word")
        if found.without:
            out.show(f"{found.without:,} cases have no recorded answer and were left out")
        out.show(f"report: {path}")
        out.answer(
            {
                "folder": str(opened.path), "cases": found.cases, "without_answer": found.without, "same": found.same,
                **outcome(found.report), "report": str(path), **failed(found.report, todo, out),
            }
        )  # fmt: skip


def _replacement(client: Client, job_file: Any, model: str | None) -> Any:
    from finetune_sdk.errors import RunError

    if model is not None:
        return client.model(model)
    run = client.find_run(job_file.job())
    if run is None:
        raise RunError(
            f"{job_file.path} has not run at {client.name}.",
            cure=f"run it with `finetune run {job_file.path}`, or name a --model",
        )
    return run.wait()

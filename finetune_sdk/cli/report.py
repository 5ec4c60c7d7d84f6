"""finetune report: a saved report, or what is known of a run, on the terminal and as a page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finetune_sdk.cli.options import AsJson, ConfigPath, FailuresPath
from finetune_sdk.cli.screen import screen

if TYPE_CHECKING:
    from finetune_sdk.evaluation.report import Report
    from finetune_sdk.run import Run

_WHAT = "Saved reports, or the ids of runs."
_OUT = "Also write a page; for several reports, a folder of pages."


def report(
    what: Annotated[list[str], typer.Argument(metavar="REPORT.JSON|RUN...", help=_WHAT, show_default=False)],
    html: Annotated[Path | None, typer.Option("--html", metavar="OUT", help=_OUT, show_default=False)] = None,
    failures: FailuresPath = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Show saved reports, or the definition and the figures of runs; with --html also as pages."""
    with screen(as_json) as out:
        from finetune_sdk.cli.judging import failed, failures_path, outcome
        from finetune_sdk.client import Client
        from finetune_sdk.errors import InputError
        from finetune_sdk.evaluation.report import Report

        if failures is not None and len(what) > 1:
            raise InputError("--failures is for one report, and several are named.", cure="name one, or leave it out")
        todo = failures_path(failures)
        client = Client(config=config)
        values = []
        for name in what:
            is_file = ":" not in name or name.endswith(".json")
            shown = Report.load(name) if is_file else _of_run(client.get_run(name))
            if not out.for_a_program:
                shown.show()
            page = _page(html, name, len(what) > 1)
            if page is not None:
                out.show(f"report: {shown.save(page)}")
            told = {"report": str(page) if page else None, **failed(shown, todo, out)}
            values.append({"source": name, **outcome(shown), **told, "data": shown.to_dict()})
        out.answer(values[0] if len(values) == 1 else values)


def _page(html: Path | None, name: str, several: bool) -> Path | None:
    if html is None or not (several or html.is_dir()):
        return html
    html.mkdir(parents=True, exist_ok=True)
    return html / f"{Path(name.replace(':', '-')).stem}.html"


def _of_run(run: Run) -> Report:
    """A report without an evaluation: what is known of a run that has left a model."""
    from finetune_sdk.evaluation.report import VERSION, Report
    from finetune_sdk.evaluation.transcript import origin_row

    origin = run.model().origin
    return Report.from_dict(
        {
            "version": VERSION,
            "title": str(origin.job.get("name", run.id)),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "confidence": 0.95,
            "cases": 0,
            "case_source": "",
            "verdict": {"sentence": f"{run.id} {run.status}; nothing was evaluated here.", "outcome": "single"},
            "models": [],
            "metrics": [],
            "comparisons": [],
            "notes": ["To judge its model: finetune evaluate job.yaml --run " + run.id],
            "leakage": {"cases": None, "allowed": False},
            "origin": origin_row([origin]),
            "examples": [],
        }
    )

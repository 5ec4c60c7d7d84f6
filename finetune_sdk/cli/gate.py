"""finetune gate: whether a model may ship, as an exit status for a CI job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune_sdk.cli.options import AsJson
from finetune_sdk.cli.screen import screen

if TYPE_CHECKING:
    from finetune_sdk.evaluation.report import Report

_WHAT = "A saved report, or a job file whose report lies beside it."
_WITHOUT = "An evaluator on which less than a margin may be lost; NAME=0.02 gives it its own. May stand several times."


def gate(
    what: Annotated[Path, typer.Argument(metavar="REPORT.JSON|JOB.YAML", help=_WHAT, show_default=False)],
    better: Annotated[str | None, typer.Option("--better", metavar="MODEL", help="Which is to ship; the last.")] = None,
    than: Annotated[
        str | None, typer.Option("--than", metavar="MODEL", help="Whose place it takes; the strongest other.")
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="EVALUATOR", help="On what it is to be better; the verdict's.")
    ] = None,
    by: Annotated[
        float | None, typer.Option("--by", metavar="SHARE", help="By more than that; 0.05 is 5 points.")
    ] = None,
    without_losing: Annotated[
        list[str] | None, typer.Option("--without-losing", metavar="EVALUATOR[=SHARE]", help=_WITHOUT)
    ] = None,
    margin: Annotated[float, typer.Option("--margin", metavar="SHARE", help="The margin where none is given.")] = 0.05,
    alpha: Annotated[
        float | None, typer.Option("--alpha", metavar="SHARE", help="How often a wrong pass may come; 0.025.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a model may take another's place. The status is 0 for pass, 1 for fail, 2 for not enough cases."""
    with screen(as_json) as out:
        from finetune_sdk.evaluation.gate import ALPHA

        report, asked = _report(what)
        said = {"better": better, "than": than, "on": on, "by": by, "alpha": alpha}
        asked |= {name: value for name, value in said.items() if value is not None}
        decided = report.to_dict()["verdict"]
        if without_losing:
            asked["without_losing"] = _margins(without_losing, margin)
        found = report.gate(
            asked.get("better") or (report.models or ("",))[-1],
            asked.get("than") or decided.get("than") or "",
            asked.get("on") or decided.get("on") or "",
            by=asked.get("by", 0.0),
            without_losing=asked.get("without_losing") or {},
            alpha=asked.get("alpha", ALPHA),
        )
        out.show(found.sentence)
        out.answer({"report": str(what), **found.to_dict()})
    if found.status:
        raise typer.Exit(found.status)


def _report(what: Path) -> tuple[Report, dict[str, Any]]:
    """The report, and what the job file asks of it."""
    from finetune_sdk.cli.judging import report_path
    from finetune_sdk.errors import InputError
    from finetune_sdk.evaluation.report import Report
    from finetune_sdk.jobfile import JobFile

    if what.suffix.lower() not in (".yaml", ".yml"):
        return Report.load(what), {}
    job_file = JobFile.load(what)
    path = report_path(job_file, None).with_suffix(".json")
    if not path.is_file():
        raise InputError(f"{what} has no report {path}.", cure=f"make it with `finetune evaluate {what}`")
    asked = job_file.table.evaluation.gate if job_file.table.evaluation else None
    return Report.load(path), asked.model_dump() if asked else {}


def _margins(given: list[str], margin: float) -> dict[str, float]:
    from finetune_sdk.errors import InputError

    found = {}
    for one in given:
        name, equals, share = one.rpartition("=")
        try:
            found[name if equals else one] = float(share) if equals else margin
        except ValueError:
            raise InputError(
                f"--without-losing {one!r} has no margin.", cure="write NAME or NAME=SHARE, as in JSONSchema=0.02"
            ) from None
    return found

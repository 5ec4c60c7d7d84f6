"""finetune estimate --history: how far the estimates of a place were off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from finetune_sdk.cli.screen import table
from finetune_sdk.cli.waiting import waiting
from finetune_sdk.errors import InputError
from finetune_sdk.estimate import quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finetune_sdk.cli.screen import Screen
    from finetune_sdk.client import Client
    from finetune_sdk.history import Compared, Summary


def require_one(file: Path | None, history: bool, others: Mapping[str, object]) -> None:
    """Raises InputError unless there is either a job file or --history, and that without what is about a job."""
    if file is None and not history:
        raise InputError(
            "there is nothing to estimate: no job file is named.",
            cure="name one, as in `finetune estimate job.yaml`, or ask for past errors with --history",
        )
    if file is not None and history:
        raise InputError(
            f"--history is about all past runs of a place, and {file} is named too.", cure="leave one of them out"
        )
    given = [name for name, value in others.items() if value is not None and value is not False and value != []]
    if history and given:
        raise InputError(
            f"--history is about all past runs of a place, and --{given[0].replace('_', '-')} is about a job.",
            cure="leave one of them out",
        )


def history(client: Client, out: Screen) -> None:
    """Shows for each figure how far estimates were off, and each run of the place beside its estimate."""
    from finetune_sdk.history import compared, summaries

    with waiting(f"asking {client.name} for what runs took"):
        missed = client.catch_up(client.name)
    rows = compared(client.ledger.entries(client.name))
    found = summaries(rows)
    if rows:
        head = ("figure", "runs", "half were off by less than", "median error", "held by the range")
        out.show(f"estimates at {client.name}", table(head, map(_summed, found)))
        out.show("", table(("run", "name", "figure", "estimate", "actual", "error", ""), map(_cells, rows), wrapped=1))
    else:
        out.show(f"no run at {client.name} has succeeded yet, so there is nothing to compare")
    out.say(*missed)
    out.answer(
        {
            "backend": client.name, "figures": [one.to_dict() for one in found],
            "runs": [one.to_dict() for one in rows], "left_out": missed,
        }
    )  # fmt: skip


def _summed(one: Summary) -> tuple[str, ...]:
    kind = f" (after a {one.kind})" if one.kind else ""
    size = "–" if one.size is None else f"{100 * one.size:.1f}%"
    return f"{one.figure}{kind}", str(one.runs), size, _percent(one.error), f"{100 * one.held:.0f}%"


def _cells(one: Compared) -> tuple[str, ...]:
    held = "within" if one.held else "outside"
    actual = quantity(one.actual, one.estimate.unit)
    return one.run, one.name, one.figure, str(one.estimate), actual, _percent(one.error), held


def _percent(error: float | None) -> str:
    return "–" if error is None else f"{100 * error:+.1f}%".replace("-", "\N{MINUS SIGN}")

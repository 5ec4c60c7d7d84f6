"""finetune runs: everything that was ever submitted, and how it stands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune_sdk.cli.options import AsJson, BackendName, ConfigPath
from finetune_sdk.cli.screen import screen, table

if TYPE_CHECKING:
    from finetune_sdk.client import Client
    from finetune_sdk.ledger import Entry


def runs(
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="First ask the backend what became of submissions in doubt.")
    ] = False,
    backend: BackendName = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List the runs that the ledger knows, the newest first, of every backend or of one."""
    with screen(as_json) as out:
        from finetune_sdk.client import Client

        client = Client(backend, config=config)
        if backend is not None:
            _refuse_unknown(client, backend)
        for run in client.reconcile() if reconcile else ():
            out.show(f"{run.id} is what became of a submission in doubt")
        rows = [_row(client, entry) for entry in client.ledger.entries(backend)]
        above = [f"{row['run']}: {warning}" for row in rows for warning in row["warnings"]]
        head = ("run", "name", "status", "submitted", "charge", "time")
        if rows:
            out.show(table(head, [_cells(row) for row in rows], wrapped=1), *above)
        else:
            out.show(f"no runs yet in {client.ledger.path}; start one with: finetune run job.yaml")
        out.answer({"runs": rows})


def _refuse_unknown(client: Client, name: str) -> None:
    """Raises SettingsError for a place that nothing was ever sent to, and nothing could be."""
    from difflib import get_close_matches

    from finetune_sdk.backend import installed
    from finetune_sdk.errors import SettingsError

    there = sorted({*installed(), *client.settings.places, *(entry.place for entry in client.ledger.entries())})
    if name not in there:
        near = get_close_matches(name, there, 1)
        raise SettingsError(
            f"there is no backend {name!r}; there are {', '.join(there) or 'none'}.",
            cure=f"use {near[0]!r}" if near else "use one of these",
        )


def _row(client: Client, entry: Entry) -> dict[str, Any]:
    status = _status(client, entry)
    return {
        "run": f"{entry.place}:{entry.run}" if entry.run else None,
        "name": entry.name,
        "backend": entry.place,
        "status": status,
        "attempt": entry.attempt,
        "submitted": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(entry.created)),
        "estimate": entry.estimate,
        "actual": entry.actual if entry.actual or status != "succeeded" else _actual(client, entry),
        "max_cost": entry.max_cost,
        **_spent(client, entry, status),
        "token": entry.token,
    }


def _actual(client: Client, entry: Entry) -> dict[str, Any] | None:
    """The actual figures of a run that nobody asked for its result yet, which go into the ledger."""
    from finetune_sdk.errors import FinetuneError

    try:
        return dict(client.get_run(f"{entry.place}:{entry.run}").result().actual)
    except FinetuneError:
        return None


def _spent(client: Client, entry: Entry, status: str) -> dict[str, Any]:
    """What an active run has spent so far, and sentences about what is above its estimate."""
    from finetune_sdk.backend import Status
    from finetune_sdk.errors import FinetuneError
    from finetune_sdk.estimate import Estimate
    from finetune_sdk.spending import beyond

    if entry.run is None or Status(status).terminal or not Status(status).known:
        return {"spent": None, "warnings": []}
    try:
        spent = client.get_run(f"{entry.place}:{entry.run}").spent()
    except FinetuneError:
        return {"spent": None, "warnings": []}
    above = dict(beyond(spent, Estimate.from_dict(entry.estimate)))
    return {"spent": spent.to_dict(), "warnings": [above[name] for name in sorted(above)]}


def _status(client: Client, entry: Entry) -> str:
    """The place's word for a run that may still move; the ledger's where the place cannot be asked."""
    from finetune_sdk.backend import Status
    from finetune_sdk.errors import FinetuneError, RunError

    if entry.run is None:
        return {"intent": "not sent", "refused": "refused"}.get(entry.state, "unknown")
    if entry.status is not None and Status(entry.status).terminal:
        return entry.status
    try:
        return str(client.get_run(f"{entry.place}:{entry.run}").status)
    except RunError:
        return "gone"
    except FinetuneError:
        return f"{entry.status or 'unknown'} (when last seen)"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    from finetune_sdk.estimate import Estimate, quantity

    estimate, actual = Estimate.from_dict(row["estimate"]), row["actual"] or {}
    charge = quantity(actual["charge"], "USD") if "charge" in actual else f"est. {estimate.charge}"
    took = quantity(actual["time"], "s") if "time" in actual else f"est. {estimate.time}"
    attempt = f" (attempt {row['attempt']})" if row["attempt"] > 1 else ""
    when = row["submitted"][:16].replace("T", " ")
    return (row["run"] or row["backend"], f"{row['name']}{attempt}", row["status"], when, charge, took)

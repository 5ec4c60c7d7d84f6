"""finetune attach: come back to a run, see what happened, wait for its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetune_sdk.cli.options import AsJson, ConfigPath, RunId
from finetune_sdk.cli.screen import Screen, screen

if TYPE_CHECKING:
    from finetune_sdk.run import Run


def attach(run: RunId, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Follow a run to its end. ctrl-C leaves it running."""
    with screen(as_json) as out:
        from finetune_sdk.client import Client

        follow(Client(config=config).get_run(run), out)


def follow(run: Run, out: Screen) -> None:
    """Waits for the end of a run and shows what it took. Raises RunError when it ends without a model."""
    from finetune_sdk.cli.estimate import beside

    out.say(f"{run.id} is {run.status}", *(f"  {event.message}" for event in run.events() if event.message))
    run.wait()
    out.show(f"{run.id} {run.status}", beside(run.estimate, run.result().actual))
    out.answer(described(run))


def described(run: Run) -> dict[str, Any]:
    """A run as plain data; `actual` and `model` once it has left something."""
    from finetune_sdk.errors import RunError

    entry = run.entry
    value = {
        "run": run.id,
        "status": run.status,
        "name": entry.name if entry else None,
        "estimate": entry.estimate if entry else None,
        "events": [event.to_dict() for event in run.events()],
        "model": None,
        "actual": None,
    }
    try:
        left = run.result()
    except RunError:
        return value
    return {**value, "model": left.model, "actual": dict(left.actual)}

"""finetune estimate: what a job will take, before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetune_sdk.cli.options import AsJson, BackendName, ConfigPath, History, MaybeJobPath
from finetune_sdk.cli.screen import screen, table
from finetune_sdk.cli.waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from finetune_sdk.estimate import Estimate


def estimate(
    file: MaybeJobPath = None,
    backend: BackendName = None,
    history: History = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Show what a job will take: money, time, memory and tokens, each a range with its basis. Nothing is sent."""
    with screen(as_json) as out:
        from finetune_sdk.cli.history import history as show_history
        from finetune_sdk.cli.history import require_one
        from finetune_sdk.client import Client
        from finetune_sdk.jobfile import JobFile

        require_one(file, history)
        if file is None:
            show_history(Client(backend, config=config), out)
            return
        job_file = JobFile.load(file)
        client = Client(backend, config=config)
        with waiting(f"estimating {file.name}"):
            made = client.estimate(job_file.job())
        out.show(f"{job_file.table.name} at {client.name}", *shown(made))
        out.answer({"job": job_file.table.name, "backend": client.name, "estimate": made.to_dict()})


def shown(made: Estimate) -> list[RenderableType]:
    """The ranges with what each rests on, what the place filled in, and the notes."""
    rows = [(name.replace("_", " "), str(getattr(made, name)), getattr(made, name).basis) for name in made.RANGES]
    parts: list[RenderableType] = [table(("", "low - high", "rests on"), rows)]
    if made.resolved:
        parts.append(f"will run: {resolved_in_words(made.resolved)}")
    return [*parts, *(f"note: {note}" for note in made.notes)]


def resolved_in_words(resolved: Mapping[str, Any]) -> str:
    """`base tiny, sft (epochs 3, …), lora (rank 16, …), seed 7; chosen by the place: batch_size, …`."""
    parts = [f"base {resolved.get('base', '?')}"]
    for name in ("method", "adapter"):
        values = dict(resolved.get(name) or {})
        if not values:
            parts.append(f"{name} of the place's choice")
            continue
        kind = values.pop("kind", name)
        inside = ", ".join(
            f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
        )
        parts.append(f"{kind} ({inside})" if inside else kind)
    parts += [f"seed {resolved['seed']}"] if "seed" in resolved else []
    parts += [f"{key} {value}" for key, value in (resolved.get("own") or {}).items()]
    chosen = f"; chosen by the place: {', '.join(resolved['chosen'])}" if resolved.get("chosen") else ""
    return ", ".join(parts) + chosen


def beside(made: Estimate | None, actual: Mapping[str, Any] | None) -> RenderableType:
    """Estimate and actual figures side by side."""
    from finetune_sdk.estimate import quantity

    rows = []
    for name, value in (actual or {}).items():
        expected = getattr(made, name, None) if made else None
        figure = quantity(value, expected.unit) if expected is not None else f"{value:g}"
        held = "" if expected is None or not expected.known else "within" if expected.holds(value) else "outside"
        rows.append((name.replace("_", " "), str(expected) if expected is not None else "", figure, held))
    return table(("", "estimate", "actual", ""), rows)

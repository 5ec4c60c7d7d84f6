"""What a run tells, in the protocol's words: its events, and its metrics as a file."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from finetune_sdk.backend import Event, Status
from finetune_sdk.serve.records import Happening
from finetune_sdk.serve.shapes import metrics

_STEPS = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"


def told_of(event: Event) -> tuple[str, str, str, dict[str, object]] | None:
    """An event as (message, level, type, data); None for what the server says itself."""
    data = metrics(event.data)
    if event.kind == "metrics":
        losses = [("training", data.get("train_loss")), ("validation", data.get("valid_loss"))]
        said = ", ".join(f"{name} loss={loss:.4f}" for name, loss in losses if loss is not None)
        return f"Step {data.get('step', '?')}/{data.get('total_steps', '?')}: {said}", "info", "metrics", data
    if event.kind == "checkpoint":
        return f"Checkpoint created at step {data.get('step', '?')}", "info", "message", data
    if event.kind == "status":
        status = Status(str(event.data.get("status", "")))
        if status.terminal or status == "queued":
            told = not status.terminal and event.message not in ("", "queued")
            return (event.message, "info", "message", {}) if told else None
        return (
            event.message or ("Fine-tuning job started" if status == "running" else f"The run is {status}"),
            "info",
            "message",
            {},
        )
    return event.message or event.kind, "info", "message", data


def results_table(events: Sequence[Happening]) -> bytes:
    """The metrics as CSV in base64, which is how the protocol's own platform hands them out. `events`: the newest first."""
    lines = [_STEPS]
    for event in reversed(events):
        if event.kind == "metrics":
            loss, valid = (event.data.get(name, "") for name in ("train_loss", "valid_loss"))
            lines.append(f"{event.data.get('step', '')},{loss},,{valid},")
    return base64.b64encode("\n".join([*lines, ""]).encode())

"""What became of a run, in the protocol's words: its events, its metrics as a file, and why it failed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from finetune_sdk.backend import Event, Status
from finetune_sdk.errors import BackendError, DatasetError, FinetuneError, JobError
from finetune_sdk.serve.errors import code_of
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


def failure(fault: FinetuneError, names: Mapping[str, str]) -> dict[str, str | None]:
    """A job's error, complete. `names` are the words by which its files are called."""
    message = fault.message + (f" Cure: {fault.cure}." if fault.cure else "")
    for path, name in names.items():
        message = message.replace(path, name).replace(Path(path).name, name)
    if isinstance(fault, DatasetError):
        other = "validation_file" in message and "training_file" not in message
        param = "validation_file" if other else "training_file"
        return {"code": f"invalid_{param}", "message": message, "param": param}
    code = fault.code if isinstance(fault, BackendError) and fault.code else code_of(fault)
    return {"code": code, "message": message, "param": None}


def finding(check: str, message: str, cure: str) -> FinetuneError:
    """What a check found, as the error that it is."""
    return (JobError if check == "job" else DatasetError)(message, cure=cure)


def defect(fault: Exception) -> FinetuneError:
    return BackendError(f"the server has a defect ({type(fault).__name__}); its log says more.", code="server_error")

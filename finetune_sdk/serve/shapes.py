"""What goes out: the protocol's objects, as the official client's own types have them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.backend import Checkpoint
from finetune_sdk.serve.records import File, Happening, Part, Tuning, Upload

TUNED = "fine-tune"
CHECKPOINT = ":ckpt-step-"
RESULTS = "fine-tune-results"


def listed(data: Sequence[Mapping[str, Any]], more: bool, *, ends: bool = False) -> dict[str, Any]:
    """One page of a list; `ends` names its first and last objects."""
    page: dict[str, Any] = {"object": "list", "data": list(data), "has_more": more}
    if ends:
        page["first_id"], page["last_id"] = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return page


def file_object(file: File) -> dict[str, Any]:
    shown = {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }
    return shown if file.expires is None else {**shown, "expires_at": file.expires}


def upload_object(upload: Upload, file: File | None = None) -> dict[str, Any]:
    expired = upload.status == "pending" and upload.expires <= time.time()
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": upload.created,
        "expires_at": upload.expires,
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": "expired" if expired else upload.status,
        "file": file_object(file) if file else None,
    }


def part_object(part: Part) -> dict[str, Any]:
    return {"id": part.id, "object": "upload.part", "created_at": part.created, "upload_id": part.upload}


def job_object(tuning: Tuning) -> dict[str, Any]:
    kind = str(tuning.method["type"])
    hyperparameters = {**tuning.method["hyperparameters"], **tuning.resolved}
    graded = {"grader": tuning.method["grader"]} if "grader" in tuning.method else {}
    common = {name: hyperparameters[name] for name in hyperparameters if name != "beta"}
    return {
        "id": tuning.id,
        "object": "fine_tuning.job",
        "created_at": tuning.created,
        "error": dict(tuning.error) if tuning.error else None,
        "fine_tuned_model": tuning.tuned,
        "finished_at": tuning.finished,
        "hyperparameters": common,
        "model": tuning.model,
        "organization_id": f"org-{tuning.owner}",
        "result_files": [tuning.result_file] if tuning.result_file else [],
        "seed": tuning.seed,
        "status": tuning.status,
        "trained_tokens": tuning.trained_tokens,
        "training_file": tuning.training_file,
        "validation_file": tuning.validation_file,
        "estimated_finish": tuning.estimated if tuning.stage == "follow" else None,
        "integrations": [],
        "metadata": dict(tuning.metadata) if tuning.metadata is not None else None,
        "method": {"type": kind, kind: {**graded, "hyperparameters": hyperparameters}},
    }


def event_object(event: Happening) -> dict[str, Any]:
    return {
        "id": event.id,
        "object": "fine_tuning.job.event",
        "created_at": event.created,
        "level": event.level,
        "message": event.message,
        "type": event.kind,
        "data": dict(event.data),
    }


def checkpoint_object(tuning: Tuning, checkpoint: Checkpoint, at: int) -> dict[str, Any]:
    measured = metrics(checkpoint.metrics)
    return {
        "id": f"ftckpt-{tuning.id.removeprefix('ftjob-')}-{checkpoint.step}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": at,
        "fine_tuned_model_checkpoint": f"{model_name(tuning)}{CHECKPOINT}{checkpoint.step}",
        "fine_tuning_job_id": tuning.id,
        "metrics": {
            "step": float(checkpoint.step),
            **{name: measured[name] for name in ("train_loss", "valid_loss") if name in measured},
        },
        "step_number": checkpoint.step,
    }


def model_object(name: str, created: int, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner, "shutdown_date": None}


def deleted(name: str, kind: str) -> dict[str, Any]:
    return {"id": name, "object": kind, "deleted": True}


def model_name(tuning: Tuning) -> str:
    """`ft:<base>:<owner>:<suffix>:<eight digits of the job's id>`; what a name cannot have in the suffix becomes a dash."""
    short = tuning.id.removeprefix("ftjob-")[:8]
    suffix = re.sub(r"[^A-Za-z0-9._-]+", "-", tuning.suffix or "").strip("-")
    return f"ft:{tuning.model}:{tuning.owner}:{suffix}:{short}"


_METRICS = {"loss": "train_loss", "validation_loss": "valid_loss", "steps": "total_steps"}


def metrics(data: Mapping[str, Any]) -> dict[str, Any]:
    """A run's figures under the protocol's names; those for which it has none keep their own."""
    return {
        _METRICS.get(name, name): value
        for name, value in data.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }

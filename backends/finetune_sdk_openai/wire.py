"""A job as the protocol says it, and what the protocol says of a job as the contract has it. No request is made here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from finetune_sdk.backend import Checkpoint, Resolved, Status
from finetune_sdk.job import RFT
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.options import Options

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
    from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

TOKEN = "finetune_token"
DEFINITION = "finetune_job"
NAME = "finetune_name"
_METHODS = {"sft": "supervised", "dpo": "dpo", "rft": "reinforcement"}
_WORDS = (
    "n_epochs", "batch_size", "learning_rate_multiplier", "beta", "compute_multiplier", "eval_interval", "eval_samples",
    "reasoning_effort",
)  # fmt: skip
_STATUS = {"validating_files": "validating"}
_METRICS = {
    "step": "step", "total_steps": "steps", "train_loss": "loss", "learning_rate": "learning_rate",
    "trained_tokens": "trained_tokens",
}  # fmt: skip


def request(
    resolved: Resolved, address: Address, options: Options, token: str, files: tuple[str, str | None]
) -> dict[str, Any]:
    """The arguments of the client's `fine_tuning.jobs.create`, with nothing in them that nobody set."""
    job = resolved.job
    training, validation = files
    asked: dict[str, Any] = {
        "model": resolved.base,
        "training_file": training,
        "seed": job.seed,
        "method": _method(resolved),
        "suffix": options.suffix or suffixed(job.name),
    }
    if validation is not None:
        asked["validation_file"] = validation
    if options.wandb is not None:
        asked["integrations"] = [{"type": "wandb", "wandb": options.wandb.model_dump(exclude_none=True)}]
    if address.metadata:
        asked["metadata"] = {TOKEN: token, DEFINITION: job.fingerprint, NAME: job.name[:512]}
    if address.extra:
        asked["extra_body"] = dict(address.extra)
    return {name: value for name, value in asked.items() if value is not None}


def _method(resolved: Resolved) -> dict[str, Any]:
    method, own = resolved.method, resolved.own
    words: dict[str, Any] = {name: own[name] for name in _WORDS if name in own}
    if method.epochs is not None:
        words["n_epochs"] = int(method.epochs)
    if method.batch_size is not None:
        words["batch_size"] = method.batch_size
    beta = getattr(method, "beta", None)
    if beta is not None:
        words["beta"] = beta
    kind = _METHODS[method.kind]
    settings: dict[str, Any] = {"hyperparameters": words}
    if isinstance(method, RFT):
        settings["grader"] = dict(own["grader"])
        if "response_format" in own:
            settings["response_format"] = dict(own["response_format"])
    return {"type": kind, kind: settings}


def suffixed(name: str) -> str | None:
    """What of a job's name may stand in a model's name."""
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return made or None


def is_of(job: FineTuningJob, token: str) -> bool:
    """Whether a job's own metadata has the token; that a place filtered by it is not enough."""
    return (job.metadata or {}).get(TOKEN) == token


def definition(job: FineTuningJob) -> str | None:
    return (job.metadata or {}).get(DEFINITION)


def oldest_first(jobs: Iterable[FineTuningJob]) -> list[FineTuningJob]:
    """By the second of their creation and then by id: an order that everybody sees alike."""
    return sorted({job.id: job for job in jobs}.values(), key=lambda job: (job.created_at or 0, job.id))


def status(job: FineTuningJob) -> Status:
    said: str = getattr(job, "status", None) or "unknown"
    return Status(_STATUS.get(said, said))


def failure(job: FineTuningJob) -> str | None:
    """Why a job failed. An error object without a code or a message is none."""
    error = job.error
    if error is None:
        return None
    message, code = getattr(error, "message", None), getattr(error, "code", None)
    if not message and not code:
        return None
    parameter = f" [{error.param}]" if getattr(error, "param", None) else ""
    return f"{message or 'no reason given'} ({code}){parameter}" if code else f"{message}{parameter}"


def metrics(data: object) -> dict[str, Any]:
    """What an event, a checkpoint or a row of a result file measured, by the contract's names and beside them its own."""
    if not isinstance(data, Mapping):
        return {}
    found = {str(name): _plain(value) for name, value in data.items()}
    own = {name: value for name, value in found.items() if value is not None and name not in _METRICS}
    named = {ours: found[theirs] for theirs, ours in _METRICS.items() if found.get(theirs) is not None}
    for name in ("step", "steps"):
        if isinstance(named.get(name), float):
            named[name] = int(named[name])
    loss = found.get("full_valid_loss")
    loss = found.get("valid_loss") if loss is None else loss
    return {**own, **named, **({"validation_loss": loss} if loss is not None else {})}


def _plain(value: object) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, Sequence):
        return [_plain(inner) for inner in value]
    return str(value)


def kind(event: FineTuningJobEvent) -> str:
    return event.type or "message"


def checkpoint(saved: FineTuningJobCheckpoint) -> Checkpoint:
    """A checkpoint by the name that its model answers by."""
    measured = saved.metrics.model_dump(exclude_none=True) if saved.metrics else {}
    name = saved.fine_tuned_model_checkpoint
    return Checkpoint(name, saved.step_number, metrics(measured), name)

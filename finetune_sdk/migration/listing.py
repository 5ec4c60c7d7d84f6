"""The jobs of an account: listed, and found by what a person calls them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from finetune_sdk.backend import PastFile, PastJob
from finetune_sdk.client import Client
from finetune_sdk.errors import NotFoundError


def past_jobs(client: Client) -> Sequence[PastJob]:
    """Every job of the account, the newest first. Raises UnsupportedError where the place does not tell its past."""
    client.backend.capabilities.require("history", client.name)
    return client.backend.history()


def find(jobs: Sequence[PastJob], asked: str, place: str) -> PastJob:
    """A job by its id (`openai:ftjob-…` too) or the name of its model. Raises NotFoundError for one that is not listed."""
    name = asked.removeprefix(f"{place}:")
    found = next((job for job in jobs if name in (job.id, job.model)), None)
    if found is None:
        near = get_close_matches(name, [job.id for job in jobs], 1)
        raise NotFoundError(
            f"there is no job {asked!r} at {place}; {len(jobs):,} were listed.",
            cure=f"did you mean {near[0]}?" if near else f"see them: finetune migrate {place}",
        )
    return found


def row(job: PastJob) -> dict[str, Any]:
    """A job as plain data."""
    return {
        "job": job.id, "name": job.name, "base": job.base, "method": job.method, "status": str(job.status),
        "created": job.created, "tokens": job.tokens, "model": job.model, "model_there": job.model_there,
        "dies": job.dies.isoformat() if job.dies else None, "train": _file(job.train), "validation": _file(job.validation),
        "portable": dict(job.portable), "own": dict(job.own), "seed": job.seed,
    }  # fmt: skip


def _file(file: PastFile | None) -> dict[str, Any] | None:
    if file is None:
        return None
    return {"id": file.id, "name": file.name, "bytes": file.size, "there": file.there, "why": file.why or None}

"""What the server keeps: frozen values, as the store reads and writes them. Times are seconds since 1970."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["validate", "wait", "start", "follow", "paused", "over"]
"""Where a tuning stands inside: `start` holds a slot and has no run that is known yet, `follow` has one."""
Wish = Literal["cancel", "pause"]


def new_id(prefix: str) -> str:
    return f"{prefix}{os.urandom(12).hex()}"


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file; its content is a file of its id in the server's folder."""

    id: str
    owner: str
    filename: str
    purpose: str
    bytes: int
    created: int
    expires: int | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that comes in parts. `keep_for` are the seconds that the file is to live."""

    id: str
    owner: str
    filename: str
    purpose: str
    bytes: int
    created: int
    expires: int
    status: str
    file: str | None
    keep_for: int | None


@dataclass(frozen=True, slots=True)
class Part:
    id: str
    upload: str
    bytes: int
    created: int


@dataclass(frozen=True, slots=True)
class Tuning:
    """One fine-tuning job of the protocol's. `status` is the protocol's word, `stage` what the queue goes by.

    `definition` stands for all that decides what is learnt; `fingerprint` and `attempt` name the submission in the ledger
    that is this job's and no other's; `run` is its id once it is known.
    """

    id: str
    owner: str
    created: int
    model: str
    base: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    method: Mapping[str, Any]
    definition: str
    metadata: Mapping[str, str] | None = None
    status: str = "validating_files"
    stage: Stage = "validate"
    wish: Wish | None = None
    fingerprint: str | None = None
    attempt: int | None = None
    run: str | None = None
    seen: int = 0
    resolved: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    estimated: int | None = None
    finished: int | None = None
    trained_tokens: int | None = None
    result_file: str | None = None
    tuned: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a tuning, as it goes out."""

    number: int
    id: str
    created: int
    level: str
    kind: str
    message: str
    data: Mapping[str, Any]

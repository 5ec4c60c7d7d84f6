"""A job tried before it runs: a process like the run's own prepares, takes a few steps and ends, and what that took is scaled up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_sdk.backend import Resolved
from finetune_sdk.errors import BackendError
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.spawning import MODULE, environment

PREFIX = "rehearsal."
JUST_MADE = 60.0
"""Seconds within which the process that made a folder has come to hold it."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was measured, in seconds and bytes.

    `start` is all until the model and the data are there, `prepare` what a run does before its first step, but for scores under
    the reference; `longest` the longest batch forward and backward, once it is warm; `steps` the first steps of the run; `look` a
    forward pass of the examples `looked`. `memory` is the peak of the process.
    """

    start: float
    prepare: float
    steps: tuple[float, ...]
    save: float
    publish: float
    checkpoint_bytes: int
    model_bytes: int
    memory: int
    micro_tokens: int
    longest: float = 0.0
    look: float = 0.0
    looked: tuple[int, ...] = ()


def rehearse(resolved: Resolved, machine: Mapping[str, Any], home: Path) -> Rehearsal:
    """Runs it, in a folder of its own that is gone afterwards. Raises BackendError where it failed, as the run then would.

    Its process ends with this one, however this one ends.
    """
    with _folder(home) as folder, _tied() as tie:
        run = RunFolder(folder / "run")
        run.make(
            {**resolved.to_dict(), "token": "", "machine": dict(machine)},
            train=resolved.job.train,
            validation=resolved.job.validation,
        )
        command = [sys.executable, *MODULE, "finetune_sdk_local.rehearsing", str(run.path)]
        done = subprocess.run(
            command, env=environment(), stdin=tie, capture_output=True, text=True, errors="replace", check=False
        )
        return _read(run.path / "rehearsal.json", done)


@contextmanager
def _folder(home: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, as are those that killed processes have left."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
    except OSError as fault:
        raise BackendError(
            f"a probe needs a folder of its own under {home}, which cannot be made: {fault.strerror or fault}.",
            cure="free some disk, or set FINETUNE_HOME to a folder that you can write to",
        ) from None
    with _held(folder):
        try:
            _sweep(home)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Takes away folders that no process holds any more; of those that were just made, nobody can tell."""
    for folder in home.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process holds it, or has taken it away
            if folder.stat().st_mtime < time.time() - JUST_MADE:
                with _held(folder):
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; the system frees it when the process dies. Raises BlockingIOError."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _tied() -> Iterator[int]:
    """What another process can read from to learn that this one is gone, however it went."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(read)
        os.close(write)


def _read(file: Path, done: subprocess.CompletedProcess[str]) -> Rehearsal:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        said = done.stderr.strip().splitlines()
        why = (
            f"it was killed by signal {-done.returncode}, as where memory runs out"
            if done.returncode < 0
            else said[-1:]
        )
        raise BackendError(
            f"the probe of the job failed: {why if isinstance(why, str) else ''.join(why) or 'it said nothing'}.",
            cure="ask for the estimate without a probe, and see whether the job fits this machine",
        ) from None
    if "error" in found:
        raise BackendError(f"the probe of the job failed, as the run would: {found['error']}", cure=found["cure"])
    return Rehearsal(**{**found, "steps": tuple(found["steps"]), "looked": tuple(found.get("looked", ()))})

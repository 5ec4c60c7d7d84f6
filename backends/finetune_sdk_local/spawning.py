"""Processes of their own: how they are started, told to end, and forgotten."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from finetune_sdk.errors import BackendError
from finetune_sdk_local.runs import RunFolder

MODULE = ("-P", "-m")
"""How python runs one of our modules: with nothing of the folder that it is started from."""
# Threads that spin while they wait for each other slow a run down several times over on cores that others use too.
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}


def environment() -> dict[str, str]:
    """The caller's, with which a process finds what the caller finds."""
    path = os.pathsep.join(entry for entry in (str(Path(entry).absolute()) for entry in sys.path if entry) if entry)
    return {**_PATIENT, **os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def ended(worker: int) -> bool:
    """Whether a worker that this process started has ended; asking lets the system forget it."""
    try:
        return os.waitpid(worker, os.WNOHANG)[0] == worker
    except ChildProcessError:
        return True


def start(run: RunFolder) -> int:
    """Starts a worker in a session of its own, with nothing of the caller's but its environment; its process number."""
    command = [sys.executable, *MODULE, "finetune_sdk_local.worker", str(run.path)]
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.posix_spawn(
            sys.executable,
            command,
            environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(run.log), append, 0o644),
                (os.POSIX_SPAWN_OPEN, 2, str(run.log), append, 0o644),
            ],
            setsid=True,
        )
    except OSError as fault:
        raise BackendError(f"no process could be started for the run: {fault.strerror}.", retryable=True) from None


def signal_to(run: RunFolder, number: int) -> None:
    worker = run.worker()
    if worker is not None:
        try:
            os.kill(worker, number)
        except ProcessLookupError:
            return
        except PermissionError:
            raise BackendError(f"the run's process {worker} belongs to another user.", cure="ask that user") from None

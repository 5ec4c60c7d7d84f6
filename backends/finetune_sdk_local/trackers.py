"""Experiment trackers that follow a run: TensorBoard, W&B, MLflow and trackio, each through its own client.

A tracker is a process of its own that reads the run's events. Its client may fail or hang there as it likes: that is one
message among the events, and never stops, slows or changes the run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Literal, get_args

from finetune_sdk.data.checks import Finding
from finetune_sdk_local.runs import RunFolder

Name = Literal["mlflow", "tensorboard", "trackio", "wandb"]
NAMES: tuple[Name, ...] = get_args(Name)
PATIENCE = 5.0


def missing(names: Sequence[Name]) -> Iterator[Finding]:
    """An error for each tracker whose client is not installed."""
    for name in names:
        found = find_spec(name)
        if found is None or found.origin is None:  # a mere folder of that name is no package
            yield Finding(
                "job",
                "error",
                f"the settings name {name} among their trackers, and it is not installed.",
                f"pip install 'finetune-anywhere[{name}]', or take it out of `trackers`",
            )


class Trackers:
    """The trackers of one run, each a process of its own that is at work from now on."""

    def __init__(self, run: RunFolder, names: Sequence[str]) -> None:
        self._run = run
        self._followers = {name: _start(run, name) for name in names}
        self._listeners = [
            threading.Thread(target=self._listen, args=(name, follower), daemon=True)
            for name, follower in self._followers.items()
        ]
        for listener in self._listeners:
            listener.start()

    def _listen(self, name: str, follower: subprocess.Popen[bytes]) -> None:
        assert follower.stdout is not None
        with follower.stdout as words:
            said = words.read().decode(errors="replace").strip()
        if follower.wait() and follower.returncode != -signal.SIGKILL:
            why = said.splitlines()[-1] if said else f"its process ended with {follower.returncode}"
            with suppress(OSError):
                self._run.append("message", f"the tracker {name} failed: {why}; the run goes on without it")

    def finish(self, status: str) -> None:
        """Lets them write the rest and close. Those that take longer than `PATIENCE` seconds together are ended."""
        for follower in self._followers.values():
            assert follower.stdin is not None
            with suppress(OSError):  # it has ended, and that is told
                follower.stdin.write(status.encode())
                follower.stdin.close()
        until = time.monotonic() + PATIENCE
        for (name, follower), listener in zip(self._followers.items(), self._listeners, strict=True):
            listener.join(max(0.0, until - time.monotonic()))
            if listener.is_alive():
                follower.kill()
                self._run.append("message", f"the tracker {name} had not finished after {PATIENCE:g} s and was ended")


def _start(run: RunFolder, name: str) -> subprocess.Popen[bytes]:
    """What it prints goes to the worker's log, but for its last words."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", "finetune_sdk_local.tracking", str(run.path), name],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

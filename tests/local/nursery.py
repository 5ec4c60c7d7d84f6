"""Workers that need not import: forked from a process that has imported what they want, in place of started from nothing.

Most of a short run is imports, which are the same for every run. What a worker then does, its process, session, output,
environment and end, is as it is. Settings of packages are read when they are imported: where a test has any of its own, the
worker is started as users start it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

STARTUP = Path(__file__).parent / "startup"

BECOMES_PARENT_OF_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER, which Linux alone has
MAY_DIFFER = ("FINETUNE_", "PYTEST_")
ALSO = ("COLUMNS", "LINES", "PYTHONPATH", "PWD", "OLDPWD", "_", "DIE_AFTER_STEP", "LARGEST_FILE")
SET_BY_PACKAGES = ("TORCHINDUCTOR_CACHE_DIR", "TOKENIZERS_PARALLELISM", "HF_HUB_DISABLE_TELEMETRY")
"""By torch and transformers when they are imported, here and in the nursery alike."""


@dataclass
class Shortcuts:
    """Whether tests spare themselves the measuring of this machine and the imports of workers."""

    allowed: bool = True

    @contextmanager
    def left(self) -> Iterator[None]:
        """Without them."""
        before, self.allowed = self.allowed, False
        try:
            yield
        finally:
            self.allowed = before


class Nursery:
    """Where the processes come from. They are children of this one, as started ones are."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._mother: subprocess.Popen[bytes] | None = None

    def start(self, folder: Path, log: Path, environment: Mapping[str, str]) -> int | None:
        """A worker's process number, or None where it has to be started in the ordinary way."""
        if sys.platform != "linux" or _told(environment) != _told(self._environment):
            return None
        if self._mother is None:
            self._mother = subprocess.Popen(
                [sys.executable, "-P", __file__], env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        asked = {
            "folder": str(folder),
            "log": str(log),
            "cwd": os.getcwd(),
            "environment": dict(environment),
        }
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        _take_in_orphans(True)
        try:
            self._mother.stdin.write(json.dumps(asked).encode() + b"\n")
            self._mother.stdin.flush()
            return int(self._mother.stdout.readline())
        finally:
            _take_in_orphans(False)

    def close(self) -> None:
        if self._mother is not None:
            self._mother.communicate()


@contextmanager
def quick_starts() -> Iterator[Shortcuts]:
    """Workers of this process come from a nursery, where a test allows it and has nothing of its own for their start."""
    from finetune_sdk_local import backend, spawning
    from finetune_sdk_local.runs import RunFolder

    taken, nursery, start = Shortcuts(), Nursery(spawning.environment()), spawning.start

    def begun(run: RunFolder) -> int:
        number = nursery.start(run.path, run.log, spawning.environment()) if taken.allowed else None
        return start(run) if number is None else number

    with patch.object(backend, "start", begun):
        yield taken
    nursery.close()


def _told(environment: Mapping[str, str]) -> dict[str, str]:
    """What a package may have read while it was imported."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(MAY_DIFFER) and name not in (*ALSO, *SET_BY_PACKAGES)
    }


def _take_in_orphans(do: bool) -> None:
    ctypes.CDLL(None).prctl(BECOMES_PARENT_OF_ORPHANS, int(do), 0, 0, 0)


def _wait_for_requests() -> dict[str, Any] | None:
    """Forks at each request; returns in the child what was asked, and None in this process, at the end."""
    for line in iter(sys.stdin.buffer.readline, b""):
        asked: dict[str, Any] = json.loads(line)
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            continue
        between = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == between:  # an orphan, whom the tests' process takes in
            os.sched_yield()
        return asked
    return None


def _become(asked: dict[str, Any]) -> None:
    os.setsid()
    del sys.modules["bitsandbytes"]
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    path = asked["environment"]["PYTHONPATH"].split(os.pathsep)
    sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
    sys.argv = ["worker", asked["folder"]]
    append = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.write(1, f"{os.getpid()}\n".encode())
    for number, file in ((0, nothing), (1, append), (2, append)):
        os.dup2(file, number)
    os.close(append)
    os.close(nothing)
    if str(STARTUP) in path:
        import_module("sitecustomize")


def main() -> int:
    sys.modules["bitsandbytes"] = None  # type: ignore[assignment] - it takes seconds, and few want it
    import peft  # noqa: F401
    from transformers import AutoModelForCausalLM  # noqa: F401
    from transformers.models.llama import modeling_llama  # noqa: F401

    from finetune_sdk_local import bases, checkpoints, prepare, publish, watching, worker  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = _wait_for_requests()
    if asked is None:
        return 0
    _become(asked)
    return worker.main(Path(asked["folder"]))


if __name__ == "__main__":
    sys.exit(main())

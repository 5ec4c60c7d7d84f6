"""A function of this package, called in a fresh process: `python -m benchmarks.child MODULE FUNCTION ARGUMENTS FILE`.

Its peak memory is then its own. (`ru_maxrss` is not: Linux hands a parent's peak down to what it starts.)
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""As the local backend's workers have it: spinning threads take the cores from each other where they are shared."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call returned; `started` is the time (since the epoch) just before its process began."""

    value: Any
    started: float
    seconds: float
    peak_bytes: int


def call(module: str, function: str, **arguments: Any) -> Outcome:
    """Runs `benchmarks.<module>.<function>(**arguments)` in its own process; both sides are JSON."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "benchmarks.child", module, function, json.dumps(arguments), str(answer)]
        path = os.pathsep.join(entry for entry in (str(ROOT), os.environ.get("PYTHONPATH", "")) if entry)
        started = time.time()
        environment = {**_PATIENT, **os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds = time.time() - started
        if done.returncode:
            raise RuntimeError(f"{module}.{function}({arguments}) failed:\n{done.stderr[-4000:]}")
        said = json.loads(answer.read_text())
    return Outcome(said["value"], started, seconds, said["peak_bytes"])


def peak_bytes() -> int:
    """The most that this process had resident: VmHWM where there is one."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    _, module, function, arguments, answer = sys.argv
    value = getattr(import_module(f"benchmarks.{module}"), function)(**json.loads(arguments))
    Path(answer).write_text(json.dumps({"value": value, "peak_bytes": peak_bytes()}))

"""What it costs to import the SDK: whole processes, one after another, each above a bare interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

from benchmarks.figures import Row, Spread

TITLE = "Imports"
GOAL = (
    "`import finetune_sdk` at most 50 ms above a bare interpreter, with the first use of Dataset and Job at most 150 ms"
)
BARE = "pass"
CASES = (
    ("import finetune_sdk", "import finetune_sdk", 50.0),
    ("and the first use of Dataset and Job", "import finetune_sdk as ft; ft.Dataset, ft.Job", 150.0),
)
LOADED = "import sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def measure(repeats: int = 31) -> list[Row]:
    """One row a case: milliseconds above the bare interpreter that ran just before it, and what was loaded."""
    codes = [BARE, *(code for _, code, _ in CASES)]
    for code in codes:
        _seconds(code)
    rounds = [[_seconds(code) for code in codes] for _ in range(repeats)]
    rows: list[Row] = []
    for at, (name, code, goal) in enumerate(CASES, 1):
        above = Spread.of([1000 * (times[at] - times[0]) for times in rounds])
        rows.append(
            {
                "what": name,
                "ms above a bare interpreter": above,
                "ms whole process": Spread.of([1000 * times[at] for times in rounds]),
                "third-party modules": ", ".join(third_party(code)) or "none",
                "goal": f"≤ {goal:.0f} ms",
                "met": above.median <= goal,
            }
        )
    return rows


def third_party(code: str) -> list[str]:
    """Modules that are neither Python's own, nor ours, nor what starts with every interpreter here."""
    started, loaded = (_modules(one) for one in (BARE, code))
    ours = {"finetune_sdk", *(path.stem for path in chain(*(Path(p).glob("finetune_sdk*") for p in sys.path if p)))}
    return sorted(loaded - started - sys.stdlib_module_names - ours)


def _modules(code: str) -> set[str]:
    said = subprocess.run([sys.executable, "-c", f"{code}\n{LOADED}"], capture_output=True, text=True, check=True)
    return set(json.loads(said.stdout))


def _seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started

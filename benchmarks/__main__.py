"""`python -m benchmarks [NAME …] [--json] [--write]`: runs benchmarks and shows, or writes, their tables."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from benchmarks.figures import Row, markdown, plain
from benchmarks.machine import heading, machine
from benchmarks.page import PAGE, replaced

NAMES = (
    "imports",
    "dataset",
    "checks",
    "preparation",
    "training",
    "reinforcement",
    "estimates",
    "estimating",
    "answers",
    "evaluators",
    "serve",
    "report",
    "gpu",
)
"""The last one only when it is named."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 also where a goal is missed: the table says so."""
    read = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    read.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)} (all by default)")
    read.add_argument("--json", action="store_true", help="print one JSON value and nothing else")
    read.add_argument("--write", action="store_true", help=f"replace their tables in {PAGE.name}")
    read.add_argument("--rows", type=int, help="rows of the benchmarks dataset and checks")
    asked = read.parse_args(arguments)
    unknown = [name for name in asked.names if name not in NAMES]
    if unknown:
        read.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    answer: dict[str, Any] = {"machine": machine(), "benchmarks": {}}
    for name in asked.names or NAMES[:-1]:
        rows, seconds = _measured(name, {"rows": asked.rows} if name in ("dataset", "checks") and asked.rows else {})
        answer["benchmarks"][name] = {"rows": plain(rows), "seconds": round(seconds, 1)}
        table = f"{heading(answer['machine'])}.\n\n{markdown(rows)}"
        if not asked.json:
            module = import_module(f"benchmarks.{name}")
            print(f"## {module.TITLE}\n\nGoal: {module.GOAL}.\n\n{table}\n\n({seconds:.0f} s)\n", flush=True)
        if asked.write:
            PAGE.write_text(replaced(PAGE.read_text("utf-8"), name, table), "utf-8")
    if asked.json:
        json.dump(answer, sys.stdout, indent=2)
        print()
    return 0


def _measured(name: str, options: dict[str, int]) -> tuple[list[Row], float]:
    started = time.monotonic()
    rows: list[Row] = import_module(f"benchmarks.{name}").measure(**options)
    return rows, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())

"""The checks over a million rows, each in a fresh process; the file is in the page cache."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.child import call
from benchmarks.dataset import readers_peak, write
from benchmarks.figures import Row

TITLE = "Checks over a million rows"
GOAL = "structure at 60,000 rows/s or more within 1 GB of memory, near duplicates at 8,000 rows/s or more within 1.5 GB"
ROWS = 1_000_000
CASES = (("structure", 60_000, 1_000), ("near duplicates", 8_000, 1_500), ("all checks", None, 1_500))
"""What is checked, the goal in rows a second, and in MB."""


def measure(rows: int = ROWS) -> list[Row]:
    """A row for each case, taken once: rows a second by the clock and by CPU, and the peak."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write(path, rows)
        for what, least, most in CASES:
            outcome = call("checks", "pass_over", path=str(path), what=what)
            speed, peak = rows / outcome.value["seconds"], (outcome.peak_bytes + outcome.value["readers"]) / 1e6
            found.append(
                {
                    "what": what,
                    "rows": rows,
                    "rows/s": speed,
                    "rows/s of CPU": rows / outcome.value["cpu"],
                    "findings": outcome.value["findings"],
                    "peak MB": peak,
                    "goal": f"≥ {least:,} rows/s, ≤ {most:,} MB" if least else f"≤ {most:,} MB",
                    "met": speed >= (least or 0) and peak <= most,
                }
            )
    return found


def pass_over(path: str, what: str) -> dict[str, float]:
    """Seconds that the checks take: for the structure those of loading, in which it is checked."""
    from finetune_sdk import Dataset
    from finetune_sdk.data.checks.near import NearDuplicates

    started, cpu = time.perf_counter(), time.process_time()
    loaded = Dataset.load(path)
    findings = 0
    if what != "structure":
        started, cpu = time.perf_counter(), time.process_time()
        findings = len(loaded.check(None if what == "all checks" else [NearDuplicates]))
    return {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "findings": findings,
        "readers": readers_peak(),
    }

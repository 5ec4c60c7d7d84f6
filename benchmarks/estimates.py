"""Estimates beside what runs took: as they come, and after a probe of a few steps of the job."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.child import call
from benchmarks.estimated import AGAIN, SHAPES, Shape, table
from benchmarks.figures import Row, Spread

TITLE = "Estimates beside what runs took"
GOAL = (
    "median error of time at most 20% and of memory 10%, after a probe 10% and 3%; ranges hold nine of ten runs and are no "
    "wider than a factor of 2; tokens exact"
)
WIDTH, HELD = 2.0, 0.9
GOALS = {("time", "plain"): 0.20, ("memory", "plain"): 0.10, ("time", "probed"): 0.10, ("memory", "probed"): 0.03}
SIZES = {"time": ("s", 1.0), "memory": ("MB", 1e6), "disk": ("MB", 1e6)}
KINDS = {"plain": "as it comes", "probed": "after a probe"}


def measure(shapes: Sequence[Shape] = SHAPES, again: Sequence[Shape] = AGAIN) -> list[Row]:
    """A row for each run and figure, then what they come to. A run, its estimates and its probe take turns; those of `again` are
    taken twice, to see how far the same run is from itself.
    """
    outcomes = [
        [call("estimated", "one_run", **table(shape)).value for _ in range(2 if shape in again else 1)]
        for shape in shapes
    ]
    rows = [
        _of_run(shape, kind, figure, taken)
        for shape, taken in zip(shapes, outcomes, strict=True)
        for figure in SIZES
        for kind in KINDS
    ]
    every = [outcome for taken in outcomes for outcome in taken]
    rows += [_of_all(kind, figure, every) for figure in SIZES for kind in KINDS]
    return [*rows, _noise(outcomes), _tokens(every)]


def _of_run(shape: Shape, kind: str, figure: str, taken: Sequence[dict[str, Any]]) -> Row:
    unit, size = SIZES[figure]
    ranges, actuals = [one[kind][figure] for one in taken], [one["actual"][figure] for one in taken]
    low, expected, high = (median(r[end] / size for r in ranges) for end in ("low", "expected", "high"))
    return {
        "run": str(shape),
        "figure": f"{figure}, {unit}",
        "estimate": KINDS[kind],
        "expected": expected,
        "low - high": f"{low:,.3g} - {high:,.3g}",
        "actual": Spread.of([actual / size for actual in actuals]),
        "error %": Spread.of([100 * (r["expected"] / a - 1) for r, a in zip(ranges, actuals, strict=True)]),
        "held": f"{_held(ranges, actuals)} of {len(taken)}",
        "width ×": median(r["high"] / r["low"] for r in ranges),
        "goal": "",
        "met": "",
    }


def _of_all(kind: str, figure: str, every: Sequence[dict[str, Any]]) -> Row:
    ranges, actuals = [one[kind][figure] for one in every], [one["actual"][figure] for one in every]
    errors = [abs(r["expected"] / a - 1) for r, a in zip(ranges, actuals, strict=True)]
    held, widest = _held(ranges, actuals), max(r["high"] / r["low"] for r in ranges)
    goal = GOALS.get((figure, kind))
    return {
        "run": f"**all {len(every)}**",
        "figure": f"{figure}, median error",
        "estimate": KINDS[kind],
        "expected": f"{100 * median(errors):.1f}%",
        "low - high": "",
        "actual": "",
        "error %": f"at most {100 * max(errors):.0f}%",
        "held": f"{held} of {len(every)}",
        "width ×": widest,
        "goal": f"≤ {100 * goal:.0f}%, held ≥ {HELD:.0%}, ≤ {WIDTH:g} ×" if goal else "none",
        "met": "" if goal is None else median(errors) <= goal and held >= HELD * len(every) and widest <= WIDTH + 1e-9,
    }


def _noise(outcomes: Sequence[Sequence[dict[str, Any]]]) -> Row:
    """How far the same run is from itself: what no estimate can be better than."""

    def apart(figure: str) -> float:
        times = [[one["actual"][figure] for one in taken] for taken in outcomes if len(taken) > 1]
        if not times:
            return 0.0
        return 100 * median(max(each) / min(each) - 1 for each in times)

    said = ", ".join(f"{figure} {apart(figure):.1f}%" for figure in ("time", "memory"))
    return {**_of_nothing("**identical runs**"), "figure": "apart, median", "expected": said}


def _tokens(every: Sequence[dict[str, Any]]) -> Row:
    wrong = sum(
        one["plain"][figure]["expected"] != one["actual"][figure]
        for one in every
        for figure in ("tokens", "trained_tokens")
    )
    row = {**_of_nothing(f"**all {len(every)}**"), "figure": "tokens and trained tokens"}
    return {**row, "expected": f"{wrong} of {2 * len(every)} differ", "goal": "none differs", "met": wrong == 0}


def _of_nothing(run: str) -> Row:
    columns = (
        "run",
        "figure",
        "estimate",
        "expected",
        "low - high",
        "actual",
        "error %",
        "held",
        "width ×",
        "goal",
        "met",
    )
    return {**dict.fromkeys(columns, ""), "run": run}


def _held(ranges: Sequence[dict[str, float]], actuals: Sequence[float]) -> int:
    return sum(r["low"] <= actual <= r["high"] for r, actual in zip(ranges, actuals, strict=True))

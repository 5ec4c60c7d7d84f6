"""Our training loop beside trl's own trainers: speed in one process, alternating; memory and the start, each alone."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.child import call
from benchmarks.figures import NOT_MEASURED, Row, Spread

TITLE = "Training beside trl's own trainer"
GOAL = "the speed of trl's trainer at its best times the figure in each line, no more memory, equal losses"
BATCH = {"sft": 16, "dpo": 8}
CHUNK = {"long shared prompt": 1, "nothing shared": 1, "everything trained": 1, "tickets": 5, "toy": 1}
CASES = (
    ("long shared prompt", "sft", False),
    ("long shared prompt", "dpo", False),
    ("long shared prompt", "dpo", True),
    ("nothing shared", "sft", False),
    ("everything trained", "sft", False),
    ("tickets", "sft", False),
    ("tickets", "dpo", False),
    ("tickets", "dpo", True),
)
GOALS = {"long shared prompt": 4.5, "nothing shared": 2.0, "everything trained": 0.97}
AGREE = 2e-3
"""trl logs four digits behind the point."""


def measure(pairs: int = 5, repeats: int = 1, alone_steps: int = 3, cases: Any = CASES) -> list[Row]:
    """One row a case: examples/s, the ratio, the start, the peak, and how far the losses are apart."""
    return [_row(name, kind, precompute, pairs, repeats, alone_steps) for name, kind, precompute in cases]


def _row(name: str, kind: str, precompute: bool, pairs: int, repeats: int, alone_steps: int) -> Row:
    common = {"name": name, "kind": kind, "precompute": precompute}
    beside = call("training", "side_by_side", **common, pairs=pairs).value
    lone: dict[str, list[dict[str, float]]] = {"ours": [], "trl": []}
    for _ in range(repeats):
        for side, found in lone.items():
            outcome = call("training", "alone", side=side, **common, steps=alone_steps)
            first = outcome.value["first_step"] - outcome.started
            found.append({"first": first, "peak": outcome.peak_bytes / 1e6})
    examples = BATCH[kind] * CHUNK[name]
    times = beside["seconds"]
    ratio, goal = Spread.of_ratios(times["trl"], times["ours"]), GOALS.get(name, 1.0)
    peaks = {side: Spread.of([one["peak"] for one in found]) for side, found in lone.items()}
    return {
        "data": name,
        "method": kind.upper() + (", trl's reference precomputed" if precompute else ""),
        "× trl": ratio,
        "× trl in CPU time": Spread.of_ratios(beside["cpu"]["trl"], beside["cpu"]["ours"]),
        "pairs": ratio.count,
        "examples/s": Spread.of([examples / seconds for seconds in times["ours"]]),
        "trl's": Spread.of([examples / seconds for seconds in times["trl"]]),
        "first step after s": Spread.of([found["first"] for found in lone["ours"]]),
        "trl's after": Spread.of([found["first"] for found in lone["trl"]]),
        "peak MB": peaks["ours"],
        "trl's peak": peaks["trl"],
        "losses apart by": beside["losses_apart"],
        "goal": f"≥ {goal} ×, no more memory, equal losses",
        "met": ratio.median >= goal and peaks["ours"].median <= peaks["trl"].median and beside["losses_apart"] <= AGREE,
        "on a GPU": NOT_MEASURED,
    }


def side_by_side(name: Any, kind: Any, precompute: bool, pairs: int) -> dict[str, Any]:
    """Seconds of each chunk of both, the same steps on the same batches, and the largest difference of their losses."""
    from benchmarks import trainers
    from benchmarks.cases import case
    from benchmarks.turns import Turns

    turns = Turns("ours", "trl", CHUNK[name], pairs)
    made = case(name, kind, BATCH[kind], turns.steps)
    with trainers.quiet(), tempfile.TemporaryDirectory() as folder:
        own = trainers.ours(made, made.model(), Path(folder) / "ours", lambda: turns.step("ours"))
        theirs = trainers.trl(
            made, made.model(), Path(folder) / "trl", lambda: turns.step("trl"), precompute=precompute
        )
        turns.run({"ours": own.run, "trl": theirs.run})
    assert len(own.losses) == len(theirs.losses) == turns.steps
    apart = max(abs(a - b) for a, b in zip(own.losses, theirs.losses, strict=True))
    return {
        "seconds": turns.seconds,
        "cpu": turns.cpu,
        "losses_apart": apart,
        "losses": [own.losses[-1], theirs.losses[-1]],
    }


def alone(side: str, name: Any, kind: Any, precompute: bool, steps: int) -> dict[str, float]:
    """A few steps of one trainer and nothing of the other; when (since the epoch) the first of them was done."""
    from benchmarks import trainers
    from benchmarks.cases import case

    done: list[float] = []
    made = case(name, kind, BATCH[kind], steps)
    with trainers.quiet(), tempfile.TemporaryDirectory() as folder:
        if side == "ours":
            loop = trainers.ours(made, made.model(), Path(folder), lambda: done.append(time.time()))
        else:
            loop = trainers.trl(
                made, made.model(), Path(folder), lambda: done.append(time.time()), precompute=precompute
            )
        loop.run()
    return {"first_step": done[0]}

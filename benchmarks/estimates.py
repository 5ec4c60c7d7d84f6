"""Short runs through the client: what each took, beside the range that its estimate gave before."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.child import call
from benchmarks.figures import Row, Spread

TITLE = "Estimates beside what runs took"
GOAL = "the range for time and memory holds the actual figure, and its ends are no further apart than a factor of 3"
WIDTH = 3.0
CASES: tuple[dict[str, Any], ...] = (
    {"kind": "sft", "adapter": "lora", "rows": 128, "steps": 24, "batch": 16},
    {"kind": "sft", "adapter": "lora", "rows": 600, "steps": 150, "batch": 16},
    {"kind": "sft", "adapter": "lora", "rows": 300, "steps": 75, "batch": 4},
    {"kind": "sft", "adapter": "full", "rows": 300, "steps": 40, "batch": 16},
    {"kind": "sft", "adapter": "lora", "rows": 600, "steps": 120, "batch": 16, "validation": 68},
    {"kind": "dpo", "adapter": "lora", "rows": 150, "steps": 40, "batch": 8},
    {"kind": "dpo", "adapter": "full", "rows": 64, "steps": 16, "batch": 8},
    {"kind": "sft", "adapter": "lora", "rows": 128, "steps": 16, "batch": 16, "base": "12 layers"},
)


def measure(cases: Any = CASES, repeats: int = 2) -> list[Row]:
    """One row a case and figure: the actual of each repeat within the range or not. The probe runs once a case."""
    rows: list[Row] = []
    for case in cases:
        outcomes = [call("estimates", "one_run", **case).value for _ in range(repeats)]
        for figure, unit, size in (("time", "s", 1.0), ("memory", "MB", 1e6)):
            ranges = [outcome["estimate"][figure] for outcome in outcomes]
            actuals = [outcome["actual"][figure] for outcome in outcomes]
            held = sum(r["low"] <= a <= r["high"] for r, a in zip(ranges, actuals, strict=True))
            width = Spread.of([r["high"] / r["low"] for r in ranges])
            low, expected, high = (Spread.of([r[end] / size for r in ranges]) for end in ("low", "expected", "high"))
            rows.append(
                {
                    "run": _words(case),
                    "figure": f"{figure}, {unit}",
                    "low": low.median,
                    "expected": expected.median,
                    "high": high.median,
                    "actual": Spread.of([actual / size for actual in actuals]),
                    "held": f"{held} of {repeats}",
                    "width ×": width.median,
                    "goal": f"held, ≤ {WIDTH:g} ×",
                    "met": held == repeats and width.high <= WIDTH + 1e-9,
                }
            )
    return rows


def one_run(
    kind: str,
    adapter: str,
    rows: int,
    steps: int,
    batch: int,
    validation: int = 0,
    base: str = "tiny",
    threads: int | None = None,
) -> dict[str, Any]:
    """Estimates, submits and waits, as a user would, in an empty home."""
    import finetune_sdk as ft
    from benchmarks.cases import long_prompts, tickets

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        where = base if base == "tiny" else str(_saved_base(home / "base"))
        made: list[dict[str, Any]] = (
            tickets(kind, rows + validation)  # type: ignore[arg-type]
            if base == "tiny"
            else long_prompts(kind, rows + validation, 200, (45, 75), (20, 40))  # type: ignore[arg-type]
        )
        method: Any = (ft.DPO if kind == "dpo" else ft.SFT)(steps=steps, batch_size=batch)
        job = ft.Job(
            name="benchmark",
            train=ft.Dataset.of(made[:rows]),
            validation=ft.Dataset.of(made[rows:]) if validation else None,
            method=method,
            adapter=ft.Full() if adapter == "full" else ft.LoRA(rank=16),
            base=where,
        )
        place = {"device": "cpu", **({"threads": threads} if threads else {})}
        client = ft.Client(settings=ft.Settings("local", home / "home", {"local": place}))
        estimate = client.estimate(job)
        run = client.submit(job, max_cost=0.0, allow_leakage=True)
        run.wait(progress=False)
        last = [event.data for event in run.events() if event.kind == "metrics" and "loss" in event.data][-1]
        return {
            "estimate": {name: getattr(estimate, name).to_dict() for name in ("time", "memory")},
            "actual": dict(run.result().actual),
            "parts": parts(run, last),
        }


def parts(run: Any, last: Any) -> dict[str, float]:
    """Where a run's seconds went, by its own events: before the first step, in steps, after the last."""
    events = list(run.events())
    begun = next(event.time for event in events if event.data.get("status") == "running")
    steps = [event.time for event in events if event.kind == "metrics" and "loss" in event.data]
    return {
        "start": steps[0] - begun,
        "steps": steps[-1] - steps[0],
        "end": events[-1].time - steps[-1],
        "memory": float(last["memory_bytes"]),
    }


def _saved_base(folder: Path) -> Path:
    from benchmarks.cases import random_base
    from finetune_sdk_local import bases

    random_base(toy=False).save_pretrained(folder)
    bases.tokenizer("tiny").save_pretrained(folder)
    return folder


def _words(case: dict[str, Any]) -> str:
    held_out = f", {case['validation']} to validate on" if case.get("validation") else ""
    base = case.get("base", "tiny")
    return (
        f"{base}, {case['kind'].upper()}, {case['adapter']}, {case['rows']} rows{held_out}, "
        f"{case['steps']} steps of {case['batch']}"
    )

"""How long an estimate of 100,000 rows takes: the first, of another job on the same data, and of one that is known."""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.child import call
from benchmarks.figures import Row, Spread

TITLE = "How long an estimate takes"
GOAL = "for 100,000 rows, once they have been read: at most 2 s, and 0.5 s when nothing changed"
PLACES: dict[str, dict[str, Any]] = {
    "local": {"kind": "local", "base": "tiny", "device": "cpu"},
    "openai": {"kind": "openai", "base": "gpt-4o-mini-2024-07-18", "api_key_env": "NO_KEY_IS_NEEDED"},
}
CHANGED, SAME = 2.0, 0.5


def measure(rows: int = 100_000, repeats: int = 3) -> list[Row]:
    """Two processes, one after the other, `repeats` times in a home of their own; packages are loaded before the clock starts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        _write(file, rows)
        found = [_once(place, file, Path(folder) / f"{place}{at}") for at in range(repeats) for place in PLACES]
    return [
        {
            "place": place,
            "rows": rows,
            "what": what,
            "s": (taken := Spread.of([each[what] for name, each in found if name == place])),
            "goal": f"≤ {goal:g} s" if goal else "none",
            "met": taken.median <= goal if goal else "",
        }
        for place in PLACES
        for what, goal in (
            ("the first: the rows are read and counted", 0.0),
            ("of another job on the same data", CHANGED),
            ("of the same job again", SAME),
            ("of the same job in another process", SAME),
        )
    ]


def _once(place: str, file: Path, home: Path) -> tuple[str, dict[str, float]]:
    first = call("estimating", "asked", place=place, file=str(file), home=str(home), fresh=True).value
    other = call("estimating", "asked", place=place, file=str(file), home=str(home), fresh=False).value
    return place, {**first, **other}


def asked(place: str, file: str, home: str, fresh: bool) -> dict[str, float]:
    """Seconds of each estimate, in this process."""
    import finetune_sdk as ft

    client = ft.Client(settings=ft.Settings(place, Path(home), {place: PLACES[place]}))
    few = ft.Job(name="few", train=ft.Dataset.load(file)[:16], method=ft.SFT(epochs=1))
    client.estimate(few)  # packages, the tokenizer, the probe of the machine
    data = ft.Dataset.load(file)
    job = ft.Job(name="many", train=data, method=ft.SFT(epochs=2))
    if not fresh:
        return {"of the same job in another process": _seconds(client, job)}
    other = ft.Job(name="many", train=data, method=ft.SFT(epochs=3))
    return {
        "the first: the rows are read and counted": _seconds(client, job),
        "of another job on the same data": _seconds(client, other),
        "of the same job again": _seconds(client, job),
    }


def _seconds(client: Any, job: Any) -> float:
    started = time.perf_counter()
    client.estimate(job)
    return time.perf_counter() - started


def _write(file: Path, rows: int) -> None:
    """Chats of about 450 bytes: one system prompt, a question that is another in each, a short answer."""
    from benchmarks.cases import WORDS

    source = random.Random(5)
    system = " ".join(source.choices(WORDS, k=40))
    with file.open("w", encoding="utf-8") as out:
        for at in range(rows):
            asked, answer = " ".join(source.choices(WORDS, k=25)), " ".join(source.choices(WORDS, k=10))
            messages = [("system", system), ("user", f"{asked} {at}"), ("assistant", answer)]
            row = {"messages": [{"role": role, "content": content} for role, content in messages]}
            out.write(json.dumps(row) + "\n")

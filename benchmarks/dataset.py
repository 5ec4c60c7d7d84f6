"""A million rows: loaded, checked and split, in a fresh process; the file is in the page cache."""

from __future__ import annotations

import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks.child import call
from benchmarks.figures import Row, Spread

TITLE = "A dataset of a million rows"
GOAL = "load, check and split 1,000,000 rows (1 GB) at 50,000 rows/s or more, within 1 GB of memory"
ROWS = 1_000_000
ROWS_PER_SECOND = 50_000
PEAK_BYTES = 1_000_000_000
SYSTEM = (
    "You label the tickets of a web shop. Answer with one JSON object and nothing else: category (billing, delivery, "
    "returns, account, technical or other), priority (low, normal or high) and order (its number, or null)."
)
SENTENCES = (
    "The parcel was meant to come on Tuesday, and nobody has seen it since it left the depot.",
    "Ich habe schon zweimal geschrieben und keine Antwort bekommen, bitte melden Sie sich.",
    'The page says "payment declined", but the money has left my account all the same.',
    "One of the two lamps arrived broken; the other is fine and I would like to keep it.",
    "Since the update the app closes as soon as I open the basket 🛒, on two phones.",
    "Could you change the address to the one of my office? I am not at home that week.",
    "The invoice shows last year's tax rate.\nPlease send a corrected one to our accounting.",
    "I ordered size M and got XL, which is a tent. How do I send it back?",
    "Le bon de réduction ne marche pas, il est pourtant valable jusqu'à la fin du mois.",
    "My daughter used my account by mistake; can the order be stopped before it is sent?",
)
CATEGORIES = ("billing", "delivery", "returns", "account", "technical", "other")


def measure(rows: int = ROWS, repeats: int = 3) -> list[Row]:
    """One row: rows a second over load, check and split together, the seconds of each, and the peak."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        size = write(path, rows)
        outcomes = [call("dataset", "pass_over", path=str(path)) for _ in range(repeats)]
    parts = {part: Spread.of([outcome.value[part] for outcome in outcomes]) for part in ("load", "check", "split")}
    speed = Spread.of([rows / sum(outcome.value[part] for part in parts) for outcome in outcomes])
    peak = Spread.of([(outcome.peak_bytes + outcome.value["readers"]) / 1e6 for outcome in outcomes])
    return [
        {
            "rows": rows,
            "GB": size / 1e9,
            "rows/s": speed,
            **{f"{part} s": seconds for part, seconds in parts.items()},
            "peak MB": peak,
            "goal": f"≥ {ROWS_PER_SECOND:,} rows/s, ≤ {PEAK_BYTES / 1e6:,.0f} MB",
            "met": speed.median >= ROWS_PER_SECOND and peak.median <= PEAK_BYTES / 1e6,
        }
    ]


def pass_over(path: str) -> dict[str, float]:
    """Seconds to load, check and split the file, here; and the memory of the processes that read parts of it."""
    from finetune_sdk import Dataset
    from finetune_sdk.data.checks import QUICK

    times = [time.perf_counter()]
    loaded = Dataset.load(path)
    times.append(time.perf_counter())
    loaded.check(QUICK)
    times.append(time.perf_counter())
    train, validation, test = loaded.split(validation=0.1, test=0.1, seed=7)
    times.append(time.perf_counter())
    assert len(train) + len(validation) + len(test) == len(loaded)
    load, check, split = (end - start for start, end in pairwise(times))
    return {"load": load, "check": check, "split": split, "readers": readers_peak()}


def readers_peak() -> float:
    """Bytes that the processes started from here had resident at most, each taken for the largest; one a core."""
    readers = (os.cpu_count() or 1) - 1
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0 * readers


def write(path: Path, rows: int, seed: int = 0) -> int:
    """Writes the rows, the same for the same seed; returns the file's bytes."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_lines(rows, random.Random(seed)))
    return path.stat().st_size


def _lines(rows: int, source: random.Random) -> Iterator[str]:
    """Chats of about 1 kB: of ten rows eight ask once, one asks twice, one calls a tool.

    One in 1,000 repeats another, and one differs from another by a word.
    """
    said = [json.dumps(sentence, ensure_ascii=False)[1:-1] for sentence in SENTENCES]
    opening = '{"messages": [{"role": "system", "content": ' + json.dumps(SYSTEM) + '}, {"role": "user", "content": "'
    for number in range(rows):
        at = number - 500 if number % 1000 in (998, 999) else number
        source.seed(at)
        text = f"{at}: " + " ".join(source.choices(said, k=6)) + (" Thanks!" if number % 1000 == 998 else "")
        answer = (
            f'{{"role": "assistant", "content": "{{\\"category\\": \\"{CATEGORIES[at % 6]}\\", '
            f'\\"priority\\": \\"normal\\", \\"order\\": \\"AB-{at:07d}\\"}}"}}'
        )
        if at % 10 == 3:
            text += '"}, ' + answer + f', {{"role": "user", "content": "And {source.choice(said)}'
        elif at % 10 == 7:
            called = (
                f'{{"role": "assistant", "tool_calls": [{{"id": "call_{at}", "type": "function", "function": '
                f'{{"name": "find_order", "arguments": "{{\\"order\\": \\"AB-{at:07d}\\"}}"}}}}]}}, '
                f'{{"role": "tool", "tool_call_id": "call_{at}", "content": "sent, two items'
            )
            text += '"}, ' + called
        yield f'{opening}{text}"}}, {answer}]}}\n'

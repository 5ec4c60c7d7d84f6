"""From rows to token ids and what of them is trained: the local backend's way, trl's, and the tokenizer alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

import finetune_sdk as ft
from benchmarks.cases import MAX_LENGTH, Case, Kind, Name, case
from benchmarks.figures import Row, Spread
from benchmarks.trainers import as_trl_reads_it, quiet, trl

TITLE = "Preparing data for local training"
GOAL = "10 times trl's own speed or more, and 0.9 times the tokenizer's own batch speed or more; the same token ids and labels"
CASES: tuple[tuple[Name, Kind, int], ...] = (
    ("long shared prompt", "sft", 1920), ("long shared prompt", "dpo", 1920), ("tickets", "sft", 592), ("tickets", "dpo", 144)
)  # fmt: skip
"""Data, method, and rows, of which none is there twice."""
AGAINST_TRL = 10.0
AGAINST_TOKENIZER = 0.9


def measure(pairs: int = 7, cases: Sequence[tuple[Name, Kind, int]] = CASES) -> list[Row]:
    """A row for each case: rows a second in turns (ABBA), and whether ids and labels are the same."""
    with quiet(), tempfile.TemporaryDirectory() as folder:
        return [_measured(case(name, kind, 16, rows // 16), Path(folder), pairs) for name, kind, rows in cases]


def _measured(case: Case, folder: Path, pairs: int) -> Row:
    from finetune_sdk_local import bases
    from finetune_sdk_local.rendering import Renderer
    from finetune_sdk_local.tokenising import tokenise

    path = folder / f"{case.name}-{case.kind}.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in case.rows))
    dataset = ft.Dataset.load(path)
    tokenizer = bases.tokenizer("tiny")
    texts = [text for row in dataset.rows() for text, _ in Renderer("tiny", tokenizer).texts(row)]
    prepare_with_trl = _trl(case, folder)

    def ours() -> Any:
        return tokenise(Renderer("tiny", tokenizer), dataset, MAX_LENGTH)

    def alone() -> Any:
        return [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)]

    made, theirs = ours(), prepare_with_trl()
    against_trl, seconds, trl_seconds = _in_turns(ours, prepare_with_trl, pairs)
    against_tokenizer, _, alone_seconds = _in_turns(ours, alone, pairs)
    same = _sequences(made) == _expected(case, theirs)
    rows = len(case.rows)
    return {
        "data": case.name,
        "method": case.kind.upper(),
        "rows": rows,
        "× trl": against_trl,
        "× the tokenizer alone": against_tokenizer,
        "rows/s": rows / seconds,
        "trl's": rows / trl_seconds,
        "the tokenizer's": rows / alone_seconds,
        "same ids and labels": same,
        "goal": f"≥ {AGAINST_TRL:g} ×, ≥ {AGAINST_TOKENIZER:g} ×, the same",
        "met": same and against_trl.median >= AGAINST_TRL and against_tokenizer.median >= AGAINST_TOKENIZER,
    }


def _in_turns(one: Callable[[], Any], other: Callable[[], Any], pairs: int) -> tuple[Spread, float, float]:
    """How many times faster `one` is, pair by pair, and the median seconds of both."""
    seconds: dict[Callable[[], Any], list[float]] = {one: [], other: []}
    for pair in range(pairs):
        for run in (one, other) if pair % 2 == 0 else (other, one):
            started = time.perf_counter()
            run()
            seconds[run].append(time.perf_counter() - started)
    ratios = Spread.of_ratios(seconds[other], seconds[one])
    return ratios, Spread.of(seconds[one]).median, Spread.of(seconds[other]).median


def _trl(case: Case, folder: Path) -> Callable[[], Any]:
    """trl's preparation of the same rows, as its trainer does it before the first step, in one process."""
    from datasets import Dataset, disable_caching

    disable_caching()
    small = Case("toy", case.kind, case.rows[:2], 2, 1)
    trainer: Any = trl(small, small.model(), folder / "trl", lambda: None).trainer
    rows = Dataset.from_list([as_trl_reads_it(case, row) for row in case.rows])
    packing = () if case.kind == "dpo" else (False, None)
    return lambda: trainer._prepare_dataset(rows, trainer.processing_class, trainer.args, *packing, "train")


def _sequences(made: Any) -> list[tuple[list[int], list[bool]]]:
    return [(ids.tolist(), trained.tolist()) for ids, trained in (made.row(at) for at in range(len(made)))]


def _expected(case: Case, prepared: Any) -> list[tuple[list[int], list[bool]]]:
    """What trl made, in the same form: of a pair the chosen answer first."""
    if case.kind == "sft":
        return [(row["input_ids"], [label != -100 for label in row["labels"]]) for row in prepared]
    sides = ((row["prompt_ids"], row[side]) for row in prepared for side in ("chosen_ids", "rejected_ids"))
    return [(prompt + answer, [False] * len(prompt) + [True] * len(answer)) for prompt, answer in sides]

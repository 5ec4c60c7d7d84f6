"""What this place would reject or cut, found before anything runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune_sdk.data.checks import Finding, Severity
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.estimate import Range, quantity
from finetune_sdk_local.prepare import untrained_rows
from finetune_sdk_local.tokenising import Sequences

SHOWN = 20


def lengths(dataset: Dataset, made: Sequences, width: int, max_length: int) -> Iterator[Finding]:
    """Rows that train nothing (an error) and rows that lose tokens at the end (a warning), each by its line."""
    untrained = untrained_rows(made, width)
    if untrained:
        yield _found(
            dataset,
            untrained,
            "untrained",
            "error",
            f"{dataset.where(untrained[0])}: within {max_length} tokens nothing is left to train "
            f"({len(untrained)} such {'row' if len(untrained) == 1 else 'rows'}).",
            "raise max_length, shorten what comes before the answer, or remove the rows",
        )
    cut, lost = (np.bincount(made.sources, tokens, len(dataset)).astype(np.int64) for tokens in (made.cut, made.lost))
    rows = [int(row) for row in cut.nonzero()[0]]
    if rows:
        worst = max(rows, key=lambda row: int(cut[row]))
        yield _found(
            dataset,
            rows,
            "cut",
            "warning",
            f"{len(rows)} {'row of' if len(rows) == 1 else 'rows of'} {dataset.name} {'is' if len(rows) == 1 else 'are'} "
            f"longer than {max_length} tokens and cut at the end; {dataset.unit} {dataset.line(worst)} loses {int(cut[worst])} tokens, "
            f"and {int((lost > 0).sum())} lose tokens of the answer.",
            "raise max_length if the base allows it, or shorten the rows",
        )


def turns(dataset: Dataset, made: Sequences) -> Iterator[Finding]:
    """A note on conversations that become several sequences."""
    rows, counts = np.unique(made.sources, return_counts=True)
    several = [int(row) for row in rows[counts > 1]]
    if several:
        yield _found(
            dataset,
            several,
            "turns",
            "note",
            f"{len(several)} {'row of' if len(several) == 1 else 'rows of'} {dataset.name} {'has' if len(several) == 1 else 'have'} "
            f"earlier answers that the base's chat template writes otherwise once more turns follow: they are "
            f"{int(counts[counts > 1].sum())} sequences, one for each answer as it is when it is given.",
            "nothing needs to be done; give earlier answers weight 0 to learn the last one only",
        )


def splits(dataset: Dataset, made: Sequences, max_length: int) -> Iterator[Finding]:
    """A note on texts that become several sequences."""
    rows, counts = np.unique(made.sources, return_counts=True)
    split = [int(row) for row in rows[counts > 1]]
    if split:
        yield _found(
            dataset,
            split,
            "split",
            "note",
            f"{len(split)} {'text of' if len(split) == 1 else 'texts of'} {dataset.name} {'is' if len(split) == 1 else 'are'} "
            f"longer than {max_length} tokens and split into {int(counts[counts > 1].sum())} sequences: no token is lost.",
            "raise max_length if the base allows it, to keep texts whole",
        )


def endings(dataset: Dataset, made: Sequences, ends: Sequence[int], tokenizer: Any) -> Iterator[Finding]:
    """An error where answers end in nothing that the base stops at: the tuned model would go on for ever."""
    ending = made.trained & np.isin(made.ids, ends)
    total = np.concatenate(([0], np.cumsum(ending, dtype=np.int64)))
    rows = ((total[made.starts[1:]] == total[made.starts[:-1]]) & (made.cut == 0)).nonzero()[0]
    if len(rows):
        ids, trained = made.row(int(rows[0]))
        rows = np.unique(made.sources[rows])
        named = " or ".join(repr(tokenizer.decode([end])) for end in ends) or "nothing at all"
        yield Finding(
            "job",
            "error",
            f"{dataset.where(int(rows[0]))}: the answer ends in {tokenizer.decode(ids[trained][-4:])!r}, and the base stops at "
            f"{named}: the tuned model would not know where to stop.",
            "use an instruction-tuned base, or name the token that ends a turn as eos_token_id in the base's "
            "generation_config.json",
            (dataset.line(int(rows[0])),),
            len(rows),
            unit=dataset.unit,
        )


def _found(dataset: Dataset, rows: Sequence[int], check: str, severity: Severity, message: str, cure: str) -> Finding:
    lines = tuple(dataset.line(row) for row in rows[:SHOWN])
    return Finding(check, severity, message, cure, lines, len(rows), unit=dataset.unit)


def room(folder: Path, needed: Range) -> Iterator[Finding]:
    """An error where the disk has less room than the run is expected to take."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed.expected is not None and free < needed.expected:
        yield Finding(
            "job",
            "error",
            f"{folder} has {quantity(free, 'bytes')} free, and the run is expected to take "
            f"{quantity(needed.expected, 'bytes')}.",
            "free some disk, or set FINETUNE_HOME to a folder with room",
        )

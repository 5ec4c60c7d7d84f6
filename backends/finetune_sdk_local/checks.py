"""What this place would reject or cut, found before anything runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finetune_sdk.data.checks import Finding, Severity
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import EvaluationError
from finetune_sdk.estimate import Range, quantity
from finetune_sdk.evaluation.rewards import case, worth
from finetune_sdk.job import RFT
from finetune_sdk.model import Answer
from finetune_sdk_local.bases import config
from finetune_sdk_local.prepare import untrained_rows
from finetune_sdk_local.tokenising import Sequences

SHOWN = 20
TRIED = 200
"""Tasks whose expected answers are graded before a run."""


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


def answerable(dataset: Dataset, prompts: Sequences, method: RFT) -> Iterator[Finding]:
    """Tasks whose prompt leaves no room for an answer, each by its line (an error)."""
    rows = [int(row) for row in prompts.cut.nonzero()[0]]
    if rows:
        yield _found(
            dataset,
            rows,
            "cut",
            "error",
            f"{dataset.where(rows[0])}: the prompt leaves no room for an answer of {method.max_tokens} tokens within "
            f"{method.max_length} ({len(rows)} such {'row' if len(rows) == 1 else 'rows'}).",
            "raise max_length if the base allows it, lower max_tokens, or remove the rows",
        )


def graded(dataset: Dataset, method: RFT) -> Iterator[Finding]:
    """An error where a grader cannot judge, a warning where expected answers are worth less than any answer could be."""
    poor = list[int]()
    for index in range(min(len(dataset), TRIED)):
        asked = case(dataset, index)
        try:
            found = worth(method.graders or (), asked, Answer(asked.expected.text if asked.expected else ""))
        except EvaluationError as fault:
            cure = fault.cure or "mend the grader or the row"
            yield _found(dataset, [index], "job", "error", fault.message, cure)
            return
        if asked.expected is not None and found == 0:
            poor.append(index)
    if poor:
        yield _found(
            dataset,
            poor,
            "job",
            "warning",
            f"the expected answers of {len(poor)} of {min(len(dataset), TRIED)} tasks of {dataset.name} are worth nothing to the "
            f"graders themselves ({dataset.where(poor[0])}).",
            "mend the graders or the rows, unless what is expected is not an answer",
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


def vocabulary(dataset: Dataset, made: Sequences, base: str, tokenizer: Any) -> Iterator[Finding]:
    """An error where the tokenizer writes tokens that the base does not know."""
    size = int(config(base).get_text_config().vocab_size)
    strange = (made.ids >= size).nonzero()[0]
    if len(strange):
        row = int(made.sources[np.searchsorted(made.starts, strange[0], side="right") - 1])
        token = int(made.ids[strange[0]])
        yield _found(
            dataset,
            [row],
            "job",
            "error",
            f"{dataset.where(row)}: the tokenizer writes {tokenizer.decode([token])!r} as token {token}, and the base {base!r} knows "
            f"{size} tokens: this tokenizer is not the base's.",
            "put the tokenizer into the base's folder that its weights were made with, or resize the base's embeddings first",
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

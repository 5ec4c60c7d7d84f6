"""What KTO needs beside token sequences: which answers are good, and each prompt with another answer of its batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from finetune_sdk.job import KTO
from finetune_sdk_local.batches import Plan
from finetune_sdk_local.tokenising import Sequences

FAIR = (1.0, 4 / 3)
"""What the weights of all good answers should be together, over those of all bad ones (eq. 8)."""


@dataclass(frozen=True, slots=True)
class Rated:
    """Ratings of the answers in order; `mismatched` has each prompt with the answer of the row before it in its batch."""

    good: NDArray[np.bool_]
    mismatched: Sequences


def goods(dataset: Dataset) -> NDArray[np.bool_]:
    """Which answers are rated good."""
    return np.fromiter((row["good"] for row in dataset.rows()), np.bool_, len(dataset))


def of(dataset: Dataset, made: Sequences, batches: Iterable[NDArray[np.int64]], max_length: int) -> Rated:
    return Rated(goods(dataset), mismatched(made, batches, max_length))


def batches(plan: Plan) -> Iterator[NDArray[np.int64]]:
    """The examples of each step of an epoch, which stay together."""
    return (plan.rows(step) for step in range(plan.per_epoch))


def in_order(examples: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Batches of examples as they stand, for validation."""
    return (np.arange(at, min(at + size, examples)) for at in range(0, examples, size))


def mismatched(made: Sequences, batches: Iterable[NDArray[np.int64]], max_length: int) -> Sequences:
    """Each row's prompt, followed by the answer of the row before it in its batch, cut to `max_length`.

    The answers of a batch are so those of its mismatched rows. An example alone in its batch takes the answer of the one
    that the batch before ended with.
    """
    other, before = np.arange(len(made)), None
    for batch in batches:
        other[batch] = np.roll(batch, 1)
        if len(batch) == 1 and before is not None:
            other[batch] = before
        before = batch[-1]
    first = [int(made.row(row)[1].argmax()) for row in range(len(made))]
    ids, trained = list[NDArray[np.int32]](), list[NDArray[np.bool_]]()
    for row in range(len(made)):
        (asked, nothing), (said, marks) = made.row(row), made.row(int(other[row]))
        start, begins = first[row], first[other[row]]
        ids.append(np.concatenate((asked[:start], said[begins:]))[:max_length])
        trained.append(np.concatenate((nothing[:start], marks[begins:]))[:max_length])
    starts = np.concatenate(([0], np.cumsum([len(each) for each in ids], dtype=np.int64)))
    none = np.zeros(len(ids), np.int64)
    return Sequences(np.concatenate(ids), np.concatenate(trained), starts, none, none, made.sources)


def require_both(dataset: Dataset) -> None:
    """Raises DatasetError where all answers are rated alike."""
    good = int(goods(dataset).sum())
    if good in (0, len(dataset)):
        alike = "good" if good else "bad"
        raise DatasetError(
            f"{dataset.name}: all {len(dataset)} answers are rated {alike}, and KTO learns from both kinds.",
            cure=f"add answers that are rated {'bad' if good else 'good'}, or use SFT on good answers alone",
        )


def findings(dataset: Dataset, method: KTO) -> Iterator[Finding]:
    """An error where all answers are rated alike, a warning where one kind outweighs the other."""
    try:
        require_both(dataset)
    except DatasetError as fault:
        yield Finding("ratings", "error", fault.message, fault.cure or "", (), len(dataset), unit=dataset.unit)
        return
    good = int(goods(dataset).sum())
    bad = len(dataset) - good
    wanted, unwanted = method.desirable_weight or 1.0, method.undesirable_weight or 1.0
    low, high = (edge * unwanted * bad / good for edge in FAIR)
    if not low <= wanted <= high * (1 + 1e-9):
        yield Finding(
            "ratings",
            "warning",
            f"{dataset.name}: {good} answers are rated good and {bad} bad, and with these weights one kind outweighs the other.",
            f"set desirable_weight from {low:.3g} to {high:.3g} (Ethayarajh et al. 2024, eq. 8)",
            (),
            len(dataset),
            unit=dataset.unit,
        )

"""Which rows a step takes, and how they are laid out: a pure function of seed, epoch and position, so a resumed run
goes on exactly where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune_sdk_local.tokenising import Sequences

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Plan:
    """How many steps a run has. `per_epoch` steps pass over all examples once; the last one of an epoch may be smaller.

    With `together`, the examples of a step stay together: epochs take the same steps, each in an order of its own.
    """

    examples: int
    batch_size: int
    steps: int
    seed: int
    together: bool = False

    @property
    def per_epoch(self) -> int:
        return -(-self.examples // self.batch_size)

    def rows(self, step: int) -> NDArray[np.int64]:
        """The examples of step `step`, counted from 0: each epoch is its own seeded shuffle of all."""
        epoch, at = divmod(step, self.per_epoch)
        if self.together:
            at = int(_order(self.per_epoch, self.seed, epoch)[at]) if epoch else at
            epoch = 0
        return _order(self.examples, self.seed, epoch)[at * self.batch_size : (at + 1) * self.batch_size]


@lru_cache(maxsize=4)
def _order(examples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(examples)


def plan(
    examples: int, batch_size: int, seed: int, epochs: float | None, steps: int | None, *, together: bool = False
) -> Plan:
    """The steps of `epochs` passes (a fraction is rounded up to a whole step), or `steps` of them."""
    size = min(batch_size, examples)
    per_epoch = -(-examples // size)
    count = steps if steps is not None else int(np.ceil((epochs or 1) * per_epoch - 1e-9))
    return Plan(examples, size, max(1, count), seed, together)


def grouped(lengths: Sequence[int] | NDArray[np.int64], budget: int) -> list[list[int]]:
    """Positions in groups of like length, longest first, each within `budget` tokens with its padding.

    What a step means does not change: its gradient is the sum over all groups. A single sequence longer than the
    budget is a group by itself.
    """
    groups = list[list[int]]()
    for at in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        if groups and (len(groups[-1]) + 1) * int(lengths[groups[-1][0]]) <= budget:
            groups[-1].append(at)
        else:
            groups.append([at])
    return groups


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded sequences. `ids` and `mask` are (rows, length); `trained` (rows, length) marks the tokens that are learnt.

    Padding is on the right; the first token of a row is never trained, since nothing predicts it.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    trained: torch.Tensor

    @property
    def tokens(self) -> int:
        return int(self.trained.sum())


def batch(sequences: Sequences, rows: Sequence[int], pad: int, device: str) -> Batch:
    """The given sequences as one batch on the device."""
    import torch

    longest = int(max(sequences.lengths[row] for row in rows))
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    trained = np.zeros((len(rows), longest), dtype=np.bool_)
    for at, row in enumerate(rows):
        tokens, marks = sequences.row(row)
        ids[at, : len(tokens)] = tokens
        mask[at, : len(tokens)] = 1
        trained[at, 1 : len(tokens)] = marks[1:]
    return Batch(*(torch.from_numpy(array).to(device) for array in (ids, mask, trained)))

"""Which rows a step takes, and how they are laid out: a pure function of seed, epoch and position, so a resumed run
goes on exactly where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

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
class Past:
    """What rows attend to beside themselves. `made` holds keys and values by turns, a pair a layer: (rows, heads, length,
    width); `mask` (rows, length) marks what counts, the rest is padding.
    """

    made: Sequence[torch.Tensor]
    mask: torch.Tensor

    @property
    def length(self) -> int:
        return int(self.mask.shape[1])

    @classmethod
    def after(cls, batch: Batch, made: Sequence[torch.Tensor]) -> Past:
        """A batch that has passed, for what goes on after it: with the last token of each row, which passes again."""
        own = batch.mask.clone()
        own[:, :-1] *= batch.mask[:, 1:]
        own[:, -1] = 0
        return cls(made, _joined(batch.past, own))

    def of(self, rows: Sequence[int]) -> Past:
        """The given rows; one that is taken several times is not copied."""
        if len(self.mask) == 1:
            return Past([t.expand(len(rows), -1, -1, -1) for t in self.made], self.mask.expand(len(rows), -1))
        index = self.mask.new_tensor(rows)
        return Past([tensor.index_select(0, index) for tensor in self.made], self.mask.index_select(0, index))


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded sequences. `ids` and `mask` are (rows, length); `trained` (rows, length) marks the tokens that are learnt.

    Padding is on the right; the first token of a row is never trained, since nothing predicts it. Rows that go on from a
    `past` have the `positions` of their tokens, and `times` (rows, length) says how often a token is learnt. `scored` (rows,
    length) marks what counts in the score of its row, where that is less than what is trained.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    trained: torch.Tensor
    past: Past | None = None
    positions: torch.Tensor | None = None
    times: torch.Tensor | None = None
    scored: torch.Tensor | None = None

    @property
    def tokens(self) -> int:
        return int(self.trained.sum())

    @property
    def attended(self) -> torch.Tensor:
        """The mask over past and own tokens."""
        return _joined(self.past, self.mask)


def _joined(past: Past | None, mask: torch.Tensor) -> torch.Tensor:
    import torch

    return mask if past is None else torch.cat((past.mask, mask), dim=1)


class Span(NamedTuple):
    """Tokens `start` to `end` of sequence `row`, which go on from row `after` of a past. `same` has all rows that hold them."""

    row: int
    start: int
    end: int
    after: int
    same: Sequence[int] = ()


def batch(sequences: Sequences, rows: Sequence[int], pad: int, device: str) -> Batch:
    """The given sequences as one batch on the device."""
    return laid_out(sequences, [Span(row, 0, int(sequences.lengths[row]), 0) for row in rows], None, pad, device)


def laid_out(sequences: Sequences, spans: Sequence[Span], past: Past | None, pad: int, device: str) -> Batch:
    """The given spans as one batch on the device."""
    import torch

    longest = max(span.end - span.start for span in spans)
    ids = np.full((len(spans), longest), pad, dtype=np.int64)
    mask = np.zeros((len(spans), longest), dtype=np.int64)
    times = np.zeros((len(spans), longest), dtype=np.int64)
    scored = np.zeros((len(spans), longest), dtype=np.bool_)
    for at, span in enumerate(spans):
        within, length = slice(span.start, span.end), span.end - span.start
        ids[at, :length] = sequences.row(span.row)[0][within]
        mask[at, :length] = 1
        for row in span.same or (span.row,):
            times[at, 1:length] += sequences.row(row)[1][within][1:]
        if not span.same:
            scored[at, 1:length] = sequences.scores(span.row)[within][1:]
    ids_there, mask_there, times_there = (torch.from_numpy(array).to(device) for array in (ids, mask, times))
    block = Batch(ids_there, mask_there, times_there > 0)
    if sequences.scored is not None:
        block = replace(block, scored=torch.from_numpy(scored).to(device))
    if past is not None:
        block = replace(block, past=past.of([span.after for span in spans]))
    if past is None and not any(span.same for span in spans):
        return block
    starts = np.array([span.start for span in spans])
    positions = torch.from_numpy(starts[:, None] + np.arange(longest)).to(device)
    return replace(block, positions=positions, times=times_there)

"""How the examples of a step are dealt out to the processes that share it: all have about as much to do.

The slowest process is how long a step takes, so that is what two ways of dealing are compared by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_sdk_local.prefixes import Sorted, in_order
from finetune_sdk_local.tokenising import Sequences


def by_length(lengths: NDArray[np.integer[Any]], examples: Sequence[int], count: int) -> list[list[int]]:
    """In turns, the longest first."""
    dealt = sorted(examples, key=lambda example: (-int(lengths[example]), example))
    return [dealt[rank::count] for rank in range(count)]


def by_prefix(
    sequences: Sequences, examples: Sequence[int], width: int, count: int, *, answers: bool
) -> list[list[int]]:
    """Those that begin alike to one process, where that leaves less to pass for the busiest one; else by length.

    A prefix passes once in each process that has an example with it.
    """
    plain = by_length(sequences.lengths.reshape(-1, width).sum(1), examples, count)
    if len(examples) < 2:
        return plain
    ordered = in_order(sequences, examples, width, answers=answers)
    alone = _alone(sequences, ordered)
    ranks = _cut(alone, ordered.common, count)
    named = [rows[0] // width for rows in ordered.rows]
    place = {example: rank for rank, share in enumerate(plain) for example in share}
    if _most(ordered, alone, ranks) >= _most(ordered, alone, np.array([place[each] for each in named])):
        return plain
    return [[example for example, own in zip(named, ranks, strict=True) if own == rank] for rank in range(count)]


def _cut(alone: NDArray[np.int64], common: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The rank of each example: cut where it is neither far from even, nor through much that would then pass twice."""
    own = alone - common
    starts = np.cumsum(own) - own
    even = np.arange(1, count) * own.sum() / count
    cuts = np.abs(starts - even[:, None]) + common
    return np.searchsorted(np.maximum.accumulate(cuts.argmin(1)), np.arange(len(alone)), side="right")


def _alone(sequences: Sequences, ordered: Sorted) -> NDArray[np.int64]:
    """Tokens that pass for each example by itself: what its sides begin with in common passes once."""
    whole = [
        int(sequences.lengths[list(rows)].sum()) - (len(rows) - 1) * own
        for rows, own in zip(ordered.rows, ordered.own, strict=True)
    ]
    return np.array(whole, np.int64)


def _most(ordered: Sorted, alone: NDArray[np.int64], ranks: NDArray[np.int64]) -> int:
    """Tokens that pass in the process that has most to do."""
    passed, last = dict[int, int](), dict[int, int]()
    for at, (rank, own) in enumerate(zip(ranks.tolist(), alone.tolist(), strict=True)):
        common = int(ordered.common[last[rank] + 1 : at + 1].min()) if rank in last else 0
        passed[rank], last[rank] = passed.get(rank, 0) + own - common, at
    return max(passed.values())

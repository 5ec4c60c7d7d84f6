"""Rows of several datasets as one: each keeps its name and its line."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol, TypeVar

from finetune_sdk.data.index import Unread
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import Kind


class Part(Protocol):
    """What a mixture needs of a dataset."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    def __len__(self) -> int: ...

    def hashes(self) -> Iterator[bytes]: ...

    def row(self, index: int) -> dict[str, Any]: ...

    def line(self, index: int) -> int: ...

    def where(self, index: int) -> str: ...


P = TypeVar("P", bound=Part)


class Mixture:
    """The rows of some datasets, one dataset after the other."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.name = " + ".join(dict.fromkeys(part.name for part in parts))
        self.unit = "row"
        self.kind = parts[0].kind
        self.hashes = bytearray(b"".join(content for part in parts for content in part.hashes()))
        self.unread = Unread()
        self._parts = parts
        self._starts = array("Q", accumulate(map(len, parts), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def row(self, index: int) -> dict[str, Any]:
        part, at = self._at(index)
        return part.row(at)

    def line(self, index: int) -> int:
        part, at = self._at(index)
        return part.line(at)

    def where(self, index: int) -> str:
        part, at = self._at(index)
        return part.where(at)

    def _at(self, index: int) -> tuple[Part, int]:
        part = bisect_right(self._starts, index) - 1
        return self._parts[part], index - self._starts[part]


def amounts(shares: Mapping[P, float]) -> dict[P, int]:
    """How many rows of each make up its share: all of the one with the largest, of the others as many as go with it.

    Raises DatasetError for kinds that differ, shares that are none, and for too few rows.
    """
    if not shares or any(
        isinstance(s, bool) or not isinstance(s, int | float) or not 0 < s <= 1 for s in shares.values()
    ):
        raise DatasetError("a mix needs a share above 0 for each dataset.", cure="as in {tasks: 0.9, general: 0.1}")
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise DatasetError(f"the shares add up to {sum(shares.values()):g}.", cure="give shares with a sum of 1")
    if len({dataset.kind for dataset in shares}) > 1:
        kinds = ", ".join(f"{dataset.name} ({dataset.kind})" for dataset in shares)
        raise DatasetError(f"rows of several kinds cannot be mixed: {kinds}.", cure="mix datasets of one kind")
    leading = max(shares, key=lambda dataset: shares[dataset])
    total = len(leading) / shares[leading]
    counts = dict[P, int]()
    for dataset, share in shares.items():
        count = len(dataset) if dataset is leading else round(total * share)
        if count > len(dataset):
            raise DatasetError(
                f"{dataset.name} has {len(dataset):,} rows, and a share of {share:g} beside the {len(leading):,} of "
                f"{leading.name} takes {count:,}.",
                cure=f"lower its share to {len(dataset) / (len(dataset) + total - total * share):.3g}, or give more rows",
            )
        counts[dataset] = count
    return counts

"""Counts: right, extra and missed, and what is made of them: precision, recall, F1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """What was found and expected (`right`), found and not expected (`extra`), expected and not found (`missed`).

    A rate of nothing is None, and no 0: without anything found there is no precision. F1 is van Rijsbergen's of beta 1.
    """

    right: int = 0
    extra: int = 0
    missed: int = 0

    @property
    def precision(self) -> float | None:
        return _share(self.right, self.right + self.extra)

    @property
    def recall(self) -> float | None:
        return _share(self.right, self.right + self.missed)

    @property
    def f1(self) -> float | None:
        return _share(2 * self.right, 2 * self.right + self.extra + self.missed)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.extra + other.extra, self.missed + other.missed)


def micro(counts: Iterable[Counts]) -> Counts:
    """All of them together: each thing counts alike."""
    return sum(counts, Counts())


def macro_f1(counts: Iterable[Counts]) -> float | None:
    """The mean F1 of the labels: each label counts alike; one that was neither expected nor found counts in nothing."""
    known = [f1 for each in counts if (f1 := each.f1) is not None]
    return sum(known) / len(known) if known else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

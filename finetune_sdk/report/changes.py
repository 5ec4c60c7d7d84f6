"""What changed from one text to another, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal

Kind = Literal["kept", "gone", "new"]
Change = tuple[Kind, str]

MOST_WORDS = 250
_ALIKE = 0.2
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


def changes(before: str, after: str) -> tuple[Change, ...]:
    """The words that stayed, went and came; empty where the two are equal, hardly alike, or differ in too many words."""
    if before == after or not before or not after:
        return ()
    first, second = _WORDS.findall(before), _WORDS.findall(after)
    start = _common(first, second)
    end = _common(first[start:][::-1], second[start:][::-1])
    middle, other = first[start : len(first) - end], second[start : len(second) - end]
    if max(len(middle), len(other)) > MOST_WORDS:
        return ()
    steps: list[Change] = [("kept", word) for word in first[:start]]
    steps += _steps(middle, other)
    steps += [("kept", word) for word in first[len(first) - end :]]
    kept = sum(len(word) for kind, word in steps if kind == "kept")
    if kept < _ALIKE * max(len(before), len(after)):
        return ()
    return tuple((kind, "".join(word for _, word in words)) for kind, words in groupby(steps, lambda step: step[0]))


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """With how many equal words both begin."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))


def _steps(first: Sequence[str], second: Sequence[str]) -> Iterator[Change]:
    """Along a longest common subsequence (Wagner and Fischer 1974, J. ACM 21:168)."""
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i in range(len(first) - 1, -1, -1):
        row, below = lengths[i], lengths[i + 1]
        for j in range(len(second) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if first[i] == second[j] else max(below[j], row[j + 1])
    i = j = 0
    while i < len(first) or j < len(second):
        if i < len(first) and j < len(second) and first[i] == second[j]:
            yield "kept", first[i]
            i, j = i + 1, j + 1
        elif j == len(second) or (i < len(first) and lengths[i + 1][j] >= lengths[i][j + 1]):
            yield "gone", first[i]
            i += 1
        else:
            yield "new", second[j]
            j += 1

"""Where a fault stands while rows go by, and rows that share a key, without keeping their texts."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from finetune_sdk.data.checks.finding import Finding, Rows, Severity
from finetune_sdk.data.checks.reading import excerpt

SHOWN = 20


@dataclass(slots=True)
class Places:
    """The rows with one fault: all counted, the first 20 kept, and a line of the first example."""

    first: list[int] = field(default_factory=list)
    count: int = 0
    example: str = ""

    def add(self, index: int, example: str = "") -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(index)
        if not self.example and example:
            self.example = excerpt(example)

    def finding(self, rows: Rows, check: str, severity: Severity, message: str, cure: str) -> Finding:
        lines = tuple(rows.line(index) for index in self.first)
        return Finding(check, severity, message, cure, lines, self.count, self.example, rows.unit)


def rows_of(count: int, singular: str, plural: str) -> str:
    """`1 row repeats`, `3 rows repeat`."""
    return f"{count:,} {'row' if count == 1 else 'rows'} {singular if count == 1 else plural}"


def groups(keys: array[int]) -> Iterator[list[int]]:
    """The positions of keys that stand more than once, a list for each key, in order."""
    import numpy as np

    if len(keys) < 2:
        return
    values = np.frombuffer(keys, keys.typecode)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ends = np.append(starts[1:], len(values))
    for at in np.flatnonzero(ends - starts > 1):
        yield order[starts[at] : ends[at]].tolist()

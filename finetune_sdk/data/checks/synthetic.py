"""Rows that a model wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.places import Places, rows_of
from finetune_sdk.data.checks.reading import excerpt, percent

_MODELS = 5


@dataclass(slots=True)
class Synthetic:
    """Rows with the mark of a model, and by which they were written, the most frequent first."""

    _places: Places = field(default_factory=Places)
    _models: Counter[str] = field(default_factory=Counter)

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        if "synthetic" in row:
            self._places.add(index)
            self._models[row["synthetic"]] += 1

    def findings(self, rows: Rows) -> Iterator[Finding]:
        count = self._places.count
        if not count:
            return
        named = [f"{excerpt(model)} ({number:,})" for model, number in self._models.most_common(_MODELS)]
        others = len(self._models) - len(named)
        yield self._places.finding(
            rows,
            "synthetic",
            "note",
            f"{rows_of(count, 'was', 'were')} written by a model, {percent(count, len(rows))} of all: "
            + ", ".join(named)
            + (f" and {others:,} more" if others else "")
            + ".",
            "read a sample of them, and keep cases to evaluate on that people wrote",
        )

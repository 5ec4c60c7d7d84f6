"""Rows that stand more than once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_sdk.data.checks.finding import Finding, Rows


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Exact duplicates, by content: the order of keys and white space in the file do not matter."""

    shown: int = 20

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        """Nothing: the hashes tell."""

    def findings(self, rows: Rows) -> Iterator[Finding]:
        seen: set[bytes] = set()
        again: list[int] = []
        count, repeated = 0, b""
        for index, content in enumerate(rows.hashes()):
            if content not in seen:
                seen.add(content)
                continue
            count += 1
            repeated = repeated or content
            if len(again) < self.shown:
                again.append(rows.line(index))
        if count:
            first = next(index for index, content in enumerate(rows.hashes()) if content == repeated)
            yield Finding(
                "duplicates",
                "warning",
                f"{count} {'row repeats an earlier one' if count == 1 else 'rows repeat earlier ones'} exactly.",
                "remove them, unless they are meant to weigh more; exact duplicates always fall on one side of a split",
                tuple(again),
                count,
                f"{rows.unit} {again[0]} repeats {rows.unit} {rows.line(first)}",
                rows.unit,
            )

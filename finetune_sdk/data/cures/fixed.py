"""Fixed: a dataset after its mechanical cures, and every change with its row."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from typing import Any, Literal, Protocol

from finetune_sdk.data.checks import RowError, structure
from finetune_sdk.data.checks.labels import Labels
from finetune_sdk.data.cures.recovered import Did, Recovered
from finetune_sdk.data.cures.redaction import Redaction
from finetune_sdk.data.cures.wording import relabelled, strip_row, usual_ways
from finetune_sdk.data.index import content_hash
from finetune_sdk.data.saving import save_rows
from finetune_sdk.messages import Kind

Action = Literal["dropped", "renamed", "removed", "stripped", "relabelled", "redacted"]


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to the row on one line (or item, or row); `line` is None for what was done to all rows that had it."""

    line: int | None
    action: Action
    what: str
    unit: str = "line"

    def to_dict(self) -> dict[str, Any]:
        return {"line": self.line, "action": self.action, "what": self.what}

    def __str__(self) -> str:
        return f"{f'{self.unit} {self.line}: ' if self.line else ''}{self.action}: {self.what}"


class _Rows(Protocol):
    @property
    def kind(self) -> Kind: ...

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str: ...

    def line(self, index: int) -> int: ...

    def rows(self) -> Iterator[dict[str, Any]]: ...


class Fixed:
    """The rows of a dataset with what is mechanical mended; nothing is done before it is asked for.

    The cures, in this order: misnamed roles get their right names; keys that nothing reads are removed; white space and byte order marks around texts too; with
    `redact`, secrets and personal data become placeholders; labels that are written in several ways are written in the most
    frequent one; exact duplicates are dropped, and rows that cannot be used. Every row that is dropped is in `changes`.
    """

    def __init__(self, rows: _Rows, recovered: Recovered, unread: Mapping[str, int], redact: bool) -> None:
        self._rows = rows
        self._recovered = recovered
        self._unread = unread
        self._redact = redact

    @property
    def kind(self) -> Kind:
        return self._rows.kind

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """Each change, in the order of the lines."""
        unread = [
            Change(None, "removed", f"what nothing reads: {key} ({count:,} rows)")
            for key, count in sorted(self._unread.items())
        ]
        changes = [change for _, _, changes in self._pass() for change in changes]
        return (*unread, *sorted(changes, key=lambda change: change.line or 0))

    def rows(self) -> Iterator[dict[str, Any]]:
        """The canonical rows that are left, mended."""
        return (row for _, row, _ in self._pass() if row is not None)

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> None:  # noqa: A002 - the user's word
        """Writes JSON lines, CSV or Parquet as `Dataset.save` does, whole or not at all."""

        def rows() -> Iterator[tuple[str, dict[str, Any]]]:
            where = f"{self._rows.name} {self._rows.unit}"
            return ((f"{where} {line}", row) for line, row, _ in self._pass() if row is not None)

        save_rows(rows, self.kind, path, format)

    @cached_property
    def _plan(self) -> tuple[dict[str, dict[str, str]], Redaction]:
        labels, redaction = Labels(), Redaction()
        for index, (_, row, _) in enumerate(self._all()):
            labels.see(index, row)
            if self._redact:
                redaction.skip(row)
        return usual_ways(labels), redaction

    def _all(self) -> Iterator[tuple[int, dict[str, Any], tuple[Did, ...]]]:
        """Line, row and what was done to it: the good rows, and those that could be mended, in order."""
        good = ((self._rows.line(index), row, ()) for index, row in enumerate(self._rows.rows()))
        spool, did = self._recovered.rows, self._recovered.did
        again = ((spool.line(n), spool.row(n), did[spool.line(n)]) for n in range(len(spool))) if spool else ()
        return merge(good, again, key=lambda found: found[0])

    def _pass(self) -> Iterator[tuple[int, dict[str, Any] | None, list[Change]]]:
        """Each row, by its line, as it becomes (None where it is dropped) with what was done to it."""
        usual, planned = self._plan
        redaction = planned.again() if self._redact else None
        seen: dict[bytes, int] = {}
        for line, row, did in self._all():
            changes = [self._change(line, action, what) for action, what in did]
            new = self._mend(line, row, usual, redaction, changes)
            content = content_hash(new)
            if content in seen:
                yield (
                    line,
                    None,
                    [self._change(line, "dropped", f"it repeats {self._rows.unit} {seen[content]} exactly")],
                )
            else:
                seen[content] = line
                yield line, new, changes
        for line, message in self._recovered.lost.items():
            yield line, None, [self._change(line, "dropped", message)]

    def _change(self, line: int, action: Action, what: str) -> Change:
        return Change(line, action, what, self._rows.unit)

    def _mend(
        self,
        line: int,
        row: dict[str, Any],
        usual: Mapping[str, Mapping[str, str]],
        redaction: Redaction | None,
        changes: list[Change],
    ) -> dict[str, Any]:
        bare = strip_row(row)
        if bare != row and _usable(self.kind, bare):
            row = bare
            changes.append(self._change(line, "stripped", "white space around a text"))
        if redaction is not None:
            placed = dict[str, None]()
            row = redaction.redacted(row, placed)
            if placed:
                changes.append(self._change(line, "redacted", ", ".join(placed)))
        row, relabel = relabelled(row, usual)
        if relabel:
            changes.append(self._change(line, "relabelled", relabel))
        return row


def _usable(kind: Kind, row: Mapping[str, Any]) -> bool:
    try:
        structure(kind, row)
    except RowError:
        return False
    return True

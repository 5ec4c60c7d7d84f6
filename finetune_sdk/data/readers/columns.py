"""Columns under other names: what a file calls the keys of a format."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from finetune_sdk.data.readers import Rows
from finetune_sdk.errors import DatasetError

_LISTED = 12
_KEPT = 200


class Columns:
    """A file's own names for the keys of a format. It keeps which of them it has met: one that is nowhere is an error."""

    def __init__(self, names: Any, where: str) -> None:
        """Raises DatasetError where `names` is no mapping of keys to names."""
        if not _is_mapping(names):
            raise DatasetError(
                f"{where}: the columns are {names!r:.80}.",
                cure='map a format\'s keys to columns: {"prompt": "question", …}',
            )
        self.names: Mapping[str, str] = names
        self._where = where
        self._absent = dict.fromkeys(names.values())
        self._there: dict[str, None] = {}

    def renamed(self, rows: Rows, *, table: bool) -> Rows:
        """Rows of the columns that are named, under the names that a format has for them, and of no others.

        Every row of a table has all columns; objects may leave some out, but each has to be in one of them.
        """
        for number, row in rows:
            if isinstance(row, Mapping):
                if self._absent:
                    self._meet(row)
                    if table:
                        self.all_met()
                row = {key: row[column] for key, column in self.names.items() if column in row}
            yield number, row
        self.all_met()

    def all_met(self) -> None:
        """Raises DatasetError for a column that no row had so far, with those that there are."""
        if not self._absent or not self._there:
            return
        absent, there = next(iter(self._absent)), list(self._there)
        alike = [name for name in there if name.strip().casefold() == absent.strip().casefold()]
        near = alike or get_close_matches(absent, there, 1)
        listed = ", ".join(there[:_LISTED]) + (", …" if len(there) > _LISTED else "")
        raise DatasetError(
            f"{self._where}: there is no column {absent!r}; there are {listed}.",
            cure=f"use {near[0]!r}" if near else "use one of these",
        )

    def _meet(self, row: Mapping[str, Any]) -> None:
        for name in row:
            self._absent.pop(name, None)
            if len(self._there) < _KEPT:
                self._there[str(name)] = None


def _is_mapping(names: Any) -> bool:
    return (
        isinstance(names, Mapping)
        and bool(names)
        and all(isinstance(name, str) for pair in names.items() for name in pair)
    )

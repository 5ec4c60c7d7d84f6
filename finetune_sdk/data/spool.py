"""Rows that do not stand in a file of JSON lines: in memory while they are few, then in a temporary file of their own."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, BinaryIO
from weakref import finalize

import orjson

from finetune_sdk.data.checks import RowError
from finetune_sdk.data.formats import Format
from finetune_sdk.data.index import Faults, Unread, checked, digest, json_object
from finetune_sdk.data.readers import Rows
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import Kind

IN_MEMORY = 32 << 20
_NULLS = (b":null", b"[null", b",null")


class Spool:
    """Canonical rows as JSON lines behind an index; the file is gone with its last user."""

    def __init__(self, kind: Kind, name: str, unit: str = "row", in_memory: int | None = None) -> None:
        self.name = name
        self.unit = unit
        self.kind = kind
        self.hashes = bytearray()
        self.unread = Unread()
        self.faults = Faults(unit)
        self._ends = array("Q", [0])
        self._lines = array("Q")
        self._in_memory = IN_MEMORY if in_memory is None else in_memory
        self._pending = bytearray()
        self._file: BinaryIO | None = None
        self._on_disk = 0

    def __len__(self) -> int:
        return len(self._lines)

    def line(self, index: int) -> int:
        return self._lines[index]

    def where(self, index: int) -> str:
        return f"{self.name} {self.unit} {self.line(index)}"

    def row(self, index: int) -> dict[str, Any]:
        start, end = self._ends[index], self._ends[index + 1]
        if self._file is not None and end <= self._on_disk:
            raw = os.pread(self._file.fileno(), end - start, start)
        else:
            raw = bytes(self._pending[start - self._on_disk : end - self._on_disk])
        row: dict[str, Any] = orjson.loads(raw)
        return row

    def add(self, row: dict[str, Any], line: int) -> None:
        """Raises RowError for a row that nothing can be learnt from, or that is not JSON data."""
        written = checked(self.kind, row)
        # orjson writes NaN as null, so only a row with a null can hold one.
        if any(null in written for null in _NULLS):
            _finite(row)
        self.hashes += digest(written)
        self._pending += orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        self._ends.append(self._on_disk + len(self._pending))
        self._lines.append(line)
        if len(self._pending) > self._in_memory:
            self._spill()

    def fill(self, rows: Rows, read: Callable[[Any], dict[str, Any]], form: Format | None = None) -> None:
        """Adds the rows that `read` makes canonical, and notes what is wrong with the others."""
        for number, item in rows:
            try:
                if isinstance(item, RowError):
                    raise item
                self.add(read(item), number)
            except RowError as fault:
                self.faults.add(number, fault)
            else:
                if form is not None:
                    self.unread.add(form.unread(item), number)

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="finetune-", buffering=0)  # noqa: SIM115 - lives as long as the rows
                finalize(self, self._file.close)
            rest = memoryview(self._pending)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as fault:
            raise DatasetError(
                f"{self.name}: the rows cannot be kept in {tempfile.gettempdir()}: {fault.strerror}.",
                cure="free space there, or set TMPDIR to a folder on another disk",
            ) from None
        self._on_disk = self._ends[-1]
        self._pending = bytearray()


def read_with(form: Format) -> Callable[[Any], dict[str, Any]]:
    """Reads raw objects, and refuses what is none."""
    return lambda item: form.canonical(json_object(item))


def _finite(value: Any) -> None:
    """Raises RowError for NaN and infinity, which JSON has not and which would be kept as null."""
    if isinstance(value, float) and not isfinite(value):
        raise RowError(f"the number {value} is not one that JSON has.", "write null or a text in its place")
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for inner in value:
        _finite(inner)

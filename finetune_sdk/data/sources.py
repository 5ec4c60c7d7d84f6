"""Where rows live: a file of JSON lines behind an index of offsets, or a spool of rows that came from anything else.

A file is read once to build its index; after that each row is read from the disk when it is asked for, and a file that
has changed meanwhile is an error.
"""

from __future__ import annotations

import threading
from os import O_RDONLY, close, fstat, pread, stat
from os import open as open_file
from pathlib import Path
from typing import Any, Protocol
from weakref import finalize

import orjson

from finetune_sdk.data.checks import RowError
from finetune_sdk.data.formats import Format
from finetune_sdk.data.index import HASH_BYTES, Unread, content_hash, index_file
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import Kind


class Source(Protocol):
    """Rows in canonical form, by number, with their hashes and where each stands."""

    name: str
    unit: str
    kind: Kind
    hashes: bytearray
    unread: Unread

    def __len__(self) -> int: ...

    def row(self, index: int) -> dict[str, Any]: ...

    def line(self, index: int) -> int: ...

    def where(self, index: int) -> str: ...


class FileSource:
    """The rows of a JSON-lines file, which stay on the disk."""

    def __init__(self, path: Path, form: Format) -> None:
        self.name = path.name
        self.unit = "line"
        self.kind = form.kind
        self._path = path.absolute()
        self._format = form
        self._opened: int | None = None
        self._opening = threading.Lock()
        state = stat(self._path)
        self._stamp = state.st_size, state.st_mtime_ns
        self._index = index_file(self._path, form)
        self.hashes = self._index.hashes
        self.unread = self._index.unread
        self.faults = self._index.faults

    def __len__(self) -> int:
        return len(self._index.offsets)

    def line(self, index: int) -> int:
        return self._index.lines[index]

    def where(self, index: int) -> str:
        return f"{self.name} line {self.line(index)}"

    def row(self, index: int) -> dict[str, Any]:
        raw = pread(self._file(), self._index.lengths[index], self._index.offsets[index])
        try:
            row = self._format.canonical(orjson.loads(raw))
        except (orjson.JSONDecodeError, RowError):
            raise self._changed() from None
        start = index * HASH_BYTES
        if content_hash(row) != self.hashes[start : start + HASH_BYTES]:
            raise self._changed()
        return row

    def _file(self) -> int:
        with self._opening:
            if self._opened is None:
                try:
                    opened = open_file(self._path, O_RDONLY)
                except OSError as fault:
                    raise DatasetError(
                        f"{self._path} was indexed but cannot be read any more: {fault.strerror}.",
                        cure="put the file back, or load the dataset anew",
                    ) from None
                state = fstat(opened)
                if (state.st_size, state.st_mtime_ns) != self._stamp:
                    close(opened)
                    raise self._changed()
                finalize(self, close, opened)
                self._opened = opened
            return self._opened

    def _changed(self) -> DatasetError:
        return DatasetError(
            f"{self._path} has changed since it was loaded.",
            cure="load the dataset anew; a job stands for the rows that it was defined with",
        )

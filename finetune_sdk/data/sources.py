"""Where rows live: a file of JSON lines behind an index of offsets, or rows that are in memory already.

A file is read once to build its index; after that each row is read from the disk when it is asked for, and a file that
has changed meanwhile is an error.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import O_RDONLY, close, fstat, pread, stat
from os import open as open_file
from os.path import exists, isdir, isfile
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from weakref import finalize

import orjson

from finetune_sdk.data.checks import Finding, RowError
from finetune_sdk.data.formats import Format, detect, named
from finetune_sdk.data.index import (
    BYTE_ORDER_MARK,
    HASH_BYTES,
    Faults,
    checked_hash,
    content_hash,
    index_file,
    json_object,
)
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import ChatExample, Example, Kind, PreferenceExample, RatedExample, TaskExample, TextExample

DETECT_ROWS = 20
ARRAY_LIMIT = 512 * 1024 * 1024


class Source(Protocol):
    """Rows in canonical form, by number, with their hashes and where each stands."""

    name: str
    kind: Kind
    hashes: bytearray
    unread: Counter[str]

    def __len__(self) -> int: ...

    def row(self, index: int) -> dict[str, Any]: ...

    def line(self, index: int) -> int: ...

    def where(self, index: int) -> str: ...


class MemorySource:
    """Rows that are in memory, as a program made them then, or as a JSON array held them."""

    def __init__(self, kind: Kind, name: str) -> None:
        self.name = name
        self.kind = kind
        self.hashes = bytearray()
        self.unread = Counter[str]()
        self._rows: list[bytes] = []
        self._lines: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = orjson.loads(self._rows[index])
        return row

    def line(self, index: int) -> int:
        return self._lines[index]

    def where(self, index: int) -> str:
        return f"{self.name} line {self.line(index)}"

    def add(self, row: dict[str, Any], line: int) -> None:
        """Raises RowError for a row that is not JSON data."""
        self.hashes += checked_hash(self.kind, row)
        self._rows.append(orjson.dumps(row))
        self._lines.append(line)


class FileSource:
    """The rows of a JSON-lines file, which stay on the disk."""

    def __init__(self, path: Path, form: Format) -> None:
        self.name = path.name
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
            row = self._format.read(orjson.loads(raw))
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


def open_source(path: Path, name: str | None) -> tuple[Source, list[Finding]]:
    """The rows of a file and what is wrong with others of them. Raises DatasetError where there is no row to speak of."""
    if exists(path) and not (isfile(path) or isdir(path)):
        raise DatasetError(
            f"{path} is a pipe or a device, and rows are read again from where they stand.",
            cure="write the rows to a file first",
        )
    try:
        file = path.open("rb")
    except OSError as fault:
        raise DatasetError(f"{path} cannot be read: {fault.strerror}.", cure=_nearby(path)) from None
    with file:
        first = _first_byte(file)
        if first == b"":
            raise DatasetError(f"{path} is empty.", cure="write one example on each line")
        if first == b"[":
            return _read_array(path, name)
        form = named(name) if name else detect(_first_rows(file), str(path))
    source = FileSource(path, form)
    return source, source.faults.findings()


def _nearby(path: Path) -> str:
    folder = path.parent
    if isdir(path):
        return "name the file, not its folder"
    if not isdir(folder):
        return f"there is no folder {folder}; check the path"
    found = sorted(entry.name for entry in folder.glob("*.json*"))[:5]
    return f"the folder {folder} holds {', '.join(found)}" if found else f"the folder {folder} holds no JSON file"


def _first_byte(file: BinaryIO) -> bytes:
    file.seek(0)
    while chunk := file.read(65536):
        rest = chunk.removeprefix(BYTE_ORDER_MARK).lstrip()
        if rest:
            return rest[:1]
    return b""


def _first_rows(file: BinaryIO) -> list[dict[str, Any]]:
    file.seek(0)
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(file):
        if len(rows) >= DETECT_ROWS or number > DETECT_ROWS * 10:
            break
        try:
            row = orjson.loads(line.removeprefix(BYTE_ORDER_MARK))
        except orjson.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    if not rows:
        file.seek(0)
        start = file.read(60)
        shown = start.split(b"\n")[0].decode("utf-8", "replace").strip()
        raise DatasetError(
            f"{getattr(file, 'name', 'the file')} line 1: the file is not JSON lines; it starts with {shown!r}.",
            cure=_instead(start),
        )
    return rows


def _instead(start: bytes) -> str:
    """The cure for a file that starts so and holds no JSON lines."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or (b"\0{" in start or b"{\0" in start):
        return "it is text in UTF-16: save it as UTF-8"
    if start.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")):
        return "it is compressed: unpack it first"
    return "write one JSON object on each line"


def _read_array(path: Path, name: str | None) -> tuple[Source, list[Finding]]:
    if path.stat().st_size > ARRAY_LIMIT:
        raise DatasetError(
            f"{path} is one JSON array of more than {ARRAY_LIMIT >> 20} MiB, which cannot be read row by row.",
            cure="write it as JSON lines, one object on each line",
        )
    try:
        items = orjson.loads(path.read_bytes().removeprefix(BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as fault:
        raise DatasetError(f"{path} is not JSON: {fault}.", cure="mend the array, or write JSON lines") from None
    objects = [item for item in items if isinstance(item, dict)]
    if not objects:
        raise DatasetError(f"{path} holds an array without a single object.", cure="write one object an example")
    form = named(name) if name else detect(objects[:DETECT_ROWS], str(path))
    return canonical_rows(items, form, path.name)


def canonical_rows(items: Sequence[Any], form: Format, name: str) -> tuple[MemorySource, list[Finding]]:
    """Rows in memory, each read by `form` and checked."""
    source, faults = MemorySource(form.kind, name), Faults()
    for number, item in enumerate(items, 1):
        try:
            source.add(form.read(json_object(item)), number)
        except RowError as fault:
            faults.add(number, fault)
        else:
            source.unread.update(item.keys() - form.known)
    return source, faults.findings()


def example_rows(examples: Sequence[Example], name: str) -> tuple[MemorySource, list[Finding]]:
    """Examples that a program made, each checked as a row of a file is; all are of the first one's kind."""
    kind = _kind_of(examples[0])
    source, faults = MemorySource(kind, name), Faults()
    for number, one in enumerate(examples, 1):
        try:
            if _kind_of(one) != kind:
                raise RowError(f"this is a {_kind_of(one)} example among {kind} ones.", "make one dataset of each kind")
            source.add(one.canonical(), number)
        except RowError as fault:
            faults.add(number, fault)
    return source, faults.findings()


def _kind_of(example: Example) -> Kind:
    kinds: dict[type, Kind] = {
        ChatExample: "chat", PreferenceExample: "preference", RatedExample: "rated", TaskExample: "task", TextExample: "text"
    }  # fmt: skip
    return kinds[type(example)]


def written(rows: Iterator[dict[str, Any]], write: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Iterator[bytes]:
    """Each canonical row as a line of a format."""
    for row in rows:
        yield orjson.dumps(write(row), option=orjson.OPT_APPEND_NEWLINE)

"""The index of a JSON-lines file: where each row stands and what it holds (44 bytes a row), and which lines hold none.

Several processes read a large file, a part each; a part whose process comes to nothing is read here.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from finetune_sdk.data.checks import Finding, RowError, structure
from finetune_sdk.data.formats import Format
from finetune_sdk.data.formats.marks import MARK, unmarked
from finetune_sdk.data.readers.lines import BUFFER_BYTES, BYTE_ORDER_MARK, LINE_BYTES, rest_of_line, too_long
from finetune_sdk.data.strict import not_json, verify
from finetune_sdk.machine import cores
from finetune_sdk.messages import Kind

if TYPE_CHECKING:
    import subprocess

HASH_BYTES = 16
PART_BYTES = 64 << 20
MOST_PARTS = 16
FIRST = 20
MOST_FAULTS = 10_000
SEAL = b"finetune_sdk.data.part\n"


def content_hash(row: Mapping[str, Any]) -> bytes:
    """16 bytes that stand for a canonical row; neither the order of its keys nor its mark matters."""
    return digest(orjson.dumps(unmarked(row), option=orjson.OPT_SORT_KEYS))


def digest(written: bytes) -> bytes:
    return blake2b(written, digest_size=HASH_BYTES).digest()


def checked(kind: Kind, row: Mapping[str, Any]) -> bytes:
    """A canonical row that something can be learnt from as JSON, its keys sorted, its mark left out. Raises RowError for any other."""
    structure(kind, row)
    try:
        return orjson.dumps(unmarked(row), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as fault:
        why = "it is nested too deeply" if "ecursion" in str(fault) else str(fault)
        raise RowError(
            f"the row cannot be kept as JSON: {why}.",
            "flatten what is nested, and keep to text, numbers of 64 bits, lists and objects",
        ) from None


def json_object(row: Any) -> dict[str, Any]:
    """The row itself. Raises RowError where it is not an object."""
    if not isinstance(row, dict):
        raise RowError(f"the row holds {type(row).__name__}, not an object.", "write one JSON object for each example")
    return row


@dataclass(slots=True)
class Unread:
    """Keys that nothing reads: in how many rows each stands, and the first lines that have it."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[int]] = field(default_factory=dict)

    def add(self, keys: Iterable[str], number: int) -> None:
        for key in keys:
            self.counts[key] += 1
            if self.counts[key] <= FIRST:
                self.first.setdefault(key, []).append(number)

    def extend(self, other: Unread, lines: int) -> None:
        """Adds the keys of rows that stand `lines` further down."""
        self.counts.update(other.counts)
        for key, first in other.first.items():
            mine = self.first.setdefault(key, [])
            mine += [line + lines for line in first[: FIRST - len(mine)]]


@dataclass(slots=True)
class Faults:
    """What is wrong with the rows that cannot be used: the first 10,000 in words, the others counted."""

    unit: str = "line"
    limit: int = MOST_FAULTS
    named: list[Finding] = field(default_factory=list)
    more: int = 0

    def add(self, number: int, fault: RowError) -> None:
        if len(self.named) < self.limit:
            self.named.append(Finding("structure", "error", fault.message, fault.cure, (number,), unit=self.unit))
        else:
            self.more += 1

    def extend(self, other: Faults, lines: int) -> None:
        """Adds what is wrong with rows that stand `lines` further down."""
        free = self.limit - len(self.named)
        self.named += [replace(finding, rows=(finding.rows[0] + lines,)) for finding in other.named[:free]]
        self.more += other.more + len(other.named[free:])

    def findings(self) -> list[Finding]:
        if not self.more:
            return self.named
        said = f"{self.more:,} more rows cannot be used."
        return [*self.named, Finding("more", "error", said, "mend the rows above first", count=self.more)]


@dataclass(slots=True)
class Index:
    """The rows of a file or of a part of it, in order: offset and length in bytes, line number from 1, content hash."""

    offsets: array[int] = field(default_factory=lambda: array("Q"))
    lengths: array[int] = field(default_factory=lambda: array("L"))
    lines: array[int] = field(default_factory=lambda: array("L"))
    hashes: bytearray = field(default_factory=bytearray)
    unread: Unread = field(default_factory=Unread)
    faults: Faults = field(default_factory=Faults)
    read: int = 0

    def extend(self, other: Index) -> None:
        """Adds the part of the file that follows this one."""
        self.offsets += other.offsets
        self.lengths += other.lengths
        self.lines += array("L", (line + self.read for line in other.lines))
        self.hashes += other.hashes
        self.unread.extend(other.unread, self.read)
        self.faults.extend(other.faults, self.read)
        self.read += other.read

    def to_bytes(self) -> bytes:
        """A line of JSON, and the four arrays after it."""
        said = {
            "read": self.read,
            "rows": len(self.offsets),
            "unread": self.unread.counts,
            "first": self.unread.first,
            "faults": [(finding.rows[0], finding.message, finding.cure) for finding in self.faults.named],
            "more": self.faults.more,
        }
        arrays = (self.offsets, self.lengths, self.lines)
        head = orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
        return b"".join((SEAL, head, *(array.tobytes() for array in arrays), self.hashes))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Index:
        """The inverse of `to_bytes`. Raises ValueError for bytes that are no index."""
        start, end = len(SEAL), raw.find(b"\n", len(SEAL)) + 1
        if not raw.startswith(SEAL):
            raise ValueError("these bytes are no index")
        said = orjson.loads(raw[start:end])
        index = cls(unread=Unread(Counter(said["unread"]), said["first"]), read=said["read"])
        for numbers in (index.offsets, index.lengths, index.lines):
            start, end = end, end + said["rows"] * numbers.itemsize
            numbers.frombytes(raw[start:end])
        index.hashes += raw[end:]
        for number, message, cure in said["faults"]:
            index.faults.add(number, RowError(message, cure))
        index.faults.more = said["more"]
        return index


def index_file(path: Path, form: Format, part_bytes: int = PART_BYTES) -> Index:
    """The index of a whole file."""
    with path.open("rb", buffering=BUFFER_BYTES) as file, ExitStack() as stack:
        cuts = _cuts(file, min(cores(), MOST_PARTS, os.fstat(file.fileno()).st_size // part_bytes))
        elsewhere = [stack.enter_context(_reader(path, form, *span)) for span in pairwise(cuts[1:])]
        index = index_part(file, form, cuts[0], cuts[1])
        for span, reader in zip(pairwise(cuts[1:]), elsewhere, strict=True):
            index.extend(_part(reader) or index_part(file, form, *span))
    return index


def index_part(file: BinaryIO, form: Format, start: int, end: int) -> Index:
    """The index of the lines from one offset to another, both of which stand at the start of a line."""
    index, offset, number = Index(), start, 0
    read, kept, kind = form.read, form.kept, form.kind
    known = form.known and form.known | {MARK}
    readline, loads = file.readline, orjson.loads
    offsets, lengths, lines, hashes = index.offsets, index.lengths, index.lines, index.hashes
    file.seek(start)
    while offset < end and (line := readline(LINE_BYTES)):
        number += 1
        length = len(line)
        if offset == 0 and line.startswith(BYTE_ORDER_MARK):
            offset = len(BYTE_ORDER_MARK)
            line, length = line[offset:], length - offset
        if length >= LINE_BYTES - 3 and not line.endswith(b"\n") and (more := rest_of_line(file)):
            index.faults.add(number, too_long())
            length += more
        elif not line.isspace() and line:
            try:
                raw = loads(line)
                if type(raw) is not dict:
                    json_object(raw)
                row = form.canonical(raw) if MARK in raw else read(raw)
                written = checked(kind, row)
                if not kept(line, raw, row, written):
                    verify(line)
            except orjson.JSONDecodeError as fault:
                index.faults.add(number, not_json(line, fault))
            except RowError as fault:
                index.faults.add(number, fault)
            else:
                if known is not None and not raw.keys() <= known:
                    index.unread.add(form.unread(raw), number)
                hashes += digest(written)
                offsets.append(offset)
                lengths.append(length)
                lines.append(number)
        offset += length
    index.read = number
    return index


def _cuts(file: BinaryIO, parts: int) -> Sequence[int]:
    """Where the parts begin, each at the start of a line, and where the last one ends."""
    size, cuts = os.fstat(file.fileno()).st_size, [0]
    for part in range(1, parts):
        file.seek(size * part // parts)
        rest_of_line(file)
        if cuts[-1] < file.tell() < size:
            cuts.append(file.tell())
    return [*cuts, size]


@contextmanager
def _reader(path: Path, form: Format, start: int, end: int) -> Iterator[subprocess.Popen[bytes] | None]:
    """A process that reads one part; None where there can be none."""
    import subprocess  # for large files only

    command = [sys.executable, "-m", "finetune_sdk.data.part", str(path), form.name, str(start), str(end)]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        yield None
        return
    with process:
        try:
            yield process
        finally:
            process.kill()


def _part(reader: subprocess.Popen[bytes] | None) -> Index | None:
    if reader is None:
        return None
    said, _ = reader.communicate()
    try:
        return None if reader.returncode else Index.from_bytes(said)
    except ValueError:
        return None

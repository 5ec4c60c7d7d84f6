"""Lines of a file, none longer than a bound, out of a gzip file too."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO

from finetune_sdk.data import strict
from finetune_sdk.data.checks.finding import RowError
from finetune_sdk.data.readers import Rows
from finetune_sdk.errors import DatasetError

LINE_BYTES = 64 << 20
BUFFER_BYTES = 1 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
UNPACKED_RATIO = 200
UNPACKED_FLOOR = 256 << 20


def too_long(what: str = "line", limit: int = LINE_BYTES) -> RowError:
    return RowError(
        f"the {what} is longer than {limit >> 20} MiB.",
        "remove it, or write what is large (images, files) as references",
    )


def rest_of_line(file: BinaryIO) -> int:
    """Passes over what is left of a line; its bytes."""
    passed = 0
    while piece := file.readline(BUFFER_BYTES):
        passed += len(piece)
        if piece.endswith(b"\n"):
            break
    return passed


def json_lines(file: BinaryIO) -> Rows:
    """The objects of JSON lines; blank lines are none."""
    number = 0
    while line := file.readline(LINE_BYTES):
        number += 1
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if len(line) == LINE_BYTES and not line.endswith(b"\n"):
            rest_of_line(file)
            yield number, too_long()
        elif line and not line.isspace():
            try:
                yield number, strict.parse(line)
            except RowError as fault:
                yield number, fault


def opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked where they are gzip."""
    file = path.open("rb", buffering=BUFFER_BYTES)
    start = file.read(len(GZIP))
    file.seek(0)
    if start != GZIP:
        return file
    packed = path.stat().st_size
    return io.BufferedReader(_Unpacked(file, path, max(UNPACKED_FLOOR, UNPACKED_RATIO * packed)), BUFFER_BYTES)


class _Unpacked(io.RawIOBase):
    """What a gzip file holds, up to a bound: a small file that unpacks without end fills no disk."""

    def __init__(self, file: BinaryIO, path: Path, bound: int) -> None:
        self._file = file
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")
        self._path = path
        self._bound = bound
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            piece = self._gzip.read1(len(buffer))
        except (OSError, EOFError, zlib.error) as fault:
            raise DatasetError(
                f"{self._path} is gzip, but cut short or damaged: {fault}.", cure="fetch or pack it anew"
            ) from None
        self._read += len(piece)
        if self._read > self._bound:
            raise DatasetError(
                f"{self._path} unpacks to more than {self._bound >> 20:,} MiB, far more than its size suggests.",
                cure="unpack it first, if it is to be trusted",
            )
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()

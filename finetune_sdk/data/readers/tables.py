"""Rows of tables: CSV, Parquet, frames."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from finetune_sdk.data import strict
from finetune_sdk.data.checks.finding import RowError
from finetune_sdk.data.readers import Rows
from finetune_sdk.data.readers.lines import BYTE_ORDER_MARK, LINE_BYTES, rest_of_line, too_long
from finetune_sdk.errors import DatasetError, MissingDependencyError

BATCH = 512
CELL_BYTES = 16 << 20
_STRUCTURED = {
    "messages", "conversations", "tools", "functions", "preferred_output", "non_preferred_output",
    "preferred_completion", "non_preferred_completion",
}  # fmt: skip
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_SEPARATOR = re.compile(rb"(?i:sep)=([,;\t])\r?\n")
_QUOTED, _QUOTED_BYTES = re.compile(r'"[^"]*"'), re.compile(rb'"[^"]*"')
_LONGEST_HEADER = 1 << 20
_FIELD_LIMIT = threading.Lock()


class Header(NamedTuple):
    """The names of the columns of a CSV file, what stands between them (a comma, a semicolon or a tab), and its lines."""

    names: list[str]
    between: str
    lines: int
    text: bytes


def header(file: BinaryIO) -> Header:
    """The first record of a CSV file, after the line `sep=;` that a spreadsheet may write before it."""
    line, lines, between = file.readline(_LONGEST_HEADER).removeprefix(BYTE_ORDER_MARK), 1, ""
    if (said := _SEPARATOR.fullmatch(line)) is not None:
        line, lines, between = file.readline(_LONGEST_HEADER), 2, said[1].decode()
    parts, size, quotes = [line], len(line), line.count(b'"')
    while quotes % 2 and size < _LONGEST_HEADER and (more := file.readline(_LONGEST_HEADER)):
        parts.append(more)
        lines, size, quotes = lines + 1, size + len(more), quotes + more.count(b'"')
    line = b"".join(parts)
    text = line.decode("utf-8", "replace")
    between = between or max(",;\t", key=_QUOTED.sub("", text).count)
    try:
        return Header(next(csv.reader(io.StringIO(text, newline=""), delimiter=between), []), between, lines, line)
    except csv.Error:
        return Header([], between, lines, line)


def _named(head: Header, name: str) -> list[str]:
    """The names of the columns. Raises DatasetError where they cannot be told, or two are the same; some may have none."""
    try:
        head.text.decode()
    except UnicodeDecodeError:
        raise DatasetError(f"{name} line {head.lines} is not text in UTF-8.", cure="save the file as UTF-8") from None
    if len(head.text) >= _LONGEST_HEADER - len(BYTE_ORDER_MARK):
        raise DatasetError(
            f"{name} line {head.lines}: the names of the columns are longer than {_LONGEST_HEADER >> 20} MiB.",
            cure="name the columns in the first line, and close what is in double quotes there",
        )
    if b"\r" in _QUOTED_BYTES.sub(b"", head.text).rstrip(b"\r\n"):
        raise DatasetError(f"{name}: the lines end in CR alone.", cure="save the file with lines that end in LF")
    _distinct([column for column in head.names if column], f"{name} line {head.lines}")
    return head.names


def _distinct(names: Sequence[str], where: str) -> None:
    """Raises DatasetError for a name that two columns have: only one of them would be read."""
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice:
        raise DatasetError(f"{where}: two columns are named {twice[0]!r}.", cure="give each column its own name")


def _row(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Cells under the names of their columns; one without a name counts where it holds something."""
    return {name: cell for name, cell in zip(names, cells, strict=True) if name or cell}


def csv_rows(file: BinaryIO, name: str) -> Rows:
    """The rows of a CSV file as its header names them, numbered by the line that each begins on."""
    head = header(file)
    names, between = _named(head, name), head.between
    text = _Text(file, head.lines)
    rows = csv.reader(text, delimiter=between, strict=True)
    while True:
        number = text.number + 1
        try:
            cells = _next(rows)
        except csv.Error as fault:
            yield number, text.fault() or _unreadable(number, text.number, fault)
            continue
        if cells is None:
            return
        fault_within = text.fault()
        if fault_within:
            yield number, fault_within
        elif len(cells) == len(names):
            yield number, _row(names, cells)
        elif cells:
            yield (
                number,
                RowError(
                    f"the row has {len(cells)} cells, and the header names {len(names)} columns.",
                    "put cells that hold a separator, a quote or a line end into double quotes",
                ),
            )


def _unreadable(first: int, last: int, fault: csv.Error) -> RowError:
    if "field limit" in str(fault):
        return too_long("cell", CELL_BYTES)
    until = f" until line {last}" if last > first else ""
    return RowError(
        f"the row cannot be read{until} ({fault}).",
        'close the quoted cell, and write a double quote within one as ""',
    )


def _next(rows: Iterator[list[str]]) -> list[str] | None:
    # The limit of the csv module is one for the whole process; it is put back before anyone else can see it.
    with _FIELD_LIMIT:
        limit = csv.field_size_limit(CELL_BYTES)
        try:
            return next(rows, None)
        finally:
            csv.field_size_limit(limit)


class _Text:
    """Lines of text, counted. One that is no text, or too long, is an empty one, and the fault is noted."""

    def __init__(self, file: BinaryIO, number: int) -> None:
        self._file = file
        self.number = number
        self._fault: RowError | None = None

    def fault(self) -> RowError | None:
        """What was wrong with a line since this was last asked."""
        fault, self._fault = self._fault, None
        return fault

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LINE_BYTES)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == LINE_BYTES and not line.endswith(b"\n"):
            rest_of_line(self._file)
            self._fault = too_long()
            return "\n"
        try:
            return line.decode()
        except UnicodeDecodeError as fault:
            self._fault = RowError(f"line {self.number} is not text in UTF-8: {fault}.", "save the file as UTF-8")
            return "\n"


def typed(rows: Rows) -> Rows:
    """Cells of text as what their column holds: messages and tools are JSON there, a label is true or false."""
    for number, row in rows:
        if isinstance(row, dict):
            try:
                row = {key: _typed(key, cell) for key, cell in row.items()}
            except RowError as fault:
                row = fault
        yield number, row


def _typed(key: str, cell: Any) -> Any:
    if key == "label" and isinstance(cell, str):
        return _TRUTH.get(cell.strip().lower(), cell)
    if key in _STRUCTURED and isinstance(cell, str):
        return strict.parse(cell.encode()) if cell.strip() else None
    return cell


def parquet_rows(path: Path) -> Rows:
    """The rows of a Parquet file, a few hundred in memory at a time."""
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingDependencyError("pyarrow, which reads Parquet,", extra="data") from None
    number = 0
    try:
        with ParquetFile(path) as file:
            _distinct(file.schema_arrow.names, str(path))
            for batch in file.iter_batches(batch_size=BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError, ValueError) as fault:
        after = f" after row {number}" if number else ""
        raise DatasetError(
            f"{path} is Parquet, but cut short or damaged{after}: {str(fault)[:200]}.", cure="fetch or write it anew"
        ) from None


def is_frame(rows: Any) -> bool:
    """Whether these are the rows of a frame or table: pandas, polars, pyarrow, or Hugging Face's datasets.

    Raises DatasetError for a frame whose rows are still to be worked out.
    """
    if hasattr(rows, "collect_schema") and not hasattr(rows, "iter_rows"):
        raise DatasetError(
            f"a {type(rows).__name__} is a query, and has no rows yet.", cure="give its result: frame.collect()"
        )
    return any(hasattr(rows, verb) for verb in ("itertuples", "iter_rows", "to_batches", "column_names"))


def frame_rows(frame: Any) -> Rows:
    """The rows of a frame, with the cells as it holds them. Raises DatasetError where two columns have one name."""
    columns = frame.columns if hasattr(frame, "itertuples") else getattr(frame, "column_names", None) or ()
    _distinct(list(map(str, columns)), "the frame")
    made: Iterable[Mapping[str, Any]]
    if hasattr(frame, "itertuples"):
        names = [str(name) for name in frame.columns]
        made = (dict(zip(names, cells, strict=True)) for cells in frame.itertuples(index=False, name=None))
    elif hasattr(frame, "iter_rows"):
        made = frame.iter_rows(named=True)
    elif hasattr(frame, "to_batches"):
        made = chain.from_iterable(batch.to_pylist() for batch in frame.to_batches(max_chunksize=BATCH))
    else:
        made = frame
    yield from enumerate(made, 1)


def filled(rows: Rows) -> Rows:
    """Rows without their empty cells; arrays and numbers of numpy become Python's own."""
    for number, row in rows:
        if isinstance(row, Mapping):
            row = {key: _present(cell) for key, cell in row.items() if not _missing(cell)}
        yield number, row


def _present(value: Any) -> Any:
    """The value without the keys that hold None: a table pads objects of different keys with them."""
    if isinstance(value, dict):
        return {key: _present(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_present(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _present(value.tolist())
    return value


def _missing(cell: Any) -> bool:
    if type(cell).__name__ in ("NAType", "NaTType", "NoneType"):
        return True
    return isinstance(cell, float) and cell != cell

"""Tables: CSV of texts, Parquet of texts and of messages. What a column cannot hold exactly is refused, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

import orjson

from finetune_sdk.data.checks import RowError
from finetune_sdk.data.formats import Format
from finetune_sdk.data.formats.marks import MARK
from finetune_sdk.data.readers.lines import LINE_BYTES
from finetune_sdk.data.readers.tables import CELL_BYTES, filled, typed
from finetune_sdk.data.writers import Again, Writing
from finetune_sdk.errors import DatasetError, MissingDependencyError
from finetune_sdk.messages import Kind

TEXTS: Mapping[str, Sequence[str]] = {
    "prompt-completion": ("system", "prompt", "completion"),
    "alpaca": ("system", "instruction", "input", "output"),
    "text": ("text",),
}
"""The formats that are texts alone, with their columns in order."""
MESSAGES: Mapping[str, Sequence[str]] = {
    "openai": ("messages", "tools", "parallel_tool_calls"),
    "trl-preference": ("prompt", "chosen", "rejected", "tools"),
    "trl-kto": ("prompt", "completion", "label", "tools"),
}
"""The formats with lists of messages, with their columns; tools are kept as JSON text there."""
CSV_DEFAULTS: Mapping[Kind, str] = {"chat": "prompt-completion", "text": "text"}
PARQUET_DEFAULTS: Mapping[Kind, str] = {
    "chat": "openai", "preference": "trl-preference", "rated": "trl-kto", "text": "text"
}  # fmt: skip
GROUP_ROWS = 10_000
GROUP_BYTES = 32 << 20
_CALL = ("tool_calls", "weight")
_NOT_FLAT = "this row is more than one question and one answer, which columns of text cannot hold."


def write_csv(file: BinaryIO, rows: Again, writing: Writing, between: str = ",") -> None:
    """Cells hold the texts exactly: nothing is added to those that a spreadsheet would take for a formula."""
    names = [*TEXTS[writing.form.name], MARK]
    used = {key for _, row in _texts(rows, writing, "save it as JSON lines, or as Parquet") for key in row}
    names = [name for name in names if name in used or (not used and name not in ("system", MARK))]
    file.write(_record(names, between))
    for where, row in _texts(rows, writing, "save it as JSON lines, or as Parquet"):
        cells = [row.get(name, "") for name in names]
        record = _record(cells, between)
        if len(record) >= LINE_BYTES or max(map(len, cells)) >= CELL_BYTES:
            raise DatasetError(f"{where}: the row is too long for CSV.", cure="save it as JSON lines, or as Parquet")
        file.write(record)


def _record(cells: Sequence[str], between: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=between).writerow(cells)
    return text.getvalue().encode()


def _texts(rows: Again, writing: Writing, cure: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows as texts under the columns of the format. Raises DatasetError naming one that is more than that."""
    for where, row in rows():
        try:
            written = writing.written(row)
        except RowError:
            raise DatasetError(f"{where}: {_NOT_FLAT}", cure=cure) from None
        if not all(isinstance(cell, str) for cell in written.values()):
            raise DatasetError(f"{where}: {_NOT_FLAT}", cure=cure)
        yield where, written


def write_parquet(file: BinaryIO, rows: Again, writing: Writing) -> None:
    """A column for each key. A row that would not come back as it is is refused by name.

    Raises MissingDependencyError.
    """
    try:
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise MissingDependencyError("pyarrow, which writes Parquet,", extra="data") from None
    used = _Used()
    for _, row in _columns(rows, writing):
        used.see(row)
    schema = _schema(writing.form, used)
    with ParquetWriter(file, schema) as writer:
        each = _columns(rows, writing)
        while group := _group(each):
            writer.write_table(_table(group, schema, writing.form))


@dataclass(slots=True)
class _Used:
    """Which columns the rows have, and which keys the messages in them."""

    columns: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)

    def see(self, row: Mapping[str, Any]) -> None:
        self.columns |= row.keys()
        for cell in row.values():
            for message in cell if isinstance(cell, list) else ():
                self.messages |= message.keys()


def _columns(rows: Again, writing: Writing) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows as the format writes them, tools as JSON text."""
    if writing.form.name in TEXTS:
        yield from _texts(rows, writing, "save it as JSON lines, or as Parquet in the format 'openai'")
        return
    for where, row in rows():
        try:
            written = writing.written(row)
        except RowError as fault:
            raise DatasetError(f"{where}: {fault.message}", cure=fault.cure) from None
        if "tools" in written:
            written = {**written, "tools": orjson.dumps(written["tools"]).decode()}
        yield where, written


def _group(each: Iterator[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """The next rows, as many as fit into memory well."""
    group, size = [], 0
    for where, row in islice(each, GROUP_ROWS):
        group.append((where, row))
        size += len(orjson.dumps(row))
        if size >= GROUP_BYTES:
            break
    return group


def _schema(form: Format, used: _Used) -> Any:
    import pyarrow as pa

    text = pa.string()
    call = pa.struct({"id": text, "type": text, "function": pa.struct({"name": text, "arguments": text})})
    kinds = {"weight": pa.int64(), "tool_calls": pa.list_(call)}
    order = ["role", "content", *sorted(used.messages - {"role", "content", *_CALL}), *_CALL]
    messages = pa.list_(pa.struct([(key, kinds.get(key, text)) for key in order if key in used.messages]))
    cells = {MARK: text, "tools": text, "label": pa.bool_(), "parallel_tool_calls": pa.bool_()}
    names = [*(TEXTS.get(form.name) or MESSAGES[form.name]), MARK]
    known = text if form.name in TEXTS else messages
    return pa.schema([(name, cells.get(name, known)) for name in names if name in used.columns])


def _table(group: Sequence[tuple[str, dict[str, Any]]], schema: Any, form: Format) -> Any:
    """The rows as an Arrow table from which each comes back as it was."""
    import pyarrow as pa

    try:
        table = pa.Table.from_pylist([row for _, row in group], schema)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        if len(group) == 1:
            raise _unheld(group[0][0]) from None
        return pa.concat_tables([_table([one], schema, form) for one in group])
    back = typed(filled(iter(enumerate(table.to_pylist()))))
    for (where, row), (_, again) in zip(group, back, strict=True):
        if _meaning(row, form) != _meaning(again, form):
            raise _unheld(where)
    return table


def _meaning(row: dict[str, Any], form: Format) -> bytes:
    ((_, row),) = typed(iter([(1, row)]))
    return orjson.dumps(form.canonical(row), option=orjson.OPT_SORT_KEYS)


def _unheld(where: str) -> DatasetError:
    return DatasetError(
        f"{where}: the row holds what a column of Parquet cannot hold exactly, such as content parts or a weight of 1.0.",
        cure="save it as JSON lines",
    )

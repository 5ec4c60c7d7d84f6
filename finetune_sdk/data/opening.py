"""What a path or rows in memory turn out to be, by content, and the source behind which their rows then stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from os.path import exists, isdir, isfile, islink
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from finetune_sdk.data.checks import Finding, RowError
from finetune_sdk.data.formats import FORMATS, Format, detect, named
from finetune_sdk.data.formats.marks import MARK, mark
from finetune_sdk.data.readers import Raw, Rows
from finetune_sdk.data.readers.arrays import array_items
from finetune_sdk.data.readers.columns import Columns
from finetune_sdk.data.readers.lines import BYTE_ORDER_MARK, GZIP, json_lines, opened
from finetune_sdk.data.readers.tables import csv_rows, filled, frame_rows, header, is_frame, parquet_rows, typed
from finetune_sdk.data.sources import FileSource, Source
from finetune_sdk.data.spool import Spool, read_with
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import ChatExample, Example, Kind, PreferenceExample, RatedExample, TaskExample, TextExample

DETECT_ROWS = 20
PARQUET = b"PAR1"


class Opened(NamedTuple):
    """A source, what is wrong with the rows that it could not take, and the format that all are in (None: examples)."""

    source: Source
    faults: list[Finding]
    form: Format | None


class Contents(NamedTuple):
    """What a file turned out to hold: what a row is called there, and a way to read all rows, now and again.

    JSON lines that can be indexed `in_place` need not be copied.
    """

    unit: str
    rows: Callable[[], Rows]
    in_place: bool = False


class Origin(NamedTuple):
    """Where the rows of a dataset came from, as it was understood."""

    path: Path
    form: Format
    columns: Mapping[str, str] | None
    stamp: tuple[int, int]

    @classmethod
    def of(cls, path: Path, form: Format, columns: Mapping[str, str] | None) -> Origin:
        return cls(path.absolute(), form, columns, _stamp(path))

    def rows(self) -> Rows:
        """The raw rows once more, also those that could not be used. Raises DatasetError where the file has changed."""
        if _stamp(self.path) != self.stamp:
            raise DatasetError(f"{self.path} has changed since it was loaded.", cure="load the dataset anew")
        return contents(self.path, None if self.columns is None else Columns(self.columns, str(self.path))).rows()

    def column(self, name: str) -> dict[int, Any]:
        """What the rows that have it say under a key, by their number. Raises DatasetError where the file has changed."""
        if _stamp(self.path) != self.stamp:
            raise DatasetError(f"{self.path} has changed since it was loaded.", cure="load the dataset anew")
        values = ((number, _under_name(row, name)) for number, row in contents(self.path, None).rows())
        return {number: value for number, value in values if value is not None}


def open_file(path: Path, name: str | None, columns: Mapping[str, str] | None) -> Opened:
    """The rows of a file and what is wrong with others of them. Raises DatasetError where there is no row to speak of."""
    form = named(name) if name else None
    named_so = None if columns is None else Columns(columns, str(path))
    held = contents(path, named_so)
    if not held.in_place:
        return _spooled(held.rows(), form, path.name, str(path), held.unit, named_so)
    if form is None:
        form = _detected(_head(held.rows()), str(path), held.unit)
    source = FileSource(path, form)
    return Opened(source, source.faults.findings(), form)


def contents(path: Path, columns: Columns | None) -> Contents:
    """What a file holds, by its first bytes. Raises DatasetError where it holds no rows at all."""
    start, name = _start(path), str(path)
    if start.startswith(PARQUET):
        return Contents("row", lambda: typed(filled(_under(parquet_rows(path), columns, table=True))))
    with opened(path) as file:
        first = _first_byte(file)
    if first == b"":
        raise DatasetError(f"{path} is empty.", cure="write one example on each line")
    if first == GZIP[:1]:
        raise DatasetError(f"{path} is packed twice.", cure="unpack it once")
    if first == b"[":
        return Contents("item", lambda: _under(_each(path, lambda file: array_items(file, name)), columns, table=False))
    if first != b"{":
        table = _is_csv(path, columns)
        if not table and not _holds_an_object(path):
            if columns is None:
                raise _no_json(path)
            table = True
        if table:
            return Contents(
                "line", lambda: typed(_under(_each(path, lambda file: csv_rows(file, name)), columns, table=True))
            )
    packed = start.startswith(GZIP)
    return Contents(
        "line", lambda: _under(_each(path, json_lines), columns, table=False), in_place=not packed and columns is None
    )


def _each(path: Path, read: Callable[[BinaryIO], Rows]) -> Rows:
    with opened(path) as file:
        yield from read(file)


def open_rows(rows: Iterable[Any], name: str | None, columns: Mapping[str, str] | None, where: str) -> Opened:
    """Rows in memory: examples, objects as a file would hold them, or a frame."""
    form = named(name) if name else None
    named_so = None if columns is None else Columns(columns, where)
    frame = is_frame(rows)
    if isinstance(rows, str | bytes | Mapping) or not (frame or isinstance(rows, Iterable)):
        raise DatasetError(
            f"{where}: the rows are {type(rows).__name__}.",
            cure="give a list of rows, or one of several splits; Dataset.load(path) reads a file",
        )
    numbered = frame_rows(rows) if frame else enumerate(rows, 1)
    first = next(numbered, None)
    if first is None:
        raise DatasetError(f"{where}: there are no rows.", cure="give at least one example")
    numbered = chain([first], numbered)
    if not frame and isinstance(first[1], Example):
        return _of_examples(numbered, _kind_of(first[1]), where)
    checked = _under((_as_object(number, item, where) for number, item in numbered), named_so, table=frame)
    return _spooled(typed(filled(checked)) if frame else checked, form, where, where, "row", named_so)


def _spooled(rows: Rows, form: Format | None, name: str, where: str, unit: str, columns: Columns | None) -> Opened:
    """The rows in a spool, in the format that is named or that the first of them are in."""
    if form is None:
        head = _head(rows)
        form = _detected(head, where, unit, columns)
        rows = chain(head, rows)
    spool = Spool(form.kind, name, unit)
    spool.fill(rows, read_with(form), form)
    return Opened(spool, spool.faults.findings(), form)


def _head(rows: Rows) -> list[Raw]:
    """The rows that tell the format: up to the 20th object."""
    head, objects = list[Raw](), 0
    for raw in islice(rows, DETECT_ROWS * 10):
        head.append(raw)
        objects += isinstance(raw[1], Mapping)
        if objects == DETECT_ROWS:
            break
    return head


def _detected(head: Sequence[Raw], where: str, unit: str, columns: Columns | None = None) -> Format:
    """The format that the first rows are in. Raises DatasetError with what is wrong with the first where none is one."""
    objects = [row for _, row in head if isinstance(row, Mapping)]
    if objects:
        try:
            return detect(objects, where)
        except DatasetError:
            if columns is not None:
                columns.all_met()
            raise
    for number, row in head:
        if isinstance(row, RowError):
            others = f" None of the first {len(head)} {unit}s can be read." if len(head) > 1 else ""
            raise DatasetError(f"{where} {unit} {number}: {row.message}{others}", cure=row.cure)
    held = f"holds a row that is {type(head[0][1]).__name__}, and not a single object" if head else "holds no row"
    raise DatasetError(f"{where} {held}.", cure="write one object an example")


def _of_examples(rows: Rows, kind: Kind, name: str) -> Opened:
    """Examples that a program made, each checked as a row of a file is; all are of the first one's kind."""

    def canonical(item: Any) -> dict[str, Any]:
        if not isinstance(item, Example):
            raise RowError(f"this is {type(item).__name__} among examples.", "give examples alone, or objects alone")
        if _kind_of(item) != kind:
            raise RowError(f"this is a {_kind_of(item)} example among {kind} ones.", "make one dataset of each kind")
        row = item.canonical()
        return {**row, **mark(row[MARK])} if MARK in row else row

    spool = Spool(kind, name)
    spool.fill(rows, canonical)
    return Opened(spool, spool.faults.findings(), None)


def _as_object(number: int, item: Any, where: str) -> tuple[int, Any]:
    if isinstance(item, Mapping | Example):
        return number, item
    raise DatasetError(
        f"{where}: row {number} is {type(item).__name__}.",
        cure="give each row as a dict, as a file would hold it, or as an example of another dataset",
    )


def _under(rows: Rows, columns: Columns | None, *, table: bool) -> Rows:
    return rows if columns is None else columns.renamed(rows, table=table)


def _under_name(row: Any, name: str) -> Any:
    if not isinstance(row, Mapping):
        return None
    if name in row:
        return row[name]
    first, _, rest = name.partition(".")
    return _under_name(row.get(first), rest) if rest else None


def _kind_of(example: Example) -> Kind:
    kinds: dict[type, Kind] = {
        ChatExample: "chat", PreferenceExample: "preference", RatedExample: "rated", TaskExample: "task", TextExample: "text"
    }  # fmt: skip
    return kinds[type(example)]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _start(path: Path) -> bytes:
    """The first bytes of the file. Raises DatasetError where it cannot be read, or is of a kind that is not read here."""
    try:
        if exists(path) and not (isfile(path) or isdir(path)):
            raise DatasetError(
                f"{path} is a pipe or a device, and rows are read again from where they stand.",
                cure="write the rows to a file first",
            )
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as fault:
        raise DatasetError(f"{path} cannot be read: {fault.strerror}.", cure=_nearby(path)) from None
    except ValueError as fault:
        raise DatasetError(f"{str(path)!r} is no path: {fault}.", cure="check the path") from None
    for magic, said, cure in _NOT_READ:
        if start.startswith(magic):
            raise DatasetError(f"{path} {said}.", cure=cure)
    if not start.startswith((GZIP, PARQUET)) and _is_wide(start):
        raise DatasetError(f"{path} is text in UTF-16 or UTF-32.", cure="save it as UTF-8")
    return start


def _is_wide(start: bytes) -> bool:
    """Whether these are the first bytes of JSON in UTF-16 or UTF-32 without a byte order mark."""
    return any(wide in start for wide in (b"\0{", b"{\0", b"[\0", b"\0["))


_UNPACK = "unpack it first; of packed files only gzip is read"
_NOT_READ = (
    (b"\xff\xfe", "is text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "is text in UTF-16", "save it as UTF-8"),
    (b"PK\x03\x04", "is a zip archive, or a workbook", "unpack it first, or save the sheet as CSV"),
    (b"\x28\xb5\x2f\xfd", "is packed with zstd", _UNPACK),
    (b"BZh", "is packed with bzip2", _UNPACK),
    (b"\xfd7zXZ", "is packed with xz", _UNPACK),
    (b"ARROW1", "is an Arrow file", "write it as Parquet, or load it with datasets and use Dataset.of"),
    (b"\xff\xff\xff\xff", "is an Arrow stream", "write it as Parquet, or load it with datasets and use Dataset.of"),
    (b"SQLite format 3", "is an SQLite database", "write the rows as JSON lines"),
    (b"\x89PNG", "is an image", "name the file of the rows"),
    (b"%PDF", "is a PDF", "name the file of the rows"),
    (b"\x80\x04", "is a pickle, which is never loaded", "write the rows as JSON lines"),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself", "fetch it with `git lfs pull`"),
    (b"<!DOCTYPE", "is a web page, not the file", "fetch the file itself"),
    (b"<html", "is a web page, not the file", "fetch the file itself"),
)


def _nearby(path: Path) -> str:
    folder = path.parent
    if isdir(path):
        return "name the file, not its folder"
    if islink(path):
        return "the link leads nowhere; name the file itself"
    if not isdir(folder):
        return f"there is no folder {folder}; check the path"
    if exists(path):
        return "check who may read it"
    kinds = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".gz")
    found = sorted(entry.name for entry in folder.iterdir() if entry.suffix in kinds)[:5]
    return f"the folder {folder} holds {', '.join(found)}" if found else f"the folder {folder} holds no data file"


def _first_byte(file: BinaryIO) -> bytes:
    start = file.read(65536).removeprefix(BYTE_ORDER_MARK)
    while start:
        rest = start.lstrip()
        if rest:
            return rest[:1]
        start = file.read(65536)
    return b""


def _is_csv(path: Path, columns: Columns | None) -> bool:
    """Whether a file that begins with no bracket is a table: by its name, or by what its header says."""
    if path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv")):
        return True
    with opened(path) as file:
        names = header(file).names
    wanted = set(columns.names.values()) if columns else set[str]()
    return bool(wanted & set(names)) or any(keys <= set(names) for form in FORMATS for keys in form.keys)


def _holds_an_object(path: Path) -> bool:
    """Whether one of the first lines is a JSON object."""
    with opened(path) as file:
        return any(isinstance(row, Mapping) for _, row in islice(json_lines(file), DETECT_ROWS * 10))


def _no_json(path: Path) -> DatasetError:
    with opened(path) as file:
        line = file.readline(60).removeprefix(BYTE_ORDER_MARK).decode("utf-8", "replace").strip()
    return DatasetError(
        f"{path} line 1: the file is not JSON lines; it starts with {line!r}.",
        cure="write one JSON object on each line",
    )

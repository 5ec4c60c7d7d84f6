"""Canonical rows, written as JSON lines, CSV, TSV or Parquet: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from gzip import GzipFile
from pathlib import Path
from typing import BinaryIO, cast

from finetune_sdk.data.formats import DEFAULTS, FORMATS, Format, named
from finetune_sdk.data.writers import Again, Writing
from finetune_sdk.data.writers.lines import write_lines
from finetune_sdk.data.writers.tables import (
    CSV_DEFAULTS,
    MESSAGES,
    PARQUET_DEFAULTS,
    TEXTS,
    write_csv,
    write_parquet,
)
from finetune_sdk.errors import DatasetError
from finetune_sdk.files import whole
from finetune_sdk.messages import Kind


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file: the formats that it can hold, and the one for each kind of example where none is named."""

    name: str
    formats: Collection[str]
    defaults: Mapping[Kind, str]
    write: Callable[[BinaryIO, Again, Writing], None]

    def form(self, name: str | None, kind: Kind) -> Format:
        """The format to write in. Raises DatasetError where it holds other examples, or this file cannot hold it."""
        name = name or self.defaults.get(kind)
        if name is None:
            raise DatasetError(f"{self.name} cannot hold {kind} examples.", cure="save them as JSON lines: rows.jsonl")
        form = named(name)
        if form.kind != kind:
            raise DatasetError(
                f"{form.name} holds {form.kind} examples, and these are {kind}.", cure="choose another format"
            )
        if form.name not in self.formats:
            raise DatasetError(
                f"{self.name} cannot hold the format {form.name!r}.",
                cure=f"save it as JSON lines, or choose one of {', '.join(self.formats)}",
            )
        return form


LINES = FileKind("JSON lines", [form.name for form in FORMATS], DEFAULTS, write_lines)
CSV = FileKind("CSV", [*TEXTS], CSV_DEFAULTS, write_csv)
TSV = FileKind("TSV", [*TEXTS], CSV_DEFAULTS, partial(write_csv, between="\t"))
PARQUET = FileKind("Parquet", [*TEXTS, *MESSAGES], PARQUET_DEFAULTS, write_parquet)


def save_rows(
    rows: Again, kind: Kind, path: str | os.PathLike[str], format_name: str | None = None, *, marks: bool = True
) -> None:
    """Writes rows of a kind, each with what it is called in an error; what file it is, its name says.

    Without `marks` a synthetic row is written as any other.

    Raises DatasetError naming the first row that the format cannot hold without loss, MissingDependencyError for Parquet.
    """
    target = Path(path)
    file_kind = _file_kind(target)
    form = file_kind.form(format_name, kind)
    try:
        with whole(target) as file, _packed(file, target) as written:
            file_kind.write(written, rows, Writing(form, marks))
    except OSError as fault:
        raise DatasetError(
            f"{target} cannot be written: {fault.strerror}.", cure="check the path and the disk"
        ) from None


def _file_kind(target: Path) -> FileKind:
    name = target.name.lower()
    if name.endswith(".parquet.gz"):
        raise DatasetError(f"{target} would be packed twice: Parquet is packed by itself.", cure="leave out the .gz")
    if name.endswith(".parquet"):
        return PARQUET
    table = {".csv": CSV, ".tsv": TSV}
    return table.get(Path(name.removesuffix(".gz")).suffix, LINES)


def _packed(file: BinaryIO, target: Path) -> AbstractContextManager[BinaryIO]:
    """The file itself, or gzip into it where the target's name ends so; the same rows make the same bytes."""
    if target.suffix != ".gz":
        return nullcontext(file)
    return cast(BinaryIO, GzipFile("", "wb", 6, file, 0))

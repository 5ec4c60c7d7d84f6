"""Canonical rows, written as JSON lines: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from gzip import GzipFile
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from finetune_sdk.data.checks import RowError
from finetune_sdk.data.formats import DEFAULTS, named
from finetune_sdk.errors import DatasetError
from finetune_sdk.files import whole
from finetune_sdk.messages import Kind


def save_rows(
    rows: Iterable[tuple[str, dict[str, Any]]],
    kind: Kind,
    path: str | os.PathLike[str],
    format_name: str | None = None,
    *,
    marks: bool = True,
) -> None:
    """Writes rows of a kind, each with what it is called in an error; by default in OpenAI's format of that kind.

    Without `marks` a synthetic row is written as any other.

    Raises DatasetError naming the first row that the format cannot hold without loss.
    """
    form = named(format_name or DEFAULTS[kind])
    if form.kind != kind:
        raise DatasetError(
            f"{form.name} holds {form.kind} examples, and these are {kind}.", cure="choose another format"
        )
    target = Path(path)
    try:
        with whole(target) as file, _packed(file, target) as lines:
            for where, row in rows:
                try:
                    written = form.written(row, marked=marks)
                except RowError as fault:
                    raise DatasetError(f"{where}: {fault.message}", cure=fault.cure) from None
                lines.write(orjson.dumps(written, option=orjson.OPT_APPEND_NEWLINE))
    except OSError as fault:
        raise DatasetError(
            f"{target} cannot be written: {fault.strerror}.", cure="check the path and the disk"
        ) from None


def _packed(file: BinaryIO, target: Path) -> AbstractContextManager[BinaryIO]:
    """The file itself, or gzip into it where the target's name ends so; the same rows make the same bytes."""
    if target.suffix != ".gz":
        return nullcontext(file)
    return cast(BinaryIO, GzipFile("", "wb", 6, file, 0))

"""JSON lines."""

from __future__ import annotations

from typing import BinaryIO

import orjson

from finetune_sdk.data.checks import RowError
from finetune_sdk.data.writers import Again, Writing
from finetune_sdk.errors import DatasetError


def write_lines(file: BinaryIO, rows: Again, writing: Writing) -> None:
    """Raises DatasetError naming the first row that the format cannot hold without loss."""
    for where, row in rows():
        try:
            written = writing.written(row)
        except RowError as fault:
            raise DatasetError(f"{where}: {fault.message}", cure=fault.cure) from None
        file.write(orjson.dumps(written, option=orjson.OPT_APPEND_NEWLINE))

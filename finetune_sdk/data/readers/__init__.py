"""What yields the raw rows of sources that are not plain JSON lines: packed files, arrays, tables, frames.

A reader yields each row's number with the row, or with the RowError that it is; a source that cannot be read any
further is a DatasetError. None holds more than a few rows.
"""

from collections.abc import Iterator
from typing import Any

from finetune_sdk.data.checks.finding import RowError

Raw = tuple[int, Any]
"""A number from 1, and a row as parsed or a RowError."""
Rows = Iterator[Raw]

__all__ = ["Raw", "RowError", "Rows"]

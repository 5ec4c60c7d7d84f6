"""What writes rows to a file, row by row: JSON lines, CSV, Parquet. One file a family.

A writer is given rows that can be asked for twice (a table has to know its columns before its first row), each with what
it is called in an error.
"""

from collections.abc import Callable, Iterable
from typing import Any

Named = tuple[str, dict[str, Any]]
"""What a canonical row is called, and the row."""
Again = Callable[[], Iterable[Named]]
"""The rows, from the first one, each time that they are asked for."""

__all__ = ["Again", "Named"]

"""What writes rows to a file, row by row: JSON lines, CSV, Parquet. One file a family.

A writer is given rows that can be asked for twice (a table has to know its columns before its first row), each with what
it is called in an error.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from finetune_sdk.data.formats import Format

Named = tuple[str, dict[str, Any]]
"""What a canonical row is called, and the row."""
Again = Callable[[], Iterable[Named]]
"""The rows, from the first one, each time that they are asked for."""


class Writing(NamedTuple):
    """The format that rows are written in, and whether synthetic ones keep their mark."""

    form: Format
    marks: bool

    def written(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Raises RowError where the format cannot hold the row without loss."""
        return self.form.written(row, marked=self.marks)


__all__ = ["Again", "Named", "Writing"]

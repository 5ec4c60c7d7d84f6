"""Finding: one thing that is wrong, where, and the cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from finetune_sdk.messages import Kind

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `rows` are the numbers of lines, items or rows (`unit`), the first `len(rows)` of `count`."""

    check: str
    severity: Severity
    message: str
    cure: str
    rows: tuple[int, ...] = ()
    count: int = 1
    example: str = ""
    unit: str = "line"

    def to_dict(self) -> dict[str, Any]:
        return {
            "check": self.check, "severity": self.severity, "message": self.message, "cure": self.cure,
            "rows": list(self.rows), "count": self.count, "example": self.example, "unit": self.unit,
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}\n  cure: {self.cure}"


class RowError(ValueError):
    """A row that cannot be used; whoever reads the file adds where it stands."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


class Rows(Protocol):
    """The rows that a check has seen: how many, of which kind, what one is called, their hashes, where each stands, and each again."""

    @property
    def kind(self) -> Kind: ...

    @property
    def name(self) -> str: ...

    @property
    def unit(self) -> str: ...

    def __len__(self) -> int: ...

    def hashes(self) -> Iterator[bytes]: ...

    def line(self, index: int) -> int: ...

    def row(self, index: int) -> Mapping[str, Any]: ...

    def rows(self) -> Iterator[Mapping[str, Any]]: ...


class Check(Protocol):
    """One kind of fault. It sees each canonical row once, in order, and then says what it found."""

    def see(self, index: int, row: Mapping[str, Any]) -> None: ...

    def findings(self, rows: Rows) -> Iterator[Finding]: ...

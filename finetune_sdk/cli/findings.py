"""Findings, shown: what is wrong, on which lines, how often, and the cure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from finetune_sdk.data.checks import Finding

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_LINES = 12


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each severity."""
    found = [finding.severity for finding in findings]
    return {"errors": found.count("error"), "warnings": found.count("warning"), "notes": found.count("note")}


def summary(found: Mapping[str, int]) -> str:
    """`2 errors, 1 warning`."""
    words = [f"{count} {name if count != 1 else name[:-1]}" for name, count in found.items() if count]
    return ", ".join(words) or "nothing is wrong"


def plural(count: int, one: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{count:,} {one if count == 1 else f'{one}s'}"


def shown(findings: Sequence[Finding]) -> list[Text]:
    """One paragraph for each kind of fault; rows with the same fault stand together."""
    from rich.text import Text

    from finetune_sdk.cli.screen import plain

    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.severity, finding.message, finding.cure), []).append(finding)
    return [
        Text(f"{severity:<8}", _STYLES[severity])
        .append(plain(f"{_where(same)}{message}"), "default")
        .append(plain(_example(same)), "dim")
        .append("\n  cure: ", "green")
        .append(plain(cure), "default")
        for (severity, message, cure), same in alike.items()
    ]


def _example(same: Sequence[Finding]) -> str:
    example = next((finding.example for finding in same if finding.example), "")
    return f"\n  such as: {' '.join(example.split())}" if example else ""


def _where(same: Sequence[Finding]) -> str:
    """`line 3: `, or `items 3, 7, 9 (120 in all): `; empty where no row is meant."""
    rows = [row for finding in same for row in finding.rows]
    if not rows:
        return ""
    count = max(len(rows), sum(finding.count for finding in same))
    listed = ", ".join(f"{row:,}" for row in rows[:_LINES])
    more = f" ({count:,} in all)" if count > min(len(rows), _LINES) else ""
    unit = next(finding.unit for finding in same if finding.rows)
    return f"{unit if len(rows) == 1 else f'{unit}s'} {listed}{more}: "

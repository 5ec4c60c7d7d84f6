"""docs/performance.md: each benchmark's table stands there between two marks, and only that is ever replaced."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def replaced(page: str, name: str, table: str) -> str:
    """The page with another table at `name`'s marks. Raises ValueError where the page has none."""
    start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    before, opened, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"the page has no marks {start} … {end}")
    return f"{before}{start}\n{table}\n{end}{after}"

"""Modules of the tests are imported by their bare names, so no two may share one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


def test_each_has_a_name_of_its_own() -> None:
    names = Counter(path.name for path in Path(__file__).parents[1].rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []

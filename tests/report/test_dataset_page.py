"""The page of a dataset: self-contained, and rows are nothing but text in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from finetune_sdk.report.dataset import render

EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">{{ 7 * 7 }}{% raw %}</style></title>\u202e\x1b[31m" onclick="x'


def data(text: str = "billing") -> dict[str, Any]:
    return {
        "file": text, "kind": "chat", "rows": 40, "unit": "item", "fingerprint": "0" * 32, "created": "2026-11-22T10:00:00+00:00",
        "errors": 0, "warnings": 1, "notes": 1,
        "findings": [
            {"check": "x", "severity": "warning", "message": text, "cure": text, "rows": [3, 4], "count": 9, "example": text,
             "unit": "item"},
            {"check": "y", "severity": "note", "message": "n", "cure": "c", "rows": [], "count": 1, "example": "", "unit": "item"},
        ],
        "lengths": {"questions": [10, 200, 3_000, 40], "answers": [5, 5, 5]},
        "labels": {"": {text: 30, "delivery": 10}, text: {"a": 1}},
        "samples": [{"line": 7, "turns": [("user", text), (text, text * 100)]}],
        "fixed": {"file": text, "dropped": 1, "changes": [{}, {}]},
    }  # fmt: skip


class Elements(HTMLParser):
    """The elements of a page, with the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def kinds(page: str) -> set[tuple[str, tuple[str, ...]]]:
    return set(Elements(page).found)


def test_hostile_rows_add_no_element_and_no_attribute() -> None:
    page = render(data(EVIL))
    assert kinds(page) <= kinds(render(data("plain words " * 100))) | kinds(render(data()))
    assert "<script" not in page
    assert "{{ 7 * 7 }}" in page
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_the_page_asks_the_network_for_nothing() -> None:
    page = render(data())
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r"(?:src|href)=|url\(|@import", page)


def test_the_page_tells_findings_places_lengths_labels_and_samples() -> None:
    page = render(data())
    for part in ("1 warning", "items 3, 4 and 7 more", "Lengths", "Labels", "item 7", "75.0%", "1 row dropped"):
        assert part in page, part
    assert page.count("<figure>") == 1  # answers of one length have no histogram


@pytest.mark.parametrize("gone", ["findings", "lengths", "labels", "samples"])
def test_what_is_absent_leaves_no_heading(gone: str) -> None:
    full, less = (render(one).count("<h2>") for one in (data(), {**data(), gone: type(data()[gone])()}))
    assert less == full - 1

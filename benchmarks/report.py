"""The page of 10,000 cases: how large it is, how long it takes to make, and how long a real browser takes to open it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.browser import CHROMIUM, Browser
from benchmarks.figures import Row, Spread
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.evaluation.evaluators import ExactMatch, FieldMatch, Length
from finetune_sdk.messages import ChatExample, Message
from finetune_sdk.model import Answer, Recorded

TITLE = "The report of 10,000 cases"
GOAL = "opens in under 2 s, and is under 15 MB"
CASES, OPENED = 10_000, 5


def measure(cases: int = CASES) -> list[Row]:
    started = time.monotonic()
    found = _found(cases)
    judged = time.monotonic() - started
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        page = found.save(Path(folder) / "report.html")
        rows = [
            _row_of("judging three models, with intervals and slices (s)", judged),
            _row_of("writing the page (s)", time.monotonic() - started),
            _row_of("the page (MB)", page.stat().st_size / 1e6, "at most 15"),
        ]
        if CHROMIUM:
            with Browser() as browser:
                opened = [_opening(browser, page) for _ in range(OPENED)]
                searched = browser.run(_SEARCH)
            rows.append(_row_of("opening it in chromium (s)", Spread.of(opened), "at most 2"))
            rows.append(_row_of("searching all its cases, the first time (s)", searched / 1000))
    return rows


def _row_of(what: str, figure: float | Spread, goal: str = "") -> Row:
    return {"what": what, "figure": figure, "goal": goal}


_SEARCH = """new Promise(done => { const started = performance.now(), box = document.getElementById("cases-search");
box.value = "order 77"; box.dispatchEvent(new Event("input"));
setTimeout(() => requestAnimationFrame(() => done(performance.now() - started - 80)), 81) })"""


def _opening(browser: Browser, page: Path) -> float:
    """Until all is loaded, the script has run and the table stands."""
    started = time.monotonic()
    browser.open(page)
    assert browser.run("document.querySelectorAll('#cases-body > details').length") > 0
    return time.monotonic() - started


def _found(cases: int) -> Report:
    rows = [_row(number) for number in range(cases)]
    models: dict[str, Any] = {
        name: Recorded(name, [(row.prompt, Answer(_said(number, row, every))) for number, row in enumerate(rows)])
        for name, every in (("base", 2), ("prompted", 5), ("tuned", 23))
    }
    return Evaluation(Dataset.of(rows), [Length(max_characters=400), FieldMatch(), ExactMatch()]).run(False, **models)


def _row(number: int) -> ChatExample:
    kind = ("billing", "delivery", "outage")[number % 3]
    asked = f"Order {number * 7} has not come yet, and nobody answers the telephone. " * (1 + number % 4)
    expected = f'{{"category": "{kind}", "priority": "normal", "order": {number * 7}}}'
    return ChatExample((Message("user", asked), Message("assistant", expected)))


def _said(number: int, row: ChatExample, every: int) -> str:
    return (
        row.answer.text if number % every else f"I am sorry to hear that. {row.answer.text.replace('normal', 'high')}"
    )

"""The page of a review in a real browser, and a server that is killed while people vote."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from browser import CHROMIUM, Browser, Tab
from finetune_sdk.evaluation.evaluation import Report
from finetune_sdk.review import Review
from finetune_sdk.review.page import Page
from reviewing import HOSTILE, ask, report

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return Review(report(), tmp_path / "votes.db")


@pytest.fixture
def page(review: Review) -> Iterator[Page]:
    with review.page() as serving:
        yield serving


def joined(browser: Browser, url: str, name: str) -> Tab:
    """Somebody who has opened the page and given a name."""
    tab = browser.open(url)
    tab.sees("who")
    tab.type(name)
    tab.hit("Enter")
    tab.sees("case")
    return tab


def votes(tab: Tab, key: str, done: int, total: int = 12) -> None:
    """Hits a key, and waits until the page counts so many."""
    tab.hit(key)
    tab.until(f"document.getElementById('standing').textContent === '{done} of {total}'")
    tab.sees("end" if done == total else "case")


# By hand


@needs_browser
def test_somebody_votes_by_keys_writes_a_note_and_takes_back(browser: Browser, page: Page, review: Review) -> None:
    tab = joined(browser, page.url, "Ada")
    assert tab.text("#standing") == "0 of 12"
    assert re.fullmatch(r"(tuned|base) says \d+", tab.text("#first"))
    votes(tab, "1", 1)
    votes(tab, "2", 2)
    assert len(review.votes) == 2
    tab.hit("n")
    tab.type("too long: 1 2 0 u")
    tab.hit("Escape")
    shown = tab.text("#first"), tab.text("#second")
    votes(tab, "0", 3)
    assert [(vote.chosen, vote.note) for vote in review.votes][2] == (None, "too long: 1 2 0 u")
    votes(tab, "u", 2)
    assert (tab.text("#first"), tab.text("#second")) == shown
    assert tab.value("document.getElementById('note').value") == "too long: 1 2 0 u"
    assert tab.value("document.querySelector('[data-choice=\"0\"]').ariaPressed") == "true"
    assert len(review.votes) == 2


@needs_browser
def test_digits_in_a_note_are_text_and_a_key_held_down_votes_once(browser: Browser, page: Page, review: Review) -> None:
    tab = joined(browser, page.url, "Ada")
    tab.hit("n")
    for key in "120u":
        tab.hit(key)
    assert tab.value("document.getElementById('note').value") == "120u"
    tab.hit("Escape")
    tab.tell("Input.dispatchKeyEvent", type="keyDown", key="1", text="1")
    tab.until("document.getElementById('standing').textContent === '1 of 12'")
    tab.sees("case")
    for _ in range(3):
        tab.tell("Input.dispatchKeyEvent", type="keyDown", key="1", text="1", autoRepeat=True)
    tab.tell("Input.dispatchKeyEvent", type="keyUp", key="1")
    votes(tab, "0", 2)
    first, second = review.votes
    assert first.chosen is not None
    assert second.chosen is None


@needs_browser
def test_digits_need_no_shift_where_the_keyboard_wants_it(browser: Browser, page: Page, review: Review) -> None:
    tab = joined(browser, page.url, "Ada")
    tab.tell("Input.dispatchKeyEvent", type="keyDown", key="&", text="&", code="Digit1")
    tab.until("document.getElementById('standing').textContent === '1 of 12'")
    assert review.votes[0].chosen is not None


@needs_browser
def test_a_page_that_is_loaded_again_goes_on_where_it_was(browser: Browser, page: Page) -> None:
    tab = joined(browser, page.url, "Ada")
    votes(tab, "1", 1)
    shown = tab.text("#first"), tab.text("#second")
    tab.reload()
    tab.until("document.getElementById('standing').textContent === '1 of 12'")
    assert (tab.text("#first"), tab.text("#second")) == shown


@needs_browser
def test_two_people_vote_at_once_each_on_all_cases(browser: Browser, tmp_path: Path) -> None:
    review = Review(report(), tmp_path / "votes.db", cases=4)
    with review.page() as page:
        ada, ben = joined(browser, page.url, "Ada"), joined(browser, page.url, "Ben")
        for done in range(1, 5):
            votes(ada, "1", done, 4)
            votes(ben, "0", done, 4)
        assert "All 4 cases are done. Thank you, Ada." in ada.text("#end")
        assert not ada.visible("[data-choice]")
        assert len(review.votes) == 8
        (row,) = review.report().preferences
        assert row.reviewers == ("Ada", "Ben")
        votes(ada, "u", 3, 4)


@needs_browser
def test_the_buttons_do_what_the_keys_do(browser: Browser, page: Page, review: Review) -> None:
    tab = joined(browser, page.url, "Ada")
    for done, choice in enumerate("120", 1):
        tab.click(f"[data-choice='{choice}']")
        tab.until(f"document.getElementById('standing').textContent === '{done} of 12'")
        tab.sees("case")
    tab.click("#undo")
    tab.until("document.getElementById('standing').textContent === '2 of 12'")
    tab.sees("case")
    tab.click("#leave")
    tab.sees("who")
    assert tab.value("[...document.querySelectorAll('#names option')].map((each) => each.value)") == ["Ada"]
    assert len(review.votes) == 2


@needs_browser
def test_nothing_on_the_page_or_in_what_it_loads_names_a_model(browser: Browser, tmp_path: Path) -> None:
    bare = Review(report(tuned=lambda n: f"x {n}", base=lambda n: f"y {n}"), tmp_path / "votes.db")
    with bare.page() as page:
        tab = joined(browser, page.url, "Ada")
        sheet = ask(f"{page.url}sheet?reviewer=Ada")[1]
        everything = f"{tab.value('document.documentElement.outerHTML')} {sheet}"
        assert "tuned" not in everything
        assert not re.search(r"\bbase\b", everything)
        assert tab.complaints() == []
        assert all(url.startswith(page.url) for url in tab.requests())


@needs_browser
def test_hostile_texts_are_text(browser: Browser, tmp_path: Path) -> None:
    long = "<b>word</b> " * 90_000
    said = [*HOSTILE, long]
    rows = report(len(said), tuned=lambda n: said[n], base=lambda n: said[n] + said[-3 - n % 3])
    data = rows.to_dict()
    for row, text in zip(data["examples"], said, strict=True):
        row["prompt"][1]["text"] = row["expected"] = text
    review = Review(Report.from_dict(data), tmp_path / "votes.db")
    with review.page() as page:
        tab = joined(browser, page.url, "<img src=x onerror=alert(1)>")
        elements = tab.value("document.querySelectorAll('#case *').length")
        for done in range(1, len(review) + 1):
            tab.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            tab.value("document.querySelectorAll('.more').forEach((each) => each.click())")
            drawn = tab.value("document.querySelectorAll('#case *').length")
            assert drawn <= elements
            votes(tab, "0", done, len(review))
        assert tab.value("document.title") == "Which answer is better?"
        assert tab.value("document.querySelectorAll('img, iframe, style, svg, base, a').length") == 0
        assert tab.complaints() == []
        assert all(url.startswith(page.url) for url in tab.requests())


@needs_browser
def test_a_megabyte_is_folded_and_shown_whole_on_a_click(browser: Browser, tmp_path: Path) -> None:
    review = Review(report(1, tuned=lambda n: "word " * 200_000), tmp_path / "votes.db")
    with review.page() as page:
        tab = joined(browser, page.url, "Ada")
        assert len(tab.text("#case")) < 10_000
        began = time.monotonic()
        tab.click(".more")
        assert len(tab.text("#case")) > 1_000_000
        assert time.monotonic() - began < 20


@needs_browser
def test_a_script_that_somehow_got_in_would_not_run(browser: Browser, page: Page) -> None:
    tab = joined(browser, page.url, "Ada")
    tab.value(
        "(() => { const s = document.createElement('script'); try { s.text = 'document.title=1'; } catch {}"
        " document.body.append(s); })()"
    )
    refused = tab.value(
        "(() => { try { document.body.innerHTML = '<b>x</b>'; return false; } catch { return true; } })()"
    )
    assert refused
    assert tab.value("document.title") == "Which answer is better?"


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_narrow_and_wide_light_and_dark(browser: Browser, tmp_path: Path, width: int, dark: bool) -> None:
    review = Review(report(4, tuned=lambda n: "long" * 2_000 + f"\n{n}"), tmp_path / "votes.db")
    with review.page() as page:
        tab = joined(browser, page.url, "Ada")
        tab.looks(width, dark=dark)
        assert tab.value("document.documentElement.scrollWidth") <= width
        for choice in "120":
            assert tab.visible(f"[data-choice='{choice}']")
        box = tab.value("JSON.stringify(document.querySelector('[data-choice=\"2\"]').getBoundingClientRect())")
        assert '"bottom":' in box
        ground = tab.value("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(22, 24, 27)" if dark else "rgb(253, 253, 252)")


# Killed


class Command:
    """`finetune review` as a process of its own."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "finetune_sdk", "review", "triage.json", "--no-open", *more],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "NO_COLOR": "1", "FINETUNE_HOME": str(folder / "home")},
        )  # fmt: skip
        assert self.process.stderr is not None
        lines = iter(self.process.stderr.readline, "")
        self.url = next(line.removeprefix("open ").strip() for line in lines if line.startswith("open "))

    def ends(self, by: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(by)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    report(400).save(tmp_path / "triage.json")
    return tmp_path


def voter(url: str, name: str, counted: list[str]) -> None:
    """Votes as fast as it goes, and remembers what the server has counted."""
    try:
        sheet: Any = ask(f"{url}sheet?reviewer={name}")[1]
        while sheet["ballot"] is not None:
            identity = sheet["ballot"]["id"]
            status, sheet = ask(f"{url}vote", {"reviewer": name, "ballot": identity, "choice": "1"})
            assert status == 200
            counted.append(identity)
    except (OSError, HTTPException):
        return


@pytest.mark.parametrize("times", [3, pytest.param(30, marks=pytest.mark.soak)])
def test_a_server_that_is_killed_loses_no_vote_that_it_counted(folder: Path, times: int) -> None:
    report(150 * times).save(folder / "triage.json")
    counted: dict[str, list[str]] = {"ada": [], "ben": []}
    for _ in range(times):
        command = Command(folder)
        people = [Thread(target=voter, args=(command.url, name, of)) for name, of in counted.items()]
        for person in people:
            person.start()
        time.sleep(random.uniform(0.2, 0.6))
        command.ends(signal.SIGKILL)
        for person in people:
            person.join(timeout=30)
    kept = Review(folder / "triage.json").votes
    for name, of in counted.items():
        mine = [vote.ballot for vote in kept if vote.reviewer == name]
        assert len(of) > 3
        assert set(of) <= set(mine)
        assert len(of) == len(set(of))
        assert len(mine) <= len(of) + times


@needs_browser
def test_who_was_voting_when_the_server_was_killed_goes_on(browser: Browser, folder: Path) -> None:
    first = Command(folder)
    tab = joined(browser, first.url, "Ada")
    for done in range(1, 4):
        votes(tab, "1", done, 400)
    unseen = tab.text("#first"), tab.text("#second")
    first.ends(signal.SIGKILL)
    tab.hit("2")
    tab.sees("fault")
    assert "Votes that were counted are kept" in tab.text("#fault")
    again = Command(folder)
    tab = joined(browser, again.url, "ada")
    assert tab.text("#standing") == "3 of 400"
    assert (tab.text("#first"), tab.text("#second")) == unseen
    votes(tab, "2", 4, 400)
    status, out = again.ends(signal.SIGINT)
    assert status == 0
    assert "decided cases" in out
    (row,) = Report.load(folder / "triage.json").preferences
    assert (row.votes, row.reviewers) == (4, ("Ada",))


def test_ending_puts_the_votes_into_the_report_and_its_page(folder: Path) -> None:
    Report.load(folder / "triage.json").save(folder / "triage.html")
    command = Command(folder, "--json", "--cases", "20")
    voter(command.url, "ada", [])
    status, out = command.ends(signal.SIGTERM)
    assert status == 0
    assert '"votes": 20' in out
    assert "What people prefer" in (folder / "triage.html").read_text("utf-8")
    assert not list(folder.glob(".*"))

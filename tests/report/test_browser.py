"""The page in a real browser: its table searches and filters, and nothing that a model said ever runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import CHROMIUM, Browser
from finetune_sdk.report import html
from sample import sample
from test_html import ELEMENTS_OF_DATA, hostile

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")
RUNS = (
    "<img src=x onerror=\"window.owned='owned'\"><script>window.owned='owned'</script><svg onload=\"window.owned='owned'\">"
    "</script><script>window.owned='owned'</script><iframe srcdoc='<script>parent.owned=1</script>'></iframe>"
)
ROWS = "document.querySelectorAll('#cases-body > details').length"
TOLD = "document.getElementById('cases-told').textContent"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


def shown(browser: Browser, folder: Path, data: dict[str, Any]) -> None:
    page = folder / "report.html"
    page.write_text(html.render(data), encoding="utf-8")
    browser.open(page)


def pick(browser: Browser, select: str, value: str) -> None:
    browser.run(
        f"(e => {{ e.value = '{value}'; e.dispatchEvent(new Event('change')) }})(document.getElementById('{select}'))"
    )


def seek(browser: Browser, words: str) -> None:
    line = f"(e => {{ e.value = {words!r}; e.dispatchEvent(new Event('input')) }})(document.getElementById('cases-search'))"
    browser.run(line)
    browser.run("new Promise(done => setTimeout(done, 200))")


def test_nothing_of_a_hostile_report_runs_and_nothing_becomes_an_element(browser: Browser, tmp_path: Path) -> None:
    data = hostile(60)
    for example in data["examples"]:
        for answer in example["answers"].values():
            answer["text"] += RUNS
            answer["error"] = RUNS
        example["prompt"][-1]["text"] += RUNS
    shown(browser, tmp_path, data)
    assert browser.run(ROWS) == 50
    for choice in ("expected", "0"):
        pick(browser, "cases-from", choice)
        browser.run("document.querySelectorAll('#cases-body > details').forEach(each => each.open = true)")
        browser.run("new Promise(done => setTimeout(done, 300))")
        assert browser.run("document.querySelectorAll('#cases-body .said').length") >= 50 * 3
    assert browser.run("document.querySelector('#cases-body').textContent.includes('<script>window.owned')")
    names = browser.run("[...new Set([...document.querySelectorAll('*')].map(each => each.localName))]")
    assert not ELEMENTS_OF_DATA & set(names)
    assert browser.run("document.querySelectorAll('script').length") == 2
    handlers = "[...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => a.name.startsWith('on')))"
    assert browser.run(handlers) is False
    assert browser.run("window.owned === undefined") is True
    told = [said for said in browser.told if said["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert told == []
    asked = [said["params"]["request"]["url"] for said in browser.told if said["method"] == "Network.requestWillBeSent"]
    assert all(url.startswith("file:") for url in asked)


def test_a_script_that_got_into_the_page_all_the_same_would_not_run(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    forced = html.render(sample(3)).replace("</main>", f"{RUNS}</main>")
    page.write_text(forced, encoding="utf-8")
    browser.open(page)
    browser.run("new Promise(done => setTimeout(done, 200))")
    assert browser.run("window.owned === undefined") is True
    with pytest.raises(RuntimeError):
        browser.run("document.body.innerHTML = '<b>x</b>'")


def test_the_table_searches_filters_and_turns_its_pages(browser: Browser, tmp_path: Path) -> None:
    data = sample(160)
    shown(browser, tmp_path, data)
    assert browser.run(TOLD) == "160 of 160 cases"
    browser.run("document.getElementById('cases-on').click()")
    assert browser.run("document.getElementById('cases-place').textContent") == "51 – 100"
    assert browser.run("document.querySelector('#cases-body .number').textContent") == "Case 51"
    words = data["examples"][7]["prompt"][1]["text"].split()
    number = next(word.strip(".,") for word in words if any(letter.isdigit() for letter in word))
    seek(browser, number)
    assert "Case 8" in browser.run("document.getElementById('cases-body').textContent")
    seek(browser, "no such words anywhere")
    assert browser.run(TOLD) == "None of 160 cases"
    seek(browser, "")
    wrong = sum(not example["answers"]["tuned"]["scores"]["FieldMatch"]["passed"] for example in data["examples"])
    pick(browser, "cases-judge", "1")
    pick(browser, "cases-which", "fails2")
    assert browser.run(TOLD) == f"{wrong} of 160 cases"
    pick(browser, "cases-which", "all")
    bugs = sum(example["slices"]["label"] == "bug" for example in data["examples"])
    first = "[...document.getElementById('cases-slice').options].find(each => each.text === 'label: bug').value"
    pick(browser, "cases-slice", browser.run(first))
    assert browser.run(TOLD) == f"{bugs} of 160 cases"


def test_a_case_that_is_unfolded_shows_what_changed(browser: Browser, tmp_path: Path) -> None:
    data = sample(3)
    answers = data["examples"][0]["answers"]
    answers["prompted"]["text"], answers["tuned"]["text"] = "the cat sat down", "the dog sat down"
    shown(browser, tmp_path, data)
    browser.run("document.querySelector('#cases-body > details').open = true")
    browser.run("new Promise(done => setTimeout(done, 100))")
    changed = (
        "[...document.querySelectorAll('#cases-body .diff > *')].map(each => each.localName + ' ' + each.textContent)"
    )
    assert browser.run(changed) == ["span the ", "del cat", "ins dog", "span  sat down"]


def test_without_scripts_the_page_still_shows_its_examples(browser: Browser, tmp_path: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        shown(browser, tmp_path, sample(160))
        hidden = "getComputedStyle(document.getElementById('cases')).display"
        assert browser.run(hidden) == "none"
        assert browser.run("document.querySelectorAll('.examples .example').length") > 60
        assert browser.run("getComputedStyle(document.querySelector('div.unscripted')).display") == "block"
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("wide", [360, 420, 1100])
def test_the_page_is_never_wider_than_the_window(browser: Browser, tmp_path: Path, wide: int) -> None:
    browser.look(wide)
    shown(browser, tmp_path, sample(60))
    assert browser.run("document.documentElement.scrollWidth") <= wide

"""The page: what it holds, what it leaves out, and that no model's answer is ever more than text."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import Counter
from copy import deepcopy
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.report import cases, html
from finetune_sdk.report.visible import visible
from sample import sample

HOSTILE = (
    "<script>alert(1)</script>",
    "</script></style></title></textarea><img src=x onerror=alert(1)>",
    "--><svg/onload=alert(1)>]]>",
    '" onmouseover="alert(1)" x=\'',
    "' autofocus onfocus='alert(1)",
    "javascript:alert(1)",
    "{{7*7}}{% for x in y %}${7*7}",
    "\x1b[31mred\x1b[0m\x1b]8;;http://evil.example\x07link\x1b]8;;\x07\x00\x07\x9b31m",
    "user\u202egnp.exe\u2066\u2069\u200e\u2028\ufeff",
    "half \ud83d of a pair \udc00\ufffe\uffff",
    "<style>*{display:none}</style><base href=//evil.example><form action=//evil.example>",
    "a\u0301" * 40,
)
EVIL = " ".join(HOSTILE)
CALM = re.sub("[<>&\"']", "x", visible(EVIL))
ELEMENTS_OF_DATA = {"img", "base", "form", "iframe", "object", "embed", "link", "a", "textarea"}
OWN = (Path(html.__file__).parent / "cases.js").read_text("utf-8")
VOID = {"meta", "input", "br", "hr"}


class Page(HTMLParser):
    """What a parser makes of a page: its elements, attributes and words; it fails where tags do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def poisoned(value: Any, evil: str = EVIL) -> Any:
    """The data with hostile text behind every string, and in every key that a model or a user may choose."""
    if isinstance(value, str):
        return value + evil
    if isinstance(value, list):
        return [poisoned(inner, evil) for inner in value]
    if isinstance(value, dict):
        return {key: poisoned(inner, evil) for key, inner in value.items()}
    return value


def hostile(cases_: int = 30) -> dict[str, Any]:
    """A report whose every text is hostile, models', evaluators' and fields' names included."""
    data = poisoned(sample(cases_))
    for metric in data["metrics"]:
        metric["fields"] = {name + EVIL: figures for name, figures in metric["fields"].items()}
    for example in data["examples"]:
        example["answers"] = {key + EVIL: answer for key, answer in example["answers"].items()}
        for answer in example["answers"].values():
            answer["scores"] = {name + EVIL: score for name, score in answer["scores"].items()}
            answer["tool_calls"] = [{"name": EVIL, "arguments": {EVIL: EVIL}}, {"name": EVIL, "arguments": EVIL}]
    data["origin"]["curves"][EVIL] = [[1, 0.5], [2, 0.25]]
    data["origin"]["manifest"][EVIL] = {EVIL: EVIL}
    for name, figure in data["origin"]["estimate"].items():
        if isinstance(figure, dict) and "unit" in figure:
            figure["unit"] = sample(1)["origin"]["estimate"][name]["unit"]
    return data


def counted(page: Page) -> Counter[tuple[str, str | None]]:
    """Elements and attributes, but for those of words that changed: how many there are depends on the words."""
    own = [(tag, None) for tag in page.elements] + [(tag, name) for tag, name, _ in page.attributes]
    return Counter(each for each in own if each[0] not in ("del", "ins", "div", "p", "h4"))


def plainly(data: dict[str, Any]) -> dict[str, Any]:
    """The same report with harmless text of the same shape in the place of the hostile one."""

    def calm(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(EVIL, CALM)
        if isinstance(value, list):
            return [calm(inner) for inner in value]
        if isinstance(value, dict):
            return {calm(key): calm(inner) for key, inner in value.items()}
        return value

    return dict(calm(data))


def test_hostile_text_adds_no_element_and_no_attribute() -> None:
    data = hostile()
    page, calm = Page(html.render(data)), Page(html.render(plainly(data)))
    assert not ELEMENTS_OF_DATA & set(page.elements)
    assert set(page.elements) == set(calm.elements)
    assert counted(page) == counted(calm)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in ("style", "href", "src")]
    assert page.elements.count("script") == 2
    held, own = page.scripts
    assert own == OWN
    assert not re.search("[<>&]", held)
    assert json.loads(held)["cases"][0][4][0][0].count("<script>alert(1)</script>") >= 1
    assert "<script>alert(1)</script>" in page.text
    assert "{{7*7}}" in page.text


@pytest.mark.parametrize("evil", HOSTILE)
def test_every_kind_of_hostile_answer_is_shown_as_text(evil: str) -> None:
    data = sample(3)
    for example in data["examples"]:
        for answer in example["answers"].values():
            answer["text"] = "calm"
    clean = Page(html.render(data))
    for example in data["examples"]:
        for answer in example["answers"].values():
            answer["text"] = evil
    page = Page(html.render(data))
    assert Counter(page.elements) == Counter(clean.elements)
    shown = "".join(page.words)
    if evil.isprintable():
        assert evil in shown


def test_no_invisible_character_and_no_half_character_reaches_the_file() -> None:
    page = html.render(hostile())
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]", page)
    assert "␛[31mred" in page
    assert "user⟨U+202E⟩gnp.exe" in page
    assert "half ⟨U+D83D⟩ of a pair" in page


def test_the_page_asks_the_network_for_nothing() -> None:
    page = html.render(sample())
    read = Page(page)
    assert not ELEMENTS_OF_DATA & set(read.elements)
    policy = next(value for tag, name, value in read.attributes if (tag, name) == ("meta", "content"))
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"https?://|//[a-z]", page.replace(OWN, ""))


def test_the_policy_allows_the_pages_own_script_and_no_other() -> None:
    read = Page(html.render(hostile(3)))
    policy = next(value or "" for tag, name, value in read.attributes if (tag, name) == ("meta", "content"))
    digest = b64encode(sha256(OWN.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function|import|fetch|XMLHttp", OWN
    )
    quiet = Page(html.render(hostile(3), searchable=False))
    assert "script" not in quiet.elements
    policy = next(value or "" for tag, name, value in quiet.attributes if (tag, name) == ("meta", "content"))
    assert "script-src" not in policy


def test_the_page_has_its_parts_in_the_order_of_their_weight() -> None:
    data = sample()
    page = Page(html.render(data)).text
    parts = [
        "tuned is better than prompted",
        "160 cases from tickets.jsonl (test) · 95% confidence · 14 March 2026, 10:22 UTC",
        "How often each model is right",
        "field by field",
        "The models compared, case by case",
        "What an answer takes",
        "The training",
        "Estimated and actual",
        "two steps of the longest batch, timed on this machine",
        "None of the 160 cases is a training row.",
        "Examples",
        "For the record",
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    for metric in data["metrics"]:
        assert f"{metric['passed']} of {metric['cases']}" in page
    for pair in data["comparisons"]:
        assert pair["sentence"] in page


def test_what_is_absent_leaves_no_heading() -> None:
    data = sample(origin=False)
    data |= {"comparisons": [], "notes": [], "examples": []}
    page = Page(html.render(data)).text
    for heading in (
        "The models compared",
        "The training",
        "Estimated",
        "To keep in mind",
        "Examples",
        "For the record",
    ):
        assert heading not in page
    assert "How often each model is right" in page


def test_a_hosted_run_without_figures_still_renders() -> None:
    data = sample(20)
    data["origin"] |= {"estimate": None, "actual": {"charge": 4.1}, "curves": {"loss": [[1, 2.0]]}, "manifest": {}}
    for model in data["models"]:
        model["latency"] = {"p50": None, "p95": None}
        model["tokens"] = {"input_mean": None, "output_mean": None}
    page = Page(html.render(data)).text
    assert "$4.10" in page
    assert "The training" not in page


def test_one_model_alone_and_nothing_scored_render() -> None:
    data = sample(4)
    data["models"] = data["models"][:1]
    data["comparisons"] = []
    data["verdict"] = {
        "sentence": "base passes nothing.",
        "outcome": "single",
        "better": None,
        "than": None,
        "on": None,
    }
    data["metrics"] = [
        row | {"passed": 0, "cases": 0, "errors": 4, "rate": None, "low": None, "high": None, "fields": {}}
        for row in data["metrics"]
        if row["model"] == "base"
    ]
    page = Page(html.render(data)).text
    assert "4 errors" in page
    assert "models differ" not in page


def test_a_long_answer_is_folded_and_says_how_much_is_left_out() -> None:
    data = sample(1)
    data["examples"][0]["answers"]["tuned"]["text"] = "word " * 2_000
    page = html.render(data)
    assert page.count("word ") < 2_000
    assert "and 6,000 more characters, not kept in this page" in page
    assert "all 10,000 characters" in page


@pytest.mark.parametrize(
    "said",
    [
        *("x" * 30_000, "\U0001f600" * 30_000),
        *(pytest.param(each * 30_000, marks=pytest.mark.soak) for each in ('"', "\u202e")),
    ],
    ids=["plain", "wide", "quotes", "reversed"],
)
def test_ten_thousand_cases_stay_below_fifteen_megabytes(said: str) -> None:
    data = sample(200)
    for example in data["examples"]:
        for answer in example["answers"].values():
            answer["text"] = said
            answer["error"] = said
        for message in example["prompt"]:
            message["text"] = said
    data["examples"] = [example | {"index": place} for place, example in enumerate(data["examples"] * 50)]
    data["cases"] = len(data["examples"])
    steps = range(200_000)
    data["origin"]["curves"]["loss"] = [[step, 1 / (step + 1)] for step in steps]
    data["origin"]["manifest"] = {f"key {number}": said for number in range(2_000)}
    data["notes"] = [said] * 500
    page = html.render(data)
    assert len(page.encode()) < 15_000_000
    assert "10,000 cases" in page


def test_each_kind_of_difference_is_among_the_first_examples() -> None:
    shown = cases.choose(sample(1_000))
    kinds = {tuple(one.passed for one in case.said) for case in shown.open}
    assert (False, True, False) in kinds
    assert (False, False, True) in kinds
    assert all(case.differs for case in shown.open)
    assert len(shown.all) <= 90
    assert shown.differing > 900


def test_failures_that_all_models_share_are_kept_too() -> None:
    data = sample(40)
    for example in data["examples"][5:9]:
        for answer in example["answers"].values():
            answer["scores"] = deepcopy(answer["scores"])
            for score in answer["scores"].values():
                score["passed"] = False
    shown = cases.choose(data)
    assert {"6", "7", "8", "9"} <= {case.number for case in shown.all if case.fails and not case.differs}


def test_rendering_leaves_the_data_as_it_was() -> None:
    data = sample(20)
    before = deepcopy(data)
    html.render(data)
    assert data == before

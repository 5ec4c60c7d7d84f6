"""The report on a terminal: what it says, and that no answer can drive the terminal."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from finetune_sdk.report import terminal
from sample import sample

EVIL = "[bold red]x[/] [link=http://evil.example]y[/link] :smile: [/nothing]"


def printed(data: dict[str, Any], width: int = 100) -> str:
    page = StringIO()
    terminal.show(data, Console(file=page, width=width, force_terminal=True, color_system="truecolor"))
    return page.getvalue()


def test_the_verdict_comes_first_and_all_figures_follow() -> None:
    data = sample()
    page = terminal.text(data)
    assert page.startswith("tuned is better than prompted")
    for metric in data["metrics"]:
        assert f"{metric['passed']} of {metric['cases']}" in page
    assert "71 s" in page
    assert "3 of 158 cases where the models differ" in page
    assert "None of the 160 cases is a training row." in page


def test_plain_text_has_no_escapes_and_fits_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    page = terminal.text(sample())
    assert "\x1b" not in page
    assert max(map(len, page.splitlines())) <= terminal.WIDTH


def test_markup_in_an_answer_is_text() -> None:
    data = sample(3)
    for example in data["examples"]:
        for answer in example["answers"].values():
            answer["text"] = EVIL
    assert EVIL in terminal.text(data).replace("\n              ", " ")
    assert "]8;" not in printed(data)


def test_escape_sequences_in_any_text_are_spelt_out() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\b\u202e\ud800"
    data = sample(3)
    data["title"] += evil
    data["verdict"]["sentence"] += evil
    data["notes"] = [evil]
    for pair in data["comparisons"]:
        pair["sentence"] += evil
    for metric in data["metrics"]:
        metric["evaluator"] = evil + metric["evaluator"]
    for example in data["examples"]:
        example["where"] = evil
        for answer in example["answers"].values():
            answer["text"] = evil
            answer["error"] = evil
    page = printed(data)
    page.encode("utf-8")
    ours = re.sub(r"\x1b\[[0-9;]*m", "", page)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", ours)
    assert "␛[2J" in ours


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_it_fits_narrow_and_wide_terminals(width: int) -> None:
    page = re.sub(r"\x1b\[[0-9;]*m", "", printed(sample(), width))
    assert max(map(len, page.splitlines())) <= width


def test_without_origin_and_examples_it_says_what_there_is() -> None:
    data = sample(origin=False) | {"examples": [], "comparisons": [], "notes": []}
    page = terminal.text(data)
    assert "FieldMatch" in page
    assert "estimated" not in page
    assert "models differ" not in page

"""The chart and the page of costs: all of it inside the frame, safe with any name, and readable by light and dark."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.browser import CHROMIUM, Browser
from finetune_sdk import Plan, Range, Upkeep, break_even
from finetune_sdk.report.costs import WIDE, as_markdown, chart

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["</svg><script>alert(1)</script>", "\"'><&", "\ud800\x1b", "a | b", "x" * 300]


def usd(low: float, expected: float, high: float) -> Range:
    return Range(low, expected, high, "USD", "a test")


def plan(*names: str, months: int = 12, scale: float = 1.0) -> Plan:
    free = Range.exactly(0, "USD", "nothing")
    rivals = {name: Upkeep(usd(100 * scale, 200 * scale, 250 * scale), free) for name in names}
    return Plan(
        1000,
        usd(200 * scale, 300 * scale, 400 * scale),
        Upkeep(usd(30 * scale, 40 * scale, 50 * scale), free),
        rivals,
        months,
    )


def drawn(one: Plan) -> ElementTree.Element:
    made = chart("a title", break_even(one).to_dict())
    assert made is not None
    return ElementTree.fromstring(made)


@pytest.mark.parametrize("months", [1, 2, 7, 60])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_every_line_stays_inside_the_frame(months: int, scale: float) -> None:
    root = drawn(plan("big", months=months, scale=scale))
    for path in root.iter(f"{SVG}path"):
        found = [float(part) for part in re.findall(r"-?[\d.]+", path.get("d") or "")]
        assert all(0 <= x <= WIDE for x in found[::2])
        assert all(0 <= y <= float(root.get("height") or 0) for y in found[1::2])


def test_the_ring_stands_where_the_money_is_back_for_good() -> None:
    found = break_even(plan("big")).to_dict()
    root = drawn(plan("big"))
    (ring,) = root.iter(f"{SVG}circle")
    assert float(ring.get("cx") or 0) == pytest.approx(
        84 + (WIDE - 84 - 26) * found["against"][0]["months"]["expected"] / 12, abs=0.1
    )


def test_a_retraining_is_a_step() -> None:
    line = next(path for path in drawn(plan("big")).iter(f"{SVG}path") if path.get("class") == "line mark-0")
    places = [part.split()[0] for part in (line.get("d") or "")[1:].split("L")]
    assert sum(places.count(place) == 2 for place in set(places)) == 4


def test_what_is_unknown_is_named_and_not_drawn() -> None:
    one = plan("big")
    unknown = Upkeep(Range.unknown("USD", "no price"), Range.unknown("USD", "no price"))
    root = drawn(Plan(one.answers, one.training, one.tuned, {**one.rivals, "other": unknown}))
    assert "other: unknown" in [text.text for text in root.iter(f"{SVG}text")]
    assert not [path for path in root.iter(f"{SVG}path") if "mark-2" in (path.get("class") or "")]
    assert chart("a title", break_even(Plan(1, one.training, unknown)).to_dict()) is None


def test_what_costs_nothing_at_all_is_drawn() -> None:
    assert drawn(plan("big", scale=0.0)) is not None


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_only_text(name: str) -> None:
    found = break_even(plan(name)).to_dict()
    made = chart(name, found)
    assert made is not None
    made.encode()
    tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(made).iter()}
    assert tags <= {"svg", "style", "title", "rect", "line", "text", "path", "circle"}
    usage = {"answers": 1, "input_tokens": 1, "output_tokens": 1, "basis": name}
    page = as_markdown({"job": name, "backend": name, "estimate": {"notes": []}, "break_even": found, "usage": usage})
    assert "<script>" not in page
    assert "a | b" not in page
    page.encode()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")
def test_in_a_browser_no_text_leaves_the_picture_or_lies_on_another(tmp_path: Path) -> None:
    page = tmp_path / "a.svg"
    made = chart(
        "A Long Name of a Model " * 20, break_even(plan(*NAMES[:4], "A Long Name of a Model " * 20, "big")).to_dict()
    )
    assert made is not None
    page.write_text(made)
    with Browser() as browser:
        browser.look(800, 700)
        browser.open(page)
        boxes = browser.run(
            "[...document.querySelectorAll('text')].map(e => e.getBoundingClientRect()).map(b => [b.left, b.top, b.right, b.bottom])"
        )
        ink = "getComputedStyle(document.querySelector('.note')).fill"
        light = browser.run(ink)
        browser.look(800, 700, dark=True)
        assert browser.run(ink) != light
    assert all(left >= 0 and right <= WIDE for left, _, right, _ in boxes)
    for place, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[place + 1 :]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] + 1 or other[3] <= top + 1
            assert apart, (boxes[place], other)

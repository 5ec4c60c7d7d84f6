"""Text made fit to be shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from finetune_sdk.report import figures
from finetune_sdk.report.visible import CAP, excerpt, flat, short, visible

ANY = st.text(st.characters(exclude_categories=()))


@given(ANY)
def test_what_is_shown_is_utf8_and_shown_again_is_the_same(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown
    assert all(character in "\n\t" or not 0 <= ord(character) < 0x20 for character in shown)


@given(ANY, st.integers(2, 40))
def test_a_short_text_is_one_line_of_its_length(text: str, cap: int) -> None:
    assert len(short(text, cap)) <= cap
    assert "\n" not in short(text, cap)


def test_emoji_and_scripts_that_need_joiners_stay_whole() -> None:
    family = "👨‍👩‍👧 می‌خواهم é"
    assert visible(family) == family


def test_an_excerpt_says_what_it_leaves_out() -> None:
    found = excerpt("x" * (CAP + 5))
    assert (len(found.whole), found.beyond, found.folded) == (CAP, 5, True)
    assert not excerpt("short").folded


def test_a_nested_table_is_flat_and_bounded() -> None:
    assert flat({"a": {"b": 1, "c": None}, "d": [1, 2], "e": True}) == [("a.b", "1"), ("d", "[1, 2]"), ("e", "true")]
    assert len(flat({str(number): number for number in range(10_000)}, rows=50)) == 51


def test_a_rate_is_rounded_to_all_or_nothing_only_where_it_is() -> None:
    assert [figures.percent(rate) for rate in (0, 0.0001, 0.975, 0.9999, 1)] == ["0%", "0.1%", "97.5%", "99.9%", "100%"]


def test_an_instant_that_is_none_stays_as_it_is() -> None:
    assert figures.day("2026-03-14T10:22:07Z") == "14 March 2026, 10:22 UTC"
    assert figures.day("once") == "once"

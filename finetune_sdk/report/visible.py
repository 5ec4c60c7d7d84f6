"""Text that nobody vouches for, made fit to be shown: nothing in it is invisible, and nothing of it is acted on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

CAP = 4_000
HEAD = 480
HEAD_LINES = 12

# Controls but tab and newline, separators, bidi and other invisible format characters (the joiners stay: emoji and
# several scripts need them), lone surrogates, noncharacters.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
    + "".join(f"{chr((plane << 16) + 0xFFFE)}{chr((plane << 16) + 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
_WHITE = str.maketrans("", "", "\n\t")


def visible(text: str) -> str:
    """`text` with what cannot be seen spelt out: ESC as `␛`, other controls as `⟨U+202E⟩`. Valid UTF-8; idempotent."""
    # Of ASCII only controls are hidden; what has none is told without searching, which is slow for so many letters.
    if text.isascii() and text.translate(_WHITE).isprintable():
        return text
    if _HIDDEN.search(text) is None:
        return text
    return _HIDDEN.sub(_spelt, text.replace("\r\n", "\n"))


def _spelt(found: re.Match[str]) -> str:
    return _name(found.group())


@cache
def _name(hidden: str) -> str:
    code = ord(hidden)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """As much of a text as is shown: `head` at once, `whole` when unfolded, and `beyond`, the characters left out."""

    whole: str
    head: str
    beyond: int

    @property
    def folded(self) -> bool:
        return self.head != self.whole

    def __bool__(self) -> bool:
        return bool(self.whole)


def excerpt(text: str, cap: int = CAP) -> Excerpt:
    """The first `cap` characters of `text`, folded where they are more than a glance."""
    whole = visible(text[:cap])
    head = "\n".join(whole[: HEAD + 1].split("\n")[:HEAD_LINES])[:HEAD]
    almost_all = len(whole) <= HEAD * 1.25 and whole.count("\n") < HEAD_LINES
    return Excerpt(whole, whole if almost_all else head, max(0, len(text) - cap))


def short(text: str, cap: int) -> str:
    """One line of at most `cap` characters."""
    line = visible(" ".join(text[: cap * 4].split()))
    return line if len(line) <= cap and len(text) <= cap * 4 else f"{line[: cap - 1].rstrip()}…"


def flat(table: Mapping[str, Any], rows: int = 400, cap: int = 500) -> list[tuple[str, str]]:
    """A nested table as dotted names and values, at most `rows` of them; what is empty is left out."""
    found: list[tuple[str, str]] = []

    def walk(name: str, value: Any) -> None:
        if value is None or value in ("", [], {}) or len(found) > rows:
            return
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(f"{name}.{key}" if name else str(key), inner)
            return
        found.append((short(name, 120), short(written(value), cap)))

    walk("", table)
    return found if len(found) <= rows else [*found[:rows], ("…", "more rows than are shown here")]


def written(value: Any) -> str:
    """A plain value as text: strings as they are, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return json.dumps(value, ensure_ascii=False, default=str)

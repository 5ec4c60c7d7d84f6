"""Texts from elsewhere, quoted so that they stay data: whatever they say, they cannot end the quotation.

Two walls. Within the quotation each text is a JSON string of one line, in which no sign is left that a chat template or a tag is
made of, and nothing is invisible. Around it stands a mark, drawn from the content, that occurs nowhere in it. A verdict has to
repeat the mark, so a verdict that stands in a judged text, and is copied out of it, is none.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any

from finetune_sdk.evaluation.evaluators.reading import mended

MOST_CHARACTERS = 100_000
# Tags and the tokens of chat templates begin with one of these (`<|im_end|>`, `[/INST]`), or with its full-width twin.
_TELLING = frozenset("<[\uff1c\uff3b")
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cn", "Zl", "Zp"})


class TooLongError(ValueError):
    """More text than a judge is given."""


def quoted(texts: Any) -> str:
    """Texts, and lists and objects of them, as JSON that is one line and holds no telling sign in any text."""
    if isinstance(texts, Mapping):
        return "{" + ", ".join(f"{_string(str(key))}: {quoted(value)}" for key, value in texts.items()) + "}"
    if isinstance(texts, list | tuple):
        return "[" + ", ".join(map(quoted, texts)) + "]"
    return _string(texts)


def fenced_in(data: Mapping[str, Any], most: int = MOST_CHARACTERS) -> tuple[str, str]:
    """The mark, and the data between two tags that bear it. Raises TooLongError above `most` characters."""
    length = _length(data)
    if length > most:
        raise TooLongError(f"{length:,} characters are to be judged, and a judge is given {most:,} at most")
    text = quoted(data)
    mark = _mark(text)
    return mark, f"<data-{mark}>\n{text}\n</data-{mark}>"


def _mark(text: str) -> str:
    """16 hex digits that do not stand in the text. The same text has the same mark, so that a judgement can be kept."""
    seed = text.encode()
    while (mark := sha256(seed).hexdigest()[:16]) in text.lower():
        seed = mark.encode()
    return mark


def _length(texts: Any) -> int:
    if isinstance(texts, Mapping):
        return sum(map(_length, texts.values()))
    return len(texts) if isinstance(texts, str) else sum(map(_length, texts))


def _string(text: str) -> str:
    written = json.dumps(mended(text), ensure_ascii=False)
    if written.isascii() and written.isprintable() and not _TELLING & set(written):
        return written
    return "".join(map(_sign, written))


@lru_cache(maxsize=4096)
def _sign(sign: str) -> str:
    if sign in _TELLING or unicodedata.category(sign) in _UNSEEN:
        return "".join(f"\\u{unit:04x}" for unit in _units(sign))
    return sign


def _units(sign: str) -> list[int]:
    """The sign in UTF-16, as JSON escapes it."""
    raw = sign.encode("utf-16-be")
    return [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]

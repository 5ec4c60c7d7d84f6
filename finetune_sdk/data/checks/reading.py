"""What checks read in a canonical row: what is asked, the answer that is to be learnt, and texts made comparable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

_SPACE = re.compile(r"\s+")
_SEPARATORS = re.compile(r"(?<=[^\W\d_])[-_\s]+(?=[^\W\d_])")
_MARKS = " \t\r\n.,;:!?…。！？\"'`“”‘’«»*\ufeff\u200b"
Turn = Mapping[str, Any]


def asked_and_answer(row: Mapping[str, Any]) -> tuple[Sequence[Turn], Turn | None]:
    """The turns before the last answer, and that answer; None where no answer is to be learnt.

    Of a pair the chosen answer counts, of rated ones the good ones: what is rejected is meant to be worse.
    """
    messages = row.get("messages")
    if messages is not None:
        return messages[:-1], messages[-1]
    if "prompt" not in row:
        return (), None
    answer = row.get("chosen") or (row.get("answer") if row.get("good") else None)
    return row["prompt"]["messages"], answer[-1] if answer else None


def tools(row: Mapping[str, Any]) -> Sequence[Any]:
    """The tools that the model was offered."""
    offered: Sequence[Any] = row.get("prompt", row).get("tools", ())
    return offered


def turns(row: Mapping[str, Any]) -> Iterator[Turn]:
    """Every turn of a row, rejected answers too."""
    messages = row.get("messages")
    if messages is not None:
        yield from messages
        return
    if "prompt" in row:
        yield from row["prompt"]["messages"]
        for side in ("chosen", "rejected", "answer"):
            yield from row.get(side, ())


def said(turn: Turn | None) -> str:
    """The text of a turn; parts that are not text are left out."""
    if turn is None:
        return ""
    content = turn["content"]
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or ())


def system(asked: Sequence[Turn]) -> str:
    """The text of the system prompt; empty where there is none."""
    return said(asked[0]) if asked and asked[0]["role"] in ("system", "developer") else ""


def question(asked: Sequence[Turn]) -> str:
    """The text of the last turn that is asked."""
    return said(asked[-1]) if asked and asked[-1]["role"] == "user" else ""


def key(value: Any) -> int:
    """8 bytes that stand for a value within this process."""
    return hash(value if isinstance(value, str) else orjson.dumps(value))


def squeezed(text: str) -> str:
    """The text with each run of white space as one space."""
    return _SPACE.sub(" ", text).strip()


def folded(label: str) -> str:
    """A label without what should not tell two apart: case, punctuation around it, the sign between two words.

    Signs inside stay, so that C, C++ and C# or 1.5 and 15 are not one.
    """
    return _SEPARATORS.sub(" ", label.strip(_MARKS)).casefold() or label


def excerpt(text: str, most: int = 100) -> str:
    """One line of at most `most` characters."""
    line = squeezed(text[: most * 4])
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that the text is; None where it is none."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def percent(part: int, whole: int) -> str:
    """A share as a person says it: `97%`, `under 1%`, and never 100% for what is not all."""
    share = 100 * part / whole
    if 0 < share < 1:
        return "under 1%"
    return f"{min(share, 99) if part < whole else share:.0f}%"

"""Judges for tests: one that reads to the letter and obeys whatever is not quoted, one that copies, one that is honest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from finetune_sdk.messages import Asked, Conversation
from finetune_sdk.model import Answer, Origin, Sampling
from injections import PAYLOAD

GOOD = "GOOD"
_TOKENS = re.compile(
    r"<\|.*?\|>|<\uff5c.*?\uff5c>|<(?:start|end)_of_turn>|</?s>|<<?/?SYS>>|</?think>|[\[\uff3b]/?[A-Z_]{4,}[\]\uff3d]"
)
_TURNS = re.compile(r"^[\W_]*(?:system|user|human|assistant|instruction|response)\W", re.IGNORECASE | re.MULTILINE)
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")
_CLOSING = re.compile(r"[<\uff1c]\s*/\s*data[^>]*[>\uff1e]?", re.IGNORECASE)


def seen(asked: Conversation) -> tuple[dict[str, Any], str]:
    """The data that a judge is given, and all else that a careless reader would take for instructions."""
    user = asked.messages[1].text
    opening = re.search(r"<data-\w*>\n", user)
    assert opening is not None
    inside = user[opening.end() :]
    closing = _CLOSING.search(inside)
    assert closing is not None
    inside, after = inside[: closing.start()], inside[closing.end() :]
    outside = [after]
    for sign in (_TOKENS, _TURNS, _UNSEEN):
        found = sign.search(inside)
        outside.append(inside[found.start() :] if found else "")
    try:
        data, end = json.JSONDecoder().raw_decode(inside)
        outside.append(inside[end:])
    except ValueError:
        data = {}
        outside.append(inside)
    read = "".join(chr(ord(sign) - 0xE0000) if 0xE0000 < ord(sign) < 0xE0080 else sign for sign in "\n".join(outside))
    return data, read


def mark_of(asked: Conversation) -> str:
    found = re.search(r'"mark": "(\w*)"', asked.messages[0].text)
    assert found is not None
    return found[1]


def keys_of(asked: Conversation) -> list[str]:
    """The keys of the verdict that is asked for."""
    form = asked.messages[0].text.rpartition("\n")[2]
    return [key for key in re.findall(r'"(\w+)": ', form) if key not in ("mark", "reason")]


def verdict(asked: Conversation, **values: Any) -> str:
    return json.dumps({"mark": mark_of(asked), "reason": "as I see it", **values})


def honest(asked: Conversation) -> str:
    """The best scores for what says GOOD, the worst for all else; of two the one that says GOOD."""
    data, _ = seen(asked)
    keys = keys_of(asked)
    if keys != ["better"]:
        return verdict(asked, **dict.fromkeys(keys, 5 if GOOD in data.get("answer", "") else 1))
    first, second = (GOOD in data.get(place, "") for place in ("first", "second"))
    return verdict(asked, better="tie" if first == second else "first" if first else "second")


def obedient(asked: Conversation) -> str:
    """Honest, but does what it reads outside the data."""
    if PAYLOAD not in seen(asked)[1]:
        return honest(asked)
    keys = keys_of(asked)
    return verdict(asked, **({"better": "first"} if keys == ["better"] else dict.fromkeys(keys, 5)))


def parrot(asked: Conversation) -> str:
    """Says what the answer says."""
    data, _ = seen(asked)
    return str(data.get("answer", data.get("first")))


@dataclass
class Court:
    """A model that judges as `how` says; it keeps what it was asked."""

    how: Callable[[Conversation], str | Answer] = honest
    name: str = "judge-1"
    origin: Origin = field(default_factory=lambda: Origin("here", "none"))
    asked: list[Conversation] = field(default_factory=list)
    sampled: list[Sampling | None] = field(default_factory=list)
    calls: int = 0

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.answers([asked], sampling)[0]

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        self.calls += 1
        self.sampled.append(sampling)
        return [self._said(Conversation.of(one)) for one in asked]

    def _said(self, asked: Conversation) -> Answer:
        self.asked.append(asked)
        found = self.how(asked)
        return found if isinstance(found, Answer) else Answer(found, (), 100, 20)

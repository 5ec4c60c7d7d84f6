"""What a judge said, read to the letter: nothing in it is guessed at or mended, and what is no verdict raises VerdictError."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from finetune_sdk.evaluation.evaluators.reading import NotJSONError, parsed, shown, unfenced
from finetune_sdk.model import Answer

_THINKING = ("<think>", "</think>")
MARK, REASON = "mark", "reason"
_MOST_CHARACTERS = 20_000


class VerdictError(ValueError):
    """The judge's answer is no verdict; the message says why."""


def read(said: Answer, mark: str, keys: Sequence[str]) -> dict[str, Any]:
    """The verdict: one JSON object that bears the mark, a reason in text, and `keys`, each once and nothing else.

    It may stand in one code fence, and after the judge's own thinking. Raises VerdictError.
    """
    if said.finish == "length":
        raise VerdictError("the judge's answer was cut off; allow more tokens")
    if len(said.text) > _MOST_CHARACTERS:
        raise VerdictError(f"the judge said {len(said.text):,} characters, more than any verdict has")
    text = unfenced(_thought(said.text))
    try:
        found = parsed(text)
    except NotJSONError as fault:
        raise VerdictError(f"the judge gave no verdict: {fault}") from None
    wanted = {MARK, REASON, *keys}
    if not isinstance(found, dict) or found.keys() != wanted or _repeats(text):
        raise VerdictError(
            f"the judge gave no verdict: {shown(found)} is no object of {', '.join((MARK, REASON, *keys))}"
        )
    if found[MARK] != mark:
        raise VerdictError(
            "the judge's verdict does not bear the mark of this case, so it may be the judged text's own"
        )
    if not isinstance(found[REASON], str):
        raise VerdictError(f"the judge's reason is {shown(found[REASON])}, not a text")
    return found


def _thought(text: str) -> str:
    """What follows the thinking of a model that writes it down in its answer."""
    opening, closing = _THINKING
    return text.rpartition(closing)[2] if text.lstrip().startswith(opening) and closing in text else text


def _repeats(text: str) -> bool:
    """Whether a key stands twice in the object."""
    keys = list[str]()
    json.loads(text, object_pairs_hook=lambda pairs: keys.extend(key for key, _ in pairs))
    return len(keys) != len(set(keys))

"""The mark of a synthetic row: the key `synthetic` beside a format's own, with the name of the model that wrote the row.

It is kept wherever the row goes, and is no part of its content: a marked row equal to another repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune_sdk.data.checks.finding import RowError

MARK = "synthetic"
UNNAMED = "a model that is not named"
_TRUTH = {"true": UNNAMED, "false": "", True: UNNAMED, False: ""}


def mark(value: Any) -> dict[str, str]:
    """The mark of a canonical row from what a file has there: a name, true, or false and nothing for a row that is not."""
    if value is None:
        return {}
    if not isinstance(value, str | bool):
        raise RowError(
            f"`{MARK}` is {type(value).__name__}, not the name of the model that wrote the row.",
            "give the model's name, or remove the key",
        )
    if isinstance(value, str) and not _whole(value):
        raise RowError(f"`{MARK}` is no text that can be kept.", "give the model's name in whole characters")
    named = _TRUTH.get(value.strip().lower() if isinstance(value, str) else value)
    name = value.strip() if named is None and isinstance(value, str) else named
    return {MARK: name} if name else {}


def unmarked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the row's content is: all but its mark."""
    return row if MARK not in row else {key: value for key, value in row.items() if key != MARK}


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""What an answer says, as data: strict JSON, and tool calls. Answers come from outside; nothing here may crash on one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from finetune_sdk.messages import Message, ToolCall
from finetune_sdk.model import Answer

DEPTH_LIMIT = 1024
ABSENT = object()
"""What stands where nothing does: null is something."""
_SHOWN_DEPTH = 20
_LONG_NUMBER = re.compile(r"[0-9]{20}")
_FENCE = "```"


class NotJSONError(ValueError):
    """The text is not JSON; the message says where it stops being so."""


def parsed(text: str) -> Any:
    """The JSON value that `text` holds, by RFC 8259: no NaN, no lone surrogates, at most 1,024 levels.

    Of a name that stands twice in an object the last one counts, as in most parsers. Raises NotJSONError.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as fault:
        raise NotJSONError(_refused(text, fault)) from None
    if not _LONG_NUMBER.search(text):
        return value
    try:
        return json.loads(text)  # orjson makes floats of integers beyond 64 bits, and so equals of different ones
    except (ValueError, RecursionError):
        raise NotJSONError("the JSON is nested too deeply, or holds a number that is too long") from None


def _refused(text: str, fault: json.JSONDecodeError) -> str:
    start = text[:200].lstrip()
    if not start and not text.strip():
        return "the answer is empty"
    if start.startswith(_FENCE):
        return f"a code fence, not JSON: {shown(text)}"
    return f"not JSON at character {fault.pos + 1} ({fault.msg}): {shown(text)}"


def unfenced(text: str, *languages: str) -> str:
    """What stands in the one code fence that the whole text is (of these languages, or JSON), or the text itself."""
    block = text.strip()
    first, newline, rest = block.partition("\n")
    if (
        newline
        and rest.endswith(_FENCE)
        and first.strip().lower() in (_FENCE, *(_FENCE + name for name in languages or ("json",)))
    ):
        return rest.removesuffix(_FENCE)
    return text


def said(turn: Answer | Message, *, calls: bool) -> Any:
    """What was said, as data: the JSON of the text or, with `calls`, the tool calls.

    One call is `{"name": …, "arguments": {…}}`, several are a list of such. Raises NotJSONError.
    """
    if not calls:
        return parsed(turn.text)
    if not turn.tool_calls:
        raise NotJSONError("no tool was called")
    found = [call_data(call) for call in turn.tool_calls]
    if deeper_than(found, DEPTH_LIMIT):
        raise NotJSONError("the tool call's arguments are nested too deeply")
    return found[0] if len(found) == 1 else found


def call_data(call: ToolCall) -> dict[str, Any]:
    """A tool call without its id, which is the place's own."""
    return {"name": call.name, "arguments": dict(call.arguments)}


def at(value: Any, path: str) -> Any:
    """What stands in a field, or at a dotted path (`customer.id`, `items.0.price`); ABSENT where nothing does."""
    # A name that holds a dot itself is found before it is taken for a path.
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif (
            isinstance(value, list)
            and step.isdecimal()
            and step.isascii()
            and len(step) < 10
            and int(step) < len(value)
        ):
            value = value[int(step)]
        else:
            return ABSENT
    return value


def field_of(text: str, path: str | None) -> Any:
    """What the field of a JSON text holds, or the text itself without a path. Raises NotJSONError."""
    if path is None:
        return text
    value = at(parsed(text), path)
    if value is ABSENT:
        raise NotJSONError(f"{path} is missing")
    return value


def same(first: Any, second: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, true is not 1, the order of keys does not matter. Walks; never recurses."""
    pairs = [(first, second)]
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            pairs.extend((value, other[key]) for key, value in one.items())
        elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
            if len(one) != len(other):
                return False
            pairs.extend(zip(one, other, strict=True))
        elif not _same_scalar(one, other):
            return False
    return True


def _same_scalar(one: Any, other: Any) -> bool:
    if isinstance(one, dict | list | tuple) or isinstance(other, dict | list | tuple):
        return False
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def deeper_than(value: Any, limit: int) -> bool:
    """Whether arrays and objects are nested more than `limit` levels deep. Walks; never recurses."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list | tuple)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list | tuple)
        ]
        if not level:
            return False
    return True


def shown(value: Any, limit: int = 80) -> str:
    """The start of a value, in one short line that any terminal can print."""
    if isinstance(value, str):
        return mended(repr(value[:limit])) + ("…" if len(value) > limit else "")
    if isinstance(value, dict | list) and len(value) > limit:
        return f"{'an object' if isinstance(value, dict) else 'an array'} of {len(value):,}"
    if deeper_than(value, _SHOWN_DEPTH):
        return "a deeply nested value"
    text = mended(json.dumps(value, ensure_ascii=False, default=repr))
    return text if len(text) <= limit else text[:limit] + "…"


def mended(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, so that it can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text

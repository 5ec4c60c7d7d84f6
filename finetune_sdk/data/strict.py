"""JSON read to the letter: what a parser would lose without a word is an error here.

orjson keeps the last of two equal keys and rounds a whole number beyond 64 bits. Whether it did is first asked cheaply: a
colon stands for each key, and those within texts are the same before and after. Only a line that looks suspicious is
read a second time, slowly. (A colon that a file writes as \\u003a hides one; no program is known to write that.)
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

from finetune_sdk.data.checks.finding import RowError

_DIGITS = bytes(ord("0") if ord("0") <= byte <= ord("9") else byte for byte in range(256))
_LONG = b"0" * 19
_FLAT = "flatten what is nested, and keep to text, numbers of 64 bits, lists and objects"


def parse(line: bytes) -> Any:
    """The JSON value of a line. Raises RowError where it is none, or where something of it would be lost."""
    value = loads(line)
    if not kept(line, value):
        verify(line)
    return value


def loads(line: bytes) -> Any:
    """What orjson reads. Raises RowError where it is not JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as fault:
        raise not_json(line, fault) from None


def kept(line: bytes, value: Any) -> bool:
    """Whether it is certain that all keys and numbers of the line are in the value."""
    try:
        again = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return line.count(b":") == again.count(b":") and not long_number(line)


def long_number(line: bytes) -> bool:
    """Whether 19 digits or more stand in a row: a number there may be too long for 64 bits."""
    return _LONG in line.translate(_DIGITS)


def verify(line: bytes) -> None:
    """Raises RowError for a key that stands twice in one object, and for a whole number beyond 64 bits."""
    try:
        json.loads(line, object_pairs_hook=_once, parse_int=_whole, parse_constant=_constant)
    except RecursionError:
        raise RowError("the row is nested too deeply.", _FLAT) from None
    except RowError:
        raise
    except ValueError as fault:
        raise not_json(line, fault) from None


def not_json(line: bytes, fault: Exception) -> RowError:
    start = line[:60].decode("utf-8", "replace").strip()
    return RowError(f"this is not JSON ({fault}): {start!r}.", _cure(line))


def _cure(line: bytes) -> str:
    if b"\0" in line:
        return "NUL bytes stand in the line; was the file cut off while it was written? Remove them, or write it anew"
    if b"}\r{" in line:
        return "the lines end in CR alone: end each with LF"
    if b"}{" in line or b"} {" in line:
        return "write one JSON object on each line; several stand on this one"
    if b"NaN" in line or b"Infinity" in line:
        return "NaN and Infinity are no JSON: write null, or a text, or write one JSON object on each line without them"
    if line.lstrip()[:1] in (b"/", b"#"):
        return "comments are no JSON: remove the line; write one JSON object on each line"
    return "write one JSON object on each line"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen = set[str]()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise RowError(
            f"the key {twice[:60]!r} stands twice in one object, and only one of them would be read.",
            "remove one of the two",
        )
    return made


def _whole(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise RowError(
            f"the number {digits[:40]} is too long for 64 bits and would be rounded.", "write it as text, in quotes"
        )
    return int(digits)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

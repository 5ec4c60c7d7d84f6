"""The items of a JSON array of any size, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from finetune_sdk.data import strict
from finetune_sdk.data.checks.finding import RowError
from finetune_sdk.data.readers import Rows
from finetune_sdk.data.readers.lines import BUFFER_BYTES, BYTE_ORDER_MARK, LINE_BYTES, too_long
from finetune_sdk.errors import DatasetError

_ITEMS = re.compile(rb'[\]\[{}",]')
_INSIDE = re.compile(rb'[\]\[{}"]')
_OPEN, _CLOSE, _COMMA, _QUOTE, _BACKSLASH = b"[{", b"]}", b",", b'"', ord("\\")


def array_items(file: BinaryIO, name: str) -> Rows:
    """Each item of the array. Raises DatasetError where the array does not end, or is not all that the file holds."""
    number = 0
    for number, item in enumerate(_items(file, name), 1):
        if item is None:
            yield number, too_long("item")
            continue
        try:
            yield number, strict.parse(item)
        except RowError as fault:
            yield number, RowError(fault.message, fault.cure.replace("on each line", "for each item"))
    if not number:
        raise DatasetError(f"{name} holds a JSON array without a single object.", cure="write one object an example")


def _items(file: BinaryIO, name: str) -> Iterator[bytes | None]:
    """The bytes of each item; None for one that is too long. Items are told apart by depth alone; the parser judges them."""
    depth, in_text, escaped, item, length, count = 0, False, False, bytearray(), 0, 0
    first = True
    while chunk := file.read(BUFFER_BYTES):
        at = start = 0
        if first:
            chunk, first = chunk.removeprefix(BYTE_ORDER_MARK), False
        if depth == 0:
            at = start = chunk.find(b"[") + 1
            if not start:
                continue
            depth = 1
        if escaped:
            at, escaped = at + 1, False
        while True:
            if in_text:
                end = chunk.find(_QUOTE, at)
                escaped = _escaped(chunk, at, len(chunk) if end < 0 else end)
                if end < 0:
                    break
                in_text, escaped, at = escaped, False, end + 1
                continue
            found = (_ITEMS if depth == 1 else _INSIDE).search(chunk, at)
            if found is None:
                break
            at, mark = found.end(), found.group()
            if mark == _QUOTE:
                in_text = True
            elif mark in _OPEN:
                depth += 1
            elif mark == _COMMA or depth == 1:
                length += at - 1 - start
                if length <= LINE_BYTES:
                    item += chunk[start : at - 1]
                if mark == _COMMA or count or item.strip():
                    yield bytes(item) if length <= LINE_BYTES else None
                count, length, start = count + 1, 0, at
                item.clear()
                if mark in _CLOSE:
                    _nothing_after(chunk[at:], file, name, count)
                    return
            else:
                depth -= 1
        length += len(chunk) - start
        if length <= LINE_BYTES:
            item += chunk[start:]
        else:
            item.clear()
    raise DatasetError(
        f"{name} is no whole JSON array: it ends within item {count + 1}.", cure="fetch or write the file anew"
    )


def _escaped(chunk: bytes, start: int, end: int) -> bool:
    """Whether what stands at `end`, in a text that goes on at `start`, follows a backslash that is not escaped itself."""
    at = end
    while at > start and chunk[at - 1] == _BACKSLASH:
        at -= 1
    return (end - at) % 2 == 1


def _nothing_after(chunk: bytes, file: BinaryIO, name: str, count: int) -> None:
    rest = chunk or file.read(BUFFER_BYTES)
    while rest:
        if rest.strip():
            start = rest.strip()[:40].decode("utf-8", "replace")
            raise DatasetError(
                f"{name}: after the JSON array and its {count} items stands {start!r}.",
                cure="put all rows into one array, or write one JSON object on each line",
            )
        rest = file.read(BUFFER_BYTES)

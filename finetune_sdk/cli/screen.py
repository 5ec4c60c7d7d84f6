"""What a command shows: text for a person, or with --json one JSON value on standard output and nothing else there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from math import isfinite
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDE = 160


class Screen:
    """`show` is the result for a person, `say` a word beside it (standard error), `answer` the result for a program."""

    def __init__(self, json_to: int | None) -> None:
        from rich.console import Console

        self._json_to = json_to
        self._out = _console(sys.stdout, Console)
        self._beside = _console(sys.stderr, Console)

    @property
    def for_a_program(self) -> bool:
        return self._json_to is not None

    @property
    def in_colour(self) -> bool:
        """Whether colours reach whoever looks on."""
        return self._out.color_system is not None

    def show(self, *parts: RenderableType) -> None:
        if not self.for_a_program:
            _print(self._out, parts)

    def say(self, *parts: RenderableType) -> None:
        _print(self._beside, parts)

    def answer(self, value: Any) -> None:
        if self._json_to is not None:
            write_json(self._json_to, value)


def mend_streams() -> None:
    """Gives a standard stream that was closed to nobody, lest a file that is opened later takes its number.

    What a stream has no letter for is written as `?`.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            nobody = os.open(os.devnull, os.O_RDWR)
            if nobody != number:
                os.dup2(nobody, number)
                os.close(nobody)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
        elif number and isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


@contextmanager
def screen(as_json: bool) -> Iterator[Screen]:
    """With `as_json` whatever else is written to standard output, by this process or its children, goes to standard error."""
    if not as_json:
        yield Screen(None)
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield Screen(kept)
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def write_json(to: int, value: Any) -> None:
    """One JSON value and a line's end, written whole. What JSON has no number for becomes null."""
    import orjson

    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    try:
        data = orjson.dumps(value, default=_plain, option=options)
    except orjson.JSONEncodeError:  # a lone surrogate, as in the name of a file, a number of more than 64 bits
        data = f"{json.dumps(_mended(value), indent=2)}\n".encode()
    while data:
        data = data[os.write(to, data) :]


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset | set) else str(value)


def _mended(value: Any) -> Any:
    """A copy that any reader of JSON takes."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case float() if not isfinite(value):
            return None
        case dict():
            return {_mended(str(key)): _mended(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_mended(inner) for inner in value]
        case None | bool() | int() | float():
            return value
    return _mended(_plain(value))


def plain(text: str) -> str:
    """Text from elsewhere without the control characters that a terminal would obey."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _console(file: TextIO, kind: type[Console]) -> Console:
    """A console that reads no markup out of what it is given; wide where no person looks on, so that tables stay whole."""
    width = None if file.isatty() else _WIDE
    return kind(file=file, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _print(console: Console, parts: Sequence[RenderableType]) -> None:
    for part in parts:
        console.print(plain(part) if isinstance(part, str) else part)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, wrapped: int = -1) -> RenderableType:
    """A table without frames. Where it is too wide, the column `wrapped` gives way; no other is ever cut."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="dim", show_header=any(head))
    for number, title in enumerate(head):
        made.add_column(title, overflow="fold", no_wrap=number != wrapped % len(head))
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made

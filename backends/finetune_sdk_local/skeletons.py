"""The texts of many conversations of one shape, with the template run once: what it writes around their contents.

The template renders contents that note every question it asks of them: is it empty, does it begin with this? Another
conversation of the same shape, of whose contents all these questions have the same answers, takes the same way through the
template, so it gets the same pieces around its own contents. A template that does more to a content than to strip white
space, or that could ask what cannot be noted, has no skeleton, and is run for each conversation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import orjson
from jinja2 import Template, TemplateError

from finetune_sdk_local.noting import Guard, Noting, Piece, Trace, Unnotable
from finetune_sdk_local.templates import noting

SHAPES = 512
WAYS = 8
_MARK = re.compile("\x02([0-9]+)\x03")
_TAMPERED = re.compile("[\x02\x03]|u000[23]")


class Talk(NamedTuple):
    """What a template is to render: messages as it expects them, and the turns of them that are trained (None: all of it)."""

    messages: Sequence[dict[str, Any]]
    tools: Sequence[Any]
    turns: tuple[int, ...] | None


Place = tuple[int, int]
"""The number of a part, and of a character in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """What a template writes, in `parts`: its own text, or a piece that stands for a content. `spans` of it are trained."""

    parts: tuple[str | Piece, ...]
    spans: tuple[tuple[Place, Place], ...]
    guards: tuple[Guard, ...]

    def fits(self, contents: Sequence[str]) -> bool:
        return all(guard.holds(contents) for guard in self.guards)


Text = Callable[..., str]
"""What a template makes of messages and tools; `ask` ends it with the opening of an answer."""

Edges = Callable[[Text, Sequence[dict[str, Any]], Sequence[Any], str, int], tuple[int, int]]
"""Where a turn begins and ends in the whole text, by what `Text` makes of the messages before it and up to it."""


class Skeletons:
    """The skeletons of one template, made as shapes turn up. `variables` are what it sees besides messages and tools."""

    def __init__(self, template: object, variables: Mapping[str, Any], edges: Edges) -> None:
        self._source = template
        self._variables = variables
        self._edges = edges
        self._known: dict[Any, list[Skeleton]] = {}

    @cached_property
    def _template(self) -> Template | None:
        return noting(self._source) if isinstance(self._source, str) else None

    def find(self, talk: Talk) -> tuple[Skeleton, list[str]] | None:
        """The skeleton that fits a conversation, and its contents; None where the template has to be run."""
        if self._template is None or any(len(message) != 2 for message in talk.messages):
            return None
        contents = [message["content"] for message in talk.messages]
        tools = orjson.dumps(talk.tools) if talk.tools else b""
        key = (tuple([message["role"] for message in talk.messages]), talk.turns, tools)
        ways = self._known.get(key)
        if ways is None:
            if len(self._known) == SHAPES:
                return None
            ways = self._known[key] = []
        for skeleton in ways:
            if skeleton.fits(contents):
                return skeleton, contents
        if len(ways) == WAYS:
            return None
        made = self._traced(talk, contents)
        if made is None:
            return None
        ways.append(made)
        return made, contents

    def _text(self, messages: Sequence[dict[str, Any]], tools: Sequence[Any], *, ask: bool = False) -> str:
        assert self._template is not None
        written = self._template.render(
            messages=list(messages),
            tools=list(tools) or None,
            documents=None,
            add_generation_prompt=ask,
            **self._variables,
        )
        return "".join((written,))

    def _traced(self, talk: Talk, contents: Sequence[str]) -> Skeleton | None:
        """The skeleton of the way that this conversation takes."""
        if any(_TAMPERED.search(text) for text in contents):
            return None
        trace = Trace(contents)
        messages = [
            {"role": message["role"], "content": Noting(trace, Piece(at))} for at, message in enumerate(talk.messages)
        ]
        turns = talk.turns or ()
        try:
            whole = self._text(messages, talk.tools)
            spans = [self._edges(self._text, messages, talk.tools, whole, turn) for turn in turns]
        except (Unnotable, TemplateError, TypeError, ValueError):
            return None
        found = list(_MARK.finditer(whole))
        pieces = [trace.pieces[int(mark[1])] for mark in found]
        for turn, (start, end) in zip(turns, spans, strict=True):
            said = {piece.slot for piece, mark in zip(pieces, found, strict=True) if start <= mark.start() < end}
            if turn not in said and contents[turn].strip():
                return None
        parts, starts = list[str | Piece](), list[int]()
        at = 0
        for mark, piece in zip(found, pieces, strict=True):
            parts += [whole[at : mark.start()], piece]
            starts += [at, mark.start()]
            at = mark.end()
        parts.append(whole[at:])
        starts.append(at)
        if any(isinstance(part, str) and _TAMPERED.search(part) for part in parts):
            return None
        whole_of_it = ((0, 0), (len(parts) - 1, len(whole) - at))
        places = [(_place(starts, start), _place(starts, end)) for start, end in spans]
        return Skeleton(tuple(parts), tuple(places) if talk.turns is not None else (whole_of_it,), tuple(trace.guards))


def _place(starts: Sequence[int], at: int) -> Place:
    part = max(number for number, start in enumerate(starts) if start <= at)
    return part, at - starts[part]

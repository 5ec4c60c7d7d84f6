"""Conversations cut into the units that a tokenizer reads apart: at its added tokens, such as the one that ends a turn."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from os.path import commonprefix
from typing import NamedTuple

from finetune_sdk_local.noting import Piece
from finetune_sdk_local.rendering import Renderer, Span
from finetune_sdk_local.skeletons import Place, Skeleton, Skeletons, Talk


class Unit(NamedTuple):
    """A text that is tokenised by itself, and the character spans of it that are trained."""

    text: str
    spans: tuple[Span, ...] = ()

    @property
    def uniform(self) -> bool:
        """Whether all of it is trained, or nothing."""
        return not self.spans or self.spans == ((0, len(self.text)),)

    @property
    def opening(self) -> str:
        """What stands before the trained part, where all the rest is trained."""
        return self.text[: self.spans[0][0]] if len(self.spans) == 1 and self.spans[0][1] == len(self.text) else ""


@dataclass(frozen=True, slots=True)
class Form:
    """A unit of a skeleton: its parts, the places in them between which it is trained, and the length of its added token.

    It is `fixed` where nothing in it changes.
    """

    parts: tuple[str | Piece, ...]
    spans: tuple[tuple[Place, Place], ...]
    lead: int
    fixed: Unit | None = None

    def of(self, contents: Sequence[str]) -> Unit:
        said = [part if isinstance(part, str) else part.of(contents) for part in self.parts]
        return Unit("".join(said), tuple([(_at(said, start), _at(said, end)) for start, end in self.spans]))


@dataclass(slots=True)
class Used:
    """The forms of a skeleton, and how often they were asked for."""

    forms: tuple[Form, ...]
    times: int = 0


@dataclass(slots=True)
class Cutter:
    """Cuts conversations at the `added` tokens, by the skeletons of the template."""

    skeletons: Skeletons
    added: Sequence[str]
    _token: re.Pattern[str] = field(init=False)
    _firsts: set[str] = field(init=False)
    _longest: int = field(init=False)
    _nested: bool = field(init=False)
    _used: dict[Skeleton, Used] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._token = re.compile(longest_of(self.added))
        except RecursionError:  # runs of hundreds of one letter
            self._token = re.compile("|".join(map(re.escape, sorted(self.added, key=len, reverse=True))))
        self._firsts = {token[0] for token in self.added}
        self._longest = max(map(len, self.added))
        within = "\0".join(token[1:] for token in self.added)
        self._nested = any(token in within for token in self.added)

    @classmethod
    def of(cls, renderer: Renderer) -> Cutter | None:
        """None where added tokens are read as text, take in white space around them, or are looked for in changed text."""
        backend = renderer.tokenizer.backend_tokenizer
        if backend.encode_special_tokens:
            return None
        added = backend.get_added_tokens_decoder().values()
        for token in added:
            if token.lstrip or token.rstrip or token.single_word or (token.normalized and backend.normalizer):
                return None
        return cls(renderer.skeletons, [token.content for token in added]) if added else None

    def cut(self, talk: Talk) -> tuple[list[Unit], int] | None:
        """The units of a conversation, and how many of its shape came before it; None where it is read as a whole."""
        found = self.skeletons.find(talk)
        if found is None:
            return None
        skeleton, contents = found
        used = self._used.get(skeleton)
        if used is None:
            used = self._used[skeleton] = Used(tuple(self._forms(skeleton)))
        units = [form.fixed or form.of(contents) for form in used.forms]
        for form, unit, after in zip(used.forms, units, [*units[1:], Unit("")], strict=True):
            if (form.fixed is None or self._nested) and self._merges(unit.text[form.lead :], after.text):
                return None
        used.times += 1
        return units, used.times - 1

    def _merges(self, rest: str, after: str) -> bool:
        """Whether an added token begins in the rest of a unit, alone or with what stands after it."""
        if not any(first in rest for first in self._firsts):
            return False
        found = self._token.search(rest + after[: self._longest])
        return found is not None and found.start() < len(rest)

    def _forms(self, skeleton: Skeleton) -> Iterator[Form]:
        """A unit begins wherever the template itself writes an added token."""
        starts, leads = [(0, 0)], [""]
        for number, part in enumerate(skeleton.parts):
            if isinstance(part, str):
                for token in self._token.finditer(part):
                    starts.append((number, token.start()))
                    leads.append(token[0])
        ends = [*starts[1:], (len(skeleton.parts), 0)]
        for start, end, lead in zip(starts, ends, leads, strict=True):
            parts = tuple(_between(skeleton.parts, start, end))
            form = Form(parts, tuple(_within(skeleton, start, end)), len(lead))
            if parts:
                changes = any(isinstance(part, Piece) for part in parts)
                yield form if changes else replace(form, fixed=form.of(()))


def longest_of(texts: Collection[str]) -> str:
    """A pattern for the longest of some texts that stands at a place. Thousands with few beginnings cost no more than these."""
    shared = commonprefix(list(texts))  # noqa: RUF071 - of letters
    by_letter = defaultdict[str, set[str]](set)
    for text in texts:
        by_letter[text[len(shared) : len(shared) + 1]].add(text[len(shared) :])
    ends = by_letter.pop("", None)
    further = "|".join(map(longest_of, by_letter.values()))
    return re.escape(shared) + (f"(?:{further})" if further else "") + ("?" if ends and further else "")


def _between(parts: Sequence[str | Piece], start: Place, end: Place) -> Iterator[str | Piece]:
    """What of the parts stands between two places, with the part in which it begins as the first."""
    for number in range(start[0], min(end[0] + 1, len(parts))):
        part = parts[number]
        if isinstance(part, str):
            yield part[start[1] if number == start[0] else 0 : end[1] if number == end[0] else None]
        elif number < end[0]:
            yield part


def _within(skeleton: Skeleton, start: Place, end: Place) -> Iterator[tuple[Place, Place]]:
    """The trained spans between two places, in places of what stands between them."""
    for begins, ends in skeleton.spans:
        first, last = max(begins, start), min(ends, end)
        if first < last:
            yield _from(start, first), _from(start, last)


def _from(start: Place, place: Place) -> Place:
    part = place[0] - start[0]
    return part, place[1] - start[1] if part == 0 else place[1]


def _at(said: Sequence[str], place: Place) -> int:
    part, within = place
    return sum(map(len, said[:part])) + within

"""Contains, Forbidden and NormalisedMatch: what stands in the answer, and the expected text in other spelling."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.reading import shown
from finetune_sdk.model import Answer

_ARTICLES = frozenset({"a", "an", "the"})
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
# What belongs to a number stays: points and commas between digits, a minus before one, a percent sign behind one.
_INSIDE = re.compile(r"[.'’](?:(?<!\d.)|(?!\d))")
_BETWEEN = re.compile(r"[^\w\s.,'’%−-]|_|,(?:(?<!\d,)|(?!\d))|[-−](?:(?<=\w.)|(?!\d))|%(?<!\d%)")
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Contains:
    """Each of the texts stands in the answer, or with `any` one of them; with `words` not as part of a longer word.

    The value is the share of the texts that were found, with `any` 1 or 0.
    """

    texts: Sequence[str] | str
    any: bool = False
    ignore_case: bool = False
    words: bool = False
    name: str = "Contains"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True
    pure: ClassVar[bool] = True
    _sought: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", given.texts("the texts", self.texts))
        object.__setattr__(self, "_sought", tuple(_sought(text, self.ignore_case, self.words) for text in self.texts))

    def judge(self, case: Case, answer: Answer) -> Score:
        found = {
            text: sought.search(answer.text) is not None for text, sought in zip(self.texts, self._sought, strict=True)
        }
        share = sum(found.values()) / len(found)
        if self.any and share:
            return Score(True, value=1.0, fields=found)
        if share == 1:
            return Score(True, value=share, fields=found)
        lacking = [shown(text) for text, there in found.items() if not there]
        return Score(False, f"lacks {', '.join(lacking[:_NAMED])}{_more(lacking)}", share, found)


@dataclass(frozen=True, slots=True)
class Forbidden:
    """None of the texts stands in the answer, in any case; without `words` not even inside a longer word.

    Letters that only look apart (full width, soft hyphens and spaces of no width between) are the same letters here.
    """

    texts: Sequence[str] | str
    ignore_case: bool = True
    words: bool = True
    name: str = "Forbidden"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True
    _sought: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", given.texts("the texts", self.texts))
        sought = tuple(_sought(_plain(text), self.ignore_case, self.words) for text in self.texts)
        object.__setattr__(self, "_sought", sought)

    def judge(self, case: Case, answer: Answer) -> Score:
        said = _plain(answer.text)
        found = [shown(text) for text, sought in zip(self.texts, self._sought, strict=True) if sought.search(said)]
        return Score(not found, f"says {', '.join(found[:_NAMED])}{_more(found)}" if found else "", len(found))


@dataclass(frozen=True, slots=True)
class NormalisedMatch:
    """The answer is the expected text when case, punctuation, white space and the form of letters do not count.

    Compatible letters are one (NFKC); `articles=False` leaves a, an and the out too, as SQuAD does. Numbers keep their
    points, commas, minus and percent signs, so that 1.5 is not 15.
    """

    case: bool = False
    punctuation: bool = False
    articles: bool = True
    name: str = "NormalisedMatch"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def judge(self, case: Case, answer: Answer) -> Score:
        wanted = given.expected(case).text
        if self._normal(answer.text) == self._normal(wanted):
            return Score(True)
        return Score(False, f"{shown(answer.text)} is not {shown(wanted)}, however it is written")

    def _normal(self, text: str) -> list[str]:
        text = _plain(text)
        if not self.case:
            text = text.casefold()
        if not self.punctuation:
            text = _BETWEEN.sub(" ", _INSIDE.sub("", text))
        words = text.split()
        return words if self.articles else [word for word in words if word.lower() not in _ARTICLES]


def _sought(text: str, ignore_case: bool, words: bool) -> re.Pattern[str]:
    # A text without wildcards is found in linear time by `re` too.
    bound = rf"(?<!\w){re.escape(text)}(?!\w)" if words else re.escape(text)
    return re.compile(bound, re.IGNORECASE if ignore_case else 0)


def _plain(text: str) -> str:
    return text if text.isascii() else _HIDDEN.sub("", unicodedata.normalize("NFKC", text))


def _more(named: Sequence[str]) -> str:
    return f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""

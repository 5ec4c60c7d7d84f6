"""Rows that are unlike the others: in another language, or far longer or shorter."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.places import Places, rows_of
from finetune_sdk.data.checks.reading import asked_and_answer, percent, question, said

_STOP_WORDS = {
    "English": "the and of to is that it with for was on are this you not have be but at from they we what which would there",
    "German": "der die das und ist nicht ich zu den mit sie ein eine für auf dem sich auch es wir aber wird sind noch wie",
    "French": "le les des est une pas je vous dans pour que qui sur avec il nous mais ce cette sont plus au du et être",
    "Spanish": "el los las es una por que para con no su como más pero este está y del muy también ha son lo nos cuando",
    "Italian": "il gli è una per che di non con sono del della anche più ma questo nel alla come ho ci dei delle si le",
    "Portuguese": "os uma não que para com por mais como mas foi ele das dos seu sua ou quando muito já está eu também é pelo",
    "Dutch": "het een van en niet dat zijn voor met op aan ik je maar ook naar wordt bij nog wel deze door heeft geen hebben",
    "Polish": "nie się na jest że do to jak ale co tak przez za od po są już tylko dla czy może ich być był jej",
    "Swedish": "och att det som är på inte jag med för ett har av om den till men hade kan från så vi efter var eller",
    "Turkish": "ve bir bu için ile da de çok ne gibi daha ama var olarak ben değil mi kadar olan sonra her şey en o",
}
_LANGUAGES = tuple(_STOP_WORDS)
_OF_WORD: dict[str, list[int]] = {}
for _number, _words in enumerate(_STOP_WORDS.values()):
    for _word in _words.split():
        _OF_WORD.setdefault(_word, []).append(_number)
_SCRIPTS = (
    ("Cyrillic", re.compile("[\u0400-\u04ff]")),
    ("Chinese", re.compile("[\u4e00-\u9fff]")),
    ("Japanese", re.compile("[\u3040-\u30ff]")),
    ("Korean", re.compile("[\uac00-\ud7af]")),
    ("Arabic", re.compile("[\u0600-\u06ff]")),
    ("Hebrew", re.compile("[\u0590-\u05ff]")),
    ("Devanagari", re.compile("[\u0900-\u097f]")),
    ("Greek", re.compile("[\u0370-\u03ff]")),
    ("Thai", re.compile("[\u0e00-\u0e7f]")),
)
_NOT_ASCII = re.compile("[^\x00-\u024f\u2000-\u2bff\ufe0f\U0001f000-\U0001faff]")


def language(text: str) -> str | None:
    """The language of a text by its script and its small words; None where that is not clear.

    Clear is: a third of the letters in one script; or twelve words or more, of which at least 15% are small words of one
    language, twice as many as of any other.
    """
    text = text[:300]
    if not text.isascii() and len(_NOT_ASCII.findall(text)) * 3 > len(text):
        counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS}
        if counts["Japanese"]:
            return "Japanese"
        best = max(counts, key=lambda name: counts[name])
        return best if counts[best] * 3 > len(text) else None
    words = text.lower().split()
    if len(words) < 12:
        return None
    votes = [0] * len(_LANGUAGES)
    for word in words:
        if word in _OF_WORD:
            for number in _OF_WORD[word]:
                votes[number] += 1
    first, second = sorted(votes, reverse=True)[:2]
    if first < 0.15 * len(words) or first < 2 * second or first < 3:
        return None
    return _LANGUAGES[votes.index(first)]


@dataclass(slots=True)
class Languages:
    """Questions or answers in a language that hardly another row has.

    Told where all but `others` (1%, or one text) of those whose language is clear, 50 at least, are in one: with more,
    several languages are meant. Text that begins as JSON or code is not looked at.
    """

    others: float = 0.01
    fewest: int = 50
    _sides: tuple[dict[str, Places], dict[str, Places]] = field(default_factory=lambda: ({}, {}))

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        asked, answer = asked_and_answer(row)
        for side, text in zip(self._sides, (question(asked), said(answer)), strict=True):
            if len(text) < 8 or text[0] in "{[<`#":
                continue
            name = language(text)
            if name is not None:
                if name not in side:
                    side[name] = Places()
                side[name].add(index, text)

    def findings(self, rows: Rows) -> Iterator[Finding]:
        for found, word in zip(self._sides, ("questions", "answers"), strict=True):
            clear = sum(places.count for places in found.values())
            usual = max(found, key=lambda name: found[name].count, default="")
            if clear < self.fewest or clear - found[usual].count > max(1, self.others * clear):
                continue
            for name, places in found.items():
                if name != usual:
                    yield places.finding(
                        rows,
                        "language",
                        "note",
                        f"{percent(found[usual].count, clear)} of the {word} are {usual};"
                        f" {rows_of(places.count, 'is', 'are')} {name}.",
                        "remove or translate them, unless the model is to know both",
                    )


@dataclass(slots=True)
class Lengths:
    """Questions and answers that are far longer or shorter than the others, in characters.

    Robust z-scores of the logarithm (Iglewicz and Hoaglin 1993, with the median absolute deviation): beyond `z`, where
    they advise 3.5 for data without a tail; and at least `times` the median or a part of it so small, for lengths that
    are nearly all the same have almost no deviation. Fewer than `fewest` rows are not judged, and more than `most` (2%) are no outliers.
    """

    z: float = 6.0
    times: float = 8.0
    most: float = 0.02
    fewest: int = 30
    _at: array[int] = field(default_factory=lambda: array("L"))
    _asked: array[int] = field(default_factory=lambda: array("L"))
    _answered: array[int] = field(default_factory=lambda: array("L"))

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        asked, answer = asked_and_answer(row)
        self._at.append(index)
        self._asked.append(sum(len(said(turn)) for turn in asked if turn["role"] == "user"))
        self._answered.append(len(said(answer)) if asked else len(row.get("text", "")))

    @property
    def questions(self) -> array[int]:
        return self._asked

    @property
    def answers(self) -> array[int]:
        return self._answered

    def findings(self, rows: Rows) -> Iterator[Finding]:
        for lengths, word in ((self._asked, "question"), (self._answered, "answer" if any(self._asked) else "text")):
            usual = [length for length in lengths if length]
            if len(usual) < self.fewest:
                continue
            middle = median(usual)
            spread = median(abs(math.log(length / middle)) for length in usual) / 0.6745
            reach = math.exp(max(self.z * spread, math.log(self.times)))
            for far, which in ((middle * reach, "longer"), (middle / reach, "shorter")):
                places = Places()
                for at, length in enumerate(lengths):
                    if length and (length > far if which == "longer" else length < far):
                        places.add(self._at[at], f"{length:,} characters")
                if 0 < places.count <= max(1, self.most * len(usual)):
                    yield places.finding(
                        rows,
                        "length",
                        "note",
                        f"{rows_of(places.count, f'has a {word}', f'have {word}s')} far {which} than usual:"
                        f" half have {middle:,.0f} characters or fewer, these {'over' if which == 'longer' else 'under'}"
                        f" {far:,.0f}.",
                        "look at them: are they whole, and one row each?",
                    )

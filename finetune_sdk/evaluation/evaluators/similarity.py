"""ChrF and RougeL: how much of the expected text the answer shares. By sacrebleu and rouge-score, of the extra `evaluators`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.reading import mended
from finetune_sdk.model import Answer

_CHARACTERS = 100_000
_CELLS = 4_000_000
_WORD = re.compile("[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class ChrF:
    """The answer's chrF against the expected text is at least so much, of 100 (Popović 2015; sacrebleu's, with its defaults).

    `word_order` 2 makes it chrF++. The value is the figure. Of more than 100,000 characters none is taken, and the
    answer fails.
    """

    at_least: float = 50.0
    word_order: int = 0
    name: str = "ChrF"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True
    _metric: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given.number("the least chrF", self.at_least, high=100)
        given.whole("the order of words", self.word_order)
        metrics = given.library("sacrebleu.metrics", "chrF")
        object.__setattr__(self, "_metric", metrics.CHRF(word_order=self.word_order))

    def judge(self, case: Case, answer: Answer) -> Score:
        wanted = given.expected(case).text
        if max(len(answer.text), len(wanted)) > _CHARACTERS:
            return Score(False, f"{max(len(answer.text), len(wanted)):,} characters are too many to compare")
        value = self._metric.sentence_score(mended(answer.text), [mended(wanted)]).score
        return _least("chrF", value, self.at_least)


@dataclass(frozen=True, slots=True)
class RougeL:
    """The answer's ROUGE-L against the expected text is at least so much, of 1 (Lin 2004; the F1 of rouge-score).

    With `stem` words count without their English endings. rouge-score knows words of the letters a to z and digits
    alone: use ChrF for other scripts. The value is the figure. Texts whose words make more than four million pairs
    are not compared, and the answer fails.
    """

    at_least: float = 0.5
    stem: bool = False
    name: str = "RougeL"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True
    pure: ClassVar[bool] = True
    _scorer: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given.number("the least ROUGE-L", self.at_least, high=1)
        scorers = given.library("rouge_score.rouge_scorer", "ROUGE-L")
        object.__setattr__(self, "_scorer", scorers.RougeScorer(["rougeL"], use_stemmer=self.stem))

    def judge(self, case: Case, answer: Answer) -> Score:
        wanted = given.expected(case).text
        longest = max(len(answer.text), len(wanted))
        if longest > 10 * _CHARACTERS or _words(answer.text) * _words(wanted) > _CELLS:
            return Score(False, f"{longest:,} characters are too many to compare")
        value = self._scorer.score(wanted, answer.text)["rougeL"].fmeasure
        return _least("ROUGE-L", value, self.at_least)


def _least(what: str, value: float, least: float) -> Score:
    # Sums of shares differ in their last digit from machine to machine.
    if value >= least - 1e-9:
        return Score(True, value=value)
    return Score(False, f"{what} {value:.3g}, less than {least:g}", value)


def _words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))

"""Graders of somebody's own, in a file that a run's process can import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import finetune_sdk as ft


@dataclass(frozen=True)
class Vowels:
    """An answer is worth the more, the more of its first ten characters are this letter."""

    letter: str = "e"
    name: str = "Vowels"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        share = answer.text[:10].count(self.letter) / 10
        return ft.Score(share > 0, value=share)


@dataclass(frozen=True)
class Fails:
    """Cannot judge an answer of more than one word."""

    name: str = "Fails"
    version: ClassVar[int] = 1

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        (word,) = answer.text.split() or [""]
        return ft.Score(bool(word))


@dataclass(frozen=True)
class Spread:
    """Tells nearly all answers apart."""

    name: str = "Spread"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        return ft.Score(True, value=len(answer.text) % 7 / 6)

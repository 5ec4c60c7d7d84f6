"""Graders of somebody's own, in a file that a run's process can import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

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
class Starts:
    """Counts how many of the words an answer starts with; `_more` is added to that."""

    words: tuple[str, ...] | None = ("a", "b")
    others: frozenset[str] = frozenset({"c", "d"})
    _more: float = 0.0
    twice: float = field(init=False)
    name: str = "Starts"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "twice", 2 * self._more)

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        return ft.Score(True, value=answer.text.startswith(self.words or ()) + self._more)


@dataclass(frozen=True)
class Holds:
    """Is made with whatever."""

    what: Any = None
    version: ClassVar[int] = 1

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        return ft.Score(True, value=1e200) if self.what is None else ft.Score(self.what[answer.text])

    graded: ClassVar[bool] = True


@dataclass(frozen=True)
class Soft:
    """Has a field that a table has no room for."""

    kind: str = "soft"
    version: ClassVar[int] = 1

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        return ft.Score(True)


@dataclass(frozen=True)
class Spread:
    """Tells nearly all answers apart."""

    name: str = "Spread"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        return ft.Score(True, value=len(answer.text) % 7 / 6)

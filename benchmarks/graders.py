"""A grader for the benchmark of reinforcement: what a model says does not matter, so that nothing is learnt to be short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import finetune_sdk as ft


def worth(text: str) -> float:
    return sum(map(ord, text)) % 97 / 96


@dataclass(frozen=True)
class Drawn:
    """Tells nearly all answers apart, by chance."""

    name: str = "Drawn"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True

    def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
        return ft.Score(True, value=worth(answer.text))

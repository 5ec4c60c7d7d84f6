"""What judging took: a judge is a model, and its answers cost tokens like any other's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from finetune_sdk.model import Answer


@dataclass(frozen=True, slots=True)
class Spent:
    """Answers that a judge gave, readable or not, and their tokens; `uncounted` are those whose tokens the place did not count."""

    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0

    @classmethod
    def on(cls, answers: Iterable[Answer]) -> Spent:
        made = cls()
        for answer in answers:
            counted = answer.input_tokens is not None and answer.output_tokens is not None
            made += cls(1, answer.input_tokens or 0, answer.output_tokens or 0, not counted)
        return made

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(mine + its for mine, its in zip(self._figures, other._figures, strict=True)))

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*(mine - its for mine, its in zip(self._figures, other._figures, strict=True)))

    @property
    def _figures(self) -> tuple[int, ...]:
        return (self.answers, self.input_tokens, self.output_tokens, self.uncounted)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Tally:
    """What one judge has spent in this process, whoever asked it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.spent = Spent()

    def add(self, spent: Spent) -> None:
        with self._lock:
            self.spent += spent

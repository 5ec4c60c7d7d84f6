"""What judging took: a judge is a model, and its answers cost tokens like any other's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from finetune_sdk.estimate import Price
from finetune_sdk.model import Answer, Model


@dataclass(frozen=True, slots=True)
class Spent:
    """Answers that a judge gave, readable or not, and their tokens; `uncounted` are those whose tokens the place did not count.

    `usd` is what they cost at the prices that the model states (its optional `prices`), None where that is not known.
    """

    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0
    usd: float | None = 0.0

    @classmethod
    def on(cls, answers: Iterable[Answer], model: Model) -> Spent:
        return sum((cls._one(answer, model) for answer in answers), cls())

    @classmethod
    def _one(cls, answer: Answer, model: Model) -> Spent:
        prices: Iterable[Price] = getattr(model, "prices", ())
        charged = {price.kind: price.usd / 1e6 for price in prices if price.unit == "1M tokens"}
        read, wrote = charged.get("input"), charged.get("output")
        if read is None or wrote is None:
            usd = None
        elif not read and not wrote:
            usd = 0.0
        elif answer.input_tokens is None or answer.output_tokens is None:
            usd = None
        else:
            usd = answer.input_tokens * read + answer.output_tokens * wrote
        counted = answer.input_tokens is not None and answer.output_tokens is not None
        return cls(1, answer.input_tokens or 0, answer.output_tokens or 0, not counted, usd)

    def __add__(self, other: Spent) -> Spent:
        return self._with(other, 1)

    def __sub__(self, other: Spent) -> Spent:
        return self._with(other, -1)

    def _with(self, other: Spent, sign: int) -> Spent:
        return Spent(
            self.answers + sign * other.answers,
            self.input_tokens + sign * other.input_tokens,
            self.output_tokens + sign * other.output_tokens,
            self.uncounted + sign * other.uncounted,
            None if self.usd is None or other.usd is None else self.usd + sign * other.usd,
        )

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

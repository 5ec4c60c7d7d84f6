"""What asking costs: what is charged for an answer, what may be charged at most before it is there, and the cap on all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from threading import Lock
from typing import Any

from finetune_sdk.errors import BudgetError
from finetune_sdk.estimate import Price
from finetune_sdk.messages import Conversation
from finetune_sdk.model import Answer, Model, Sampling, prices
from finetune_sdk.prices import is_stale

_TURN, _WHOLE = 16, 64  # more tokens than a template puts around a message, and around all of them


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a model charges, in USD a token; None where nobody here knows it."""

    input: Price | None
    output: Price | None

    @classmethod
    def of(cls, model: Model) -> Tariff:
        known = {price.kind: price for price in prices(model) if price.unit == "1M tokens"}
        return cls(known.get("input"), known.get("output"))

    @property
    def known(self) -> bool:
        return self.input is not None and self.output is not None

    @property
    def free(self) -> bool:
        return self.known and not self._usd(1, 1)

    def charged(self, answer: Answer) -> float | None:
        """USD for an answer. Cheaper prices for input that the place had cached are not counted. None where unknown."""
        if not self.known:
            return None
        if self.free:
            return 0.0
        if answer.input_tokens is None or answer.output_tokens is None:
            return None
        return self._usd(answer.input_tokens, answer.output_tokens)

    def at_most(self, asked: Conversation, sampling: Sampling | None) -> float:
        """USD that cannot be exceeded: no token is shorter than a byte, and the answer has at most `max_tokens`."""
        turns = (message.canonical() for message in asked.messages)
        size = _WHOLE + sum(_TURN + len(repr(turn).encode("utf-8", "replace")) for turn in turns)
        size += len(repr(asked.tools).encode("utf-8", "replace")) if asked.tools else 0
        return self._usd(size, (sampling or Sampling()).max_tokens)

    def _usd(self, read: int, wrote: int) -> float:
        assert self.input is not None
        assert self.output is not None
        return (read * self.input.usd + wrote * self.output.usd) / 1e6

    def basis(self, today: date) -> str:
        if self.input is None or self.output is None:
            return "nobody here knows what asking it costs"
        if self.free:
            return f"nothing is charged ({self.input.source})"
        oldest = min(self.input, self.output, key=lambda price: price.dated)
        told = (
            f"${self.input.usd:g} and ${self.output.usd:g} for a million tokens read and written, as of {oldest.dated}"
        )
        old = f", which is {oldest.age_days(today)} days ago" if is_stale(oldest, today) else ""
        return f"{told} ({self.input.source}){old}"


def cost_row(tariff: Tariff, answers: Sequence[Answer], today: date) -> dict[str, Any]:
    """What the answers of one model cost, whenever they were paid: `usd` and `per_1000` are None where that is unknown."""
    charged = [tariff.charged(answer) for answer in answers]
    known = [usd for usd in charged if usd is not None]
    basis = tariff.basis(today)
    if len(known) < len(charged) and tariff.known:
        basis = f"the place did not count the tokens of {len(charged) - len(known)} answers; {basis}"
    whole = bool(known) and len(known) == len(charged)
    usd = sum(known) if whole else None
    return {"usd": usd, "per_1000": 1000 * usd / len(known) if usd is not None else None, "basis": basis}


class Budget:
    """A cap in USD on all that is asked, from any thread; what is under way counts with the most that it may cost."""

    def __init__(self, most: float | None, spent: float = 0.0) -> None:
        if most is not None and (isinstance(most, bool) or not isinstance(most, int | float) or not most >= 0):
            raise BudgetError(f"max_cost={most!r} is no sum of money.", cure="give it in USD, 0 or more")
        self.most = most
        self.spent = spent
        self._reserved = 0.0
        self._guard = Lock()

    def reserve(self, usd: float) -> bool:
        """Whether a question that may cost so much can be asked within the cap; then it counts."""
        with self._guard:
            if self.most is not None and self.spent + self._reserved + usd > self.most + 1e-12:
                return False
            self._reserved += usd
            return True

    def settle(self, reserved: float, spent: float) -> None:
        """A question has come to its end, and has cost this."""
        with self._guard:
            self._reserved -= reserved
            self.spent += spent

    def release(self) -> None:
        """Nothing is under way any more."""
        with self._guard:
            self._reserved = 0.0

"""What counting tokens means. Each backend brings its own counter; this room only says what one is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from finetune_sdk.messages import Example


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of one example as the place would see it, `trained` of which are learnt."""

    total: int
    trained: int


class Counter(Protocol):
    """Counts tokens for one base. `exact` is False where the place's tokenizer is not known; `basis` says why, and `spread`, where
    there is one, between how many times the count the truth lies.
    """

    @property
    def exact(self) -> bool: ...

    @property
    def basis(self) -> str: ...

    def count(self, example: Example) -> TokenCount: ...

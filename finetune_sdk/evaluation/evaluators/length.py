"""Length: the answer is neither too long nor too short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.model import Answer


@dataclass(frozen=True, slots=True)
class Length:
    """The answer's length lies within the limits, which count as allowed. Characters are Unicode code points.

    Words are what stands between white space; use characters for languages without it. Tokens are those that the place counted; where it counted none, the case is an error and is not scored.
    """

    max_characters: int | None = None
    min_characters: int | None = None
    max_tokens: int | None = None
    min_tokens: int | None = None
    max_words: int | None = None
    min_words: int | None = None
    name: str = "Length"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        pairs = (
            (self.min_characters, self.max_characters),
            (self.min_tokens, self.max_tokens),
            (self.min_words, self.max_words),
        )
        if all(limit is None for pair in pairs for limit in pair):
            raise EvaluationError("Length has no limit.", cure="give one, such as max_characters=280")
        for limit in (limit for pair in pairs for limit in pair if limit is not None):
            if isinstance(limit, bool) or not isinstance(limit, int):
                raise EvaluationError(f"a length of {limit!r} makes no sense.", cure="give whole numbers")
        for low, high in pairs:
            if (low or 0) < 0 or (high is not None and high < (low or 0)):
                raise EvaluationError(
                    f"no length lies between {low or 0} and {high}.", cure="give 0 <= minimum <= maximum"
                )

    def judge(self, case: Case, answer: Answer) -> Score:
        score = _within(len(answer.text), "characters", self.min_characters, self.max_characters)
        if score.passed and not (self.max_words is None and self.min_words is None):
            score = _within(len(answer.text.split()), "words", self.min_words, self.max_words)
        if not score.passed or (self.max_tokens is None and self.min_tokens is None):
            return score
        if answer.output_tokens is None:
            raise ValueError("the place did not count the answer's tokens")
        return _within(answer.output_tokens, "tokens", self.min_tokens, self.max_tokens)


def _within(length: int, unit: str, low: int | None, high: int | None) -> Score:
    if high is not None and length > high:
        return Score(False, f"{length:,} {unit}, more than {high:,}", length)
    if low is not None and length < low:
        return Score(False, f"{length:,} {unit}, fewer than {low:,}", length)
    return Score(True, value=length)

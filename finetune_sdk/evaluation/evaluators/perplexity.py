"""Perplexity: how sure the model was of what it said."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, isnan
from typing import ClassVar

from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.model import Answer


@dataclass(frozen=True, slots=True)
class Perplexity:
    """The perplexity of the answer's own tokens, exp of the mean of their negative log probabilities, is at most so much.

    It takes an evaluation with `Sampling(logprobs=0)` and a place that gives them: elsewhere the case is an error and
    is not scored. It says how sure a model was of its own answer; how well it expects the right one is the validation
    loss of a run. Figures of models with other tokenizers do not compare. The value is the figure.
    """

    at_most: float
    name: str = "Perplexity"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        given.number("the highest perplexity", self.at_most, low=1)

    def judge(self, case: Case, answer: Answer) -> Score:
        if not answer.said:
            raise ValueError("the place gave no log probabilities; ask for them with Sampling(logprobs=0)")
        mean = sum(token.logprob for token in answer.said) / len(answer.said)
        if isnan(mean):
            raise ValueError("the place gave log probabilities that are no numbers")
        value = exp(-mean) if mean > -700 else inf
        if value <= self.at_most:
            return Score(True, value=value)
        return Score(False, f"perplexity {value:.3g}, more than {self.at_most:g}", value)

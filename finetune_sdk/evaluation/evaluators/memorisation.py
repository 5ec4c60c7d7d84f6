"""Memorisation: whether answers say training answers again, word for word.

What many training answers say is the language of the task and no memory; so only runs of words that stand in one of them count.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.messages import ChatExample, Example, PreferenceExample, RatedExample, TextExample
from finetune_sdk.model import Answer

RUN = 8
"""Words in a row; letters where there are no spaces."""
FEWEST = 4
"""Runs that an answer must have to be judged: shorter ones say what anybody would."""
SHARE = 0.5
"""The share of an answer's runs that one training answer must hold."""
_BLANK = 16
_READ = 1_000_000


@dataclass(frozen=True, slots=True)
class Memorisation:
    """The answer is not a training answer said again: `train` is the Dataset that was trained on, or its answers as texts.

    It is one when at least half of its runs of eight words (letters, where there are no spaces) stand in one training
    answer and in no other, nor in the prompt or the expected answer. Answers of fewer than eleven words pass; of an answer the first
    million characters are read. The value is the share of such runs.
    """

    train: Dataset | Iterable[str] = field(repr=False, compare=False)
    name: str = "Memorisation"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True
    _known: Known = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.train, str) or not isinstance(self.train, Iterable):
            raise EvaluationError("there are no training answers.", cure="give the Dataset, or the answers as texts")
        if isinstance(self.train, Dataset):
            texts: Iterable[str] = map(taught, self.train)
        else:
            texts = given.texts("the training answers", self.train)
            object.__setattr__(self, "train", texts)
        object.__setattr__(self, "_known", Known(texts))

    def judge(self, case: Case, answer: Answer) -> Score:
        share = self._known.share(answer.text, besides(case))
        if share < SHARE:
            return Score(True, value=share)
        return Score(False, f"{share:.0%} of it stands in one training answer, word for word", share)


def taught(example: Example) -> str:
    """What training on an example teaches to say: the assistant's turns, the better or the good answer, or the text."""
    match example:
        case ChatExample():
            turns = tuple(turn for turn in example.messages if turn.weight != 0)
        case PreferenceExample():
            turns = example.chosen
        case RatedExample():
            turns = example.answer if example.good else ()
        case TextExample():
            return example.text
        case _:
            turns = ()
    return "\n".join(turn.text for turn in turns if turn.role == "assistant")


def besides(case: Case) -> str:
    """What an answer may say again: what was asked, and what is expected."""
    turns = (*case.prompt.messages, *(() if case.expected is None else (case.expected,)))
    return "\n".join(turn.text for turn in turns)


class Known:
    """The training answers, as the runs of words that one of them alone holds."""

    def __init__(self, answers: Iterable[str]) -> None:
        import numpy as np

        runs, rows = array("q"), array("L")
        for row, answer in enumerate(answers):
            own = _runs(answer)
            runs.extend(own)
            rows.extend([row] * len(own))
        found = np.frombuffer(runs, np.int64) if runs else np.zeros(0, np.int64)
        order = np.argsort(found, kind="stable")
        found = found[order]
        alone = np.ones(len(found), np.bool_)
        same = found[1:] == found[:-1]
        alone[1:] &= ~same
        alone[:-1] &= ~same
        self._runs = found[alone]
        self._rows = np.asarray(rows, np.int64)[order][alone]

    def by_heart(self, answer: str, besides: str) -> bool:
        """Whether at least half of the answer's runs of words stand in one training answer, but neither in other ones nor in
        `besides`: what was asked, and what is expected.
        """
        return self.share(answer, besides) >= SHARE

    def share(self, answer: str, besides: str) -> float:
        """The largest share of the answer's runs that one training answer holds; 0 of an answer too short to be judged."""
        import numpy as np

        own = _runs(answer)
        if len(own) < FEWEST or not len(self._runs):
            return 0.0
        asked = np.fromiter(own - _runs(besides), np.int64)
        at = np.searchsorted(self._runs, asked).clip(max=len(self._runs) - 1)
        rows = self._rows[at[self._runs[at] == asked]]
        return max(Counter(rows.tolist()).values()) / len(own) if len(rows) else 0.0


def _runs(text: str) -> set[int]:
    text = text[:_READ].lower()
    words = text.split()
    if len(text) > _BLANK * len(words):
        words = list(text)
    return {hash(tuple(words[at : at + RUN])) for at in range(len(words) - RUN + 1)}

"""Whether answers say training answers again, word for word.

What many training answers say is the language of the task and no memory; so only runs of words that stand in one of them count.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

import numpy as np

RUN = 8
"""Words in a row; letters where there are no spaces."""
FEWEST = 4
"""Runs that an answer must have to be judged: shorter ones say what anybody would."""
SHARE = 0.5
"""The share of an answer's runs that one training answer must hold."""
_BLANK = 16


class Known:
    """The training answers, as the runs of words that one of them alone holds."""

    def __init__(self, answers: Iterable[str]) -> None:
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
        own = _runs(answer)
        if len(own) < FEWEST or not len(self._runs):
            return False
        asked = np.fromiter(own - _runs(besides), np.int64)
        at = np.searchsorted(self._runs, asked).clip(max=len(self._runs) - 1)
        rows = self._rows[at[self._runs[at] == asked]]
        return bool(len(rows)) and max(Counter(rows.tolist()).values()) >= SHARE * len(own)


def _runs(text: str) -> set[int]:
    words = text.lower().split()
    if len(text) > _BLANK * len(words):
        words = list(text.lower())
    return {hash(tuple(words[at : at + RUN])) for at in range(len(words) - RUN + 1)}

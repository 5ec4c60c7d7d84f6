"""Who hears which answer while it is said: pieces come in our loop, and are handed out in the thread that asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from queue import SimpleQueue

from finetune_sdk.errors import BackendError
from finetune_sdk.model import Answer

Hear = Callable[[str], bool]


class Ears:
    """The pieces of several answers on their way from the loop to whoever asked. `hear[row]` says whether it wants more."""

    def __init__(self, hear: Mapping[int, Hear]) -> None:
        self._hear = hear
        self._told: SimpleQueue[tuple[int, str] | None] = SimpleQueue()
        self._heard = dict.fromkeys(hear, "")
        self._ended: set[int] = set()

    def __contains__(self, row: int) -> bool:
        return row in self._hear

    def tell(self, row: int, piece: str) -> bool:
        """Called in the loop: another piece of an answer. False once nobody wants more of it."""
        self._told.put((row, piece))
        return row not in self._ended

    def close(self) -> None:
        """Nothing more comes."""
        self._told.put(None)

    def hand_out(self) -> None:
        """Called by whoever asked: hears what comes until nothing more does."""
        while (told := self._told.get()) is not None:
            row, piece = told
            if row in self._ended:
                continue
            self._heard[row] += piece
            if not self._hear[row](piece):
                self._ended.add(row)

    def kept(self, row: int, outcome: Answer | BackendError) -> Answer | BackendError:
        """What became of an answer: one that was ended is what was heard of it, whose tokens the place did not count."""
        if row not in self._ended:
            return outcome
        heard = self._heard[row]
        if isinstance(outcome, BackendError):
            return Answer(heard)
        if outcome.text == heard:
            return outcome
        return replace(outcome, text=heard, tool_calls=(), output_tokens=None, finish="stop", said=None)

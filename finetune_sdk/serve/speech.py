"""One answer as it is heard: cut at the first text that should stop it, of which nothing is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from finetune_sdk.model import Answer


class Speech:
    """Hears text in pieces; holds back an end that might turn out to be a stop."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max(map(len, stops), default=0)
        self._text = ""
        self._said = 0
        self.stopped = False

    def hear(self, piece: str) -> str:
        """What can be said now."""
        if self.stopped:
            return ""
        before = len(self._text)
        self._text += piece
        at = first_stop(self._text, self._stops, max(0, before - self._longest + 1))
        if at is not None:
            self.stopped = True
            self._text = self._text[:at]
            return self._say(at)
        return self._say(len(self._text) - self._held())

    def _held(self) -> int:
        """How many of the last letters could begin a stop."""
        most = min(self._longest - 1, len(self._text))
        return next(
            (count for count in range(most, 0, -1) if any(s.startswith(self._text[-count:]) for s in self._stops)), 0
        )

    def _say(self, until: int) -> str:
        said = self._text[self._said : until]
        self._said = max(self._said, until)
        return said

    def cut(self, answer: Answer) -> Answer:
        """The whole answer up to the first stop; its tokens stay those that were generated."""
        at = first_stop(answer.text, self._stops, 0)
        if at is None:
            return replace(answer, text=self._text, finish="stop") if self.stopped else answer
        finish = answer.finish if answer.tool_calls else "stop"
        return replace(answer, text=answer.text[:at], finish=finish)


def first_stop(text: str, stops: Sequence[str], since: int) -> int | None:
    found = [at for at in (text.find(stop, since) for stop in stops) if at >= 0]
    return min(found) if found else None

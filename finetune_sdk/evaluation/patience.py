"""A model that is asked, and not waited for longer than it was given: one that hangs costs its questions, not the evaluation."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from queue import Empty, SimpleQueue
from threading import Thread

from finetune_sdk.errors import BackendError
from finetune_sdk.model import Answer, Model, Question, outcomes

Outcome = Answer | BackendError
_LOOK_EVERY = 0.5


def outcomes_within(
    model: Model, questions: Iterator[Question], seconds: float | None
) -> Generator[tuple[int, Outcome], None, None]:
    """As `outcomes`; a question that is not answered `seconds` after the model took it is an error.

    Once all that the model took have run out of time it is left alone, in a thread of its own, and takes no more.
    """
    yield from outcomes(model, questions) if seconds is None else _Watched(model, questions, seconds).outcomes()


class _Watched:
    def __init__(self, model: Model, questions: Iterator[Question], seconds: float) -> None:
        self._model = model
        self._questions = questions
        self._seconds = seconds
        self._came: SimpleQueue[tuple[int, Outcome] | BaseException | None] = SimpleQueue()
        self._since: dict[int, float] = {}
        self._over: set[int] = set()
        self._left_alone = False

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        Thread(target=self._ask, name="finetune-asking", daemon=True).start()
        try:
            while True:
                try:
                    one = self._came.get(timeout=self._wait())
                except Empty:
                    yield from self._late()
                    if self._left_alone:
                        return
                    continue
                if one is None:
                    return
                if isinstance(one, BaseException):
                    raise one
                if one[0] not in self._over:
                    self._over.add(one[0])
                    yield one
        finally:
            self._left_alone = True

    def _ask(self) -> None:
        try:
            for one in outcomes(self._model, self._taken()):
                self._came.put(one)
                if self._left_alone:
                    return
        except BaseException as fault:
            self._came.put(fault)
        else:
            self._came.put(None)

    def _taken(self) -> Iterator[Question]:
        for number, question in enumerate(self._questions):
            self._since[number] = time.monotonic()
            yield question
            if self._left_alone:
                return

    def _under_way(self) -> dict[int, float]:
        return {number: since for number, since in list(self._since.items()) if number not in self._over}

    def _wait(self) -> float:
        first = min(self._under_way().values(), default=None)
        if first is None:
            return _LOOK_EVERY
        return max(0.0, min(_LOOK_EVERY, first + self._seconds - time.monotonic()))

    def _late(self) -> Iterator[tuple[int, Outcome]]:
        under_way, now = self._under_way(), time.monotonic()
        late = [number for number, since in under_way.items() if now >= since + self._seconds]
        self._left_alone = bool(late) and len(late) == len(under_way)
        self._over.update(late)
        for number in late:
            yield (
                number,
                BackendError(
                    f"{self._model.name} did not answer within {self._seconds:g} s.", code="timeout", retryable=True
                ),
            )

"""Who waits for which model. Each model has a desk: a thread that answers those who wait, in batches, the oldest first.

What arrives while a batch is being answered is answered together in the next one. Requests share a batch when they ask for
the same sampling; one that sets a seed is answered by itself, so that its answer does not hang on who else is there.
A model that asks for each conversation by itself, as one at another place does (`alone`), gains nothing by company: its desk
has several threads, and nobody waits for another's long answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finetune_sdk.errors import AnswersError, BackendError, FinetuneError
from finetune_sdk.messages import Conversation
from finetune_sdk.model import Answer, Model, Sampling, Speaking
from finetune_sdk.serve.errors import full

log = logging.getLogger("finetune_sdk.serve")
BATCH = 32
LANES = 32
_WAITING = 2000

Hear = Callable[[str], bool]
Done = Callable[[Sequence[Answer] | FinetuneError], None]


@dataclass(eq=False, slots=True)
class Asker:
    """One request: `count` answers to a conversation.

    `done` gets them, or an error, once, from the desk's thread; `hear`, one for each answer or none at all, gets the text as
    it comes where the model can speak, and says whether more of it is wanted; `begun` once anything was heard.
    `seconds` is what its batch took in the model.
    """

    asked: Conversation
    sampling: Sampling
    count: int
    done: Done
    hear: Sequence[Hear] = ()
    gone: bool = False
    begun: bool = False
    seconds: float = 0.0

    def leave(self) -> None:
        """Nobody waits for it any more: it is not begun, and where it is heard, it is not gone on with."""
        self.gone = True


class Desk:
    """One model and those who wait for it. Its first thread begins with the first of them, and all end after `close`."""

    def __init__(self, name: str, open_model: Callable[[], Model]) -> None:
        self._name = name
        self._open = open_model
        self._model: Model | None = None
        self._waiting: deque[Asker] = deque()
        self._news = threading.Condition()
        self._closed = False
        self._answering: set[Asker] = set()
        self._lanes = self._idle = 0
        self._most = 1

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._answering)

    def ask(self, asker: Asker) -> bool:
        """Puts it in the line; False when the desk has closed. Raises ProtocolError when the line is too long."""
        with self._news:
            if self._closed:
                return False
            if len(self._waiting) >= _WAITING:
                raise full(f"{_WAITING} requests wait for this model already.")
            self._waiting.append(asker)
            self._staff()
            self._news.notify()
        return True

    def _staff(self) -> None:
        """Opens as many lanes as are wanted and may be."""
        while len(self._waiting) > self._idle and self._lanes < self._most:
            self._lanes += 1
            self._idle += 1
            threading.Thread(target=self._serve, name=f"finetune-desk-{self._name}", daemon=True).start()

    def close_if_idle(self) -> bool:
        """Lets go of the model, unless somebody waits for it."""
        with self._news:
            if self.busy:
                return False
            self._closed = True
            self._news.notify_all()
        return True

    def close(self) -> None:
        """Nobody else is let in; who waits is told so."""
        with self._news:
            self._closed = True
            left, self._waiting = list(self._waiting), deque()
            self._news.notify_all()
        for asker in left:
            asker.done(_closing())

    def abandon(self) -> None:
        """Whoever is being answered is told that nothing comes. A model in the midst of a batch cannot be stopped."""
        with self._news:
            answering = list(self._answering)
        for asker in answering:
            asker.leave()
            asker.done(_closing())

    def _serve(self) -> None:
        while True:
            with self._news:
                while not self._waiting:
                    if self._closed:
                        self._leave()
                        return
                    self._news.wait()
                self._idle -= 1
                batch = self._batch()
                self._answering.update(batch)
            if batch:
                self._answer(batch)
            with self._news:
                self._answering.difference_update(batch)
                self._idle += 1

    def _leave(self) -> None:
        self._idle -= 1
        self._lanes -= 1
        if not self._lanes:
            self._model = None

    def _opened(self) -> Model:
        """The model. It is opened in the first lane, and then there may be others."""
        if self._model is None:
            self._model = self._open()
            with self._news:
                self._most = LANES if getattr(self._model, "alone", False) else 1
                self._staff()
        return self._model

    def _batch(self) -> list[Asker]:
        """The oldest, and of those behind it as many as can be answered with it."""
        first: Asker | None = None
        batch, rest, rows = list[Asker](), list[Asker](), 0
        while self._waiting:
            asker = self._waiting.popleft()
            if asker.gone:
                continue
            if first is None:
                first = asker
            elif asker.sampling != first.sampling or first.sampling.seed is not None or rows + asker.count > BATCH:
                rest.append(asker)
                continue
            batch.append(asker)
            rows += asker.count
            if rows >= BATCH or self._most > 1:
                break
        self._waiting.extendleft(reversed(rest))
        return batch

    def _answer(self, batch: list[Asker]) -> None:
        try:
            answers = self._together(self._opened(), batch)
        except AnswersError as fault:
            self._apart(batch, fault)
            return
        except Exception as fault:  # whatever a model raises: its desk goes on, for those who come after
            self._without(batch, fault)
            return
        at = 0
        for asker in batch:
            asker.done(answers[at : at + asker.count])
            at += asker.count

    def _apart(self, batch: list[Asker], fault: AnswersError) -> None:
        """Hands out what was answered; it was paid for, and nobody is asked again."""
        at = 0
        for asker in batch:
            own = fault.outcomes[at : at + asker.count]
            at += asker.count
            failed = next((one for one in own if not isinstance(one, Answer)), None)
            if failed is None:
                asker.done([one for one in own if isinstance(one, Answer)])
            else:
                asker.done(failed if isinstance(failed, FinetuneError) else fault)

    def _without(self, batch: list[Asker], fault: Exception) -> None:
        """Answers each by itself: one that the model cannot answer must not be the others' loss."""
        known = fault if isinstance(fault, FinetuneError) else self._defect(fault)
        for asker in batch:
            if len(batch) == 1 or asker.begun:
                asker.done(known)
            else:
                self._answer([asker])

    def _defect(self, fault: Exception) -> FinetuneError:
        log.error("%s failed to answer", self._name, exc_info=fault)
        return BackendError(f"the model failed to answer ({type(fault).__name__}).", code="server_error")

    def _together(self, model: Model, batch: list[Asker]) -> list[Answer]:
        asked = [asker.asked for asker in batch for _ in range(asker.count)]
        sampling = batch[0].sampling
        began = time.perf_counter()
        if isinstance(model, Speaking) and any(asker.hear for asker in batch):
            hear = [one for asker in batch for one in (asker.hear or (None,) * asker.count)]
            answers = model.speak(asked, {row: one for row, one in enumerate(hear) if one is not None}, sampling)
        else:
            answers = model.answers(asked, sampling)
        for asker in batch:
            asker.seconds = time.perf_counter() - began
        return answers


class Desks:
    """The desks of the models that were asked last, at most `kept` of them beside those that are busy."""

    def __init__(self, open_model: Callable[[str], Model], kept: int = 2) -> None:
        self._open = open_model
        self._kept = kept
        self._desks: OrderedDict[str, Desk] = OrderedDict()
        self._alone = threading.Lock()
        self._closed = False

    def ask(self, target: str, asker: Asker) -> None:
        """Puts a request in the line of a model, by the backend's name for it."""
        while not self._desk(target).ask(asker):
            with self._alone:
                self._desks.pop(target, None)

    def _desk(self, target: str) -> Desk:
        with self._alone:
            if self._closed:
                raise _closing()
            if target not in self._desks:
                self._desks[target] = Desk(target, lambda: self._open(target))
            self._desks.move_to_end(target)
            for name in list(self._desks)[:-1]:
                if len(self._desks) <= self._kept:
                    break
                if self._desks[name].close_if_idle():
                    del self._desks[name]
            return self._desks[target]

    @property
    def waiting(self) -> int:
        """How many requests are in a line and not being answered yet."""
        with self._alone:
            return sum(desk.waiting for desk in self._desks.values())

    @property
    def busy(self) -> bool:
        """Whether a model is in the midst of an answer."""
        with self._alone:
            return any(desk.busy for desk in self._desks.values())

    def close(self) -> None:
        """Lets nobody else in. Who waits is told so; what is being answered goes on."""
        with self._alone:
            self._closed = True
            desks = list(self._desks.values())
        for desk in desks:
            desk.close()

    def abandon(self) -> None:
        """Tells those who are being answered, too."""
        with self._alone:
            desks = list(self._desks.values())
        for desk in desks:
            desk.abandon()


def _closing() -> BackendError:
    return BackendError("the server is shutting down.", code="shutting_down", retryable=True)

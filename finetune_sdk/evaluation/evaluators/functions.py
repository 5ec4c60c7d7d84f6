"""Check and Bounded: any Python function as an evaluator, and any evaluator within a time.

Python cannot end a thread. So what judges runs in a thread of its own, and when its time is over that is left behind: a loop in
Python is ended in it, what waits for a network or a disk waits there without being waited for. Only code in C that holds the
interpreter (a catastrophic pattern of `re`) stops everything until it is done: use `Pattern` for patterns.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any
from weakref import finalize

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Evaluator, Score
from finetune_sdk.evaluation.evaluators.reading import shown
from finetune_sdk.model import Answer, Model

_Calls = SimpleQueue[Callable[[], object] | None]
_Outcomes = SimpleQueue[tuple[bool, object]]
SECONDS = 60.0
_PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Check:
    """A function of the case and the answer: it returns whether it passes, that and a reason, or a Score.

    What it raises is an error of that case, which is not scored; so is a judgement that takes more than `seconds`, and after
    three of them in a row the function is not called again. Raise `version` when it judges differently, and say
    `pure` where it costs nothing and always judges alike: it is then tried on the expected answers first.
    """

    function: Callable[[Case, Answer], object]
    name: str = ""
    version: int = 1
    pure: bool = False
    seconds: float = SECONDS
    _watch: Watch = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.function, type) or not callable(self.function):
            raise EvaluationError(
                f"{shown(repr(self.function))} is no function.", cure="give a function of the case and the answer"
            )
        name = self.name or getattr(self.function, "__name__", "")
        if not name or name == "<lambda>":
            raise EvaluationError("the function has no name.", cure='name the check: Check(…, name="polite")')
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "_watch", Watch(name, given.number("the time for an answer", self.seconds, low=1e-3)))

    def judge(self, case: Case, answer: Answer) -> Score:
        found = self._watch.call(lambda: self.function(case, answer))
        match found:
            case Score():
                return found
            case (passed, str(reason)) if _is_verdict(passed):
                return Score(bool(passed), "" if passed else reason)
            case _ if _is_verdict(found):
                return Score(bool(found), "" if found else f"{self.name} says no")
        raise TypeError(
            f"{self.name} returned {type(found).__name__}; return True or False, (passed, reason) or a Score"
        )


@dataclass(frozen=True, slots=True)
class Bounded:
    """An evaluator whose judgements may take so many seconds: one that takes longer is an error of that case, and not scored.

    After three in a row it is not called again. It is called in a thread of its own, so what it made elsewhere must allow that
    (`sqlite3.connect(…, check_same_thread=False)`).
    """

    evaluator: Evaluator
    seconds: float = SECONDS
    _watch: Watch = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.evaluator, type) or not hasattr(self.evaluator, "judge"):
            raise EvaluationError(
                f"{shown(repr(self.evaluator))} is not an evaluator.", cure="give one, such as a Check"
            )
        limit = given.number("the time for an answer", self.seconds, low=1e-3)
        object.__setattr__(self, "_watch", Watch(str(self.evaluator.name), limit))

    @property
    def name(self) -> str:
        return self.evaluator.name

    @property
    def version(self) -> int:
        return self.evaluator.version

    @property
    def pure(self) -> bool:
        return bool(getattr(self.evaluator, "pure", False))

    @property
    def model(self) -> Model | None:
        """The model that the evaluator asks, where it does: what that costs counts, too."""
        found = getattr(self.evaluator, "model", None)
        return found if isinstance(found, Model) and not isinstance(found, type) else None

    @property
    def spent(self) -> object:
        """What a judge has spent."""
        return getattr(self.evaluator, "spent", None)

    def judge(self, case: Case, answer: Answer) -> Score:
        found: Any = self._watch.call(lambda: self.evaluator.judge(case, answer))
        return found  # type: ignore[no-any-return]  # what is no Score is told by who runs the evaluation


def bounded(evaluator: Evaluator) -> Evaluator:
    """The SDK's own evaluators as they are, and judges, which ask models; any other within a minute."""
    if hasattr(evaluator, "judge_all") or any(isinstance(held, Model) for held in _held(evaluator)):
        return evaluator
    own = type(evaluator).__module__.partition(".")[0] == __name__.partition(".")[0]
    return evaluator if own else Bounded(evaluator)  # type: ignore[return-value]  # `version` is read, never set


def _held(evaluator: Any) -> list[object]:
    if is_dataclass(evaluator):
        return [getattr(evaluator, part.name, None) for part in fields(evaluator)]
    return list(getattr(evaluator, "__dict__", {}).values())


class _StopError(BaseException):
    """Raised in a thread that is left behind."""


class Watch:
    """Calls functions in threads, one call at a time in each, and leaves a thread behind whose call takes more than `seconds`."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name, self._seconds = name, seconds
        self._lock = Lock()
        self._free: list[_Desk] = []
        self._late = 0

    def call(self, function: Callable[[], object]) -> object:
        """What the function returns or raises; EvaluationError where it takes too long, or has too often."""
        desk = self._desk()
        try:
            returned, value = desk.call(function, self._seconds)
        except Empty:
            desk.leave()
            with self._lock:
                self._late += 1
            raise EvaluationError(
                f"{self._name} has not judged within {self._seconds:g} s.",
                cure="find out what it waits for, or give it more `seconds`",
            ) from None
        with self._lock:
            self._late = 0
            self._free.append(desk)
        if returned:
            return value
        assert isinstance(value, BaseException)
        raise value

    def _desk(self) -> _Desk:
        with self._lock:
            if self._late >= _PATIENCE:
                raise EvaluationError(
                    f"{self._name} took more than {self._seconds:g} s for {_PATIENCE} answers in a row, and is not called again.",
                    cure="find out what it waits for, or give it more `seconds`",
                )
            return self._free.pop() if self._free else _Desk(self._name)


class _Desk:
    """A thread and the calls that it is given; it ends when nobody holds the desk any more."""

    def __init__(self, name: str) -> None:
        self._calls: _Calls = SimpleQueue()
        self._outcomes: _Outcomes = SimpleQueue()
        self._thread = Thread(target=_work, args=(self._calls, self._outcomes), name=f"judging by {name}", daemon=True)
        self._thread.start()
        finalize(self, self._calls.put, None)

    def call(self, function: Callable[[], object], seconds: float) -> tuple[bool, object]:
        self._calls.put(partial(copy_context().run, function))
        return self._outcomes.get(timeout=seconds)

    def leave(self) -> None:
        self._calls.put(None)
        if self._thread.ident is not None:
            # Ends what is Python at its next step; it has no effect on a thread that waits or has ended.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(_StopError))


def _work(calls: _Calls, outcomes: _Outcomes) -> None:
    with suppress(_StopError):
        while (function := calls.get()) is not None:
            try:
                outcome: tuple[bool, object] = True, function()
            except _StopError:
                raise
            except Exception as fault:  # it is raised where it was called for
                outcome = False, fault
            except BaseException as fault:  # `sys.exit` would end this thread only, and the program where it is raised
                outcome = False, RuntimeError(f"it raised {type(fault).__name__}: {fault}")
            outcomes.put(outcome)
            del function, outcome


def _is_verdict(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")  # numpy's own too

"""What an evaluator is given when it is made: said in words where it makes no sense, before any model is asked."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from finetune_sdk.errors import EvaluationError, MissingDependencyError
from finetune_sdk.evaluation.evaluators.case import Case
from finetune_sdk.evaluation.evaluators.reading import shown
from finetune_sdk.messages import Message

EXTRA = "evaluators"


def texts(what: str, value: Any) -> tuple[str, ...]:
    """One text or several, as a tuple of texts that are not empty."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if not found or not all(isinstance(text, str) and text for text in found):
        raise EvaluationError(f"{what} are {shown(value)}.", cure="give one text or more, none of them empty")
    return found


def text(what: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise EvaluationError(f"{what} is {shown(value)}.", cure="give a text that is not empty")
    return value


def number(what: str, value: Any, low: float = 0.0, high: float = float("inf")) -> float:
    """A number within the limits; NaN lies in none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        limit = f"from {low:g} to {high:g}" if high < float("inf") else f"of {low:g} or more"
        raise EvaluationError(f"{what} is {shown(value)}.", cure=f"give a number {limit}")
    return value


def whole(what: str, value: Any, low: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise EvaluationError(f"{what} is {shown(value)}.", cure=f"give a whole number of {low} or more")
    return value


def one_of(what: str, value: Any, allowed: Iterable[str]) -> str:
    known = tuple(allowed)
    if not isinstance(value, str) or value not in known:
        raise EvaluationError(f"{what} is {shown(value)}.", cure=f"give one of {', '.join(known)}")
    return value


def library(module: str, needed_for: str) -> Any:
    """A module of the extra. Raises MissingDependencyError with the line that installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as fault:
        raise MissingDependencyError(f"{fault.name}, which {needed_for} needs,", extra=EXTRA) from None


def expected(case: Case) -> Message:
    if case.expected is None:
        raise EvaluationError(
            f"{case.where}: nothing is expected of this case, so no answer can match it.",
            cure="add the assistant's answer to the case",
        )
    return case.expected

"""What an answer to a task is worth: the mean of what its graders find, and what they have to go by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators.case import Case, Evaluator
from finetune_sdk.messages import Message, TaskExample
from finetune_sdk.model import Answer

USUAL = ("expected", "answer", "reference", "label")
"""What the expected answer is called in a reference."""
MOST = 1e100
"""What an answer may be worth at most, whichever way: squares of larger numbers are not finite."""


def case(tasks: Dataset, index: int) -> Case:
    """A task as graders see it. What is expected is what its reference calls so, or its only value, or all of it as JSON."""
    example = tasks[index]
    assert isinstance(example, TaskExample)
    expected = _expected(example.reference)
    return Case(index, example.prompt, expected, tasks.where(index), "", example.reference)


def _expected(reference: Mapping[str, Any]) -> Message | None:
    if not reference:
        return None
    key = next((name for name in USUAL if name in reference), None)
    value = reference[key] if key else next(iter(reference.values())) if len(reference) == 1 else dict(reference)
    return Message("assistant", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def worth(graders: Sequence[Evaluator], case: Case, answer: Answer) -> float:
    """The mean over the graders. Raises EvaluationError, naming the task, where one fails to judge."""
    return sum(_of(grader, case, answer) for grader in graders) / len(graders)


def _of(grader: Evaluator, case: Case, answer: Answer) -> float:
    try:
        score = grader.judge(case, answer)
        if getattr(grader, "graded", False) and score.value is not None:
            found = float(score.value)
        else:
            found = float(bool(score.passed))
    except EvaluationError:
        raise
    except Exception as fault:
        raise EvaluationError(
            f"{case.where}: the grader {_name(grader)} fails: {type(fault).__name__}: {fault}.",
            cure="mend the grader, so that it judges every answer",
        ) from fault
    if not abs(found) <= MOST:
        raise EvaluationError(
            f"{case.where}: the grader {_name(grader)} finds an answer worth {found:g}.",
            cure=f"give a number that is finite, and {MOST:g} at most",
        )
    return found


def _name(grader: Evaluator) -> str:
    return str(getattr(grader, "name", type(grader).__name__))

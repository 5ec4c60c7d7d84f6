"""How models are asked: every case, no faster than the place allows, and what came of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from finetune_sdk.errors import AnswersError, BackendError, EvaluationError
from finetune_sdk.evaluation.evaluators import Case, Evaluator
from finetune_sdk.evaluation.transcript import Reply
from finetune_sdk.model import Answer, Model, Sampling, at_once


def replies_of(
    model: Model,
    cases: Sequence[Case],
    evaluators: Sequence[Evaluator],
    sampling: Sampling | None,
    advance: Callable[[int], None],
) -> list[Reply]:
    """One reply a case, in their order; `advance` is told how many more are there."""
    replies: list[Reply] = []
    size = max(1, at_once(model))
    for start in range(0, len(cases), size):
        chunk = cases[start : start + size]
        replies += _asked(model, chunk, evaluators, sampling)
        advance(len(chunk))
    return replies


def _asked(
    model: Model, cases: Sequence[Case], evaluators: Sequence[Evaluator], sampling: Sampling | None
) -> list[Reply]:
    """One reply a case. A case that the place cannot answer does not take the others with it."""
    try:
        answers = model.answers([case.prompt for case in cases], sampling)
    except AnswersError as fault:
        return [_reply(case, outcome, evaluators) for case, outcome in zip(cases, fault.outcomes, strict=True)]
    except BackendError as fault:
        if fault.retryable or len(cases) == 1:
            return [Reply(None, fault.message) for _ in cases]
        return [_asked(model, [case], evaluators, sampling)[0] for case in cases]
    if len(answers) != len(cases):
        raise EvaluationError(
            f"{model.name} gave {len(answers)} answers to {len(cases)} cases.",
            cure="Model.answers must return one answer for each conversation, in their order",
        )
    for answer in answers:
        if not isinstance(answer, Answer) or not isinstance(answer.text, str):
            raise EvaluationError(
                f"{model.name} answered with {type(answer).__name__}, not with an Answer that has a text.",
                cure="Model.answers must return Answer(text) for each conversation",
            )
    return [Reply.judged(case, answer, evaluators) for case, answer in zip(cases, answers, strict=True)]


def _reply(case: Case, outcome: object, evaluators: Sequence[Evaluator]) -> Reply:
    if isinstance(outcome, Answer):
        return Reply.judged(case, outcome, evaluators)
    return Reply(None, outcome.message if isinstance(outcome, BackendError) else str(outcome))


@contextmanager
def bar(
    title: str, models: Mapping[str, Model], cases: int, shown: bool | None
) -> Iterator[Callable[[str, int], None]]:
    """Shows how far each model is, on standard error; gives what is told of it: `advance(model, more)`."""
    if shown is False or (shown is None and not sys.stderr.isatty()):
        yield lambda key, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {key: bar.add_task(f"{title}: {key}", total=cases) for key in models}
        yield lambda key, done: bar.advance(tasks[key], done)

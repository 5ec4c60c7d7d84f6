"""A judge's model is asked many at once; where it fails on some, those have the fault in the place of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune_sdk.errors import AnswersError, BackendError, EvaluationError
from finetune_sdk.evaluation.evaluators import Case
from finetune_sdk.evaluation.judges.quoting import TooLongError, fenced_in
from finetune_sdk.evaluation.spent import Spent, Tally
from finetune_sdk.evaluation.transcript import plain, words
from finetune_sdk.messages import Conversation, Message
from finetune_sdk.model import Answer, Model, Sampling, at_once

Heard = Answer | BackendError | TooLongError
MOST_VOTES = 99
_TOKENS = 1024


def sampling_of(votes: int, given: Sampling | None) -> Sampling:
    """Greedy for one vote; several are drawn, since greedy ones would all be the same. Raises EvaluationError."""
    if isinstance(votes, bool) or not isinstance(votes, int) or not 1 <= votes <= MOST_VOTES:
        raise EvaluationError(f"votes={votes!r} makes no sense.", cure=f"give a whole number from 1 to {MOST_VOTES}")
    if given is None:
        return Sampling(max_tokens=_TOKENS, temperature=0.0 if votes == 1 else 1.0)
    if votes > 1 and given.temperature == 0:
        raise EvaluationError(
            f"{votes} votes at temperature 0 are {votes} times the same one.",
            cure="give a temperature, as in Sampling(max_tokens=1024, temperature=1.0), or one vote",
        )
    return given


def of_a_case(case: Case, *, expected: bool) -> dict[str, Any]:
    """What every judge is shown of a case."""
    data: dict[str, Any] = {
        "conversation": [{"role": message.role, "content": words(message)} for message in case.prompt.messages]
    }
    if case.prompt.tools:
        data["tools"] = json.dumps(plain(case.prompt.tools), ensure_ascii=False)
    if expected and case.expected is not None:
        data["expected"] = words(case.expected)
    return data


@dataclass(frozen=True, slots=True)
class Question:
    """What a judge is asked, and the mark that its verdict has to bear."""

    mark: str
    conversation: Conversation


def question(data: Mapping[str, Any], system: Callable[[str], str], task: str) -> Question | TooLongError:
    """The data fenced in, after what `system` makes of the mark, and before the task once more."""
    try:
        mark, quoted = fenced_in(data)
    except TooLongError as fault:
        return fault
    user = f"{quoted}\n\n{task} Say nothing but the JSON object that bears the mark {mark}."
    return Question(mark, Conversation((Message("system", system(mark)), Message("user", user))))


def usable(model: Any) -> Model:
    """Raises EvaluationError for what does not answer messages."""
    if isinstance(model, type) or not isinstance(model, Model):
        raise EvaluationError(
            f"the judge is {type(model).__name__}, which does not answer messages.",
            cure="give a Model, such as client.model(name)",
        )
    return model


def heard(
    model: Model, asked: Sequence[Question | TooLongError], votes: int, sampling: Sampling, tally: Tally
) -> list[list[Heard]]:
    """Of each question `votes` answers; a fault stands in the place of an answer that there is not."""
    found: list[list[Heard]] = [[one] if isinstance(one, TooLongError) else [] for one in asked]
    there = [(place, one.conversation) for place, one in enumerate(asked) if isinstance(one, Question)]
    for vote in range(votes):
        drawn = sampling if votes == 1 else replace(sampling, seed=(sampling.seed or 0) + vote)
        for (place, _), said in zip(there, _in_turn(model, [one for _, one in there], drawn), strict=True):
            found[place].append(said)
            tally.add(Spent.on([said] if isinstance(said, Answer) else [], model))
    return found


def _in_turn(model: Model, asked: Sequence[Conversation], sampling: Sampling) -> Iterator[Answer | BackendError]:
    size = max(1, at_once(model))
    for start in range(0, len(asked), size):
        yield from _answers(model, asked[start : start + size], sampling)


def _answers(model: Model, asked: Sequence[Conversation], sampling: Sampling) -> Iterator[Answer | BackendError]:
    try:
        said = model.answers(asked, sampling)
    except AnswersError as fault:
        for one in fault.outcomes:
            yield one if isinstance(one, Answer | BackendError) else BackendError(str(one))
        return
    except BackendError as fault:
        if fault.retryable or len(asked) == 1:
            yield from (fault for _ in asked)
            return
        for one in asked:
            yield from _answers(model, [one], sampling)
        return
    if len(said) != len(asked) or not all(isinstance(one, Answer) and isinstance(one.text, str) for one in said):
        raise EvaluationError(
            f"{model.name} did not give {len(asked)} answers to {len(asked)} conversations.",
            cure="Model.answers must return one Answer for each conversation, in their order",
        )
    yield from said


def answered(said: Heard) -> Answer:
    """Raises the fault that stands in the place of an answer."""
    if isinstance(said, Answer):
        return said
    raise said

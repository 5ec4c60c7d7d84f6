"""Evaluators that judge many answers at once: those that ask a model, once all answers are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

from finetune_sdk.evaluation.evaluators import Case, Evaluator, Score
from finetune_sdk.evaluation.spent import Spent
from finetune_sdk.evaluation.transcript import Reply
from finetune_sdk.model import Answer


@runtime_checkable
class Together(Protocol):
    """An evaluator that is shown all answers of a model at once. Optional."""

    @property
    def name(self) -> str: ...

    def judge_all(self, cases: Sequence[Case], answers: Sequence[Answer]) -> list[Score | Exception]: ...


def judged_together(evaluators: Sequence[Evaluator], cases: Sequence[Case], replies: Sequence[Reply]) -> list[Reply]:
    """The replies of one model, with the scores of those evaluators that judge many at once."""
    found = list(replies)
    for evaluator in (one for one in evaluators if isinstance(one, Together)):
        there = [(place, reply.answer) for place, reply in enumerate(found) if reply.answer is not None]
        scores = _scores(evaluator, [cases[place] for place, _ in there], [answer for _, answer in there])
        for (place, answer), score in zip(there, scores, strict=True):
            judged = Reply.judged(cases[place], answer, [_Known(evaluator.name, score)])
            before = found[place]
            found[place] = replace(
                before, scores={**before.scores, **judged.scores}, faults={**before.faults, **judged.faults}
            )
    return found


def _scores(evaluator: Together, cases: Sequence[Case], answers: Sequence[Answer]) -> Sequence[Score | Exception]:
    try:
        return evaluator.judge_all(cases, answers) if cases else []
    except Exception as fault:  # an evaluator is anybody's code, and must not cost the answers
        return [fault] * len(cases)


@dataclass(frozen=True, slots=True)
class _Known:
    """A judgement that is there already, as an evaluator."""

    name: str
    found: Score | Exception
    version: ClassVar[int] = 1

    def judge(self, case: Case, answer: Answer) -> Score:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def spent_by(evaluators: Sequence[Evaluator]) -> dict[str, Spent]:
    """What each evaluator that is a judge has spent so far."""
    found = ((one.name, getattr(one, "spent", None)) for one in evaluators)
    return {name: spent for name, spent in found if isinstance(spent, Spent)}


def judge_rows(evaluators: Sequence[Evaluator], before: Mapping[str, Spent]) -> list[dict[str, Any]]:
    """What each judge has spent since, as the report keeps it."""
    models = {one.name: str(getattr(getattr(one, "model", None), "name", "")) for one in evaluators}
    after = spent_by(evaluators)
    return [
        {"evaluator": name, "model": models[name], **(spent - before.get(name, Spent())).to_dict()}
        for name, spent in after.items()
    ]

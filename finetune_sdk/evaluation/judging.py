"""What every evaluator makes of every answer."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_sdk.errors import BackendError
from finetune_sdk.evaluation.asking import Outcome
from finetune_sdk.evaluation.evaluators import Case, Evaluator
from finetune_sdk.evaluation.transcript import Reply


def judged(cases: Sequence[Case], outcomes: Sequence[Outcome], evaluators: Sequence[Evaluator]) -> list[Reply]:
    """One reply an outcome; the outcomes are those of the cases in order, each case's samples side by side."""
    each = len(outcomes) // len(cases)
    return [_reply(cases[number // each], outcome, evaluators) for number, outcome in enumerate(outcomes)]


def _reply(case: Case, outcome: Outcome, evaluators: Sequence[Evaluator]) -> Reply:
    if isinstance(outcome, BackendError):
        return Reply(None, outcome.message)
    return Reply.judged(case, outcome, evaluators)

"""Case, Score, Evaluator: what is asked, what was judged of the answer, and who judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from finetune_sdk.messages import Conversation, Message
from finetune_sdk.model import Answer


@dataclass(frozen=True, slots=True)
class Case:
    """One held-out example: the prompt is all before its last assistant turn, and that turn is what is expected.

    `where` is its place in words (`tickets.jsonl line 218`), `hash` 16 hex digits that stand for its content. `reference`
    is what an RFT task has for its graders.
    """

    index: int
    prompt: Conversation
    expected: Message | None
    where: str
    hash: str
    reference: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """One judgement. `reason` says why it failed, `value` is what was measured, `fields` the verdict on each part.

    Of an evaluator that is `graded`, the value is what the answer is worth to RFT; of another, a pass is worth 1.
    """

    passed: bool
    reason: str = ""
    value: float | None = None
    fields: Mapping[str, bool] = field(default_factory=dict)


class Evaluator(Protocol):
    """One judgement of one answer. `version` goes up whenever the same answer may be judged differently.

    One that raises is counted as an error for that case and never scored. One that is `pure` (it costs nothing and
    always judges alike) is shown the expected answers before any model is asked, so that a mistake in its definition,
    raised as EvaluationError, is found before money is spent. One that is `nominal` has values that name what was said
    (a label's place, a number) and measure nothing: no report averages them.
    """

    version: ClassVar[int]

    @property
    def name(self) -> str: ...

    def judge(self, case: Case, answer: Answer) -> Score: ...

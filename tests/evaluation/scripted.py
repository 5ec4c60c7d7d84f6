"""Cases with one right answer, a model that is right in the first so many of them, and a report of both."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import BackendError
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.evaluation.evaluators import FieldMatch, JSONSchema
from finetune_sdk.messages import Asked, ChatExample, Conversation, Message
from finetune_sdk.model import Answer, Origin, Sampling

SCHEMA = {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}, "required": ["label"]}


def tickets(count: int, start: int = 0) -> Dataset:
    return Dataset.of(
        [
            ChatExample(
                (
                    Message("system", "Answer in JSON."),
                    Message("user", f"ticket {i}"),
                    Message("assistant", json.dumps({"label": "ab"[i % 2]})),
                )
            )
            for i in range(start, start + count)
        ],
        name="tickets.jsonl",
    )


@dataclass
class Scripted:
    """A model that is right in the first `right` cases of all that it is asked; it keeps what it was asked."""

    right: int
    name: str = "scripted"
    origin: Origin = field(default_factory=lambda: Origin("here", "none"))
    fails_at: tuple[int, ...] = ()
    asked: list[Conversation] = field(default_factory=list)
    calls: int = 0
    sampling: Sampling | None = None

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.answers([asked], sampling)[0]

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        self.calls += 1
        self.sampling = sampling
        if self.calls - 1 in self.fails_at:
            raise BackendError("the place is down", code="503", retryable=True)
        said = []
        for conversation in map(Conversation.of, asked):
            number = int(conversation.messages[-1].text.split()[-1])
            text = json.dumps({"label": "ab"[number % 2]}) if number < self.right else "no idea"
            self.asked.append(conversation)
            said.append(Answer(text, input_tokens=10, output_tokens=number, seconds=0.5))
        return said


def report(cases: int = 60, name: str = "triage", **right: int) -> Report:
    models: dict[str, Any] = {key: Scripted(count) for key, count in right.items()}
    return Evaluation(tickets(cases), [JSONSchema(SCHEMA), FieldMatch()], name=name).run(**models)


def trained_on(rows: Dataset) -> Origin:
    return Origin("local", "tiny", run="local:1", sketch=frozenset(rows.sketch()))

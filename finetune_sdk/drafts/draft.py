"""Draft: a row that a model wrote, what was decided on it, and how two prompts are told to ask the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from finetune_sdk.data.checks.reading import excerpt, squeezed
from finetune_sdk.data.index import digest
from finetune_sdk.messages import ChatExample, Conversation, Message
from finetune_sdk.todo import FailedCase

State = Literal["waiting", "accepted", "edited", "rejected"]
STATES: tuple[State, ...] = ("waiting", "accepted", "edited", "rejected")


@dataclass(frozen=True, slots=True)
class Draft:
    """A row that `model` wrote, as it stands now: with a person's answer where it was edited.

    `like` is the failed case that it was written like; `written` is in seconds since 1970.
    """

    id: str
    example: ChatExample
    model: str
    written: float
    state: State = "waiting"
    reason: str | None = None
    like: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided on a draft, and when (seconds since 1970). `answer` is that of an edit."""

    state: State
    decided: float
    answer: Message | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What came of asking a model: ids of new drafts, how many were there already, and in words what was left out and why."""

    new: tuple[str, ...] = ()
    known: int = 0
    faults: tuple[str, ...] = ()

    def __add__(self, other: Written) -> Written:
        return Written(self.new + other.new, self.known + other.known, self.faults + other.faults)

    def __str__(self) -> str:
        parts = [f"{len(self.new):,} new {'draft' if len(self.new) == 1 else 'drafts'}"]
        parts += [f"{self.known:,} there already"] if self.known else []
        parts += [f"{len(self.faults):,} left out"] if self.faults else []
        return ", ".join(parts)


def left_out(asked: Conversation, why: str) -> Written:
    """A prompt of which no draft was made."""
    last = next((message.text for message in reversed(asked.messages) if message.role == "user"), "")
    return Written(faults=(f"{excerpt(last, 60)!r}: {why}",))


def question(asked: Conversation) -> bytes:
    """16 bytes that stand for what the user says, white space, case and the system prompt aside."""
    return _key(message.text for message in asked.messages if message.role == "user")


def question_of_case(case: FailedCase) -> bytes:
    """The same of a failed case."""
    return _key(text for role, text in case.messages if role == "user")


def _key(said: Iterable[str]) -> bytes:
    folded = "\0".join(squeezed(text).casefold() for text in said)
    return digest(folded.encode("utf-8", "replace"))

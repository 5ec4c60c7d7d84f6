"""The shape of what the corpus writes, and few-shot prompts made out of any task."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

Message = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation in the shape of a chat dataset's row. `system` None leaves that turn out."""

    messages: list[Message]
    tools: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Frame:
    """One instruction and a supply of inputs with their answers under it: what a few-shot prompt is made of."""

    instruction: str
    pair: Callable[[random.Random], tuple[str, str]]


def talk(*turns: str, system: str | None = None) -> Talk:
    """User and assistant in turns, with or without a system turn in front."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "assistant" if index % 2 else "user", "content": text} for index, text in enumerate(turns)]
    return Talk(messages)


def dumps(value: object) -> str:
    """JSON as the assistant writes it: always in one line, with one space after comma and colon."""
    return json.dumps(value, ensure_ascii=False)


def shuffled(rng: random.Random, items: Sequence[T]) -> list[T]:
    """The items in another order."""
    return rng.sample(items, len(items))


def framed(rng: random.Random, frame: Frame, shots: int | None = None) -> Talk:
    """A talk under the frame's instruction; it stands in the system turn or in the first user turn. Default: mostly no earlier pair, at times 1-4."""
    shots = shots if shots is not None else rng.choice((0, 0, 0, 0, 0, 1, 2, 3))
    pairs = [frame.pair(rng) for _ in range(shots + 1)]
    turns = [text for pair in pairs for text in pair]
    place = rng.random()
    if place < 0.65:
        return talk(*turns, system=frame.instruction)
    if place < 0.9 or shots == 0:
        turns[0] = rng.choice(
            (
                f"{frame.instruction}\n\n{turns[0]}",
                f"{frame.instruction}\n{turns[0]}",
                f"{turns[0]}\n\n{frame.instruction}",
            )
        )
        return talk(*turns)
    shown = "\n".join(f"Input: {question}\nOutput: {answer}" for question, answer in pairs[:-1])
    return talk(f"{frame.instruction}\n{shown}\nInput: {pairs[-1][0]}\nOutput:", pairs[-1][1])

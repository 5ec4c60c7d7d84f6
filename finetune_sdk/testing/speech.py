"""What a fake place reads and says: words for tokens, a base that echoes, and a tuned model that knows its rows."""

from __future__ import annotations

import json
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from finetune_sdk.data.tokens import TokenCount
from finetune_sdk.estimate import Price
from finetune_sdk.messages import (
    Asked,
    ChatExample,
    Conversation,
    Example,
    Message,
    PreferenceExample,
    RatedExample,
    TaskExample,
)
from finetune_sdk.model import Answer, Origin, Sampling

END = "<end>"
BASES: Mapping[str, tuple[bool, str]] = {
    "echo": (True, "words between white space, which is what this base is trained on"),
    "shout": (False, "words between white space; this base's own tokenizer is not known, within 10%"),
}


def tokens(example: Example, loss_on: str = "completions") -> list[tuple[str, bool]]:
    """Each token of an example, and whether it is learnt: the assistant's words, and the end of its turn."""
    if isinstance(example, ChatExample):
        return [token for message in example.messages for token in _turn(message, loss_on == "all")]
    if isinstance(example, PreferenceExample):
        asked = [(word, False) for message in example.prompt.messages for word, _ in _turn(message)]
        return [*asked, *_answered(example.chosen), *asked, *_answered(example.rejected)]
    if isinstance(example, RatedExample | TaskExample):
        asked = [(word, False) for message in example.prompt.messages for word, _ in _turn(message)]
        return [*asked, *(_answered(example.answer) if isinstance(example, RatedExample) else ())]
    return [(word, True) for word in (*example.text.split(), END)]


def _turn(message: Message, everything: bool = False) -> list[tuple[str, bool]]:
    learnt = everything or (message.role == "assistant" and message.weight != 0)
    calls = (f"{call.name} {json.dumps(dict(call.arguments))}" for call in message.tool_calls)
    return [(word, learnt) for word in (*" ".join((message.text, *calls)).split(), END)]


def _answered(messages: Sequence[Message]) -> list[tuple[str, bool]]:
    return [token for message in messages for token in _turn(message)]


@dataclass(frozen=True, slots=True)
class WordCounter:
    """Counts words, and one more for the end of each turn."""

    exact: bool
    basis: str

    def count(self, example: Example) -> TokenCount:
        flagged = tokens(example)
        return TokenCount(len(flagged), sum(learnt for _, learnt in flagged))


def learnt(examples: Iterable[Example]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What rows teach: the answer to each prompt, by its last words, and the most frequent answer of all."""
    known: dict[str, Any] = {}
    tally: Tally[str] = Tally()
    for example in examples:
        if isinstance(example, ChatExample):
            asked, answer = example.prompt, example.answer
        elif isinstance(example, PreferenceExample):
            asked, answer = example.prompt, example.chosen[-1]
        else:
            continue
        known[_last_words(asked)] = answer.canonical()
        tally[json.dumps(answer.canonical(), sort_keys=True)] += 1
    return known, json.loads(tally.most_common(1)[0][0]) if tally else {"role": "assistant", "content": ""}


def _last_words(conversation: Conversation) -> str:
    return conversation.messages[-1].text if conversation.messages else ""


@dataclass(frozen=True)
class Echo:
    """A base: says the user's last words again, `shout` in capitals."""

    name: str
    origin: Origin

    @property
    def prices(self) -> tuple[Price, ...]:
        return _nothing(self.name)

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        conversation = Conversation.of(asked)
        words = _last_words(conversation)
        said = Message("assistant", words.upper() if self.name == "shout" else words)
        return _answer(conversation, said, sampling or Sampling())

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return [self.answer(one, sampling) for one in asked]


@dataclass(frozen=True)
class Learnt:
    """A tuned model: says what its rows taught, and their most frequent answer to what they did not."""

    name: str
    origin: Origin
    known: Mapping[str, Any]
    otherwise: Mapping[str, Any]

    @property
    def prices(self) -> tuple[Price, ...]:
        return _nothing(self.name)

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        conversation = Conversation.of(asked)
        said = self.known.get(_last_words(conversation), self.otherwise)
        return _answer(conversation, Message.from_canonical(said), sampling or Sampling())

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return [self.answer(one, sampling) for one in asked]


def _nothing(model: str) -> tuple[Price, ...]:
    """What asking costs at a fake place."""
    return tuple(Price(model, kind, 0.0, "1M tokens", date.today(), "a fake place") for kind in ("input", "output"))


def _answer(asked: Conversation, said: Message, sampling: Sampling) -> Answer:
    read = sum(len(_turn(message)) for message in asked.messages)
    words = said.text.split()
    cut = len(words) > sampling.max_tokens
    text = " ".join(words[: sampling.max_tokens]) if cut else said.text
    finish = "length" if cut else "tool_calls" if said.tool_calls else "stop"
    return Answer(text, said.tool_calls, read, min(len(words), sampling.max_tokens), 0.0, finish)

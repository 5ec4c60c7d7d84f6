"""From messages to token ids and to what of them is trained: the one tokenising path, for training and for answering.

The text comes from the base's chat template, with thinking off where a template has that switch; token ids from that text
without special tokens added, so a BOS is there exactly when the template writes it. A turn's span is what the template adds
from its generation prompt to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_sdk.errors import DatasetError, UnsupportedError
from finetune_sdk.messages import (
    ChatExample,
    Conversation,
    Example,
    Message,
    PreferenceExample,
    RatedExample,
    TaskExample,
)

BATCH = 256
Span = tuple[int, int]


class TemplateError(ValueError):
    """The template cannot render an example so that its trained part is known; says why and the cure."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


@dataclass(frozen=True)
class Sequences:
    """Token sequences one after another. Row i is `ids[starts[i]:starts[i + 1]]`; `trained` marks what is learnt of it.

    `cut[i]` counts the tokens lost at the end, `lost[i]` those of them that would have been trained. A preference pair is
    two sequences: chosen, then rejected.
    """

    ids: NDArray[np.int32]
    trained: NDArray[np.bool_]
    starts: NDArray[np.int64]
    cut: NDArray[np.int64]
    lost: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        lengths: NDArray[np.int64] = np.diff(self.starts)
        return lengths

    @cached_property
    def trained_counts(self) -> NDArray[np.int64]:
        """Trained tokens a sequence. The first token of a sequence is never predicted, so it does not count."""
        total = np.concatenate(([0], np.cumsum(self.trained, dtype=np.int64)))
        first = np.where(self.lengths > 0, self.trained[np.minimum(self.starts[:-1], len(self.trained) - 1)], False)
        counts: NDArray[np.int64] = total[self.starts[1:]] - total[self.starts[:-1]] - first
        return counts

    def row(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        at = slice(self.starts[index], self.starts[index + 1])
        return self.ids[at], self.trained[at]


def template_message(message: Message) -> dict[str, Any]:
    """A message as chat templates expect it: text content, tool calls with their arguments as objects."""
    if not isinstance(message.content, str | None):
        others = {str(part.get("type")) for part in message.content} - {"text"}
        if others:
            raise TemplateError(
                f"a message holds content of type {sorted(others)[0]!r}; local training reads text only.",
                "remove such rows, or use a backend that reads them",
            )
    row: dict[str, Any] = {
        "role": "system" if message.role == "developer" else message.role,
        "content": message.text or message.refusal or "",
    }
    if message.tool_calls:
        row["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in message.tool_calls
        ]
    for key in ("name", "tool_call_id"):
        if getattr(message, key) is not None:
            row[key] = getattr(message, key)
    return row


class Renderer:
    """One base's template and tokenizer."""

    def __init__(self, base: str, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        if not tokenizer.chat_template:
            raise UnsupportedError(
                f"the base {base!r} has no chat template, so how it reads messages is not known.",
                cure="use an instruction-tuned base, or put a chat_template.jinja into its folder",
            )
        if not tokenizer.is_fast:
            raise UnsupportedError(
                f"the base {base!r} has no fast tokenizer, so trained tokens cannot be told apart.",
                cure="use a base with a tokenizer.json",
            )

    def text(self, messages: Sequence[dict[str, Any]], tools: Sequence[Any], *, ask: bool = False) -> str:
        """What the template makes of the messages; `ask` ends it with the opening of the assistant's turn."""
        from jinja2 import TemplateError as JinjaError

        try:
            rendered = self.tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=ask,
                enable_thinking=False,
            )
        except (JinjaError, TypeError, ValueError) as fault:
            raise TemplateError(
                f"the base's chat template refuses the messages: {fault}.",
                "change the order or the roles of the messages to what the base was made for",
            ) from None
        assert isinstance(rendered, str)
        return rendered

    def prompt(self, asked: Conversation) -> str:
        """The text that a model continues."""
        return self.text([template_message(message) for message in asked.messages], asked.tools, ask=True)

    def chat(self, example: ChatExample, *, everything: bool = False) -> tuple[str, list[Span]]:
        """The text of a conversation, and the character spans of it that are trained."""
        messages = [template_message(message) for message in example.messages]
        turns = [i for i, m in enumerate(example.messages) if m.role == "assistant" and m.weight != 0]
        whole = self.text(messages, example.tools)
        if everything:
            return whole, [(0, len(whole))]
        return whole, [self._span(messages, example.tools, whole, turn) for turn in turns]

    def _span(self, messages: Sequence[dict[str, Any]], tools: Sequence[Any], whole: str, turn: int) -> Span:
        before = self.text(messages[:turn], tools, ask=True)
        upto = whole if turn == len(messages) - 1 else self.text(messages[: turn + 1], tools)
        if not whole.startswith(upto):
            upto = upto.removesuffix(self.tokenizer.eos_token or "")  # some templates end a whole conversation with one
        if whole.startswith(upto) and not upto.startswith(before):
            raise TemplateError(
                f"the base's chat template opens an answer that is asked for with {before[-24:]!r}, which it does not write "
                f"before assistant message {turn + 1}, so what is trained would not be what is answered.",
                "use a base whose template has no thinking, or one where it can be turned off",
            )
        if not whole.startswith(upto):
            raise TemplateError(
                f"the base's chat template renders assistant message {turn + 1} otherwise once more turns follow, "
                "so what is trained would not be what is answered.",
                "give the assistant messages before the last one weight 0, or split the conversation into one row a turn",
            )
        said = str(messages[turn]["content"]).strip()
        if said and said not in upto[len(before) :]:
            raise TemplateError(
                f"the base's chat template does not write the content of assistant message {turn + 1} as it stands.",
                "look at the base's chat template: it strips or rewrites answers",
            )
        return len(before), len(upto)

    def sides(self, example: PreferenceExample) -> list[tuple[str, list[Span]]]:
        """The chosen and the rejected answer after their prompt, each with its span."""
        return [self._answered(example.prompt, answer) for answer in (example.chosen, example.rejected)]

    def _answered(self, prompt: Conversation, answer: Sequence[Message]) -> tuple[str, list[Span]]:
        messages = [template_message(message) for message in (*prompt.messages, *answer)]
        whole, first = self.text(messages, prompt.tools), len(prompt.messages)
        turns = [first + i for i, message in enumerate(answer) if message.role == "assistant"]
        return whole, [self._span(messages, prompt.tools, whole, turn) for turn in turns]

    def texts(self, example: Example, *, everything: bool = False) -> list[tuple[str, list[Span]]]:
        """The sequences that an example becomes: one, or two for a pair."""
        if isinstance(example, PreferenceExample):
            return self.sides(example)
        if isinstance(example, ChatExample):
            return [self.chat(example, everything=everything)]
        if isinstance(example, RatedExample):
            return [self._answered(example.prompt, example.answer)]
        if isinstance(example, TaskExample):
            return [(self.prompt(example.prompt), [])]
        return [(example.text, [(0, len(example.text))])]

    def encode(self, texts: list[str]) -> Any:
        """Token ids and character offsets of each text."""
        return self.tokenizer(
            texts, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False, verbose=False
        )

    def sequences(
        self,
        examples: Iterable[Example],
        max_length: int,
        where: Callable[[int], str] = lambda index: f"row {index + 1}",
        *,
        everything: bool = False,
    ) -> Sequences:
        """All examples as token ids, each cut to `max_length`. Raises DatasetError naming the first that cannot be."""
        ids, marks = list[NDArray[np.int32]](), list[NDArray[np.bool_]]()
        cut, lost = list[int](), list[int]()
        for batch in _batches(self._rendered(examples, where, everything)):
            encoded = self.encode([text for text, _ in batch])
            for row, offsets, (_, spans) in zip(encoded["input_ids"], encoded["offset_mapping"], batch, strict=True):
                trained = mark(offsets, spans)
                ids.append(np.asarray(row[:max_length], dtype=np.int32))
                marks.append(trained[:max_length])
                cut.append(max(0, len(row) - max_length))
                lost.append(int(trained[max_length:].sum()))
        starts = np.concatenate(([0], np.cumsum([len(row) for row in ids], dtype=np.int64)))
        return Sequences(
            np.concatenate(ids) if ids else np.empty(0, np.int32),
            np.concatenate(marks) if marks else np.empty(0, np.bool_),
            starts.astype(np.int64),
            np.asarray(cut, np.int64),
            np.asarray(lost, np.int64),
        )

    def _rendered(
        self, examples: Iterable[Example], where: Callable[[int], str], everything: bool
    ) -> Iterator[tuple[str, list[Span]]]:
        for index, example in enumerate(examples):
            try:
                yield from self.texts(example, everything=everything)
            except TemplateError as fault:
                raise DatasetError(f"{where(index)}: {fault.message}", cure=fault.cure) from None


def mark(offsets: Sequence[Span], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which tokens are trained: those with a character in a span."""
    edges = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    trained = np.zeros(len(edges), dtype=np.bool_)
    for start, end in spans:
        trained |= (edges[:, 1] > start) & (edges[:, 0] < end)
    return trained


def _batches(texts: Iterator[tuple[str, list[Span]]]) -> Iterator[list[tuple[str, list[Span]]]]:
    while batch := list(islice(texts, BATCH)):
        yield batch

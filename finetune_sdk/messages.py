"""Messages and the kinds of example: frozen values with one canonical form.

The canonical form is plain JSON-able data, the same whatever file a row came from. Tool-call arguments are objects
there, never text. Nothing in here touches a file or a vendor's format.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from finetune_sdk.errors import InputError

Role = Literal["system", "developer", "user", "assistant", "tool"]
Kind = Literal["chat", "preference", "rated", "task", "text"]
_ASKED = 'give a text, or a list of messages such as {"role": "user", "content": "…"}'
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the assistant. `arguments` is an object, never encoded text."""

    name: str
    arguments: Mapping[str, Any]
    id: str | None = None

    def canonical(self) -> dict[str, Any]:
        call: dict[str, Any] = {"name": self.name, "arguments": dict(self.arguments)}
        if self.id is not None:
            call["id"] = self.id
        return call


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `content` is text, a tuple of content parts (as data), or None beside tool calls.

    `weight` 0 keeps an assistant turn in view but out of training; None means that it is trained.
    """

    role: Role
    content: str | tuple[Mapping[str, Any], ...] | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    weight: float | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        """The text of the content; parts that are not text are left out."""
        if isinstance(self.content, str):
            return self.content
        return "".join(str(part.get("text", "")) for part in self.content or ())

    def canonical(self) -> dict[str, Any]:
        content = self.content if self.content is None or isinstance(self.content, str) else list(self.content)
        row: dict[str, Any] = {"role": self.role, "content": content}
        if self.tool_calls:
            row["tool_calls"] = [call.canonical() for call in self.tool_calls]
        for key in ("tool_call_id", "name", "weight", "refusal"):
            value = getattr(self, key)
            if value is not None:
                row[key] = value
        return row

    @classmethod
    def from_canonical(cls, row: Mapping[str, Any]) -> Message:
        content = row.get("content")
        return cls(
            role=row["role"],
            content=tuple(content) if isinstance(content, list) else content,
            tool_calls=tuple(
                ToolCall(call["name"], call["arguments"], call.get("id")) for call in row.get("tool_calls", ())
            ),
            tool_call_id=row.get("tool_call_id"),
            name=row.get("name"),
            weight=row.get("weight"),
            refusal=row.get("refusal"),
        )


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a model is asked: messages so far, and the tools that it may call (JSON-schema function definitions)."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    parallel_tool_calls: bool | None = None

    def canonical(self) -> dict[str, Any]:
        row: dict[str, Any] = {"messages": [message.canonical() for message in self.messages]}
        if self.tools:
            row["tools"] = list(self.tools)
        if self.parallel_tool_calls is not None:
            row["parallel_tool_calls"] = self.parallel_tool_calls
        return row

    @classmethod
    def from_canonical(cls, row: Mapping[str, Any]) -> Conversation:
        return cls(_messages(row["messages"]), tuple(row.get("tools", ())), row.get("parallel_tool_calls"))

    @classmethod
    def of(cls, asked: Asked) -> Conversation:
        """A conversation from a text (one user turn), messages, or dicts with `role` and `content`."""
        if isinstance(asked, Conversation):
            return asked
        if isinstance(asked, str):
            return cls((Message("user", asked),))
        if isinstance(asked, Mapping) or not isinstance(asked, Iterable):
            raise InputError(f"{type(asked).__name__} cannot be asked.", cure=_ASKED)
        return cls(tuple(_turn(turn) for turn in asked))


Asked = str | Conversation | Sequence[Message] | Sequence[Mapping[str, Any]]
"""What `Model.answer` accepts."""


@dataclass(frozen=True, slots=True)
class ChatExample:
    """A conversation whose assistant turns (weight not 0) are to be learnt.

    Of this and the kinds below `synthetic` names the model that wrote it, if any did. It is no part of the content: it is not
    learnt, and two examples are equal whatever their marks.
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    parallel_tool_calls: bool | None = None
    synthetic: str | None = field(default=None, compare=False)

    @property
    def prompt(self) -> Conversation:
        """All before the last assistant turn."""
        return Conversation(self.messages[: self._last()], self.tools, self.parallel_tool_calls)

    @property
    def answer(self) -> Message:
        """The last assistant turn."""
        return self.messages[self._last()]

    def _last(self) -> int:
        return max(i for i, message in enumerate(self.messages) if message.role == "assistant")

    def canonical(self) -> dict[str, Any]:
        return Conversation(self.messages, self.tools, self.parallel_tool_calls).canonical() | _mark(self.synthetic)


@dataclass(frozen=True, slots=True)
class PreferenceExample:
    """A prompt and two answers to it; `chosen` is the better one."""

    prompt: Conversation
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    synthetic: str | None = field(default=None, compare=False)

    def canonical(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt.canonical(),
            "chosen": [message.canonical() for message in self.chosen],
            "rejected": [message.canonical() for message in self.rejected],
            **_mark(self.synthetic),
        }


@dataclass(frozen=True, slots=True)
class RatedExample:
    """A prompt and one answer to it that was found good, or not: what KTO learns from."""

    prompt: Conversation
    answer: tuple[Message, ...]
    good: bool
    synthetic: str | None = field(default=None, compare=False)

    def canonical(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt.canonical(),
            "answer": [message.canonical() for message in self.answer],
            "good": self.good,
            **_mark(self.synthetic),
        }


@dataclass(frozen=True, slots=True)
class TaskExample:
    """A prompt, and in `reference` what a grader needs to judge answers to it: what RFT learns from."""

    prompt: Conversation
    reference: Mapping[str, Any]

    def canonical(self) -> dict[str, Any]:
        return {"prompt": self.prompt.canonical(), "reference": dict(self.reference)}


@dataclass(frozen=True, slots=True)
class TextExample:
    """Plain text for continued pretraining."""

    text: str
    synthetic: str | None = field(default=None, compare=False)

    def canonical(self) -> dict[str, Any]:
        return {"text": self.text, **_mark(self.synthetic)}


Example = ChatExample | PreferenceExample | RatedExample | TaskExample | TextExample


def example(kind: Kind, row: Mapping[str, Any]) -> Example:
    """The example that a canonical row describes."""
    mark = row.get("synthetic")
    if kind == "chat":
        return ChatExample(
            _messages(row["messages"]), tuple(row.get("tools", ())), row.get("parallel_tool_calls"), mark
        )
    if kind == "text":
        return TextExample(row["text"], mark)
    prompt = Conversation.from_canonical(row["prompt"])
    if kind == "preference":
        return PreferenceExample(prompt, _messages(row["chosen"]), _messages(row["rejected"]), mark)
    if kind == "rated":
        return RatedExample(prompt, _messages(row["answer"]), row["good"], mark)
    return TaskExample(prompt, row["reference"])


def _mark(synthetic: str | None) -> dict[str, str]:
    return {} if synthetic is None else {"synthetic": synthetic}


def _turn(turn: Message | Mapping[str, Any]) -> Message:
    if isinstance(turn, Message):
        return turn
    if not isinstance(turn, Mapping) or turn.get("role") not in ROLES:
        raise InputError(f"{turn!r:.80} is no message.", cure=_ASKED)
    unknown = turn.keys() - {"role", "content", "tool_calls", "tool_call_id", "name", "refusal"}
    if unknown:
        raise InputError(f"a message has no {sorted(map(str, unknown))[0]!r}: {dict(turn)!r:.80}.", cure=_ASKED)
    content, calls = turn.get("content"), turn.get("tool_calls") or ()
    if not isinstance(content, str | list | tuple) and not (content is None and calls):
        raise InputError(f"{dict(turn)!r:.80} has no content.", cure=_ASKED)
    row = {**turn, "content": list(content) if isinstance(content, tuple) else content}
    return Message.from_canonical({**row, "tool_calls": [_called(call) for call in calls]})


def _called(call: Any) -> Mapping[str, Any]:
    """A call in canonical form, or as the OpenAI protocol has it: arguments as text, inside a `function`."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    try:
        arguments = function["arguments"]  # type: ignore[index]
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        found = {"name": function["name"], "arguments": arguments, "id": call.get("id")}  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        found = {}
    if not found or not isinstance(found["name"], str) or not isinstance(found["arguments"], Mapping):
        raise InputError(f"{call!r:.80} is no tool call.", cure='give it as {"name": "…", "arguments": {…}}')
    return found


def _messages(rows: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    return tuple(Message.from_canonical(row) for row in rows)

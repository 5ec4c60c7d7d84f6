"""From messages to token ids and to what of them is trained: the one tokenising path, for training and for answering.

The text comes from the base's chat template, with thinking off where a template has that switch; token ids from that text
without special tokens added, so a BOS is there exactly when the template writes it. A turn's span is what the template adds
from its generation prompt to its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.errors import UnsupportedError
from finetune_sdk.messages import Conversation
from finetune_sdk_local.skeletons import Skeletons, Talk, Text

Span = tuple[int, int]
Row = Mapping[str, Any]
"""A canonical row of a dataset, or a message of one."""


_SWITCHES = {"enable_thinking": False}


class TemplateError(ValueError):
    """The template cannot render an example so that its trained part is known; says why and the cure."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


class RewrittenError(TemplateError):
    """An answer is written otherwise once more turns follow, as where a template leaves out earlier thinking."""


def template_message(message: Row) -> dict[str, Any]:
    """A message as chat templates expect it: text content, tool calls with their arguments as objects."""
    content, role = message["content"], message["role"]
    row = {
        "role": "system" if role == "developer" else role,
        "content": content if content and isinstance(content, str) else _text(message),
    }
    if "tool_calls" in message:
        row["tool_calls"] = [
            {
                "type": "function",
                "id": call.get("id"),
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in message["tool_calls"]
        ]
    for key in ("name", "tool_call_id"):
        if key in message:
            row[key] = message[key]
    return row


def _text(message: Row) -> str:
    """The text of content that is parts, or that is not there."""
    parts = message["content"] or ()
    for part in parts:
        if part.get("type") != "text":
            raise TemplateError(
                f"a message holds content of type {str(part.get('type'))!r}; local training reads text only.",
                "remove such rows, or use a backend that reads them",
            )
    return "".join(part["text"] for part in parts) or message.get("refusal") or ""


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
        self.skeletons = Skeletons(tokenizer.chat_template, {**tokenizer.special_tokens_map, **_SWITCHES}, self._edges)

    def text(self, messages: Sequence[dict[str, Any]], tools: Sequence[Any], *, ask: bool = False) -> str:
        """What the template makes of the messages; `ask` ends it with the opening of the assistant's turn."""
        from jinja2 import TemplateError as JinjaError

        try:
            rendered = self.tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=ask,
                **_SWITCHES,
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
        return self._prompt(asked.canonical())

    def _prompt(self, asked: Row) -> str:
        return self.text([template_message(message) for message in asked["messages"]], asked.get("tools", ()), ask=True)

    def rendered(self, talk: Talk) -> tuple[str, list[Span]]:
        """The text of a conversation, and the character spans of it that are trained."""
        whole = self.text(talk.messages, talk.tools)
        if talk.turns is None:
            return whole, [(0, len(whole))]
        return whole, [self._span(talk, whole, turn) for turn in talk.turns]

    def _span(self, talk: Talk, whole: str, turn: int) -> Span:
        start, end = self._edges(self.text, talk.messages, talk.tools, whole, turn)
        said = str(talk.messages[turn]["content"]).strip()
        if said and said not in whole[start:end]:
            raise TemplateError(
                f"the base's chat template does not write the content of assistant message {turn + 1} as it stands.",
                "look at the base's chat template: it strips or rewrites answers",
            )
        return start, end

    def _edges(
        self, text: Text, messages: Sequence[dict[str, Any]], tools: Sequence[Any], whole: str, turn: int
    ) -> Span:
        """Where what answers the messages before a turn begins in the whole text, and where it ends."""
        before = text(messages[:turn], tools, ask=True)
        upto = whole if turn == len(messages) - 1 else text(messages[: turn + 1], tools)
        if not whole.startswith(upto):
            upto = upto.removesuffix(self.tokenizer.eos_token or "")  # some templates end a whole conversation with one
        if whole.startswith(upto) and not upto.startswith(before):
            raise TemplateError(
                f"the base's chat template opens an answer that is asked for with {before[-24:]!r}, which it does not write "
                f"before assistant message {turn + 1}, so what is trained would not be what is answered.",
                "use a base whose template has no thinking, or one where it can be turned off",
            )
        if not whole.startswith(upto):
            raise RewrittenError(
                f"the base's chat template renders assistant message {turn + 1} otherwise once more turns follow, "
                "so what is trained would not be what is answered.",
                "give the assistant messages before the last one weight 0, or split the conversation into one row a turn",
            )
        return len(before), len(upto)

    def texts(self, row: Row, *, everything: bool = False) -> list[tuple[str, list[Span]]]:
        """The sequences that an example becomes, each with its trained spans: two of a pair, else one.

        Of a conversation whose earlier answers the template rewrites, it is one for each answer, as it stands when it is given.
        """
        if "reference" in row:
            return [(self._prompt(row["prompt"]), [])]
        asked = talks(row, everything=everything)
        try:
            return [self.rendered(talk) for talk in asked]
        except RewrittenError:
            if "messages" not in row:
                raise
            return [self.rendered(talk) for talk in by_turn(asked[0])]


def talks(row: Row, *, everything: bool = False) -> list[Talk]:
    """What the template is to render of an example with answers, and what of that is trained."""
    if "messages" in row:
        turns = None if everything else _answers(row["messages"], 0)
        return [Talk([template_message(message) for message in row["messages"]], row.get("tools", ()), turns)]
    prompt = [template_message(message) for message in row["prompt"]["messages"]]
    tools = row["prompt"].get("tools", ())
    return [
        Talk([*prompt, *map(template_message, row[side])], tools, _answers(row[side], len(prompt)))
        for side in ("chosen", "rejected", "answer")
        if side in row
    ]


def by_turn(talk: Talk) -> list[Talk]:
    """A conversation as it is when each of its trained answers has just been given."""
    return [Talk(talk.messages[: turn + 1], talk.tools, (turn,)) for turn in talk.turns or ()]


def _answers(messages: Sequence[Row], first: int) -> tuple[int, ...]:
    """The numbers of the assistant's messages, counted from `first`, but for those that are not to be trained."""
    return tuple(
        [
            first + at
            for at, message in enumerate(messages)
            if message["role"] == "assistant" and message.get("weight") != 0
        ]
    )

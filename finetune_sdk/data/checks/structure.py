"""Whether a canonical row has something to learn, from turns in an order that a chat can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.data.checks.finding import RowError
from finetune_sdk.messages import Kind


def structure(kind: Kind, row: Mapping[str, Any]) -> None:
    """Raises RowError at the first thing that makes the canonical row useless for training."""
    if kind == "chat":
        _chat(row["messages"])
    elif kind == "preference":
        _preference(row)
    elif kind == "rated":
        _answered(row["prompt"]["messages"], row["answer"])
    elif kind == "task":
        _asked(row["prompt"]["messages"])
    elif not row["text"].strip():
        raise RowError("the text is empty, so there is nothing to learn from this row.", "remove the row")


def _chat(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        raise RowError("`messages` is empty.", "add at least a user and an assistant message, or remove the row")
    last = messages[-1]
    if last["role"] != "assistant":
        if not any(message["role"] == "assistant" for message in messages):
            raise RowError(
                "no message is from 'assistant', so there is nothing to learn from this row.",
                "add an assistant message at the end, or remove the row",
            )
        raise RowError(
            f"the last message is from {last['role']!r}, so there is no answer to it to learn from.",
            "add the assistant's answer, or remove the turns after its last one",
        )
    if len(messages) == 1:
        raise RowError(
            "the only message is the assistant's: there is nothing that it answers.", "add a user message before it"
        )
    _turns(messages)
    if last.get("weight") == 0 and all(m.get("weight") == 0 for m in messages if m["role"] == "assistant"):
        raise RowError(
            "every assistant message has weight 0, so there is nothing to learn from this row.",
            "give one of them weight 1, or remove the row",
        )


def _turns(messages: Sequence[Mapping[str, Any]]) -> None:
    called: set[Any] = set()
    for number, message in enumerate(messages, 1):
        role = message["role"]
        if role == "assistant":
            calls = message.get("tool_calls")
            if calls:
                called.update(call.get("id") for call in calls)
            elif not message["content"] and not message.get("refusal"):
                raise RowError(
                    f"assistant message {number} is empty: no content and no tool call.",
                    "write the answer, or remove it",
                )
        elif role == "tool":
            if message.get("tool_call_id") not in called:
                raise RowError(
                    f"message {number} is from 'tool' but answers the call {message.get('tool_call_id')!r}, "
                    "which no earlier assistant message made.",
                    "set its `tool_call_id` to the id of an earlier tool call",
                )
        elif message["content"] is None:
            raise RowError(f"message {number} from {role!r} has no content.", "give it a text")


def _preference(row: Mapping[str, Any]) -> None:
    for side in ("chosen", "rejected"):
        _answered(row["prompt"]["messages"], row[side], f"{side} answer")
    if row["chosen"] == row["rejected"]:
        raise RowError(
            "the chosen and the rejected answer are the same, so there is no preference to learn.", "remove the row"
        )


def _asked(prompt: Sequence[Mapping[str, Any]]) -> None:
    if not prompt:
        raise RowError("the prompt has no messages.", "add the user message that is to be answered")
    _turns(prompt)
    if prompt[-1]["role"] == "assistant":
        raise RowError("the prompt ends with an assistant message, so nothing is asked.", "end it with the question")


def _answered(prompt: Sequence[Mapping[str, Any]], answer: Sequence[Mapping[str, Any]], name: str = "answer") -> None:
    if not prompt:
        raise RowError("the prompt has no messages.", "add the user message that is answered")
    _turns((*prompt, *answer))
    if not answer or answer[-1]["role"] != "assistant":
        raise RowError(f"the {name} is not from 'assistant'.", "give the answer the role 'assistant'")
    if any("weight" in message for message in answer):
        raise RowError(f"the {name} has a weight, and it is judged as a whole.", "remove the weight")

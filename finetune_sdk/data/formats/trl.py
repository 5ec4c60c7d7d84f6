"""TRL's formats: preference pairs, rated answers (KTO), and the lists of messages that prompt/completion may hold.

Shapes: TRL's documentation of dataset formats (1.16). A prompt and the answers to it are texts, or lists of messages
whose tool arguments are objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.data import strict
from finetune_sdk.data.checks.finding import RowError
from finetune_sdk.data.formats import openai


def read_preference(row: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical row. Without a prompt of messages, what both conversations begin with is the prompt."""
    chosen, rejected = messages(row, "chosen"), messages(row, "rejected")
    prompt = row.get("prompt")
    whole = all(isinstance(row[side], list) and side_of[0]["role"] != "assistant"
                for side, side_of in (("chosen", chosen), ("rejected", rejected)))  # fmt: skip
    if isinstance(prompt, list) or not whole:
        return {"prompt": asked(row, messages(row, "prompt")), "chosen": chosen, "rejected": rejected}
    shared = next((n for n, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    if shared == 0:
        raise RowError(
            "there is no prompt of messages, and the conversations `chosen` and `rejected` begin differently.",
            "give the row a `prompt`, or begin both conversations with the same messages",
        )
    if shared is None:
        raise RowError(
            "one of the conversations `chosen` and `rejected` is the beginning of the other.",
            "end both with an answer of their own, or remove the row",
        )
    if isinstance(prompt, str) and not _says(chosen[:shared], prompt.strip()):
        raise RowError(
            "the text `prompt` is in neither of the conversations `chosen` and `rejected`, and nothing would read it.",
            "begin both conversations with it, or remove it",
        )
    return {"prompt": asked(row, chosen[:shared]), "chosen": chosen[shared:], "rejected": rejected[shared:]}


def _says(turns: Sequence[Mapping[str, Any]], prompt: str) -> bool:
    """Whether one of the turns is said in the prompt, or the prompt in one of them."""
    said = (turn["content"].strip() for turn in turns if isinstance(turn["content"], str))
    return not prompt or any(text and (text in prompt or prompt in text) for text in said)


def write_preference(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "prompt": _judged(row["prompt"]["messages"]), "chosen": written(row["chosen"]), "rejected": written(row["rejected"]),
        **options(row["prompt"], "trl-preference"),
    }  # fmt: skip


def read_rated(row: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical row of a prompt, a completion, and a label that is true where it is good."""
    label = row.get("label")
    if not isinstance(label, bool):
        found = "is missing" if label is None else f"is {label!r:.40}"
        raise RowError(
            f"`label` {found}, neither true nor false.", "make it true for a good answer, false for a bad one"
        )
    return {"prompt": asked(row, messages(row, "prompt")), "answer": messages(row, "completion"), "good": label}


def write_rated(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "prompt": _judged(row["prompt"]["messages"]), "completion": written(row["answer"]), "label": row["good"],
        **options(row["prompt"], "trl-kto"),
    }  # fmt: skip


def labelled(row: Mapping[str, Any]) -> bool:
    return isinstance(row["label"], bool)


def messages(row: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The canonical messages of a text (the user's in a prompt, else the assistant's) or of a list of messages."""
    value = row.get(key)
    if isinstance(value, str):
        return [{"role": "user" if key == "prompt" else "assistant", "content": value}]
    if not isinstance(value, list) or not value:
        raise RowError(openai.missing(row, key, "a text or a list of messages"), f"give the row a text `{key}`")
    return [openai.read_message(message, number) for number, message in enumerate(value, 1)]


def asked(row: Mapping[str, Any], turns: list[dict[str, Any]]) -> dict[str, Any]:
    """The conversation of these messages with the row's tools, which may be the JSON text of their list."""
    conversation: dict[str, Any] = {"messages": turns}
    tools = row.get("tools")
    if isinstance(tools, str):
        tools = strict.parse(tools.encode()) if tools.strip() else None
    openai.read_options({"tools": tools}, conversation)
    return conversation


def options(conversation: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The keys of a row that stand beside its messages."""
    if "parallel_tool_calls" in conversation:
        raise RowError(f"{name} has no place for `parallel_tool_calls`.", "write OpenAI's format instead")
    return {"tools": conversation["tools"]} if "tools" in conversation else {}


def written(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Canonical messages in the protocol's words, with the arguments of calls as objects."""
    return [
        {**turn, "tool_calls": [_written_call(call) for call in turn["tool_calls"]]}
        if "tool_calls" in turn
        else dict(turn)
        for turn in turns
    ]


def _judged(prompt: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if any("weight" in message for message in prompt):
        raise RowError("a message of the prompt has a weight, which TRL's formats cannot hold.", "remove the weight")
    return written(prompt)


def _written_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": call["arguments"]}
    return {**({"id": call["id"]} if "id" in call else {}), "type": "function", "function": function}

"""Alpaca, prompt/completion and plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.data.checks.finding import RowError
from finetune_sdk.data.formats import trl


def read_alpaca(row: Mapping[str, Any]) -> dict[str, Any]:
    """Instruction and input become the user's turn, a blank line between them; a `system` key the system's."""
    instruction, given, output = text(row, "instruction"), text(row, "input", ""), text(row, "output")
    asked = "\n\n".join(part for part in (instruction, given) if part)
    return _single_turn(text(row, "system", ""), asked, output)


def write_alpaca(row: Mapping[str, Any]) -> dict[str, Any]:
    single = _plain(row)
    if single is None:
        raise RowError(
            "this row is more than one question and one answer, which alpaca cannot hold.",
            "write the format 'openai' instead",
        )
    system, user, assistant = single
    return {**({"system": system} if system else {}), "instruction": user, "input": "", "output": assistant}


def read_prompt_completion(row: Mapping[str, Any]) -> dict[str, Any]:
    """Texts, with a `system` text or none; or lists of messages, of which only the completion is trained."""
    prompt = row.get("prompt")
    if not isinstance(prompt, list):
        return _single_turn(text(row, "system", ""), text(row, "prompt"), text(row, "completion"))
    if row.get("system"):
        raise RowError("`system` stands beside a prompt of messages.", "make it the first message of the prompt")
    asked, answer = trl.messages(row, "prompt"), trl.messages(row, "completion")
    if any(message["role"] != "assistant" for message in answer):
        raise RowError(
            "the completion holds a message that is not from 'assistant'; all of a completion is learnt.",
            "keep the assistant's answer in the completion, and move what precedes it to the prompt",
        )
    seen = [{**message, "weight": 0} if message["role"] == "assistant" else message for message in asked]
    return trl.asked(row, [*seen, *answer])


def write_prompt_completion(row: Mapping[str, Any]) -> dict[str, Any]:
    """Texts where they hold the row, or else lists of messages."""
    single = _plain(row)
    if single is not None:
        system, user, assistant = single
        return {**({"system": system} if system else {}), "prompt": user, "completion": assistant}
    messages: Sequence[Mapping[str, Any]] = row["messages"]
    first = next(n for n, m in enumerate(messages) if m["role"] == "assistant" and m.get("weight") != 0)
    if any(m["role"] != "assistant" or m.get("weight") == 0 for m in messages[first:]):
        raise RowError(
            "more than one answer of this row is learnt, and prompt/completion learns the last one alone.",
            "write the format 'openai' instead, or give the earlier answers weight 0",
        )
    asked = [{key: value for key, value in m.items() if key != "weight"} for m in messages[:first]]
    return {
        "prompt": trl.written(asked), "completion": trl.written(messages[first:]), **trl.options(row, "prompt-completion")
    }  # fmt: skip


def read_text(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": text(row, "text")}


def write_text(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": row["text"]}


def text(row: Mapping[str, Any], key: str, missing: str | None = None) -> str:
    """The row's text under a key. Raises RowError where it is none."""
    value = row.get(key, missing)
    if value is None and missing is not None:
        return missing
    if not isinstance(value, str):
        found = "is missing" if value is None else f"is {type(value).__name__}, not text"
        raise RowError(f"`{key}` {found}.", f"give the row a text `{key}`")
    return value


def _single_turn(system: str, user: str, assistant: str) -> dict[str, Any]:
    first = [{"role": "system", "content": system}] if system else []
    return {"messages": [*first, {"role": "user", "content": user}, {"role": "assistant", "content": assistant}]}


def _plain(row: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """System text ("" for none), question and answer; None for a row that is more than these."""
    messages = row["messages"]
    roles = [message["role"] for message in messages]
    plain = all(isinstance(m["content"], str) and m.keys() == {"role", "content"} for m in messages)
    if not plain or row.keys() != {"messages"}:
        return None
    texts = [message["content"] for message in messages]
    if roles == ["user", "assistant"]:
        return "", texts[0], texts[1]
    if roles == ["system", "user", "assistant"] and texts[0]:
        return texts[0], texts[1], texts[2]
    return None

"""Alpaca, prompt/completion and plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune_sdk.data.checks.finding import RowError


def read_alpaca(row: Mapping[str, Any]) -> dict[str, Any]:
    """Instruction and input become the user's turn, a blank line between them; a `system` key the system's."""
    instruction, given, output = _text(row, "instruction"), _text(row, "input", ""), _text(row, "output")
    asked = f"{instruction}\n\n{given}" if given else instruction
    system = _text(row, "system", "")
    first = [{"role": "system", "content": system}] if system else []
    return {"messages": [*first, {"role": "user", "content": asked}, {"role": "assistant", "content": output}]}


def write_alpaca(row: Mapping[str, Any]) -> dict[str, Any]:
    system, user, assistant = _single_turn(row, "alpaca")
    return {**({"system": system} if system else {}), "instruction": user, "input": "", "output": assistant}


def read_prompt_completion(row: Mapping[str, Any]) -> dict[str, Any]:
    prompt, completion = _text(row, "prompt"), _text(row, "completion")
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]}


def write_prompt_completion(row: Mapping[str, Any]) -> dict[str, Any]:
    system, user, assistant = _single_turn(row, "prompt-completion")
    if system:
        raise RowError("prompt/completion has no place for a system message.", "write the format 'openai' instead")
    return {"prompt": user, "completion": assistant}


def read_text(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": _text(row, "text")}


def write_text(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": row["text"]}


def _text(row: Mapping[str, Any], key: str, missing: str | None = None) -> str:
    value = row.get(key, missing)
    if value is None and missing is not None:
        return missing
    if not isinstance(value, str):
        found = "is missing" if value is None else f"is {type(value).__name__}, not text"
        raise RowError(f"`{key}` {found}.", f"give the row a text `{key}`")
    return value


def _single_turn(row: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    messages = list(row["messages"])
    system = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
    plain = all(isinstance(m["content"], str) and m.keys() == {"role", "content"} for m in messages)
    if not plain or [message["role"] for message in messages] != ["user", "assistant"] or row.keys() != {"messages"}:
        raise RowError(
            f"this row is more than one question and one answer, which {name} cannot hold.",
            "write the format 'openai' instead",
        )
    return system, messages[0]["content"], messages[1]["content"]

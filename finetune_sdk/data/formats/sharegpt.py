"""ShareGPT: `conversations` of turns `from` somebody with a `value`; calls, observations and tools as LLaMA-Factory has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from finetune_sdk.data import strict
from finetune_sdk.data.checks.finding import RowError
from finetune_sdk.data.formats import openai

KNOWN = frozenset({"conversations", "system", "tools"})
_ROLES = {
    "system": "system", "developer": "developer", "human": "user", "user": "user", "gpt": "assistant",
    "assistant": "assistant", "chatgpt": "assistant", "bard": "assistant", "bing": "assistant", "model": "assistant",
    "observation": "tool", "tool": "tool", "function_response": "tool", "tool_response": "tool",
}  # fmt: skip
_NAMES = {"system": "system", "developer": "developer", "user": "human", "assistant": "gpt", "tool": "observation"}
_CALL = "function_call"
_INSTEAD = "write the format 'openai' instead"


def meant(by: Any) -> str | None:
    """Whom a turn is from that names them in another way: `Human`, `bot`. None where it is right, or not known."""
    if not isinstance(by, str) or by in _ROLES or by == _CALL:
        return None
    bare = by.strip().lower()
    role = openai.meant(bare)
    return bare if bare in _ROLES or bare == _CALL else _NAMES[role] if role else None


def told(row: Mapping[str, Any]) -> bool:
    """Whether the conversations are lists of turns."""
    turns = row["conversations"]
    return isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns)


def read(row: Mapping[str, Any]) -> dict[str, Any]:
    turns = row.get("conversations")
    if not isinstance(turns, list):
        raise RowError(openai.missing(row, "conversations", "a list of turns"), "give the row a list `conversations`")
    messages = [_turn(turn, number) for number, turn in enumerate(turns, 1)]
    system = row.get("system")
    if system:
        if not isinstance(system, str) or (messages and messages[0]["role"] == "system"):
            raise RowError("`system` is no text, or stands beside a system turn.", "keep one system text")
        messages.insert(0, {"role": "system", "content": system})
    canonical: dict[str, Any] = {"messages": messages}
    openai.read_options({"tools": _tools(row.get("tools"))}, canonical)
    return canonical


def _turn(turn: Any, number: int) -> dict[str, Any]:
    if not isinstance(turn, dict):
        raise RowError(f"turn {number} is {type(turn).__name__}, not an object.", 'write it as {"from": …, "value": …}')
    if "role" in turn and "from" not in turn:
        return openai.read_message(turn, number)
    unknown = turn.keys() - {"from", "value", "weight"}
    if unknown:
        raise RowError(
            f"turn {number}: the key {sorted(unknown)[0]!r} is not part of a turn.",
            "remove it; a turn is from and value",
        )
    by, value, weight = turn.get("from"), turn.get("value"), turn.get("weight")
    if not isinstance(value, str):
        raise RowError(f"turn {number}: {openai.missing(turn, 'value', 'a text')}", "give each turn a text `value`")
    if by == _CALL:
        message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": _calls(value, number)}
    else:
        role = _ROLES.get(by) if isinstance(by, str) else None
        if role is None:
            raise RowError(
                f"turn {number} is from {by!r:.40}, which is not known.",
                "use system, human, gpt, function_call or observation"
                + (
                    f"; {by!r} is probably {meant(by)!r}, and `finetune check FILE --fix OUT` writes so"
                    if meant(by)
                    else ""
                ),
            )
        message = {"role": role, "content": value}
    if weight is not None and (message["role"] == "assistant" or weight):
        message["weight"] = openai.read_weight(weight, message["role"], number)
    return message


def _calls(value: str, number: int) -> list[dict[str, Any]]:
    found = strict.parse(value.encode())
    calls = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(call, dict) and call.keys() <= {"name", "arguments"} for call in calls):
        raise RowError(
            f"turn {number}: the value of a function_call is no call.", 'write it as {"name": …, "arguments": {…}}'
        )
    return [openai.read_call({"function": call}, number) for call in calls]


def _tools(tools: Any) -> Any:
    """The list of tools; a bare function becomes a tool of that function."""
    if isinstance(tools, str):
        tools = strict.parse(tools.encode()) if tools.strip() else None
    if not isinstance(tools, list):
        return tools
    return [
        {"type": "function", "function": tool}
        if isinstance(tool, dict) and not tool.keys() & {"type", "function"}
        else tool
        for tool in tools
    ]


def write(row: Mapping[str, Any]) -> dict[str, Any]:
    """Raises RowError for what has no place in a turn: ids of calls, names, refusals, content parts."""
    made: dict[str, Any] = {"conversations": [_written(message) for message in row["messages"]]}
    if "parallel_tool_calls" in row:
        raise RowError("sharegpt has no place for `parallel_tool_calls`.", _INSTEAD)
    if "tools" in row:
        if not all(tool.keys() & {"type", "function"} for tool in row["tools"]):
            raise RowError("sharegpt takes a tool without a type for a function.", _INSTEAD)
        made["tools"] = orjson.dumps(row["tools"]).decode()
    return made


def _written(message: Mapping[str, Any]) -> dict[str, Any]:
    calls, content = message.get("tool_calls"), message["content"]
    unheld = message.keys() - {"role", "content", "weight", "tool_calls"}
    if unheld:
        raise RowError(f"sharegpt has no place for the `{sorted(unheld)[0]}` of a message.", _INSTEAD)
    weight = {"weight": message["weight"]} if "weight" in message else {}
    if calls:
        if content is not None or any("id" in call for call in calls):
            raise RowError("sharegpt has no place for a text beside tool calls, nor for the ids of calls.", _INSTEAD)
        value = orjson.dumps(calls if len(calls) > 1 else calls[0]).decode()
        return {"from": _CALL, "value": value, **weight}
    if not isinstance(content, str):
        raise RowError("sharegpt has no place for content parts.", _INSTEAD)
    return {"from": _NAMES[message["role"]], "value": content, **weight}

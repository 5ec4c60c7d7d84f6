"""OpenAI's formats: chat (tools, weights, content parts), preference pairs and tasks, the older key names too.

Shapes: the published OpenAPI document of the fine-tuning API (2.3.0, 2026-08-21) and its guide. Tool arguments are text
in these files and objects in the canonical form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from finetune_sdk.data import strict
from finetune_sdk.data.checks.finding import RowError
from finetune_sdk.messages import ROLES

_PLAIN = {"role", "content"}
MESSAGE = frozenset({*_PLAIN, "tool_calls", "tool_call_id", "name", "weight", "refusal", "function_call"})
PARTS = {"text": str, "refusal": str, "image_url": dict, "input_audio": dict, "file": dict}
_MEANT = {
    "human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "ai": "assistant", "chatgpt": "assistant",
}  # fmt: skip
CHAT = frozenset({"messages", "tools", "parallel_tool_calls", "functions"})


def read_chat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical row. Raises RowError where the shape is not the format's."""
    messages = row.get("messages")
    if not isinstance(messages, list):
        raise RowError(missing(row, "messages", "a list of messages"), "give the row a list `messages`")
    if len(row) == 1 and isinstance(row, dict):
        # Most rows are roles and texts alone: those are canonical as they stand.
        for message in messages:
            if type(message) is not dict or len(message) != 2 or type(message.get("content")) is not str:
                break
            role = message.get("role")
            if type(role) is not str or role not in ROLES:
                break
        else:
            return row
    canonical: dict[str, Any] = {"messages": [read_message(message, n) for n, message in enumerate(messages, 1)]}
    if len(row) > 1:
        unknown = row.keys() - CHAT
        if unknown:
            raise RowError(
                f"the key {sorted(map(str, unknown))[0]!r} is not part of a chat row; nothing would learn from it.",
                "remove the key, or move what matters into a message",
            )
        read_options(row, canonical)
    return canonical


def kept(line: bytes, row: Mapping[str, Any], canonical: Mapping[str, Any], written: bytes) -> bool:
    """Whether it is certain that the line's keys and numbers are all in the row; `written` is the canonical row as JSON.

    A row that is canonical as it stands holds no numbers, and is already written.
    """
    return line.count(b":") == written.count(b":") if canonical is row else strict.kept(line, row)


def missing(row: Mapping[str, Any], key: str, wanted: str) -> str:
    if key in row:
        return f"`{key}` is {type(row[key]).__name__}, not {wanted}."
    return f"there is no `{key}`; the keys are {', '.join(sorted(map(str, row))[:8]) or 'none'}."


def read_options(row: Mapping[str, Any], canonical: dict[str, Any]) -> None:
    """Adds the row's tools, and whether they may be called in parallel."""
    functions = row.get("functions") or []
    if not isinstance(functions, list):
        raise RowError("`functions` is not a list of objects.", "give `tools`, a list of {type, function}, instead")
    if functions and row.get("tools"):
        raise RowError("`functions` stands beside `tools`.", "keep `tools`; `functions` is its older name")
    tools = row.get("tools") or [{"type": "function", "function": function} for function in functions]
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RowError("`tools` is not a list of objects.", "give each tool as {type, function: {name, parameters}}")
    if tools:
        canonical["tools"] = tools
    parallel = row.get("parallel_tool_calls")
    if parallel is not None:
        if not isinstance(parallel, bool):
            raise RowError("`parallel_tool_calls` is neither true nor false.", "make it true or false")
        canonical["parallel_tool_calls"] = parallel


def read_message(message: Any, number: int) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise RowError(
            f"message {number} is {type(message).__name__}, not an object.", 'write it as {"role": …, "content": …}'
        )
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        found = "there is no `role`" if "role" not in message else f"the role {role!r} is not known"
        raise RowError(
            f"message {number}: {found}.",
            "use system, developer, user, assistant or tool" + _role_hint(role),
        )
    if content is not None and not isinstance(content, str):
        _parts(content, number)
    if message.keys() == _PLAIN:
        return {"role": role, "content": content}
    return _full_message(message, number, role, content)


def meant(role: Any) -> str | None:
    """The role that a misnamed one stands for, where there is no doubt: `human`, `gpt`, `Assistant `."""
    if not isinstance(role, str):
        return None
    bare = role.strip().lower()
    return bare if bare in ROLES else _MEANT.get(bare)


def _role_hint(role: Any) -> str:
    known = meant(role)
    return f"; {role!r} is probably {known!r}, and `finetune check FILE --fix OUT` writes so" if known else ""


def _parts(content: Any, number: int) -> None:
    """Raises RowError for what is not a list of parts, or for a part of which not all would be read."""
    if not isinstance(content, list) or not all(isinstance(part, dict) and "type" in part for part in content):
        raise RowError(
            f"message {number}: `content` is {type(content).__name__}, neither text nor a list of content parts.",
            "make it text, or a list of {type, text}",
        )
    for part in content:
        kind = part["type"]
        if not isinstance(kind, str) or kind not in PARTS:
            raise RowError(
                f"message {number}: a content part has the type {kind!r}.", f"use one of {', '.join(sorted(PARTS))}"
            )
        if part.keys() - {"type", kind}:
            raise RowError(
                f"message {number}: the key {sorted(part.keys() - {'type', kind})[0]!r} is not part of a {kind} part.",
                f"write it as {{type: {kind}, {kind}: …}}",
            )
        if not isinstance(part.get(kind), PARTS[kind]):
            raise RowError(
                f"message {number}: the `{kind}` of a content part is {part.get(kind)!r:.60}.",
                f"write it as {{type: {kind}, {kind}: …}}",
            )


def _full_message(message: Mapping[str, Any], number: int, role: str, content: Any) -> dict[str, Any]:
    if not message.keys() <= MESSAGE:
        unknown = message.keys() - MESSAGE
        raise RowError(
            f"message {number}: the key {sorted(map(str, unknown))[0]!r} is not part of a message.",
            "remove it; only role, content, name, weight, tool_calls, tool_call_id and refusal are read",
        )
    canonical: dict[str, Any] = {"role": role, "content": content}
    calls = message.get("tool_calls")
    if message.get("function_call"):
        calls = [{"type": "function", "function": message["function_call"]}]
    if calls:
        if role != "assistant" or not isinstance(calls, list):
            raise RowError(
                f"message {number}: only an assistant message can call tools, with a list of calls.",
                "move the calls to an assistant message",
            )
        canonical["tool_calls"] = [read_call(call, number) for call in calls]
    for key in ("tool_call_id", "name", "refusal"):
        value = message.get(key)
        if value is not None:
            if not isinstance(value, str):
                raise RowError(f"message {number}: `{key}` is not text.", f"make `{key}` text, or remove it")
            canonical[key] = value
    weight = message.get("weight")
    if weight is not None:
        canonical["weight"] = read_weight(weight, role, number)
    return canonical


def read_weight(weight: Any, role: str, number: int) -> Any:
    if isinstance(weight, bool) or weight not in (0, 1):
        raise RowError(f"message {number}: weight {weight!r:.40} is neither 0 nor 1.", "use 0 or 1")
    if role != "assistant":
        raise RowError(
            f"message {number}: a message from {role!r} has a weight.", "only assistant messages have a weight"
        )
    return weight


def read_call(call: Any, number: int) -> dict[str, Any]:
    """A call in the protocol's words; arguments are the text of an object, or the object."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowError(
            f"message {number}: a tool call has no function name.",
            'write it as {"id": …, "type": "function", "function": {"name": …, "arguments": "{…}"}}',
        )
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = strict.parse(arguments.encode()) if arguments.strip() else {}
        except (RowError, UnicodeEncodeError) as fault:
            raise RowError(
                f"message {number}: the arguments of {function['name']!r} are not JSON of one object: {fault}",
                "write the arguments as the JSON text of one object",
            ) from None
    if not isinstance(arguments, dict):
        raise RowError(
            f"message {number}: the arguments of {function['name']!r} are {type(arguments).__name__}, not an object.",
            "write the arguments as the JSON text of one object, encoded once",
        )
    canonical = {"name": function["name"], "arguments": arguments}
    identity = call.get("id")
    if identity is not None:
        if not isinstance(identity, str):
            raise RowError(f"message {number}: the id of a tool call is {identity!r}.", "make the id a text")
        canonical["id"] = identity
    return canonical


def write_chat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as the protocol has it, and nothing besides: a place may refuse keys that it does not know."""
    options = {key: row[key] for key in ("tools", "parallel_tool_calls") if key in row}
    return {"messages": write_messages(row["messages"]), **options}


def write_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Canonical messages as the protocol has them: arguments as text, no content key beside tool calls alone.

    The protocol wants an id on every call; one that has none gets one here, and so does the tool's reply to it.
    """
    written, given = list[dict[str, Any]](), deque[str]()
    for number, message in enumerate(messages):
        plain = {key: value for key, value in message.items() if key != "tool_calls"}
        calls = [{"id": f"call_{number}_{n}", **call} for n, call in enumerate(message.get("tool_calls", ()))]
        if calls:
            given = deque(call["id"] for call in calls)
            if plain["content"] is None:
                del plain["content"]
            plain["tool_calls"] = [_written_call(call) for call in calls]
        elif message["role"] == "tool" and "tool_call_id" not in plain and given:
            plain["tool_call_id"] = given.popleft()
        written.append(plain)
    return written


def _written_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": orjson.dumps(call["arguments"]).decode()}
    return {"id": call["id"], "type": "function", "function": function}


def read_preference(row: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical row; `preferred_completion` is the older name of `preferred_output`."""
    asked = row.get("input")
    if not isinstance(asked, dict):
        raise RowError(missing(row, "input", "an object with messages"), 'write {"input": {"messages": […]}, …}')
    return {
        "prompt": read_chat(asked),
        "chosen": _output(row, "preferred_output", "preferred_completion"),
        "rejected": _output(row, "non_preferred_output", "non_preferred_completion"),
    }


def _output(row: Mapping[str, Any], key: str, older: str) -> list[dict[str, Any]]:
    answer = row.get(key, row.get(older))
    if not isinstance(answer, list) or not answer:
        raise RowError(missing(row, key, "a list with one assistant message"), f"give the row a list `{key}`")
    return [read_message(message, number) for number, message in enumerate(answer, 1)]


def write_preference(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "input": write_chat(row["prompt"]),
        "preferred_output": write_messages(row["chosen"]),
        "non_preferred_output": write_messages(row["rejected"]),
    }


def read_task(row: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical row: messages up to the question, and every other key for the graders to read."""
    prompt = read_chat({key: value for key, value in row.items() if key in CHAT})
    return {"prompt": prompt, "reference": {key: value for key, value in row.items() if key not in CHAT}}


def write_task(row: Mapping[str, Any]) -> dict[str, Any]:
    taken = sorted(row["reference"].keys() & CHAT)
    if taken:
        raise RowError(
            f"the reference has the key {taken[0]!r}, which means something else in the format 'openai-rft'.",
            "give it another name",
        )
    return {**write_chat(row["prompt"]), **row["reference"]}


def asks(row: Mapping[str, Any]) -> bool:
    """Whether the messages end before an answer and other keys stand beside them: a task, not a chat."""
    messages = row["messages"]
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and meant(last.get("role")) != "assistant" and not row.keys() <= CHAT

"""What an answer was asked to be: a call of a tool, or JSON. No backend can force it, so it is checked, and an answer
that does not keep it is an error and never handed out as if it did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators.case import Case
from finetune_sdk.evaluation.evaluators.schema import JSONSchema
from finetune_sdk.messages import Conversation
from finetune_sdk.model import Answer
from finetune_sdk.serve.errors import ProtocolError, invalid, unsupported

_NO_CASE = Case(0, Conversation(()), None, "a request", "")


@dataclass(frozen=True, slots=True)
class Promises:
    """`offered` are the tools that the model is shown. `schema` is None unless it must hold."""

    offered: tuple[Mapping[str, Any], ...] = ()
    must_call: bool = False
    one_call: bool = False
    must_be_json: bool = False
    schema: JSONSchema | None = None

    @property
    def whole(self) -> bool:
        """Whether an answer must be seen whole before any of it is said."""
        return bool(self.offered) or self.must_be_json

    def keep(self, answers: Sequence[Answer]) -> None:
        """Raises ProtocolError for an answer that is not what was asked for. One that was cut by its length is handed out."""
        for answer in answers:
            if self.must_call and not answer.tool_calls and answer.finish != "length":
                raise _broken("tool_choice", "The model answered without calling a tool", answer)
            if self.one_call and len(answer.tool_calls) > 1:
                raise _broken("parallel_tool_calls", "The model called several tools at once", answer)
            if not self.must_be_json or answer.tool_calls or answer.finish == "length":
                continue
            try:
                json.loads(answer.text)
            except (ValueError, RecursionError):
                raise _broken("response_format", "The model's answer is not JSON", answer) from None
            fault = self._fault(answer)
            if fault is not None:
                raise _broken("response_format", f"The model's answer does not follow the schema ({fault})", answer)

    def _fault(self, answer: Answer) -> str | None:
        if self.schema is None:
            return None
        try:
            score = self.schema.judge(_NO_CASE, answer)
        except EvaluationError as given_up:  # a pattern of the caller's own that would go back without end
            return given_up.message
        return None if score.passed else score.reason


def _broken(param: str, what: str, answer: Answer) -> ProtocolError:
    """422, which the official client does not send again: a greedy model would say the same."""
    return ProtocolError(
        f"{what}: {answer.text[:200]!r}. Ask again with a temperature, or tune the model on such answers.",
        status=422,
        kind="invalid_answer",
        param=param,
        code="answer_not_as_asked",
    )


def promises(
    tools: Sequence[Mapping[str, Any]], choice: Any, parallel: bool | None, response_format: Mapping[str, Any] | None
) -> Promises:
    """Raises ProtocolError for tools, a choice or a format that cannot be had."""
    names = [_tool_name(number, tool) for number, tool in enumerate(tools)]
    if parallel is not None and not tools:
        raise invalid("parallel_tool_calls", "it is for tools, and there are none.")
    offered, must_call = tuple(tools), False
    if choice is not None and choice != "none" and not tools:
        raise invalid("tool_choice", "it is for tools, and there are none.")
    if choice == "none":
        offered = ()
    elif choice == "required":
        must_call = True
    elif isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        offered, must_call = _allowed(choice.get("allowed_tools"), tools, names)
    elif isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if choice.get("type") == "function" and isinstance(function, Mapping) else None
        if name not in names:
            raise invalid("tool_choice", f"there is no function {name!r} among the tools.")
        offered, must_call = tuple(tool for tool in tools if tool["function"]["name"] == name), True
    elif choice not in (None, "auto"):
        raise invalid("tool_choice", "use 'auto', 'none', 'required', or name a function.")
    must_be_json, schema = _format(response_format)
    return Promises(offered, must_call, parallel is False, must_be_json, schema)


def _allowed(
    allowed: Any, tools: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> tuple[tuple[Mapping[str, Any], ...], bool]:
    """The tools of a choice that allows some of them, and whether one must be called."""
    given = allowed if isinstance(allowed, Mapping) else {}
    functions = [one.get("function") for one in given.get("tools") or () if isinstance(one, Mapping)]
    chosen = {str(one.get("name")) for one in functions if isinstance(one, Mapping)}
    if given.get("mode") not in ("auto", "required") or not chosen or not chosen <= set(names):
        raise invalid(
            "tool_choice", "'allowed_tools' has a mode, 'auto' or 'required', and names functions among the tools."
        )
    return tuple(tool for tool in tools if tool["function"]["name"] in chosen), given["mode"] == "required"


def _tool_name(number: int, tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        raise unsupported(f"tools.{number}", "tools are functions.")
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise invalid(f"tools.{number}.function.name", "give it a name.")
    return name


def _format(asked: Mapping[str, Any] | None) -> tuple[bool, JSONSchema | None]:
    if asked is None or asked == {"type": "text"}:
        return False, None
    if asked == {"type": "json_object"}:
        return True, None
    given = asked.get("json_schema")
    if asked.get("type") != "json_schema" or not isinstance(given, Mapping) or asked.keys() - {"type", "json_schema"}:
        raise invalid("response_format", "its type is 'text', 'json_object' or 'json_schema'.")
    stray = sorted(given.keys() - {"name", "description", "schema", "strict"})
    if stray or not isinstance(given.get("name"), str):
        raise invalid("response_format.json_schema", "it has 'name', 'schema', and perhaps 'strict' and 'description'.")
    schema = given.get("schema")
    if not isinstance(schema, Mapping):
        raise invalid("response_format.json_schema.schema", "give a schema.")
    try:
        checked = JSONSchema(dict(schema))
    except EvaluationError as fault:
        raise invalid("response_format.json_schema.schema", fault.message) from None
    return (True, checked) if given.get("strict") else (False, None)

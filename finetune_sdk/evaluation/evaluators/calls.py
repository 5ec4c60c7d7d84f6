"""ToolCalls: the answer calls the right tools with the right arguments, or none where none is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import orjson

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.reading import ABSENT, DEPTH_LIMIT, deeper_than, same, shown
from finetune_sdk.evaluation.evaluators.schema import JSONSchema
from finetune_sdk.messages import ToolCall
from finetune_sdk.model import Answer

_LEFT_OUT = ""
_LOOSE = re.compile(r"[\s,./\-_*^]")
_SCHEMAS = 256


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The answer calls the expected tools, each once, and none besides; where no call is expected, it makes none.

    `arguments` says what is compared: "values" (each expected argument is there with its value, and no other), "schema" (they obey
    the tool's own parameters, whatever the values) or "names" (of the tools alone). The order counts only if `ordered`.
    Values are compared as data; with `loose` text is compared without case, blanks and , . / - _ * ^, as BFCL does.

    What else is right: `accepted` names values that are as good as each other, {"weather": {"unit": ["celsius", "C"]}};
    "" among them means that the argument may be left out. With `listed` each expected argument is itself the list of
    its accepted values, as in BFCL's ground truth. The fields say whether the number of calls, their names and their
    arguments are right.
    """

    arguments: Literal["values", "schema", "names"] = "values"
    ordered: bool = False
    loose: bool = False
    listed: bool = False
    accepted: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict, hash=False)
    name: str = "ToolCalls"
    version: ClassVar[int] = 1
    _schemas: dict[bytes, JSONSchema] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        given.one_of("arguments", self.arguments, ("values", "schema", "names"))
        rows = self.accepted.values() if isinstance(self.accepted, Mapping) else [None]
        if not all(isinstance(row, Mapping) and all(isinstance(v, list | tuple) for v in row.values()) for row in rows):
            raise EvaluationError(
                f"the accepted values are {shown(self.accepted)}.",
                cure='give lists by tool and argument: {"weather": {"unit": ["celsius", "C"]}}',
            )

    @property
    def pure(self) -> bool:
        """Lists of accepted values cannot be tried as an answer."""
        return not self.listed

    def judge(self, case: Case, answer: Answer) -> Score:
        wanted = given.expected(case).tool_calls
        called = answer.tool_calls
        if len(called) != len(wanted):
            names = sorted(call.name for call in called) == sorted(call.name for call in wanted)
            return _score(False, names, False, f"called {_names(called)}, expected {_names(wanted)}")
        if any(deeper_than(dict(call.arguments), DEPTH_LIMIT) for call in called):
            return _score(True, False, False, "the arguments are nested too deeply")
        if not self._paired(called, wanted, [[got.name == want.name for want in wanted] for got in called]):
            return _score(True, False, False, f"called {_names(called)}, expected {_names(wanted)}")
        faults = [[self._fault(case, got, want) for want in wanted] for got in called]
        if self._paired(called, wanted, [[fault is None for fault in row] for row in faults]):
            return _score(True, True, True)
        return _score(True, True, False, _first(faults, called, wanted, ordered=self.ordered))

    def _paired(self, called: Sequence[Any], wanted: Sequence[Any], fits: Sequence[Sequence[bool]]) -> bool:
        if self.ordered:
            return all(fits[at][at] for at in range(len(called)))
        return _matched(fits)

    def _fault(self, case: Case, got: ToolCall, want: ToolCall) -> str | None:
        if got.name != want.name:
            return f"called {shown(got.name)}, expected {shown(want.name)}"
        if self.arguments == "names":
            return None
        if self.arguments == "schema":
            return self._breach(case, got)
        for argument in got.arguments.keys() - want.arguments.keys():
            if not any(same(got.arguments[argument], value) for value in self._others(want.name, argument)):
                return f"{want.name}: {argument} was not expected"
        for argument, value in want.arguments.items():
            said = got.arguments.get(argument, ABSENT)
            choices = self._choices(case, want.name, argument, value)
            if said is ABSENT and _LEFT_OUT not in choices:
                return f"{want.name}: {argument} is missing"
            if said is not ABSENT and not any(self._same(said, choice) for choice in choices):
                return f"{want.name}: {argument} is {shown(said)}, expected {shown(choices if len(choices) > 1 else choices[0])}"
        return None

    def _choices(self, case: Case, tool: str, argument: str, value: Any) -> list[Any]:
        if self.listed:
            if not isinstance(value, list | tuple) or not value:
                raise EvaluationError(
                    f"{case.where}: {argument} of {tool} is expected to be {shown(value)}, which is no list of values.",
                    cure="list its accepted values, or leave `listed` out",
                )
            return list(value)
        others = self._others(tool, argument)
        return [value, *others] if any(self._same(value, other) for other in others) else [value]

    def _others(self, tool: str, argument: str) -> list[Any]:
        return list(self.accepted.get(tool, {}).get(argument, ()))

    def _same(self, one: Any, other: Any) -> bool:
        return same(_loosened(one), _loosened(other)) if self.loose else same(one, other)

    def _breach(self, case: Case, got: ToolCall) -> str | None:
        schema = _parameters(case, got.name)
        key = orjson.dumps(schema, default=str)
        if key not in self._schemas:
            if len(self._schemas) >= _SCHEMAS:
                self._schemas.clear()
            self._schemas[key] = JSONSchema(schema, name=got.name)
        reason = self._schemas[key].breach(dict(got.arguments))
        return None if reason is None else f"{got.name}: {reason}"


def _parameters(case: Case, name: str) -> Mapping[str, Any]:
    for tool in case.prompt.tools:
        function = tool.get("function", tool)
        if isinstance(function, Mapping) and function.get("name") == name:
            parameters = function.get("parameters")
            return parameters if isinstance(parameters, Mapping) else {}
    raise EvaluationError(
        f"{case.where}: the case has no tool {shown(name)}, so there is no schema for its arguments.",
        cure="give the case its tools, or compare arguments='values'",
    )


def _matched(fits: Sequence[Sequence[bool]]) -> bool:
    """Whether each call can have an expected one of its own (Kuhn's augmenting paths, without recursion)."""
    owner: dict[int, int] = {}
    for start in range(len(fits)):
        came_from: dict[int, tuple[int, int | None]] = {}
        queue: list[tuple[int, int | None]] = [(start, None)]
        free = None
        while queue and free is None:
            call, through = queue.pop()
            for want, fit in enumerate(fits[call]):
                if not fit or want in came_from:
                    continue
                came_from[want] = (call, through)
                if want not in owner:
                    free = want
                    break
                queue.append((owner[want], want))
        if free is None:
            return False
        step: int | None = free
        while step is not None:
            call, through = came_from[step]
            owner[step] = call
            step = through
    return True


def _first(
    faults: Sequence[Sequence[str | None]], called: Sequence[ToolCall], wanted: Sequence[ToolCall], *, ordered: bool
) -> str:
    """Why the first call that fits nowhere does not fit the expected one that is nearest to it."""
    for at, (row, got) in enumerate(zip(faults, called, strict=True)):
        if ordered and row[at] is not None:
            return str(row[at])
        if not ordered and None not in row:
            return next(str(fault) for fault, want in zip(row, wanted, strict=True) if want.name == got.name)
    return f"two calls of {shown(called[0].name)} are alike where two different ones are expected"


def _score(number: bool, names: bool, arguments: bool, reason: str = "") -> Score:
    fields = {"calls": number, "names": names, "arguments": arguments}
    return Score(not reason, reason, fields=fields)


def _names(calls: Sequence[ToolCall]) -> str:
    return shown([call.name for call in calls]) if calls else "no tool"


def _loosened(value: Any) -> Any:
    if isinstance(value, str):
        return _LOOSE.sub("", value).casefold()
    if isinstance(value, Mapping):
        return {key: _loosened(inner) for key, inner in value.items()}
    return [_loosened(inner) for inner in value] if isinstance(value, list | tuple) else value

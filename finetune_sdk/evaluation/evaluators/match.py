"""ExactMatch and FieldMatch: the answer is the expected one, as a whole or field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.reading import NotJSONError, call_data, said, same, shown
from finetune_sdk.messages import Message
from finetune_sdk.model import Answer

_ABSENT = object()
_NAMED_FAULTS = 3


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """The answer's text is the expected text; `strip` leaves white space at both ends out of it.

    Where tool calls are expected, the calls are compared in their place: names and arguments, in order, as data.
    """

    strip: bool = True
    name: str = "ExactMatch"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True

    def judge(self, case: Case, answer: Answer) -> Score:
        expected = _expected(case)
        if expected.tool_calls:
            return self._calls(expected, answer)
        if answer.tool_calls:
            return Score(False, f"called {shown(answer.tool_calls[0].name)} where text is expected")
        text, wanted = (t.strip() if self.strip else t for t in (answer.text, expected.text))
        return Score(True) if text == wanted else Score(False, f"{shown(text)} is not {shown(wanted)}")

    def _calls(self, expected: Message, answer: Answer) -> Score:
        called = [call_data(call) for call in answer.tool_calls]
        wanted = [call_data(call) for call in expected.tool_calls]
        if same(called, wanted):
            return Score(True)
        names, wanted_names = [call["name"] for call in called], [call["name"] for call in wanted]
        if names != wanted_names:
            return Score(False, f"called {shown(names) if names else 'no tool'}, expected {shown(wanted_names)}")
        i = next(i for i in range(len(wanted)) if not same(called[i], wanted[i]))
        return Score(
            False,
            f"{wanted_names[i]}: arguments {shown(called[i]['arguments'])} are not {shown(wanted[i]['arguments'])}",
        )


@dataclass(frozen=True, slots=True, init=False)
class FieldMatch:
    """Each field of the JSON answer is that of the expected one, compared as data; passed when all are.

    `fields` are names or dotted paths (`customer.id`, `items.0.price`); without them, every field at the top of the
    expected answer. What else the answer holds does not count: that is JSONSchema's to judge. A tool call has the
    fields `name` and `arguments`; with several, each call's number comes first (`0.arguments.height`).
    Its value is the share of them that match.
    Raises EvaluationError for a case whose expected answer lacks the field.
    """

    fields: tuple[str, ...] | None
    name: str
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True
    graded: ClassVar[bool] = True

    def __init__(self, fields: Iterable[str] | None = None, name: str = "FieldMatch") -> None:
        if fields is not None and not isinstance(fields, Iterable):
            raise EvaluationError(
                f"FieldMatch({fields!r}) makes no sense.", cure='name the fields: FieldMatch(("priority",))'
            )
        chosen = None if fields is None else (fields,) if isinstance(fields, str) else tuple(fields)
        if chosen is not None and (not chosen or not all(isinstance(f, str) and f for f in chosen)):
            raise EvaluationError("FieldMatch has no field to compare.", cure='name some: FieldMatch(("priority",))')
        object.__setattr__(self, "fields", chosen)
        object.__setattr__(self, "name", name)

    def judge(self, case: Case, answer: Answer) -> Score:
        expected = _expected(case)
        calls = bool(expected.tool_calls)
        wanted = self._wanted(case, expected, calls)
        try:
            value = said(answer, calls=calls)
        except NotJSONError as fault:
            return Score(False, str(fault), 0.0, dict.fromkeys(wanted, False))
        if not isinstance(value, dict | list):
            return Score(False, f"{shown(value)} is not an object", 0.0, dict.fromkeys(wanted, False))
        got = {field: _at(value, field) for field in wanted}
        matches = {field: got[field] is not _ABSENT and same(got[field], want) for field, want in wanted.items()}
        wrong = [
            f"{field} is {'missing' if got[field] is _ABSENT else shown(got[field])}, expected {shown(wanted[field])}"
            for field, match in matches.items()
            if not match
        ]
        more = f"; and {len(wrong) - _NAMED_FAULTS} more" if len(wrong) > _NAMED_FAULTS else ""
        share = (len(matches) - len(wrong)) / len(matches)
        return Score(not wrong, "; ".join(wrong[:_NAMED_FAULTS]) + more, share, matches)

    def _wanted(self, case: Case, expected: Message, calls: bool) -> dict[str, Any]:
        try:
            value = said(expected, calls=calls)
        except NotJSONError as fault:
            raise EvaluationError(
                f"{case.where}: the expected answer has no fields: {fault}.",
                cure="use ExactMatch for answers that are text",
            ) from None
        if not isinstance(value, dict | list) or not value:
            raise EvaluationError(
                f"{case.where}: the expected answer is {shown(value)}, which has no fields.",
                cure="use ExactMatch for such answers",
            )
        names = self.fields or (tuple(value) if isinstance(value, dict) else tuple(map(str, range(len(value)))))
        wanted = {name: _at(value, name) for name in names}
        absent = [name for name, want in wanted.items() if want is _ABSENT]
        if absent:
            has = list(value) if isinstance(value, dict) else f"items 0 to {len(value) - 1}"
            raise EvaluationError(
                f"{case.where}: the expected answer has no field {absent[0]!r}; it has {shown(has)}.",
                cure="compare a field that every expected answer has, or mend the case",
            )
        return wanted


def _expected(case: Case) -> Message:
    if case.expected is None:
        raise EvaluationError(
            f"{case.where}: nothing is expected of this case, so no answer can match it.",
            cure="add the assistant's answer to the case",
        )
    return case.expected


def _at(value: Any, path: str) -> Any:
    # A name that holds a dot itself is found before it is taken for a path.
    if isinstance(value, Mapping) and path in value:
        return value[path]
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif (
            isinstance(value, list)
            and step.isdecimal()
            and step.isascii()
            and len(step) < 10
            and int(step) < len(value)
        ):
            value = value[int(step)]
        else:
            return _ABSENT
    return value

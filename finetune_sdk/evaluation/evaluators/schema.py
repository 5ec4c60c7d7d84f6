"""JSONSchema: the answer is JSON that a schema allows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.reading import NotJSONError, deeper_than, said, shown, unfenced
from finetune_sdk.model import Answer

_PASSED = Score(True)
_INSTANCE = "\0"
_EXPLAINED_DEPTH = 6
_BACKTRACKS = 1_000_000


class _Validator(Protocol):
    def is_valid(self, instance: Any) -> bool: ...

    def validate(self, instance: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class JSONSchema:
    """The answer is one JSON value that `schema` allows (drafts 4 to 2020-12 by its `$schema`; 2020-12 without one).

    `schema` is the schema itself or the path of its file. Formats such as `date` are checked; formats that the drafts
    do not know are not. Nothing is fetched: a reference to another document is an EvaluationError, as is a schema that
    is wrong. An answer in a code fence does not pass, unless `fenced`: what reads it will not take it either.
    Where the answer is a tool call and no text, the call `{"name": …, "arguments": {…}}` is judged.
    """

    schema: Mapping[str, Any] | str | os.PathLike[str] = field(hash=False)
    fenced: bool = False
    name: str = "JSONSchema"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True
    _compiled: _Validator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.schema, Mapping | str | os.PathLike):
            raise EvaluationError(
                f"the schema is {type(self.schema).__name__}.", cure="give an object, or the path of a JSON file"
            )
        schema = _copied(self.schema) if isinstance(self.schema, Mapping) else _read(Path(self.schema))
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "_compiled", _compile(schema))

    def judge(self, case: Case, answer: Answer) -> Score:
        try:
            value = self._value(answer)
            if self._compiled.is_valid(value):
                return _PASSED
        except ValueError as fault:
            return Score(False, str(fault) if isinstance(fault, NotJSONError) else f"not JSON: {shown(str(fault))}")
        return Score(False, _reason(self._compiled, value))

    def breach(self, value: Any) -> str | None:
        """Why the schema does not allow a value; None where it does. Raises EvaluationError where a pattern is given up."""
        try:
            return None if self._compiled.is_valid(value) else _reason(self._compiled, value)
        except ValueError as fault:
            return f"not JSON: {shown(str(fault))}"

    def _value(self, answer: Answer) -> Any:
        if answer.tool_calls and not answer.text.strip():
            return said(answer, calls=True)
        if not self.fenced:
            return said(answer, calls=False)
        return said(Answer(unfenced(answer.text)), calls=False)


def _copied(schema: Mapping[str, Any]) -> dict[str, Any]:
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(schema), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as fault:
        raise EvaluationError(f"the schema is not JSON: {fault}.", cure="give plain JSON data") from None
    return copy


def _read(path: Path) -> dict[str, Any]:
    try:
        schema = json.loads(path.read_text("utf-8"))
    except OSError as fault:
        raise EvaluationError(
            f"the schema {shown(str(path), 1000)} cannot be read: {fault.strerror}.",
            cure="give the path of a JSON file, or the schema itself as a dict",
        ) from None
    except (ValueError, RecursionError) as fault:
        raise EvaluationError(f"the schema {path} is not JSON: {fault}.", cure="mend the file") from None
    if not isinstance(schema, dict):
        raise EvaluationError(f"the schema {path} is no object.", cure='write an object, such as {"type": "object"}')
    return schema


def _compile(schema: dict[str, Any]) -> _Validator:
    import jsonschema_rs

    refused: list[str] = []

    def refuse(uri: str) -> Any:
        refused.append(uri)
        raise LookupError("nothing is fetched")

    try:
        compiled: _Validator = jsonschema_rs.validator_for(
            schema,
            validate_formats=True,
            retriever=refuse,
            mask=_INSTANCE,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS),
        )
    except jsonschema_rs.ValidationError as fault:
        if refused or "not present in a registry" in fault.message:
            what = refused[0] if refused else fault.message.split("'")[1]
            raise EvaluationError(
                f"the schema refers to {shown(what)}, which is another document, and nothing is fetched.",
                cure="put what it refers to into the schema's own $defs",
            ) from None
        at = "/".join(map(str, fault.instance_path)) or "its root"
        message = fault.message.replace(_INSTANCE, shown(fault.instance))
        raise EvaluationError(f"the schema is wrong at {at}: {message[:300]}.", cure="mend the schema") from None
    except (ValueError, jsonschema_rs.ReferencingError) as fault:
        raise EvaluationError(f"the schema is wrong: {str(fault)[:300]}.", cure="mend the schema") from None
    return compiled


def _reason(compiled: _Validator, value: Any) -> str:
    # Naming the first fault collects those of every branch of anyOf and oneOf, level by level: exponential in depth.
    if deeper_than(value, _EXPLAINED_DEPTH):
        return "the schema does not allow it (nested too deeply to say where)"
    from jsonschema_rs import ValidationError, ValidationErrorKind

    try:
        compiled.validate(value)
    except ValidationError as fault:
        if isinstance(fault.kind, ValidationErrorKind.BacktrackLimitExceeded | ValidationErrorKind.RegexEngineFailure):
            at = "/".join(map(str, fault.schema_path))
            raise EvaluationError(
                f"the pattern at {at} of the schema took more than {_BACKTRACKS:,} steps back and was given up.",
                cure="write it without nested repetitions, look-around and back references",
            ) from None
        at = ".".join(map(str, fault.instance_path))
        message = fault.message.replace(_INSTANCE, shown(fault.instance), 1)
        return f"{at + ': ' if at else ''}{message if len(message) <= 300 else message[:300] + '…'}"
    return "the schema does not allow it"

"""Tool calls: that the tool was offered, and that the arguments are what it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.places import Places, rows_of
from finetune_sdk.data.checks.reading import excerpt, key, tools, turns

_MOST_KEPT = 500


class _Validator(Protocol):
    def iter_errors(self, instance: Any) -> Iterator[Any]: ...


@dataclass(slots=True)
class ToolCalls:
    """Calls of tools that the row does not offer, and arguments that the tool's JSON schema does not allow.

    Schemas stand for themselves: what they refer to elsewhere is not fetched, and such a schema is told as a note.
    """

    _compiled: dict[int, _Validator | None] = field(default_factory=dict)
    _unknown: dict[str, Places] = field(default_factory=dict)
    _unfit: dict[tuple[str, str], Places] = field(default_factory=dict)
    _schemas: dict[str, Places] = field(default_factory=dict)

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        calls = [call for turn in turns(row) for call in turn.get("tool_calls", ())]
        if not calls:
            return
        offered = _offered(tools(row))
        for call in calls:
            name = call["name"]
            if name not in offered:
                self._add(self._unknown, name, index, f"{name}({call['arguments']})")
            elif (schema := self._schema(index, name, offered[name].get("parameters"))) is not None:
                fault = next(iter(schema.iter_errors(call["arguments"])), None)
                if fault is not None:
                    at = "/".join(map(str, fault.instance_path))
                    why = excerpt(fault.message, 120) + (f" (at {at})" if at else "")
                    self._add(self._unfit, (name, str(fault.kind).split("(")[0]), index, why)

    @staticmethod
    def _add(found: dict[Any, Places], what: Any, index: int, example: str) -> None:
        if what in found or len(found) < _MOST_KEPT:
            found.setdefault(what, Places()).add(index, example)

    def _schema(self, index: int, name: str, schema: Any) -> _Validator | None:
        """The schema of a tool that is called, compiled once; None where it has none that can be used."""
        if not schema:
            return None
        stands_for = key([name, schema])
        if stands_for not in self._compiled:
            if len(self._compiled) == _MOST_KEPT:
                self._compiled.clear()
            self._compiled[stands_for] = self._made(index, name, schema)
        return self._compiled[stands_for]

    def _made(self, index: int, name: str, schema: Any) -> _Validator | None:
        import jsonschema_rs

        try:
            compiled: _Validator = jsonschema_rs.validator_for(
                schema,
                retriever=_nothing_is_fetched,
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000),
            )
        except (TypeError, ValueError, jsonschema_rs.ReferencingError) as fault:
            self._add(self._schemas, name, index, str(fault).splitlines()[0])
            return None
        return compiled

    def findings(self, rows: Rows) -> Iterator[Finding]:
        for name, places in self._unknown.items():
            yield places.finding(
                rows,
                "tool-calls",
                "warning",
                f"{rows_of(places.count, 'calls', 'call')} {name!r}, which the row's `tools` do not offer.",
                "add the tool to `tools`, as the model will have it when it is asked",
            )
        for (name, _), places in self._unfit.items():
            yield places.finding(
                rows,
                "tool-calls",
                "warning",
                f"{rows_of(places.count, 'calls', 'call')} {name!r} with arguments that its schema does not allow:"
                f" {places.example}.",
                "mend the arguments, or the schema",
            )
        for name, places in self._schemas.items():
            yield places.finding(
                rows,
                "tool-calls",
                "note",
                f"the schema of {name!r} cannot be used, so its calls were not checked: {places.example}.",
                "mend the schema; what it refers to belongs into its own $defs",
            )


def _offered(tools: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    """The functions of tools, by name."""
    functions = (tool.get("function", tool) for tool in tools)
    return {
        function["name"]: function
        for function in functions
        if isinstance(function, Mapping) and isinstance(function.get("name"), str)
    }


def _nothing_is_fetched(uri: str) -> Any:
    raise LookupError("nothing is fetched")

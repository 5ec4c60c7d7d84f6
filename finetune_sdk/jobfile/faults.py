"""What is wrong with a job file, in words: the line, the key, what stands there, what must, and the right spelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_sdk.errors import JobError
from finetune_sdk.job import DPO, KTO, ORPO, SFT, Full, LoRA, PrefixTuning, Pretraining, PromptTuning, QLoRA
from finetune_sdk.jobfile.judging import TABLES
from finetune_sdk.jobfile.tables import (
    BreakEvenTable,
    DataFile,
    EvaluationTable,
    GateTable,
    JobTable,
    PromptedBase,
    RFTTable,
    RivalTable,
    Split,
)

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from finetune_sdk.jobfile.yaml12 import Where

_METHODS: dict[str, Any] = {kind.kind: type(kind) for kind in (SFT(), Pretraining(), DPO(), ORPO(), KTO())}
_RFT = {"rft": frozenset(RFTTable.model_fields)}
_ADAPTERS: dict[str, Any] = {
    kind.kind: type(kind) for kind in (LoRA(), QLoRA(), Full(), PromptTuning(), PrefixTuning())
}
_EVALUATORS: dict[str, Any] = {
    kind: frozenset(field.alias or name for name, field in table.model_fields.items()) for kind, table in TABLES.items()
}
_KEYS: dict[str, frozenset[str]] = {
    "": frozenset(JobTable.model_fields),
    "split": frozenset(Split.model_fields),
    "DataFile": frozenset(DataFile.model_fields),
    "evaluation": frozenset(EvaluationTable.model_fields),
    "prompted": frozenset(PromptedBase.model_fields),
    "gate": frozenset(GateTable.model_fields),
    "against": frozenset(RivalTable.model_fields),
    **_EVALUATORS,
    **_RFT,
    **{name: frozenset(field.name for field in fields(kind)) for name, kind in (_METHODS | _ADAPTERS).items()},
    "break_even": frozenset(BreakEvenTable.model_fields),
}
_HOMES = {**dict.fromkeys(_METHODS, "method"), "rft": "method", **dict.fromkeys(_ADAPTERS, "adapter"),
          **dict.fromkeys(_EVALUATORS, "evaluation.evaluators"), "prompted": "evaluation.prompted", "gate": "evaluation.gate", "against": "evaluation.against", "DataFile": "data"}  # fmt: skip
_PLAIN = {
    "string_type": "text", "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "list_type": "a list", "tuple_type": "a list", "dict_type": "a table of keys",
    "model_type": "a table of keys", "dataclass_type": "a table of keys", "model_attributes_type": "a table of keys",
    "string_too_short": "a text that is not empty", "too_short": "a list of at least one",
}  # fmt: skip
_BOUNDS = {"greater_than": "more than {gt}", "greater_than_equal": "{ge} or more", "less_than": "less than {lt}",
           "less_than_equal": "{le} or less", "literal_error": "{expected}"}  # fmt: skip


def job_error(file: Path, raw: Mapping[str, Any], lines: Mapping[Where, int], faults: ValidationError) -> JobError:
    """One JobError for everything that pydantic found."""
    found: dict[Where, tuple[str, str]] = {}
    wanted: dict[Where, list[str]] = {}
    for fault in faults.errors(include_url=False):
        at = _where(raw, fault)
        if (said := _said(fault)) is not None:
            found[at] = said
            continue
        wants = wanted.setdefault(at, [])
        if (want := _wanted(fault)) not in wants:
            wants.append(want)
        must = " or ".join(wants)
        found[at] = f"is {_shown(fault['input'])}, and must be {must}.", f"write {must}"
    roots = {
        at: said for at, said in found.items() if not any(at == other[: len(at)] for other in found if other != at)
    }
    placed = sorted((_line(lines, at), dotted(at), *said) for at, said in roots.items())
    told = [(f"line {line}: `{key}` {message}", cure) for line, key, message, cure in placed]
    if len(told) == 1:
        return JobError(f"{file} {told[0][0]}", cure=told[0][1])
    listed = "\n  ".join(f"{message}\n    cure: {cure}" for message, cure in told)
    return JobError(f"{len(told)} things are wrong in {file}:\n  {listed}", cure="mend them; nothing was sent")


def dotted(at: Where) -> str:
    """`evaluation.evaluators[0].schema`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).lstrip(".")


def _line(lines: Mapping[Where, int], at: Where) -> int:
    """The line of a key, or of what holds it when it is missing."""
    return next(lines[at[:end]] for end in range(len(at), -1, -1) if at[:end] in lines)


def _where(raw: Any, fault: ErrorDetails) -> Where:
    """The path in the file; pydantic's own also names the kinds and types that it tried."""
    at: list[str | int] = []
    for part in fault["loc"]:
        inside = part in raw if isinstance(raw, dict) else isinstance(raw, list) and part in range(len(raw))
        if inside:
            at.append(part)
            raw = raw[part]
    if fault["type"] == "missing":
        at.append(fault["loc"][-1])
    return tuple(at)


def _said(fault: ErrorDetails) -> tuple[str, str] | None:
    """Message and cure of what is not a matter of type or range."""
    if isinstance(fault["input"], str) and fault["input"] in _HOMES:
        return f"is {_shown(fault['input'])}, and must be a table of keys.", f"write {{kind: {fault['input']}}}"
    match fault["type"]:
        case "missing":
            return "is missing.", f"add `{fault['loc'][-1]}:`"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return _misspelt(fault["loc"])
        case "union_tag_not_found" | "union_tag_invalid":
            return _kind(fault)
    return None


def _misspelt(loc: Sequence[str | int]) -> tuple[str, str]:
    key = str(loc[-1])
    # A model that is compared has a name of its own before its keys.
    table = "against" if loc[-3:-2] == ("against",) else str(loc[-2]) if len(loc) > 1 else ""
    keys = _KEYS.get(table, frozenset())
    if near := get_close_matches(key.lower().replace("-", "_"), sorted(keys), 1):
        return f"is not a key here; did you mean `{near[0]}`?", f"write `{near[0]}`"
    if home := next((_HOMES.get(home, home) for home, own in _KEYS.items() if key in own and home), None):
        return f"is not a key here; it belongs under `{home}`.", f"move it to `{home}`"
    return "is not a key here.", f"remove it, or use one of {', '.join(sorted(keys))}"


def _kind(fault: ErrorDetails) -> tuple[str, str]:
    place = "graders" if "graders" in fault["loc"] else str(fault["loc"][0])
    known = sorted({"method": _METHODS | _RFT, "adapter": _ADAPTERS}.get(place, _EVALUATORS))
    if fault["type"] == "union_tag_not_found":
        return "has no `kind`.", f"add `kind:`, one of {', '.join(known)}"
    tag = str(fault["ctx"]["tag"])
    near = get_close_matches(tag.lower().replace("-", "_"), known, 1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}."
    return f"is of the kind {tag!r}, which does not exist; {hint}", f"write `kind: {near[0] if near else known[-1]}`"


def _wanted(fault: ErrorDetails) -> str:
    if fault["type"] == "too_short" and isinstance(fault["input"], dict):
        return "a table of at least one key"
    if fault["type"] in _BOUNDS:
        return _BOUNDS[fault["type"]].format(**fault["ctx"])
    return _PLAIN.get(fault["type"]) or fault["msg"].removeprefix("Input should be ").lower()


def _shown(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case str():
            return f"the text {value if len(value) < 60 else value[:57] + '…'!r}"
        case int() | float():
            return f"the number {value}"
        case list() | tuple():
            return "a list"
    return "a table of keys"

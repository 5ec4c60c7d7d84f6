"""Evaluators: one judgement of one answer each, one file a family. Each is loaded on first use, as a job needs few.

To add one: a frozen dataclass with a `name`, a `version` and `judge(case, answer) -> Score`, and a test. What it takes is
plain data, its fields without an underscore are what it was made with, and KINDS names it: then jobs can hold it, too.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune_sdk.evaluation.evaluators.calls import ToolCalls
    from finetune_sdk.evaluation.evaluators.case import Case, Evaluator, Score
    from finetune_sdk.evaluation.evaluators.counts import Counts, macro_f1, micro
    from finetune_sdk.evaluation.evaluators.documents import ValidCSV, ValidSQL, ValidXML, ValidYAML
    from finetune_sdk.evaluation.evaluators.entities import EntitySpans, entity_counts
    from finetune_sdk.evaluation.evaluators.functions import Bounded, Check
    from finetune_sdk.evaluation.evaluators.instructions import Instruction, Instructions
    from finetune_sdk.evaluation.evaluators.labels import Confusion, Labels, LabelSets, confusion, label_counts
    from finetune_sdk.evaluation.evaluators.language import Language, Refusal
    from finetune_sdk.evaluation.evaluators.length import Length
    from finetune_sdk.evaluation.evaluators.match import ExactMatch, FieldMatch
    from finetune_sdk.evaluation.evaluators.memorisation import Memorisation
    from finetune_sdk.evaluation.evaluators.numeric import NumericMatch
    from finetune_sdk.evaluation.evaluators.patterns import Pattern, Template
    from finetune_sdk.evaluation.evaluators.perplexity import Perplexity
    from finetune_sdk.evaluation.evaluators.schema import JSONSchema
    from finetune_sdk.evaluation.evaluators.similarity import ChrF, RougeL
    from finetune_sdk.evaluation.evaluators.texts import Contains, Forbidden, NormalisedMatch

_ROOMS = {
    "calls": "ToolCalls",
    "case": "Case Evaluator Score",
    "counts": "Counts macro_f1 micro",
    "documents": "ValidCSV ValidSQL ValidXML ValidYAML",
    "entities": "EntitySpans entity_counts",
    "functions": "Bounded Check",
    "instructions": "Instruction Instructions",
    "labels": "Confusion Labels LabelSets confusion label_counts",
    "language": "Language Refusal",
    "length": "Length",
    "match": "ExactMatch FieldMatch",
    "memorisation": "Memorisation",
    "numeric": "NumericMatch",
    "patterns": "Pattern Template",
    "perplexity": "Perplexity",
    "schema": "JSONSchema",
    "similarity": "ChrF RougeL",
    "texts": "Contains Forbidden NormalisedMatch",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

KINDS = (
    "ExactMatch", "FieldMatch", "JSONSchema", "Length", "Pattern", "Template", "Labels", "LabelSets",
    "NormalisedMatch", "NumericMatch", "Contains", "Forbidden", "ToolCalls", "Instructions", "ChrF", "RougeL",
    "Perplexity", "Language", "Refusal", "ValidXML", "ValidYAML", "ValidCSV", "ValidSQL", "EntitySpans",
)  # fmt: skip
"""Those that plain data describes."""

__all__ = [
    "KINDS", "Bounded", "Case", "Check", "ChrF", "Confusion", "Contains", "Counts", "EntitySpans", "Evaluator",
    "ExactMatch", "FieldMatch", "Forbidden", "Instruction", "Instructions", "JSONSchema", "LabelSets", "Labels",
    "Language", "Length", "Memorisation", "NormalisedMatch", "NumericMatch", "Pattern", "Perplexity", "Refusal",
    "RougeL", "Score", "Template", "ToolCalls", "ValidCSV", "ValidSQL", "ValidXML", "ValidYAML", "confusion",
    "entity_counts", "label_counts", "macro_f1", "micro",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""A grader in the protocol's own words, on its way through a job to a place that knows what they mean."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.model import Answer
from finetune_sdk.serve.errors import ProtocolError, invalid

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "string_check": ("input", "operation", "reference"),
    "text_similarity": ("input", "reference", "evaluation_metric"),
    "python": ("source",),
    "score_model": ("input", "model"),
    "multi": ("graders", "calculate_output"),
}
_NAMED = re.compile(r"\{\{\s*(sample\.output_text|item\.\w+)\s*\}\}")
_CHECKS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda said, wanted: said == wanted,
    "ne": lambda said, wanted: said != wanted,
    "like": lambda said, wanted: wanted in said,
    "ilike": lambda said, wanted: wanted.lower() in said.lower(),
}


@dataclass(frozen=True)
class ProtocolGrader:
    """An evaluator that is given whole: `grader` is the protocol's own table, which a backend hands on as it is.

    A place that judges by itself can compare texts (`string_check`); of any other kind, `judge` raises EvaluationError.
    """

    grader: Mapping[str, Any]
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        return str(self.grader["name"])

    def judge(self, case: Case, answer: Answer) -> Score:
        if self.grader["type"] == "string_check" and self.grader["operation"] in _CHECKS:
            said, wanted = (_filled(str(self.grader[name]), case, answer) for name in ("input", "reference"))
            return Score(_CHECKS[self.grader["operation"]](said, wanted))
        raise EvaluationError(
            f"the grader {self.name!r} ({self.grader['type']}) is in the protocol's words, and nobody here judges by them.",
            cure="serve a backend that takes graders whole, such as openai",
        )


def _filled(template: str, case: Case, answer: Answer) -> str:
    """The template with what it names: `sample.output_text`, and keys of the row as `item.…`."""

    def value(found: re.Match[str]) -> str:
        if found[1] == "sample.output_text":
            return answer.text
        key = found[1].removeprefix("item.")
        if key not in case.reference:
            raise EvaluationError(
                f"{case.where}: the grader reads item.{key}, and the row has no such key.", cure="add it to the row"
            )
        held = case.reference[key]
        return held if isinstance(held, str) else json.dumps(held, ensure_ascii=False)

    return _NAMED.sub(value, template)


def check_grader(where: str, grader: Any) -> None:
    """Raises ProtocolError for what is no grader of a kind that there is; what it says is the place's to judge."""
    if not isinstance(grader, Mapping):
        raise ProtocolError(f"Missing required parameter: '{where}'.", param=where, code="missing_required_parameter")
    kind = grader.get("type")
    if not isinstance(kind, str) or kind not in _NEEDED:
        raise invalid(f"{where}.type", f"it is one of {', '.join(_NEEDED)}, not {kind!r}.")
    for name in ("name", *_NEEDED[kind]):
        if not grader.get(name):
            missing = f"{where}.{name}"
            raise ProtocolError(
                f"Missing required parameter: '{missing}'.", param=missing, code="missing_required_parameter"
            )

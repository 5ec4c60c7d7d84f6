"""Evaluators: one judgement of one answer each, one file a family.

To add one: a frozen dataclass with a `name`, a `version` and `judge(case, answer) -> Score`, and a test.
"""

from finetune_sdk.evaluation.evaluators.case import Case, Evaluator, Score
from finetune_sdk.evaluation.evaluators.length import Length
from finetune_sdk.evaluation.evaluators.match import ExactMatch, FieldMatch
from finetune_sdk.evaluation.evaluators.schema import JSONSchema

__all__ = ["Case", "Evaluator", "ExactMatch", "FieldMatch", "JSONSchema", "Length", "Score"]

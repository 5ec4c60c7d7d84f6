"""Our evaluators as the protocol's graders, where one judges exactly as the other; where not, it is said what does.

`{{sample.output_text}}` is the answer, `{{item.…}}` a key of the row's reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import UnsupportedError
from finetune_sdk.evaluation.evaluators import ExactMatch, Length
from finetune_sdk.messages import TaskExample

_ANSWER = "{{sample.output_text}}"
_OWN = "give a whole grader in the protocol's own shape as rft = { grader = { … } } under [backends.…]"
_USUAL = ("expected", "answer", "reference", "label")


def grader(evaluators: Sequence[Any], train: Dataset) -> dict[str, Any]:
    """One grader for evaluators: the share of them that an answer passes. Raises UnsupportedError for one that cannot be mapped exactly.

    An evaluator that has a `grader`, which is itself in the protocol's shape, stands alone and is handed on as it is.
    """
    whole = next((given for one in evaluators if isinstance(given := getattr(one, "grader", None), Mapping)), None)
    if whole is not None and len(evaluators) == 1:
        return dict(whole)
    for evaluator in evaluators:
        if not isinstance(evaluator, ExactMatch | Length) or (
            isinstance(evaluator, Length) and _counts_others(evaluator)
        ):
            raise UnsupportedError(
                f"{evaluator.name} cannot be a grader there: it would not judge the same.",
                cure=f"ExactMatch, and Length in characters, can; or {_OWN}",
            )
    if len(evaluators) == 1 and isinstance(evaluators[0], ExactMatch) and not evaluators[0].strip:
        return {
            "type": "string_check",
            "name": evaluators[0].name,
            "input": _ANSWER,
            "reference": "{{item." + expected_key(train) + "}}",
            "operation": "eq",
        }
    conditions = [_condition(evaluator, train) for evaluator in evaluators]
    return {
        "type": "python",
        "name": " and ".join(evaluator.name for evaluator in evaluators),
        "source": (
            f'def grade(sample, item):\n    said = sample.get("output_text") or ""\n    return {_share(conditions)}\n'
        ),
    }


def asks_a_model(grader: Mapping[str, Any]) -> bool:
    """Whether a grader in the protocol's shape has answers graded by a model, which is billed for its tokens."""
    if grader.get("type") in ("score_model", "label_model"):
        return True
    inner = grader.get("graders")
    return isinstance(inner, Mapping) and any(isinstance(one, Mapping) and asks_a_model(one) for one in inner.values())


def _share(conditions: Sequence[str]) -> str:
    passed = " + ".join(f"({condition})" for condition in conditions)
    return f"float({passed})" if len(conditions) == 1 else f"({passed}) / {len(conditions)}"


def _counts_others(evaluator: Length) -> bool:
    limits = (evaluator.max_tokens, evaluator.min_tokens, evaluator.max_words, evaluator.min_words)
    return any(limit is not None for limit in limits)


def _condition(evaluator: Any, train: Dataset) -> str:
    if isinstance(evaluator, ExactMatch):
        wanted = f"item[{expected_key(train)!r}]"
        return f"said.strip() == {wanted}.strip()" if evaluator.strip else f"said == {wanted}"
    low, high = evaluator.min_characters, evaluator.max_characters
    return f"{low or 0} <= len(said){f' <= {high}' if high is not None else ''}"


def expected_key(train: Dataset) -> str:
    """The key of the reference that holds the expected answer as text in every row."""
    shared: set[str] | None = None
    for example in train:
        assert isinstance(example, TaskExample)
        texts = {key for key, value in example.reference.items() if isinstance(value, str)}
        shared = texts if shared is None else shared & texts
    shared = shared or set()
    chosen = next((key for key in _USUAL if key in shared), None) or (next(iter(shared)) if len(shared) == 1 else None)
    if chosen is None:
        found = ", ".join(sorted(shared)) or "none"
        raise UnsupportedError(
            f"which key of a row's reference is the expected answer cannot be told (texts in every row: {found}).",
            cure=f"call it `expected`, or {_OWN}",
        )
    return chosen


_ITEM = re.compile(r"\{\{\s*item\.(\w+)\s*\}\}")


def evaluators(given: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str] | None:
    """The way back: a grader as the tables of evaluators that judge the same, and the key of the row that they judge by.

    None for a grader that no evaluator judges exactly like.
    """
    read, item = str(given.get("input", "")), _ITEM.fullmatch(str(given.get("reference", "")).strip())
    answer = re.sub(r"\s", "", read) == _ANSWER and read.strip() == read
    if given.get("type") != "string_check" or given.get("operation") != "eq" or not answer or item is None:
        return None
    return [{"kind": "exact_match", "strip": False}], item[1]


def templates(given: Mapping[str, Any]) -> set[str]:
    """The names of the item's keys that a grader's templates read: `{{item.answer}}` reads `answer`."""
    found: set[str] = set()
    for value in given.values():
        if isinstance(value, str):
            found |= set(re.findall(r"\{\{\s*item\.(\w+)", value))
        elif isinstance(value, Mapping):
            found |= templates(value)
        elif isinstance(value, list):
            for one in value:
                found |= templates(one) if isinstance(one, Mapping) else set()
    return found

"""Whether a model has seen the cases that it is judged on: in its training, or among the examples in front of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finetune_sdk.data.dataset import SKETCH
from finetune_sdk.data.index import content_hash
from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import Case
from finetune_sdk.model import Model, Prompted


def leaked(cases: Sequence[Case], models: Mapping[str, Model], *, allowed: bool) -> set[int]:
    """The cases that a model was trained on or shown. Raises EvaluationError where that is not allowed."""
    known: set[int] = set()
    for key, model in models.items():
        shown = seen(model)
        found = {case.index for case in cases if case.hash in shown}
        if found and not allowed:
            first = cases[min(found)].where
            raise EvaluationError(
                f"{len(found)} of {len(cases)} cases stand in what {key} was trained on or shown "
                f"(the first is {first}), so {key} would be judged on what it has memorised.",
                cure="split before training (Dataset.split) and evaluate on the held-out side; "
                "or pass allow_leakage=True, which the report will say",
            )
        known |= found
    return known


def seen(model: Model) -> frozenset[str]:
    """Hashes of the rows that a model was trained on, and of the examples in front of it."""
    shown = frozenset[str]()
    while isinstance(model, Prompted):
        shown |= {content_hash(example.canonical())[:8].hex() for example in model.examples}
        model = model.model
    return shown | model.origin.sketch


def comparable(cases: Sequence[Case], shown: frozenset[str]) -> int:
    """Of how many cases it can be told whether they were trained on: of large training sets the lowest hashes are kept."""
    if len(shown) < SKETCH:
        return len(cases)
    highest = sorted(shown)[SKETCH - 1]
    return sum(case.hash <= highest for case in cases)

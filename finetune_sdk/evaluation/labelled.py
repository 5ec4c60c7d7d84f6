"""What evaluators of labels found, label by label: which was taken for which, and precision, recall and F1 of each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.evaluation.evaluators import Case, Evaluator, Score
from finetune_sdk.evaluation.evaluators.counts import Counts, macro_f1, micro
from finetune_sdk.evaluation.evaluators.entities import EntitySpans, entity_counts
from finetune_sdk.evaluation.evaluators.functions import Bounded
from finetune_sdk.evaluation.evaluators.labels import Confusion, Labels, LabelSets, confusion, label_counts
from finetune_sdk.evaluation.evaluators.reading import mended
from finetune_sdk.evaluation.transcript import Reply

MOST_CELLS = 100
MOST_PAIRS = 200
MOST_LABELS = 1_000

_KINDS: Mapping[type, str] = {Labels: "one", LabelSets: "several", EntitySpans: "entities"}


def nominal(evaluator: Evaluator) -> bool:
    """Whether its value names what was said, a label or a number, and is no measure: a mean of such says nothing."""
    return bool(getattr(_inner(evaluator), "nominal", False))


def label_rows(
    evaluators: Sequence[Evaluator], cases: Sequence[Case], replies: Mapping[str, Sequence[Reply]], samples: int
) -> list[dict[str, Any]]:
    """A row for each evaluator of labels and model, as plain data. Every answer counts: of several to a case, each."""
    expected = ["" if case.expected is None else case.expected.text for case in cases for _ in range(samples)]
    rows = []
    for evaluator in evaluators:
        of = _inner(evaluator)
        if (kind := _KINDS.get(type(of))) is None:  # a subclass may judge, and count, otherwise
            continue
        for key, found in replies.items():
            scores = [reply.scores.get(evaluator.name) for reply in found]
            told = _told(of, expected, scores, found)
            left_out = scores.count(None)
            answers = {"answers": len(scores) - left_out, "left_out": left_out}
            rows.append({"evaluator": evaluator.name, "model": key, "kind": kind, **answers, **told})
    return rows


def _inner(evaluator: Any) -> Any:
    return evaluator.evaluator if isinstance(evaluator, Bounded) else evaluator


def _told(of: Any, expected: Sequence[str], scores: Sequence[Score | None], replies: Sequence[Reply]) -> dict[str, Any]:
    match of:
        case Labels():
            table = confusion(of, expected, scores)
            return {**_figures(table.counts), **_matrix(table)}
        case LabelSets():
            return _figures(label_counts(of, expected, scores))
    # An answer without a score counts in nothing, whoever failed.
    pairs = zip(scores, replies, strict=True)
    said = [None if score is None or reply.answer is None else reply.answer.text for score, reply in pairs]
    return _figures(entity_counts(of, expected, said))


def _figures(counts: Mapping[str, Counts]) -> dict[str, Any]:
    # Labels of entities are the model's own words, and there may be any number of them.
    kept = list(counts.items())
    if len(kept) > MOST_LABELS:
        kept = sorted(kept, key=lambda one: -(one[1].right + one[1].missed + one[1].extra))[:MOST_LABELS]
    return {
        "labels": [{"label": mended(label), **_row(each)} for label, each in kept],
        "more": len(counts) - len(kept),
        "macro_f1": macro_f1(counts.values()),
        "micro": _row(micro(counts.values())),
    }


def _row(counts: Counts) -> dict[str, Any]:
    return {part: getattr(counts, part) for part in ("right", "extra", "missed", "precision", "recall", "f1")}


def _matrix(table: Confusion) -> dict[str, Any]:
    """The matrix, where it is of a size to be read, and the pairs that are confused, the most frequent first."""
    labels = [mended(label) for label in table.labels]
    pairs = [
        {
            "expected": labels[wanted],
            "answered": labels[found] if found < len(labels) else None,
            "count": count,
            "of": sum(row),
        }
        for wanted, row in enumerate(table.matrix)
        for found, count in enumerate(row)
        if count and found != wanted
    ]
    pairs.sort(key=lambda pair: -int(pair["count"] or 0))
    return {
        "accuracy": table.accuracy,
        "matrix": [list(row) for row in table.matrix] if len(labels) <= MOST_CELLS else None,
        "confused": pairs[:MOST_PAIRS],
    }

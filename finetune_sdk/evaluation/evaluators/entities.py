"""EntitySpans: the answer names the expected entities, and no others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.counts import Counts, micro
from finetune_sdk.evaluation.evaluators.reading import NotJSONError, field_of, parsed, shown
from finetune_sdk.model import Answer

_NAMED = 3

Span = tuple[str, Any, Any]
"""An entity: its label, and where it starts and ends, or its text and None."""


@dataclass(frozen=True, slots=True)
class EntitySpans:
    """The entities of a JSON answer are the expected ones: their F1 is at least so much. The value is the F1.

    Entities are a list of objects with `label` and `text`, or with `label`, `start` and `end`; with `field` they are that
    field of the answer. An entity is right when all of it is (CoNLL-2003's exact match): one of a wrong label or a
    wrong end is extra, and the expected one is missed. One that is named twice counts twice. Where none is expected and none
    is named, F1 is 1. `entity_counts` makes the counts of many answers.
    """

    at_least: float = 1.0
    field: str | None = None
    label: str = "label"
    text: str = "text"
    start: str = "start"
    end: str = "end"
    ignore_case: bool = False
    name: str = "EntitySpans"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True
    pure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        given.number("the least F1", self.at_least, high=1)
        for key in ("label", "text", "start", "end"):
            given.text(f"the key of {key}", getattr(self, key))

    def judge(self, case: Case, answer: Answer) -> Score:
        try:
            wanted = self.spans(given.expected(case).text)
        except NotJSONError as fault:
            raise EvaluationError(
                f"{case.where}: the expected answer holds no entities: {fault}.",
                cure=f'write them as JSON, [{{"{self.label}": "…", "{self.text}": "…"}}]',
            ) from None
        try:
            found = self.spans(answer.text)
        except NotJSONError as fault:
            return Score(False, str(fault), 0.0)
        f1 = micro(counted(wanted, found).values()).f1
        value = 1.0 if f1 is None else f1
        if value >= self.at_least - 1e-9:
            return Score(True, value=value)
        missed, extra = list((wanted - found).elements()), list((found - wanted).elements())
        parts = [f"{what} {_named(spans)}" for what, spans in (("misses", missed), ("adds", extra)) if spans]
        return Score(False, "; ".join(parts), value)

    def spans(self, text: str) -> Counter[Span]:
        """The entities that an answer names. Raises NotJSONError for one that is of another form."""
        value = parsed(text) if self.field is None else field_of(text, self.field)
        if not isinstance(value, list):
            raise NotJSONError(f"{shown(value)} is no list of entities")
        return Counter(self._span(each) for each in value)

    def _span(self, entity: Any) -> Span:
        if isinstance(entity, dict) and isinstance(label := entity.get(self.label), str):
            start, end, text = entity.get(self.start), entity.get(self.end), entity.get(self.text)
            if type(start) is int and type(end) is int:
                return label, start, end
            if isinstance(text, str) and start is None and end is None:
                plain = " ".join(text.split())
                return label, plain.casefold() if self.ignore_case else plain, None
        raise NotJSONError(f"{shown(entity)} is no entity")


def counted(wanted: Counter[Span], found: Counter[Span]) -> dict[str, Counts]:
    """The counts of each label in one answer."""
    counts: dict[str, Counts] = defaultdict(Counts)
    for (label, *_), times in (wanted & found).items():
        counts[label] += Counts(right=times)
    for (label, *_), times in (found - wanted).items():
        counts[label] += Counts(extra=times)
    for (label, *_), times in (wanted - found).items():
        counts[label] += Counts(missed=times)
    return dict(counts)


def entity_counts(evaluator: EntitySpans, expected: Iterable[str], answers: Iterable[str | None]) -> dict[str, Counts]:
    """The counts of each label over many answers, from their texts; `micro` and `macro_f1` make one figure of them.

    An answer of None (the place failed) is left out; one that holds no list of entities misses all that is expected.
    Raises NotJSONError for an expected answer that holds none.
    """
    total: dict[str, Counts] = defaultdict(Counts)
    for wanted, said in zip(expected, answers, strict=True):
        if said is None:
            continue
        try:
            found = evaluator.spans(said)
        except NotJSONError:
            found = Counter[Span]()
        for label, counts in counted(evaluator.spans(wanted), found).items():
            total[label] += counts
    return dict(sorted(total.items()))


def _named(spans: list[Span]) -> str:
    names = [f"{label} {shown(a) if b is None else f'{a}-{b}'}" for label, a, b in spans[:_NAMED]]
    return ", ".join(names) + (f" and {len(spans) - _NAMED} more" if len(spans) > _NAMED else "")

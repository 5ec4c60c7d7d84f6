"""Labels and LabelSets: the answer is the expected one of a set of labels, or several of them; and what many such answers come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluators import given
from finetune_sdk.evaluation.evaluators.case import Case, Score
from finetune_sdk.evaluation.evaluators.counts import Counts
from finetune_sdk.evaluation.evaluators.reading import NotJSONError, field_of, shown
from finetune_sdk.model import Answer


@dataclass(frozen=True, slots=True)
class Labels:
    """The answer is the expected label, one of `allowed`; case and punctuation count unless `ignore_case`.

    With `field` the label stands in that field of a JSON answer. The value is the label's place in `allowed` (a set is
    sorted), None for what is none of them; `confusion` makes the matrix of them. Where nothing is expected, any allowed
    label passes. Raises EvaluationError for a case whose expected answer is no allowed label.
    """

    allowed: Iterable[str]
    field: str | None = None
    ignore_case: bool = False
    name: str = "Labels"
    version: ClassVar[int] = 1
    pure: ClassVar[bool] = True
    nominal: ClassVar[bool] = True
    _places: Mapping[str, int] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        allowed, places = _by_name(self.allowed, self.ignore_case)
        object.__setattr__(self, "allowed", allowed)
        object.__setattr__(self, "_places", places)

    def judge(self, case: Case, answer: Answer) -> Score:
        wanted = None if case.expected is None else self._wanted(case)
        try:
            said = _label(field_of(answer.text, self.field))
        except NotJSONError as fault:
            return Score(False, str(fault))
        found = self._places.get(_plain(said, self.ignore_case))
        if found is None:
            return Score(False, f"{shown(said)} is not one of {shown(self.allowed)}")
        if wanted is None or found == wanted:
            return Score(True, value=found)
        return Score(False, f"{shown(said)}, expected {shown(tuple(self.allowed)[wanted])}", found)

    def place(self, text: str) -> int | None:
        """The place of the label that a text (an expected answer) holds; None for what is none of them."""
        try:
            return self._places.get(_plain(_label(field_of(text, self.field)), self.ignore_case))
        except NotJSONError:
            return None

    def _wanted(self, case: Case) -> int:
        text = given.expected(case).text
        if (place := self.place(text)) is None:
            raise _no_label(case, text, self.allowed)
        return place


@dataclass(frozen=True, slots=True)
class LabelSets:
    """The answer is the expected labels, none or several of `allowed`, in any order and however often each.

    They are divided by `separator`; with `field` they are that field of a JSON answer, a list or such a text. The value is
    their F1; the fields say of each label whether it was rightly given or rightly left out. Raises EvaluationError for
    a case whose expected answer holds what is no allowed label.
    """

    allowed: Iterable[str]
    separator: str = ","
    field: str | None = None
    ignore_case: bool = False
    name: str = "LabelSets"
    version: ClassVar[int] = 1
    graded: ClassVar[bool] = True
    pure: ClassVar[bool] = True
    _places: Mapping[str, int] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given.text("the separator", self.separator)
        allowed, places = _by_name(self.allowed, self.ignore_case)
        object.__setattr__(self, "allowed", allowed)
        object.__setattr__(self, "_places", places)

    def judge(self, case: Case, answer: Answer) -> Score:
        try:
            wanted, outside = self.split(given.expected(case).text)
        except NotJSONError:
            wanted, outside = frozenset(), "no labels"
        if outside is not None:
            raise _no_label(case, outside, self.allowed)
        try:
            found, outside = self.split(answer.text)
        except NotJSONError as fault:
            return Score(
                False, str(fault), 0.0, {label: place not in wanted for place, label in enumerate(self.allowed)}
            )
        counts = Counts(len(found & wanted), len(found - wanted) + (outside is not None), len(wanted - found))
        value = 1.0 if counts.f1 is None else counts.f1
        fields = {label: (place in found) == (place in wanted) for place, label in enumerate(self.allowed)}
        if outside is not None:
            return Score(False, f"{shown(outside)} is not one of {shown(self.allowed)}", value, fields)
        if found == wanted:
            return Score(True, value=value, fields=fields)
        return Score(False, f"{self._named(found)}, expected {self._named(wanted)}", value, fields)

    def split(self, text: str) -> tuple[frozenset[int], str | None]:
        """The places of the labels that a text holds, and the first thing in it that is none. Raises NotJSONError."""
        said = field_of(text, self.field)
        parts = [_label(each) for each in said] if isinstance(said, list) else _label(said).split(self.separator)
        labels = [label for part in parts if (label := _plain(part, self.ignore_case))]
        outside = next((label for label in labels if label not in self._places), None)
        return frozenset(self._places[label] for label in labels if label in self._places), outside

    def _named(self, places: Iterable[int]) -> str:
        allowed = tuple(self.allowed)
        return ", ".join(repr(allowed[place]) for place in sorted(places)) or "no label"


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each label was answered where each was expected: `matrix[expected][answered]`.

    The last column counts answers that are none of the labels. `left_out` cases have no score, and count in nothing.
    """

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    left_out: int = 0

    @property
    def counts(self) -> dict[str, Counts]:
        """Of each label, with its precision, recall and F1; `micro` and `macro_f1` make one figure of them."""
        columns = list(zip(*self.matrix, strict=True))
        return {
            label: Counts(row[at], sum(columns[at]) - row[at], sum(row) - row[at])
            for at, (label, row) in enumerate(zip(self.labels, self.matrix, strict=True))
        }

    @property
    def accuracy(self) -> float | None:
        cases = sum(map(sum, self.matrix))
        return sum(row[at] for at, row in enumerate(self.matrix)) / cases if cases else None


def confusion(labels: Labels, expected: Sequence[str], scores: Sequence[Score | Mapping[str, Any] | None]) -> Confusion:
    """The matrix of many answers, from the expected answers and the scores that `labels` gave, or their rows in a report.

    A score of None (the place or the evaluator failed) is left out. Raises EvaluationError where an expected answer is
    no label.
    """
    allowed = tuple(labels.allowed)
    matrix = [[0] * (len(allowed) + 1) for _ in allowed]
    left_out = 0
    for text, score in zip(expected, scores, strict=True):
        wanted = labels.place(text)
        if wanted is None:
            raise EvaluationError(
                f"the expected answer {shown(text)} is not one of {shown(allowed)}.", cure="give the same evaluator"
            )
        if score is None:
            left_out += 1
            continue
        value = score.value if isinstance(score, Score) else score["value"]
        matrix[wanted][len(allowed) if value is None else int(value)] += 1
    return Confusion(allowed, tuple(map(tuple, matrix)), left_out)


def label_counts(
    labels: LabelSets, expected: Sequence[str], scores: Sequence[Score | Mapping[str, Any] | None]
) -> dict[str, Counts]:
    """The counts of each label over many answers of several labels, from what `confusion` takes, too."""
    found = dict.fromkeys(labels.allowed, Counts())
    for text, score in zip(expected, scores, strict=True):
        if score is None:
            continue
        wanted, _ = labels.split(text)
        agreed = score.fields if isinstance(score, Score) else score["fields"]
        for place, label in enumerate(found):
            there, right = place in wanted, agreed[label]
            found[label] += Counts(there and right, not there and not right, there and not right)
    return found


def _by_name(allowed: Any, ignore_case: bool) -> tuple[tuple[str, ...], dict[str, int]]:
    labels = given.texts("the labels", sorted(allowed) if isinstance(allowed, set | frozenset) else allowed)
    places = {_plain(label, ignore_case): place for place, label in enumerate(labels)}
    if len(places) < len(labels) or "" in places:
        raise EvaluationError(f"the labels are {shown(labels)}.", cure="give each once, and none that is blank")
    return labels, places


def _label(value: Any) -> str:
    if not isinstance(value, str):
        raise NotJSONError(f"{shown(value)} is no label")
    return value


def _plain(label: str, ignore_case: bool) -> str:
    return label.strip().casefold() if ignore_case else label.strip()


def _no_label(case: Case, said: str, allowed: Iterable[str]) -> EvaluationError:
    return EvaluationError(
        f"{case.where}: the expected answer {shown(said)} is not one of {shown(tuple(allowed))}.",
        cure="add the label to those that are allowed, or mend the case",
    )

"""Slices: the same evaluation by label, length, language, source or a column, and whether a slice fares otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from finetune_sdk.data.checks.outliers import language
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.bootstrap import wilson_at
from finetune_sdk.evaluation.comparison import CONFIDENCE, Clusters, Metric, measured
from finetune_sdk.evaluation.evaluators import Case
from finetune_sdk.evaluation.evaluators.reading import mended
from finetune_sdk.evaluation.statistics import fisher_exact, holm

Column = str | Callable[[Case], object] | Sequence[object]
"""What tells cases apart: the name of a column of their file, a function of a case, or a value for each case."""

OTHER = "other"
MOST_VALUES = 20
_MOST_LABELS = 12
_LONG = 60


@dataclass(frozen=True, slots=True)
class _Side:
    """The rows of one value of a slice, and those of all its other values; `again` where that was asked before."""

    by: str
    value: str
    places: Sequence[int]
    rest: Sequence[int]
    again: bool


def told(
    cases: Sequence[Case], data: Dataset, slices: Sequence[str] | Mapping[str, Column], group: Column | None
) -> list[dict[str, Any]]:
    """What is known of each case beside its text: its values in the slices, and its group where cases have one."""
    rows: list[dict[str, Any]] = [{"slices": row} for row in _marks(cases, data, slices)]
    if group is None:
        return rows
    groups = _texts(_values("group", group, cases, data))
    return [row if each is None else {**row, "group": each} for row, each in zip(rows, groups, strict=True)]


def _marks(cases: Sequence[Case], data: Dataset, slices: Sequence[str] | Mapping[str, Column]) -> list[dict[str, str]]:
    """Of each case, its value in each slice. A slice that does not divide the cases is left out.

    In a list, "label", "length", "language" and "source" are computed, and other names are columns of the file.
    """
    chosen = slices if isinstance(slices, Mapping) else {name: _computed(name) for name in _names(slices)}
    found: list[dict[str, str]] = [{} for _ in cases]
    for name, column in chosen.items():
        values = _texts(_values(name, column, cases, data))
        kept = {value for value, _ in Counter(value for value in values if value is not None).most_common(MOST_VALUES)}
        if len(kept) < 2:
            continue
        for row, value in zip(found, values, strict=True):
            if value is not None:
                row[str(name)] = value if value in kept else OTHER
    return found


def _values(name: str, column: Column, cases: Sequence[Case], data: Dataset) -> list[object]:
    """One value a case. Raises EvaluationError for what gives none, DatasetError for a column that there is not."""
    if isinstance(column, str):
        return data.column(column)
    if callable(column):
        if column is _label:
            return _labels(cases)
        if column is _length:
            return _lengths(cases)
        return [_called(name, column, case) for case in cases]
    if not isinstance(column, Sequence) or len(column) != len(cases):
        many = f"{len(column)} values" if isinstance(column, Sequence) else type(column).__name__
        raise EvaluationError(
            f"{name!r} is {many}, and there are {len(cases)} cases.",
            cure="give a column's name, a function of a case, or a value for each case",
        )
    return list(column)


def sliced(
    examples: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    outcomes: Mapping[str, Mapping[str, Sequence[bool | None]]],
    clusters: Clusters = None,
) -> list[dict[str, Any]]:
    """Each model's rate in each value of each slice, and how far it lies from its rate in all other cases.

    Plain data: by, value, evaluator, model, the parts of a Metric, difference, apart_low, apart_high, p and adjusted. The
    intervals of the differences hold together (Bonferroni) and `adjusted` is Holm's, over all slices of one model and
    evaluator. p is Fisher's exact test; None where cases come in groups: the interval tells it then.
    """
    sides = list(_sides(by_case(examples)))
    found: list[dict[str, Any]] = []
    for name in names:
        for model, outcome in outcomes[name].items():
            found += _apart([_row(side, name, model, outcome, clusters) for side in sides])
    return found


def _sides(examples: Sequence[Mapping[str, Any]]) -> Iterator[_Side]:
    for by in dict.fromkeys(by for row in examples for by in row.get("slices", {})):
        places: dict[str, list[int]] = {}
        for place, row in enumerate(examples):
            if by in row.get("slices", {}):
                places.setdefault(row["slices"][by], []).append(place)
        values = sorted(places, key=_in_order)
        for value in values:
            rest = [place for other in values if other != value for place in places[other]]
            # Of two values each is the other's rest: one question, not two.
            yield _Side(by, value, places[value], rest, again=len(values) == 2 and value == values[1])


def _row(
    side: _Side, name: str, model: str, outcomes: Sequence[bool | None], clusters: Clusters
) -> tuple[_Side, dict[str, Any], Metric, bool]:
    inside, rest = _measured_at(side.places, outcomes, clusters), _measured_at(side.rest, outcomes, clusters)
    exact = inside.cases and rest.cases and clusters is None
    p = fisher_exact(inside.passed, inside.cases, rest.passed, rest.cases) if exact else None
    parts = {part: getattr(inside, part) for part in Metric.__slots__}
    row = {"by": side.by, "value": side.value, "evaluator": name, "model": model, **parts, "p": p}
    return side, row, rest, clusters is not None


def _measured_at(places: Sequence[int], outcomes: Sequence[bool | None], clusters: Clusters) -> Metric:
    return measured([outcomes[i] for i in places], None if clusters is None else [clusters[i] for i in places])


def _apart(rows: Sequence[tuple[_Side, dict[str, Any], Metric, bool]]) -> Iterator[dict[str, Any]]:
    asked = [(row, rest) for side, row, rest, _ in rows if not side.again and row["cases"] and rest.cases]
    each = 1 - (1 - CONFIDENCE) / max(len(asked), 1)
    tested = [row for row, _ in asked if row["p"] is not None]
    adjusted = {id(row): p for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True)}
    chance = None
    for side, row, rest, grouped in rows:
        difference, low, high = _difference(row, rest, each, grouped)
        chance = chance if side.again else adjusted.get(id(row))
        yield {**row, "difference": difference, "apart_low": low, "apart_high": high, "adjusted": chance}


def _difference(
    inside: Mapping[str, Any], rest: Metric, confidence: float, grouped: bool
) -> tuple[float | None, float | None, float | None]:
    """Newcombe's joining of two intervals, each as wide as many differences at once make it."""
    if inside["rate"] is None or rest.rate is None:
        return None, None, None
    p, q = inside["rate"], rest.rate
    first = _wider(inside["passed"], inside["cases"], (inside["low"], inside["high"]), confidence, grouped)
    second = _wider(rest.passed, rest.cases, (rest.low or 0.0, rest.high or 0.0), confidence, grouped)
    low = p - q - sqrt((p - first[0]) ** 2 + (second[1] - q) ** 2)
    high = p - q + sqrt((first[1] - p) ** 2 + (q - second[0]) ** 2)
    return p - q, max(-1.0, low), min(1.0, high)


def _wider(passed: int, cases: int, seen: tuple[float, float], confidence: float, grouped: bool) -> tuple[float, float]:
    if not grouped:
        return wilson_at(passed / cases, cases, confidence)
    # How many cases the groups are worth is read off the interval that they gave.
    width, alone = seen[1] - seen[0], wilson_at(passed / cases, cases, CONFIDENCE)
    worth = cases * ((alone[1] - alone[0]) / width) ** 2 if width > 0 else cases
    return wilson_at(passed / cases, max(1.0, min(float(cases), worth)), confidence)


def _names(slices: Sequence[str]) -> Sequence[str]:
    if isinstance(slices, str) or not all(isinstance(name, str) for name in slices):
        raise EvaluationError(
            f"the slices are {slices!r}.", cure='give a list of names, ["length", "region"], or {name: function}'
        )
    return slices


def _computed(name: str) -> Column:
    known: dict[str, Column] = {"label": _label, "length": _length, "language": _language, "source": _source}
    return known.get(name, name)


def _called(name: str, column: Callable[[Case], object], case: Case) -> object:
    try:
        return column(case)
    except Exception as fault:
        raise EvaluationError(
            f"{case.where}: the slice {name!r} raised {type(fault).__name__}: {fault}.",
            cure="let the function return a value, or None where a case has none",
        ) from None


def _texts(values: Sequence[object]) -> list[str | None]:
    """Each value as a short text; of different long ones that begin alike the later ones are numbered."""
    whole = [None if value is None or value == "" else " ".join(mended(str(value)).split()) for value in values]
    short, taken = dict[str, str](), Counter[str]()
    for text in dict.fromkeys(text for text in whole if text is not None):
        cut = text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"
        taken[cut] += 1
        short[text] = cut if taken[cut] == 1 else f"{cut} ({taken[cut]})"
    return [None if text is None else short[text] for text in whole]


def _label(case: Case) -> object:
    return case.expected.text.strip() if case.expected and case.expected.text else None


def _labels(cases: Sequence[Case]) -> list[object]:
    """The expected answers where they are few, each several times: else they are no labels."""
    found = [_label(case) for case in cases]
    counts = Counter(found)
    few = len(counts) <= _MOST_LABELS and len(cases) >= 3 * len(counts)
    return found if few else [None] * len(cases)


def _length(case: Case) -> int:
    return sum(len(message.text) for message in case.prompt.messages if message.role != "system")


def _lengths(cases: Sequence[Case]) -> list[object]:
    """Thirds by the characters that are asked; system prompts, which seldom vary, aside."""
    sizes = [_length(case) for case in cases]
    ordered = sorted(sizes)
    first, second = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]
    if first >= second or len(cases) < 9:
        return [None] * len(cases)
    between = f"{first:,} to {second - 1:,}" if second - 1 > first else f"{first:,}"
    below, middle, above = f"below {first:,} characters", between, f"{second:,} and more"
    return [below if size < first else middle if size < second else above for size in sizes]


def _language(case: Case) -> object:
    users = [message.text for message in case.prompt.messages if message.role == "user"]
    return language(users[-1]) if users else None


def _source(case: Case) -> object:
    name, _, number = case.where.rpartition(" ")
    return name.rpartition(" ")[0] if number.isdigit() else None


def _in_order(value: str) -> tuple[bool, int, float, str]:
    """Lengths from the shortest, numbers as numbers, the rest by name; what is left over last."""
    first = value.removeprefix("below ").split(" ")[0].replace(",", "")
    number = float(first) if first.replace(".", "", 1).isdecimal() else float("inf")
    return value == OTHER, 0 if value.startswith("below ") else 1, number, value


def by_case(examples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One row a case: of several answers to one the first."""
    return [row for row in examples if not row.get("sample")]


def clusters_of(examples: Sequence[Mapping[str, Any]]) -> list[Hashable] | None:
    """The group of each case: what it says itself, else none but its own; None where each case stands for itself."""
    groups: list[Hashable] = [row.get("group", row["index"]) for row in by_case(examples)]
    return groups if len(set(groups)) < len(groups) else None

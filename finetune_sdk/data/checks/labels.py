"""Answers that are labels: the same one written in several ways, and labels that hardly occur or are nearly all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.places import Places
from finetune_sdk.data.checks.reading import asked_and_answer, folded, object_in, percent, said

LONGEST = 60
MOST_VALUES = 2_000
MOST_FIELDS = 16


@dataclass(slots=True)
class Series:
    """The values of one thing that is answered: the whole answer, or one field of it. Dropped when there are too many."""

    values: dict[str, Places] = field(default_factory=dict)
    rows: int = 0
    dropped: bool = False

    def add(self, value: str, index: int) -> None:
        if self.dropped:
            return
        self.rows += 1
        if (places := self.values.get(value)) is None:
            if len(self.values) == MOST_VALUES:
                self.dropped = True
                self.values.clear()
                return
            places = self.values[value] = Places()
        places.add(index)

    def labels(self, fewest: int = 20, most: int = 50) -> dict[str, list[str]]:
        """The ways in which each label is written, the most frequent first; empty where these are no labels.

        Labels are at most `most` values, in at least `fewest` rows, each five times on average: a set of free short
        answers has more of them, so two that differ in case are then two answers.
        """
        found: dict[str, list[str]] = {}
        if self.rows < fewest:
            return found
        for value in sorted(self.values, key=lambda value: -self.values[value].count):
            found.setdefault(folded(value), []).append(value)
        return found if len(found) <= min(most, self.rows / 5) else {}


@dataclass(slots=True)
class Labels:
    """Answers that are labels: short ones as they stand (""), and the text fields of answers in JSON."""

    series: dict[str, Series] = field(default_factory=dict)
    answers: int = 0

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        _, answer = asked_and_answer(row)
        if answer is None or "tool_calls" in answer or "chosen" in row:
            return
        self.answers += 1
        text = said(answer)
        value = object_in(text)
        if value is not None:
            for name, inner in list(value.items())[:MOST_FIELDS]:
                if isinstance(inner, str) and len(inner) <= LONGEST:
                    self._of(name).add(inner, index)
        elif len(text) <= LONGEST:
            self._of("").add(text, index)

    def _of(self, name: str) -> Series:
        if name not in self.series and len(self.series) >= 4 * MOST_FIELDS:
            return Series()
        return self.series.setdefault(name, Series())

    def found(self) -> Iterator[tuple[str, Series, dict[str, list[str]]]]:
        """Each field ("" for the whole answer) that holds labels in at least half of the answers."""
        for name, series in self.series.items():
            if series.rows >= self.answers / 2 and (labels := series.labels()):
                yield name, series, labels

    def findings(self, rows: Rows) -> Iterator[Finding]:
        for name, series, labels in self.found():
            yield from _variants(rows, name, series, labels)
            yield from _balance(rows, name, series, labels)


def _variants(rows: Rows, name: str, series: Series, labels: Mapping[str, list[str]]) -> Iterator[Finding]:
    """One label written in several ways, told with how often each occurs; the rows are those of the rarer ways."""
    for ways in labels.values():
        if len(ways) < 2:
            continue
        places = Places(example=repr(ways[1]))
        for index in sorted({index for way in ways[1:] for index in series.values[way].first}):
            places.add(index)
        places.count = sum(series.values[way].count for way in ways[1:])
        counted = ", ".join(f"{way!r} ({series.values[way].count:,})" for way in ways[:8])
        yield places.finding(
            rows,
            "label-variants",
            "warning",
            f"one label{_field(name)} is written in {len(ways)} ways: {counted}.",
            f"write {ways[0]!r} everywhere; `finetune check FILE --fix OUT` does",
        )


def _balance(rows: Rows, name: str, series: Series, labels: Mapping[str, list[str]]) -> Iterator[Finding]:
    """A label that is 90% or more of the answers, and labels in fewer than 5 rows and under 1%: too few to be learnt."""
    counts = {ways[0]: sum(series.values[way].count for way in ways) for ways in labels.values()}
    top = max(counts, key=lambda label: counts[label])
    if len(counts) > 1 and counts[top] >= 0.9 * series.rows:
        yield Finding(
            "label-balance",
            "note",
            f"{percent(counts[top], series.rows)} of the answers{_field(name)} are {top!r}:"
            " always saying it is right that often.",
            "add rows of the other labels, and judge each label for itself",
            count=counts[top],
            example=repr(top),
        )
    rare = [label for label, count in counts.items() if count < 5 and count < 0.01 * series.rows]
    if rare:
        places = Places(example=repr(rare[0]))
        for index in sorted(index for label in rare for index in series.values[label].first):
            places.add(index)
        listed = ", ".join(f"{label!r} ({counts[label]})" for label in rare[:8])
        yield places.finding(
            rows,
            "label-balance",
            "note",
            f"{len(rare)} of {len(counts)} labels{_field(name)} stand in fewer than 5 rows: {listed}.",
            "add rows with these labels, or check whether they are misspelt",
        )


def _field(name: str) -> str:
    return f" of {name!r}" if name else ""

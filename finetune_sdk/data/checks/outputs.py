"""The form of the answers: JSON beside text, objects with other keys, system prompts that differ by a little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from finetune_sdk.data.checks.finding import Finding, Rows
from finetune_sdk.data.checks.places import Places, rows_of
from finetune_sdk.data.checks.reading import asked_and_answer, excerpt, key, object_in, percent, said, squeezed, system

_MOST_PROMPTS = 200


@dataclass(slots=True)
class _Habit:
    """How the answers to one system prompt look."""

    answers: int = 0
    other: Places = field(default_factory=Places)
    keys: dict[tuple[str, ...], Places] = field(default_factory=dict)


@dataclass(slots=True)
class OutputForms:
    """Answers that are not JSON where nearly all are, and objects whose keys are not those of nearly all.

    A habit is what `habit` (90%) of at least `fewest` answers to one system prompt do: a dataset of several tasks has
    one habit for each, and a key that is often left out is optional. Answers that call tools do not count.
    """

    habit: float = 0.9
    fewest: int = 20
    _habits: dict[int, _Habit] = field(default_factory=dict)

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        asked, answer = asked_and_answer(row)
        if answer is None or "tool_calls" in answer:
            return
        prompt = key(system(asked))
        if prompt not in self._habits:
            if len(self._habits) == _MOST_PROMPTS:
                return
            self._habits[prompt] = _Habit()
        habit = self._habits[prompt]
        habit.answers += 1
        text = said(answer)
        value = object_in(text)
        if value is None:
            habit.other.add(index, text)
            return
        names = tuple(sorted(value))
        if names not in habit.keys and len(habit.keys) == _MOST_PROMPTS:
            names = ("…",)
        habit.keys.setdefault(names, Places()).add(index, text)

    def findings(self, rows: Rows) -> Iterator[Finding]:
        for habit in self._habits.values():
            objects = habit.answers - habit.other.count
            if habit.answers < self.fewest or objects < self.habit * habit.answers:
                continue
            if habit.other.count:
                yield habit.other.finding(
                    rows,
                    "output-format",
                    "warning",
                    f"{percent(objects, habit.answers)} of the answers are JSON objects;"
                    f" {rows_of(habit.other.count, 'is', 'are')} not.",
                    "write these answers as the others are, or remove them",
                )
            yield from self._keys(rows, habit.keys, objects)

    def _keys(self, rows: Rows, keys: Mapping[tuple[str, ...], Places], objects: int) -> Iterator[Finding]:
        usual = max(keys, key=lambda names: keys[names].count)
        if keys[usual].count < self.habit * objects:
            return
        for names, places in keys.items():
            if names == usual:
                continue
            lacks, adds = (", ".join(map(repr, sorted(set(a) - set(b)))) for a, b in ((usual, names), (names, usual)))
            said_so = " and ".join(word for word in (lacks and f"lacks {lacks}", adds and f"adds {adds}") if word)
            yield places.finding(
                rows,
                "output-keys",
                "warning",
                f"the object that is answered {said_so}; {percent(keys[usual].count, objects)} have the keys"
                f" {', '.join(usual) or 'none'}.",
                "give all answers the same keys, with null where nothing is known",
            )


@dataclass(slots=True)
class SystemPrompts:
    """System prompts that differ by a little from the usual one, and rows that lack it.

    Near is a similarity of `near` (difflib's ratio, white space aside). Prompts of which there are more than `most` are made
    for each row and meant to differ; rows without one are told where 90% have one and there are few.
    """

    near: float = 0.9
    most: int = 20
    _prompts: dict[str, Places] = field(default_factory=dict)
    _without: Places = field(default_factory=Places)
    _rows: int = 0

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        asked, _ = asked_and_answer(row)
        if not asked:
            return
        self._rows += 1
        text = system(asked)
        if not text:
            self._without.add(index)
        elif text in self._prompts:
            self._prompts[text].add(index)
        elif len(self._prompts) <= self.most:
            self._prompts[text] = Places()
            self._prompts[text].add(index)

    def findings(self, rows: Rows) -> Iterator[Finding]:
        if not self._prompts or len(self._prompts) > self.most or self._rows < 20:
            return
        if 0 < self._without.count <= 0.1 * self._rows:
            having = percent(self._rows - self._without.count, self._rows)
            yield self._without.finding(
                rows,
                "system-prompt",
                "warning",
                f"{having} of the rows have a system prompt; {rows_of(self._without.count, 'has', 'have')} none.",
                "give these rows the prompt that the model will be asked with",
            )
        counts = Counter({text: places.count for text, places in self._prompts.items()})
        usual = counts.most_common(1)[0][0]
        for text, places in self._prompts.items():
            if text != usual and self._alike(usual, text):
                places.example = _difference(usual, text)
                yield places.finding(
                    rows,
                    "system-prompt",
                    "warning",
                    f"{rows_of(places.count, 'has', 'have')} a system prompt that is nearly that of"
                    f" {counts[usual]:,} others.",
                    "use one wording in all rows, and the same when the model is asked",
                )

    def _alike(self, one: str, other: str) -> bool:
        pair = SequenceMatcher(None, squeezed(one)[:4000].split(" "), squeezed(other)[:4000].split(" "), autojunk=False)
        if pair.quick_ratio() >= self.near and pair.ratio() >= self.near:
            return True
        letters = SequenceMatcher(None, squeezed(one)[:1000], squeezed(other)[:1000], autojunk=False)
        return letters.quick_ratio() >= self.near and letters.ratio() >= self.near


def _difference(usual: str, text: str) -> str:
    """The first place where two prompts differ: `…be brief.' instead of '…be short.'`."""
    at = next((n for n, (a, b) in enumerate(zip(usual, text, strict=False)) if a != b), min(len(usual), len(text)))
    start = max(0, at - 20)
    return f"{excerpt(text[start : at + 40], 60)!r} instead of {excerpt(usual[start : at + 40], 60)!r}"

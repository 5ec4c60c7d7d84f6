"""Which of the cases a report shows: those that tell the models apart, each kind of difference first, and never all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_sdk.report.changes import Change, changes
from finetune_sdk.report.visible import CAP, Excerpt, excerpt, short, written

REASON = 400


@dataclass(frozen=True, slots=True)
class Mark:
    """One evaluator's word on one answer."""

    evaluator: str
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Said:
    """What one model answered, ready to be shown. `passed` is whether every evaluator passed it."""

    model: str
    passed: bool
    text: Excerpt
    marks: tuple[Mark, ...]
    error: str
    cut: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One case: what was asked, what was expected, what each model said."""

    number: str
    where: str
    line: str
    asked: Excerpt
    before: tuple[tuple[str, Excerpt], ...]
    earlier: int
    expected: Excerpt
    said: tuple[Said, ...]
    changes: tuple[Change, ...]
    differs: bool
    fails: bool

    @property
    def size(self) -> int:
        """Characters that showing it takes, without the markup."""
        texts = [self.asked, self.expected, *(one.text for one in self.said), *(text for _, text in self.before)]
        notes = sum(len(mark.reason) + 80 for one in self.said for mark in one.marks)
        changed = sum(len(text) + 12 for _, text in self.changes)
        return sum(len(text.whole) + len(text.head) for text in texts) + notes + changed


@dataclass(frozen=True, slots=True)
class Shown:
    """The cases that are shown and the numbers of all: `open` at once, `folded` on a click."""

    open: tuple[Case, ...]
    folded: tuple[Case, ...]
    differing: int
    failing: int
    total: int
    unit: str = "case"

    @property
    def all(self) -> tuple[Case, ...]:
        return (*self.open, *self.folded)


def focus(data: Mapping[str, Any]) -> str | None:
    """The model that the report is about: the one whose run `origin` tells of, else the last that a run made, else the
    last."""
    models = data.get("models") or []
    run = (data.get("origin") or {}).get("run")
    made = [model["key"] for model in models if model.get("run")]
    of_run = [model["key"] for model in models if run and model.get("run") == run]
    return next(iter([*of_run, *reversed(made), *(model["key"] for model in reversed(models))]), None)


def rival(data: Mapping[str, Any]) -> str | None:
    """The model that it is compared with: the verdict's, else the first of the others."""
    models = [model["key"] for model in data.get("models") or []]
    than = (data.get("verdict") or {}).get("than")
    others = [model for model in models if model != focus(data)]
    return than if than in others else next(iter(others), None)


def choose(data: Mapping[str, Any], open_: int = 10, folded: int = 80, characters: int = 500_000) -> Shown:
    """At most `open_` + `folded` cases: every kind of difference in turn, then failures that all models share.

    Where nothing differs and nothing fails, three cases stand for the rest. `characters` bounds what is shown in all,
    however long the answers are.
    """
    examples: Sequence[Mapping[str, Any]] = data.get("examples") or []
    models = [model["key"] for model in data.get("models") or []]
    names = evaluators(examples)
    told, than = focus(data), rival(data)

    kinds: dict[tuple[tuple[bool, ...], ...], list[Mapping[str, Any]]] = {}
    shared: list[Mapping[str, Any]] = []
    agreed: list[Mapping[str, Any]] = []
    failing = 0
    for example in examples:
        pattern = tuple(_pattern(example, model, names) for model in models)
        fails = told is not None and not all(_pattern(example, told, names))
        failing += fails
        if len(set(pattern)) > 1:
            kinds.setdefault(pattern, []).append(example)
        else:
            (shared if fails else agreed).append(example)

    differing = sum(len(kind) for kind in kinds.values())
    order = [*_in_turn(sorted(kinds.values(), key=len, reverse=True)), *shared[: folded // 4]]
    if len(order) < 3:
        order += agreed[: 3 - len(order)]
    chosen = _within((_case(one, models, names, told, than) for one in order[: open_ + folded]), characters)
    rest = sorted(chosen[open_:], key=lambda case: (not case.differs, [*map(int, case.number.split("."))]))
    return Shown(tuple(chosen[:open_]), tuple(rest), differing, failing, len(examples), unit(examples))


def unit(examples: Sequence[Mapping[str, Any]]) -> str:
    """What one of them is: a case, or where cases were asked several times, one time of asking."""
    return "question" if any("sample" in row for row in examples[:1]) else "case"


def number(example: Mapping[str, Any]) -> str:
    """The number of the case, and of its sample where it has several: `7`, `7.2`."""
    case = str(int(example["index"]) + 1)
    return f"{case}.{int(example['sample']) + 1}" if "sample" in example else case


def evaluators(examples: Sequence[Mapping[str, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for example in examples:
        for answer in example["answers"].values():
            names.update(dict.fromkeys(answer.get("scores") or {}))
    return list(names)


def _pattern(example: Mapping[str, Any], model: str, names: Sequence[str]) -> tuple[bool, ...]:
    """What each evaluator said of the model's answer; an answer that never came passes nothing."""
    scores = (example["answers"].get(model) or {}).get("scores") or {}
    return tuple(bool((scores.get(name) or {}).get("passed")) for name in names)


def _in_turn(kinds: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[Mapping[str, Any]]:
    for place in range(max(map(len, kinds), default=0)):
        for kind in kinds:
            if place < len(kind):
                yield kind[place]


def _within(cases: Iterable[Case], characters: int) -> list[Case]:
    kept: list[Case] = []
    for case in cases:
        characters -= case.size
        if characters < 0 and kept:
            break
        kept.append(case)
    return kept


def _case(
    example: Mapping[str, Any], models: Sequence[str], names: Sequence[str], told: str | None, than: str | None
) -> Case:
    prompt = list(example.get("prompt") or [])
    turns = [place for place, message in enumerate(prompt) if message["role"] == "user"]
    at = turns[-1] if turns else len(prompt) - 1
    asked = written(prompt[at].get("text") or "") if prompt else ""
    others = [(message["role"], written(message.get("text") or "")) for message in prompt[:at] + prompt[at + 1 :]]
    patterns = {model: _pattern(example, model, names) for model in models}
    said = tuple(_said(model, example["answers"].get(model), names) for model in models)
    texts = {one.model: one.text.whole for one in said}
    return Case(
        number=number(example),
        where=short(written(example.get("where") or ""), 120),
        line=short(asked, 110),
        asked=excerpt(asked),
        before=tuple(_capped(others)),
        earlier=len(others),
        expected=excerpt(written(example.get("expected") or "")),
        said=said,
        changes=changes(texts.get(than or "", ""), texts.get(told or "", "")),
        differs=len(set(patterns.values())) > 1,
        fails=told is not None and not all(patterns.get(told, ())),
    )


def _capped(messages: Sequence[tuple[str, str]]) -> Iterator[tuple[str, Excerpt]]:
    """The other messages, nearest first kept: together as long as one answer may be."""
    left = CAP
    kept: list[tuple[str, Excerpt]] = []
    for role, text in reversed(messages[-20:]):
        if left <= 0:
            break
        kept.append((short(role, 30), excerpt(text, left)))
        left -= min(len(text), left) + 40
    return reversed(kept)


def _said(model: str, answer: Mapping[str, Any] | None, names: Sequence[str]) -> Said:
    if answer is None:
        return Said(model, False, excerpt(""), (), "no answer was kept", False)
    calls = [f"{call.get('name')}({written(call.get('arguments'))})" for call in answer.get("tool_calls") or []]
    text = "\n".join(part for part in (answer.get("text") or "", *calls) if part)
    scores = answer.get("scores") or {}
    marks = tuple(
        Mark(
            short(name, 60), bool(scores[name].get("passed")), short(written(scores[name].get("reason") or ""), REASON)
        )
        for name in names
        if scores.get(name)
    )
    passed = not answer.get("error") and bool(marks) and all(mark.passed for mark in marks)
    error = short(written(answer.get("error") or ""), REASON)
    return Said(model, passed, excerpt(text), marks, error, answer.get("finish") == "length")

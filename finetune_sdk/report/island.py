"""Every case as data within the page: what its table searches. It is JSON that no parser of HTML can take for anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from markupsafe import Markup

from finetune_sdk.report.cases import focus, number, rival, unit
from finetune_sdk.report.visible import short, visible, written

BYTES = 8_000_000
MOST_CASES = 20_000
_CAPS = (4_000, 2_000, 1_000, 600, 400, 250, 150, 100, 60, 30, 12, 0)
_REASON = 300
_SAMPLE = 50


def island(data: Mapping[str, Any], evaluators: Sequence[str]) -> tuple[Markup, int]:
    """The JSON, and how many cases are in it: all, up to 20,000; long texts are cut until it is below 8 MB.

    `models` and `evaluators` are names; `unit` is what each of `cases` is called; `told` and `rival` are places in
    `models`, `slices` the values of each slice. Each of `cases` is [number, where, asked, expected, answers, its value's place in each slice]; each answer [text, error, a letter an
    evaluator: 1 passed, 0 failed, - no score, {evaluator's place: reason}].
    """
    examples = (data.get("examples") or [])[:MOST_CASES]
    models = [model["key"] for model in data.get("models") or []]
    slices = _slices(examples)
    head = {
        "models": [short(written(model), 60) for model in models],
        "evaluators": [short(written(name), 60) for name in evaluators],
        "told": models.index(focus(data)) if focus(data) in models else -1,
        "rival": models.index(rival(data)) if rival(data) in models else -1,
        "unit": unit(examples),
        "slices": [[short(by, 60), [short(value, 80) for value in values]] for by, values in slices.items()],
    }

    def made(some: Sequence[Mapping[str, Any]], cap: int) -> bytes:
        cases = [_case(example, models, evaluators, slices, cap) for example in some]
        return _inert(orjson.dumps({**head, "cut": cap, "cases": cases}))

    few = examples[:: max(1, len(examples) // _SAMPLE)]
    likely = [cap for cap in _CAPS if len(made(few, cap)) * len(examples) <= BYTES * len(few)] or [_CAPS[-1]]
    whole = next(whole for cap in likely if len(whole := made(examples, cap)) <= BYTES or cap == _CAPS[-1])
    return Markup(whole.decode()), len(examples)


def _inert(made: bytes) -> bytes:
    """Within a script element only `<` could end it or open a comment; JSON has none outside its texts."""
    return made.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")


def _slices(examples: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for example in examples:
        for by, value in (example.get("slices") or {}).items():
            values = found.setdefault(by, {})
            values.setdefault(value, len(values))
    return found


def _case(
    example: Mapping[str, Any],
    models: Sequence[str],
    evaluators: Sequence[str],
    slices: Mapping[str, Mapping[str, int]],
    cap: int,
) -> list[Any]:
    prompt = example.get("prompt") or []
    asked = next((message["text"] for message in reversed(prompt) if message["role"] == "user"), None)
    asked = asked if asked is not None else prompt[-1]["text"] if prompt else ""
    own = example.get("slices") or {}
    return [
        number(example),
        short(written(example.get("where") or ""), min(cap + 20, 120)),
        _cut(asked, cap),
        _cut(written(example.get("expected") or ""), cap),
        [_answer(example["answers"].get(model), evaluators, cap) for model in models],
        [values.get(own.get(by, ""), -1) for by, values in slices.items()],
    ]


def _answer(answer: Mapping[str, Any] | None, evaluators: Sequence[str], cap: int) -> list[Any]:
    if answer is None:
        return ["", "no answer was kept", "-" * len(evaluators), {}]
    scores = answer.get("scores") or {}
    marks = "".join("-" if name not in scores else "1" if scores[name].get("passed") else "0" for name in evaluators)
    reasons = {
        str(place): short(written(scores[name].get("reason") or ""), min(cap, _REASON) or 1)
        for place, name in enumerate(evaluators)
        if name in scores and not scores[name].get("passed") and scores[name].get("reason") and cap
    }
    error = short(written(answer.get("error") or ""), min(cap, _REASON) or 1)
    return [_cut("\n".join(_said(answer)), cap), error, marks, reasons]


def _said(answer: Mapping[str, Any]) -> Iterator[str]:
    if answer.get("text"):
        yield answer["text"]
    for call in answer.get("tool_calls") or []:
        yield f"{call.get('name')}({written(call.get('arguments'))})"


def _cut(text: str, cap: int) -> str:
    """At most `cap` characters, those that cannot be seen spelt out."""
    shown = visible(text[:cap])
    return shown if len(shown) <= cap and len(text) <= cap else f"{shown[:cap]}…"

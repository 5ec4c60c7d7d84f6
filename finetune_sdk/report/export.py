"""The report for other programs: every case as a row of CSV, and the findings as Markdown for a pull request."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from finetune_sdk.report import figures, labels, preferences
from finetune_sdk.report.cases import evaluators
from finetune_sdk.report.html import leakage
from finetune_sdk.report.slices import by_slice, telling
from finetune_sdk.report.visible import short, visible, written

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&@])")
_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "＝",
    "＋",
    "－",
    "＠",
)  # spreadsheets read the wide ones as the others
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?\Z")


def as_csv(data: Mapping[str, Any]) -> str:
    """A row for each case (each sample of it) and model: what was asked, expected and said, and each evaluator's word on it.

    A text that a spreadsheet would take for a formula has an apostrophe before it: what a model said must not be computed.
    """
    examples: Sequence[Mapping[str, Any]] = data.get("examples") or []
    names, slices = evaluators(examples), list(dict.fromkeys(by for row in examples for by in row.get("slices") or {}))
    page = StringIO()
    rows = csv.writer(page, lineterminator="\r\n")
    judged = [f"{name} {part}" for name in names for part in ("passed", "value", "reason")]
    samples = ["sample"] if any("sample" in row for row in examples) else []
    head = [
        "case",
        *samples,
        "where",
        *(f"slice {by}" for by in slices),
        "asked",
        "expected",
        "model",
        "answer",
        "tool calls",
    ]
    rows.writerow(map(_cell, [*head, "error", "seconds", "input tokens", "output tokens", *judged]))
    for example in examples:
        which = [example.get("sample", 0) + 1] if samples else []
        for number, *row in _rows(example, names, slices):
            rows.writerow(map(_cell, [number, *which, *row]))
    return page.getvalue()


def as_markdown(data: Mapping[str, Any]) -> str:
    """The verdict, rates with intervals, comparisons, preferences, slices and notes. No answer is in it: it is for others to read."""
    return "\n".join(_lines(data)).rstrip() + "\n"


def _rows(example: Mapping[str, Any], names: Sequence[str], slices: Sequence[str]) -> Iterator[list[Any]]:
    asked = "\n\n".join(f"{message['role']}: {message['text']}" for message in example.get("prompt") or [])
    own = example.get("slices") or {}
    head = [
        int(example["index"]) + 1,
        example.get("where"),
        *(own.get(by) for by in slices),
        asked,
        example.get("expected"),
    ]
    for model, answer in example["answers"].items():
        scores = answer.get("scores") or {}
        judged = [(scores.get(name) or {}).get(part) for name in names for part in ("passed", "value", "reason")]
        calls = written(answer["tool_calls"]) if answer.get("tool_calls") else None
        taken = [answer.get(part) for part in ("error", "seconds", "input_tokens", "output_tokens")]
        yield [*head, model, answer.get("text"), calls, *taken, *judged]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.match(text) else text


def _lines(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {in_markdown(data['title'], 120)}"
    yield ""
    yield f"**{in_markdown((data.get('verdict') or {}).get('sentence') or '')}**"
    yield ""
    source = f" from {in_markdown(data['case_source'], 80)}" if data.get("case_source") else ""
    when = in_markdown(figures.day(visible(data["created"])), 60)
    yield f"{figures.counted(data['cases'], 'case')}{source}, {figures.confidence(data['confidence'])} confidence, {when}"
    yield from as_table(
        ["Evaluator", "Model", "Rate", "Interval", "Passed"],
        [
            [in_markdown(row["evaluator"], 60), in_markdown(row["model"], 60), figures.percent(row["rate"]),
             figures.between(row["low"], row["high"]), f"{row['passed']} of {row['cases']}"]
            for row in data.get("metrics") or []
        ],
    )  # fmt: skip
    yield from _list("Compared, case by case", [pair["sentence"] for pair in data.get("comparisons") or []])
    yield from _labels(data)
    # Of people the outcome alone: who voted is not for everybody who reads this.
    yield from _list(preferences.title(data), [row["sentence"] for row in data.get("preferences") or []])
    yield from _list("What changes with a swap", [pair["sentence"] for pair in data.get("counterfactual") or []])
    tables = by_slice(data)
    if tables:
        yield from ("", "## Slice by slice", "", in_markdown(telling(data)))
        rows = [
            [in_markdown(row["by"], 60), in_markdown(row["value"], 60), figures.percent(row["rate"]), f"{row['passed']} of {row['cases']}",
             f"{figures.points(row['difference'])} ({figures.points(row['apart_low'])} to {figures.points(row['apart_high'])})"
             if row["difference"] is not None else "–"]
            for table in tables for row in table["rows"]
        ]  # fmt: skip
        yield from as_table(["Slice", "Value", "Rate", "Passed", "From all others"], rows)
    yield from _list("What it costs", [row["sentence"] for row in data.get("costs") or []])
    yield from _list("To keep in mind", [*(data.get("notes") or []), *([leakage(data)] if leakage(data) else [])])


def _labels(data: Mapping[str, Any]) -> Iterator[str]:
    for table in labels.tables(data):
        yield from ("", f"## {in_markdown(table.evaluator, 60)}, label by label", "")
        yield from (f"- {in_markdown(sentence)}" for sentence in table.sentences)
        yield from as_table(
            ["Label", "Model", "Precision", "Recall", "F1"],
            [
                [
                    in_markdown(label, 60),
                    in_markdown(model, 60),
                    *(labels.f1(cell[part]) for part in ("precision", "recall", "f1")),
                ]
                for label, cells in (*table.rows, *table.folded)
                for model, cell in zip(table.models, cells, strict=True)
                if cell is not None
            ],
        )


def as_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield from ("", f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |")
        yield from (f"| {' | '.join(row)} |" for row in rows)


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield from ("", f"## {title}", "")
        yield from (f"- {in_markdown(sentence)}" for sentence in sentences)


def in_markdown(text: str, cap: int = 2_000) -> str:
    """One line in which no letter is Markdown, HTML or a mention."""
    return _MARKS.sub(r"\\\1", short(written(text), cap)).replace("://", ":\u200b//").replace("www.", "www\u200b.")

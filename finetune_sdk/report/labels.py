"""Labels as a report shows them: which was taken for which, and precision, recall and F1 of each, model by model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_sdk.report.cases import focus
from finetune_sdk.report.figures import counted
from finetune_sdk.report.visible import short, written

OPEN = 12
LISTED = 120
WIDEST = 40
PAIRS = 20
_TABLES = 12
_NAMED = 3
_SHADES = (0.05, 0.15, 0.35)


@dataclass(frozen=True, slots=True)
class Cell:
    """How often; `shade` is 0 for never, 1 to 4 by the share of what was expected there."""

    count: int
    right: bool
    shade: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """One model's answers: a row for each expected label, a column for each answered one. `open` where it is small."""

    model: str
    columns: tuple[str | None, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    open: bool


@dataclass(frozen=True, slots=True)
class LabelTable:
    """What one evaluator of labels found: `rows` at once, `folded` on a click, `beyond` in the saved data alone."""

    evaluator: str
    models: tuple[str, ...]
    sentences: tuple[str, ...]
    totals: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]
    rows: tuple[tuple[str, tuple[Mapping[str, Any] | None, ...]], ...]
    folded: tuple[tuple[str, tuple[Mapping[str, Any] | None, ...]], ...]
    beyond: int
    matrices: tuple[Matrix, ...]
    pairs: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]
    counts: str


def tables(data: Mapping[str, Any]) -> list[LabelTable]:
    """A table for each evaluator of labels, in order."""
    rows = data.get("labels") or []
    names = list(dict.fromkeys(row["evaluator"] for row in rows))[:_TABLES]
    return [_table(name, [row for row in rows if row["evaluator"] == name], data) for name in names]


def sentences(data: Mapping[str, Any]) -> list[str]:
    """Of the model that is told of: its macro F1 on each evaluator of labels, and what it confuses most."""
    told = focus(data)
    return [_sentence(row, named=True) for row in (data.get("labels") or []) if row["model"] == told][:_TABLES]


def f1(value: float | None) -> str:
    """0.9123 as `0.912`; only what is exactly 1 reads as that."""
    if value is None:
        return "–"
    shown = f"{value:.3f}"
    return "0.999" if shown == "1.000" and value < 1 else shown


def _table(name: str, rows: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> LabelTable:
    told = focus(data)
    first = next((row for row in rows if row["model"] == told), rows[0])
    ordered = [first, *(row for row in rows if row is not first)]
    of = [{each["label"]: each for each in row["labels"]} for row in rows]
    labels = list(dict.fromkeys(label for row in rows for label in (each["label"] for each in row["labels"])))
    listed = tuple((label, tuple(each.get(label) for each in of)) for label in labels[:LISTED])
    totals = (
        ("Macro F1", tuple({"f1": row["macro_f1"]} for row in rows)),
        ("Micro", tuple(row["micro"] for row in rows)),
    )
    small = len(labels) <= WIDEST
    kept = [row for row in ordered if row.get("matrix")] if small else []
    return LabelTable(
        evaluator=name,
        models=tuple(row["model"] for row in rows),
        sentences=tuple(_sentence(row) for row in rows),
        totals=totals,
        rows=listed[:OPEN],
        folded=listed[OPEN:],
        beyond=max(0, len(labels) - LISTED) + max(row.get("more") or 0 for row in rows),
        matrices=tuple(_matrix(row, row is first and len(labels) <= OPEN) for row in kept),
        pairs=()
        if small
        else tuple((row["model"], tuple(row["confused"][:PAIRS])) for row in ordered if row.get("confused")),
        counts=_what_counts(first, data.get("samples")),
    )


def _matrix(row: Mapping[str, Any], open_: bool) -> Matrix:
    names, matrix = [each["label"] for each in row["labels"]], row["matrix"]
    outside = any(cells[-1] for cells in matrix)
    return Matrix(
        row["model"],
        (*names, None) if outside else tuple(names),
        tuple(
            (
                name,
                tuple(
                    Cell(count, at == place, _shade(count, sum(cells)))
                    for place, count in enumerate(cells if outside else cells[:-1])
                ),
            )
            for at, (name, cells) in enumerate(zip(names, matrix, strict=True))
        ),
        open_,
    )


def _shade(count: int, of: int) -> int:
    return 0 if not count else 1 + sum(count / of >= share for share in _SHADES)


def _sentence(row: Mapping[str, Any], named: bool = False) -> str:
    model = short(written(row["model"]), 60)
    where = f"On {short(written(row['evaluator']), 60)}, " if named else ""
    if not row["answers"]:
        return f"{where}{model} has no answer that was scored."
    said = f"{where}{model} has a macro F1 of {f1(row['macro_f1'])} (micro {f1(row['micro']['f1'])})"
    if row["kind"] == "one":
        worst = [_pair(pair) for pair in row["confused"][:_NAMED]]
        return f"{said}; most often it says {', '.join(worst)}." if worst else f"{said}; it confuses none."
    weak = sorted((each for each in row["labels"] if each["missed"] or each["extra"]), key=_faults)[:_NAMED]
    return f"{said}; most is wrong with {', '.join(map(_weak, weak))}." if weak else f"{said}; none is missed or extra."


def _faults(label: Mapping[str, Any]) -> int:
    return -int(label["missed"] + label["extra"])


def _pair(pair: Mapping[str, Any]) -> str:
    answered = "no label" if pair["answered"] is None else f"“{short(written(pair['answered']), 40)}”"
    wanted = short(written(pair["expected"]), 40)
    return f"{answered} where “{wanted}” is expected ({pair['count']:,} of {pair['of']:,})"


def _weak(label: Mapping[str, Any]) -> str:
    return f"“{short(written(label['label']), 40)}” ({label['missed']:,} missed, {label['extra']:,} extra)"


def _what_counts(row: Mapping[str, Any], samples: int | None) -> str:
    each = f" Each of the {samples} answers to a case counts." if samples else ""
    without = (
        f" {counted(row['left_out'], 'answer')} of {short(written(row['model']), 60)} without a score"
        if row["left_out"]
        else ""
    )
    left = f"{without} {'counts' if row['left_out'] == 1 else 'count'} in nothing." if without else ""
    return (
        "Below each F1 stand precision / recall. Macro is the mean of the labels, each alike; micro counts all together. These are "
        f"figures of the cases at hand, without intervals.{each}{left}"
    )

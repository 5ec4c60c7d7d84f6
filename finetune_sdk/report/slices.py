"""Slices as the page shows them: those of the model and the evaluator that decide, and which of them fare otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.report.cases import focus
from finetune_sdk.report.figures import percent, points
from finetune_sdk.report.visible import short, written

_SIGNIFICANT = 0.05
_NAMED = 6


def by_slice(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A table a slice: its rows are the deciding evaluator's of the model that is told of; `others` are those of the rest."""
    rows, on, told = data.get("slices") or [], _deciding(data), focus(data)
    found = []
    for by in dict.fromkeys(row["by"] for row in rows):
        mine = [row for row in rows if row["by"] == by]
        main = [row for row in mine if row["evaluator"] == on and row["model"] == told]
        table = _table([row for row in mine if not (row["evaluator"] == on and row["model"] == told)])
        found.append({"by": by, "on": on, "rows": [{**row, "apart": apart(row)} for row in main], "others": table})
    return [each for each in found if each["rows"]]


def apart(row: Mapping[str, Any]) -> str:
    """`worse` or `better` than all other cases, where that is shown with all slices in mind; else nothing."""
    if row.get("difference") is None:
        return ""
    if row.get("adjusted") is not None:
        shown = row["adjusted"] < _SIGNIFICANT
    else:
        shown = row["apart_low"] > 0 or row["apart_high"] < 0
    return ("better" if row["difference"] > 0 else "worse") if shown else ""


def telling(data: Mapping[str, Any]) -> str:
    """One sentence: which slices fare otherwise than all other cases."""
    tables = by_slice(data)
    rows = [row for table in tables for row in table["rows"]]
    if not rows:
        return ""
    on, told, many = short(written(tables[0]["on"]), 60), short(written(focus(data) or ""), 60), len(rows)
    worse = sorted((row for row in rows if row["apart"] == "worse"), key=lambda row: float(row["difference"]))
    if not worse:
        other = "; some are better" if any(row["apart"] for row in rows) else ""
        return f"Of {many} slices none is shown to be worse than all other cases on {on}, for {told}{other}."
    named = ", ".join(_named(row) for row in worse[:_NAMED])
    more = f" and {len(worse) - _NAMED} more" if len(worse) > _NAMED else ""
    return f"On {on}, {told} is worse where {named}{more}: corrected for {many} slices."


def _named(row: Mapping[str, Any]) -> str:
    name, value = short(written(row["by"]), 40), short(written(row["value"]), 60)
    return f"{name} is {value} ({percent(row['rate'])}, {points(row['difference'])} points)"


def _deciding(data: Mapping[str, Any]) -> str | None:
    names = [row["evaluator"] for row in data.get("slices") or []]
    on = (data.get("verdict") or {}).get("on")
    return on if on in names else next(reversed(names), None)


def _table(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rates by value, a column for each evaluator and model."""
    columns = list(dict.fromkeys((row["evaluator"], row["model"]) for row in rows))
    values = list(dict.fromkeys(row["value"] for row in rows))
    cells = {(row["value"], row["evaluator"], row["model"]): row for row in rows}
    return {
        "columns": columns,
        "rows": [(value, [cells.get((value, *column)) for column in columns]) for value in values],
    }

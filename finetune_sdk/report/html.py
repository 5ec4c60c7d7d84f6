"""The report as one HTML file that needs no network, and lets no model's answer be anything but text.

The page runs one script, the constant `cases.js`, and the policy names its hash: no other can run. It makes elements and
sets their text, never HTML, which the policy also enforces (trusted types). Without scripts the page holds the same but
the table of every case.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

from finetune_sdk.report import figures, labels, plots, preferences
from finetune_sdk.report.cases import choose, evaluators, focus, rival
from finetune_sdk.report.island import island
from finetune_sdk.report.slices import by_slice, telling
from finetune_sdk.report.visible import flat, short, visible, written

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SCRIPTED = "; script-src '{}'; require-trusted-types-for 'script'; trusted-types 'none'"
MOST_LINES = 60
CURVE_NAMES = {"loss": "training loss", "validation_loss": "validation loss"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of estimate beside actual."""

    name: str
    estimate: str
    expected: str
    actual: str
    standing: str
    basis: str
    chart: Markup | None


def render(data: Mapping[str, Any], *, searchable: bool = True) -> str:
    """The whole page, for a file or a browser. `data` is what `Report.to_dict` gives; what it lacks is left out.

    `searchable` adds the table of every case, and the one script that the page runs.
    """
    origin = data.get("origin") or {}
    names = evaluators(data.get("examples") or [])
    held, shown = island(data, names) if searchable and data.get("examples") else (None, 0)
    return _template().render(
        data=data,
        policy=POLICY + (SCRIPTED.format(_digest()) if held is not None else ""),
        style=Markup(_own("report.css")),
        script=Markup(_own("cases.js")),
        island=held,
        searched=shown,
        scores=[metric for metric in data.get("metrics") or [] if _varies(metric)],
        costs=(data.get("costs") or [])[:MOST_LINES],
        priced=any((model.get("cost") or {}).get("per_1000") is not None for model in data.get("models") or []),
        labels=labels.tables(data),
        slices=by_slice(data),
        telling=telling(data),
        finding=((data.get("verdict") or {}).get("sentence") or "").partition(": "),
        marks=_marks(data),
        told=focus(data),
        than=rival(data),
        groups=_groups(data.get("metrics") or []),
        axis=plots.percent_axis(),
        comparisons=(data.get("comparisons") or [])[:MOST_LINES],
        preferred={
            "title": preferences.title(data),
            "rows": preferences.rows(data),
            "sentences": preferences.sentences(data),
        },
        curve=_losses(origin.get("curves") or {}),
        small=_others(origin.get("curves") or {}),
        figures=_figures(origin),
        unknown=_unknown(origin),
        notes=[short(written(note), 2_000) for note in (data.get("notes") or [])[:MOST_LINES]],
        leakage=leakage(data),
        cases=choose(data),
        tables=_tables(origin),
    )


@cache
def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _digest() -> str:
    """What the policy calls the script by: the hash of exactly what stands between its tags."""
    return f"sha256-{b64encode(sha256(_own('cases.js').encode()).digest()).decode()}"


def _varies(metric: Mapping[str, Any]) -> bool:
    score = metric.get("score") or {}
    return score.get("low") is not None


@cache
def _template() -> Template:
    environment = Environment(
        loader=DictLoader({name: _own(f"{name}.html.jinja") for name in ("report", "labels", "preferences")}),
        autoescape=True,
        finalize=_seen,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": figures.percent,
        "between": figures.between,
        "points": figures.points,
        "wait": figures.wait,
        "count": figures.count,
        "day": figures.day,
        "confidence": figures.confidence,
        "label": lambda text: short(written(text), 80),
        "swatch": plots.swatch,
        "number": figures.number,
        "usd": figures.usd,
        "f1": labels.f1,
    }
    environment.globals |= {"interval": plots.interval, "counted": figures.counted}
    return environment.get_template("report")


def _seen(value: Any) -> Any:
    """Whatever the template prints passes here, before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _marks(data: Mapping[str, Any]) -> dict[str, int]:
    """Each model's colour and shape: the one that the report is about has the first."""
    told = focus(data)
    others = [model["key"] for model in data.get("models") or [] if model["key"] != told]
    return {key: place for place, key in enumerate([told, *others]) if key is not None}


def _groups(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Metrics by evaluator, with the table of fields where the evaluator judges fields."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for metric in metrics:
        rows.setdefault(metric["evaluator"], []).append(metric)
    return [
        {
            "evaluator": name,
            "rows": group,
            "fields": list(dict.fromkeys(f for row in group for f in row.get("fields") or {})),
        }
        for name, group in rows.items()
    ]


def _losses(curves: Mapping[str, Any]) -> dict[str, Any] | None:
    lines = [
        plots.Line.of(CURVE_NAMES[name], curves.get(name) or [], "best" if name == "validation_loss" else "")
        for name in CURVE_NAMES
    ]
    drawn = [line for line in lines if len(line.points) > 1]
    on = plots.scale(drawn)
    chart = plots.curves(drawn, on)
    return None if chart is None else {"chart": chart, "names": [line.name for line in drawn], "scale": on}


def _others(curves: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every other curve, small: margin, accuracy, learning rate."""
    found = []
    for name in [name for name in curves if name not in CURVE_NAMES][:8]:
        chart = plots.curves([plots.Line.of(name, curves[name] or [])], height=96)
        if chart is not None:
            found.append({"name": short(name.replace("_", " "), 60), "chart": chart})
    return found


def _figures(origin: Mapping[str, Any]) -> list[Figure]:
    """A row for each figure that was estimated or measured; what is unknown and unmeasured is told by `_unknown`."""
    estimate, actual = origin.get("estimate") or {}, origin.get("actual") or {}
    rows = []
    for name, unit in figures.UNITS.items():
        figure, measured = estimate.get(name) or {}, actual.get(name)
        known = figure.get("expected") is not None
        if not known and measured is None:
            continue
        took = "" if measured is None else figures.amount(measured, unit)
        said = f"{figures.NAMES[name]}: estimated {figures.span(figure)}, actual {took or 'not measured'}"
        rows.append(
            Figure(
                name=figures.NAMES[name],
                estimate=figures.span(figure) if figure else "",
                expected=figures.amount(figure["expected"], unit) if known and figure["low"] != figure["high"] else "",
                actual=took,
                standing="" if measured is None else figures.standing(figure, measured),
                basis=short(written(figure.get("basis") or ""), 400),
                chart=plots.estimated(said, figure["low"], figure["expected"], figure["high"], measured)
                if known
                else None,
            )
        )
    return rows


def _unknown(origin: Mapping[str, Any]) -> list[tuple[str, str]]:
    estimate, actual = origin.get("estimate") or {}, origin.get("actual") or {}
    return [
        (figures.NAMES[name], short(written(estimate[name].get("basis") or ""), 400))
        for name in figures.UNITS
        if estimate.get(name) and estimate[name].get("expected") is None and actual.get(name) is None
    ]


def leakage(data: Mapping[str, Any]) -> str:
    """One sentence on cases that the training has seen; empty where no training is known to compare with."""
    found = data.get("leakage") or {}
    number, total = found.get("cases"), data.get("cases") or 0
    if number is None or (number == 0 and not found.get("checked", data.get("origin"))):
        return ""
    compared = found.get("compared", total)
    if number == 0 and compared < total:
        return (
            f"None of the {compared:,} cases that could be compared is a training row; for the other {total - compared:,} it "
            "cannot be told, since of so large a training set only some rows are remembered."
        )
    if number == 0:
        return f"None of the {figures.counted(total, 'case')} is a training row."
    allowed = "; this was allowed explicitly" if found.get("allowed") else ""
    verb = "is a training row" if number == 1 else "are training rows"
    return f"{number:,} of the {figures.counted(total, 'case')} {verb}{allowed}."


def _tables(origin: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    place = {name: origin.get(name) for name in ("run", "backend", "base")}
    more = {name: value for name, value in (origin.get("actual") or {}).items() if name not in figures.UNITS}
    tables = {
        "Job": {**place, **(origin.get("job") or {})},
        "Resolved": (origin.get("estimate") or {}).get("resolved") or {},
        "Measured": more,
        "Manifest": origin.get("manifest") or {},
    }
    return [(name, rows) for name, table in tables.items() if (rows := flat(table))]

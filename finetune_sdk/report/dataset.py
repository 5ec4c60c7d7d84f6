"""What a check found in a dataset, as one HTML file: it needs no network, runs no script, and shows rows as text only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

from finetune_sdk.report import figures, plots
from finetune_sdk.report.visible import excerpt, short, visible

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MOST_FINDINGS = 200
MOST_LABELS = 20
MOST_TURNS = 12
BARS = 32


def render(data: Mapping[str, Any]) -> str:
    """The whole page. `data` is what `finetune check --json` gives, with the lengths, labels and samples of the rows."""
    style = "".join(
        files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "dataset.css")
    )
    findings = _together(data["findings"])
    return _template().render(
        data=data,
        policy=POLICY,
        style=Markup(style),
        verdict=_verdict(data),
        findings=findings[:MOST_FINDINGS],
        more=len(findings) - len(findings[:MOST_FINDINGS]),
        lengths=[drawn for name, lengths in data["lengths"].items() if (drawn := _lengths(name, lengths))],
        labels=[_labels(name, counts) for name, counts in data["labels"].items()],
        samples=[
            {
                "line": sample["line"],
                "turns": [(role, excerpt(text)) for role, text in sample["turns"][:MOST_TURNS]],
                "more": max(0, len(sample["turns"]) - MOST_TURNS),
            }
            for sample in data["samples"]
        ],
    )


@cache
def _template() -> Template:
    source = files(__package__).joinpath("dataset.html.jinja").read_text(encoding="utf-8")
    environment = Environment(
        loader=DictLoader({"dataset": source}),
        autoescape=True,
        finalize=_seen,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": figures.count, "day": figures.day, "label": lambda text: short(text, 80)}
    environment.globals |= {"counted": figures.counted}
    return environment.get_template("dataset")


def _seen(value: Any) -> Any:
    """Whatever the template prints passes here, before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _verdict(data: Mapping[str, Any]) -> tuple[str, str]:
    """One sentence, and what follows from it."""
    errors, warnings, notes = data["errors"], data["warnings"], data["notes"]
    if errors:
        others = figures.counted(warnings, "warning"), figures.counted(notes, "thing") + " to know"
        beside = " and ".join(word for word, count in zip(others, (warnings, notes), strict=True) if count)
        first = f"{figures.counted(errors, 'error')} to mend before anything can be trained."
        return first, f"{beside} besides." if beside else ""
    if warnings:
        beside = f", and {figures.counted(notes, 'thing')} to know" if notes else ""
        return f"{figures.counted(warnings, 'warning')}{beside}.", "The file can be trained on as it is."
    return ("Nothing is wrong.", f"{figures.counted(notes, 'thing')} to know." if notes else "")


def _together(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Findings with the same words as one, with all their lines."""
    alike: dict[tuple[str, ...], dict[str, Any]] = {}
    for finding in findings:
        same = alike.setdefault(
            (finding["severity"], finding["message"], finding["cure"]),
            {**finding, "rows": [], "count": 0, "message": short(finding["message"], 600)},
        )
        same["rows"] += finding["rows"]
        same["count"] += finding["count"]
    for same in alike.values():
        same["example"] = short(same["example"], 240)
        same["listed"] = ", ".join(f"{line:,}" for line in same["rows"][:20])
        same["beyond"] = max(0, same["count"] - len(same["rows"][:20])) if same["rows"] else 0
    return list(alike.values())


def _lengths(name: str, lengths: Sequence[int]) -> dict[str, Any] | None:
    """A histogram on a logarithmic axis where the lengths span a factor of ten, with the figures that matter."""
    known = sorted(length for length in lengths if length)
    if len(known) < 2 or known[0] == known[-1]:
        return None
    low, high = known[0], known[-1] + 1
    logarithmic = high / low >= 10

    def at(part: float) -> float:
        return low * (high / low) ** part if logarithmic else low + (high - low) * part

    bars = [0] * BARS
    for length in known:
        part = math.log(length / low) / math.log(high / low) if logarithmic else (length - low) / (high - low)
        bars[min(BARS - 1, int(part * BARS))] += 1
    edges = [at(bar / BARS) for bar in range(BARS + 1)]
    half, most = known[len(known) // 2], known[min(len(known) - 1, len(known) * 95 // 100)]
    said = f"{name}: half within {half:,} characters, 95% within {most:,}, the longest {known[-1]:,}"
    return {
        "name": name,
        "half": half,
        "most": most,
        "longest": known[-1],
        "chart": plots.histogram(said, bars, edges),
        "logarithmic": logarithmic,
    }


def _labels(name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    total, top = sum(counts.values()), ordered[0][1]
    return {
        "name": name,
        "rows": [
            (short(label, 80) or "(empty)", count, count / total, plots.bar(count / top))
            for label, count in ordered[:MOST_LABELS]
        ],
        "more": len(ordered) - len(ordered[:MOST_LABELS]),
    }

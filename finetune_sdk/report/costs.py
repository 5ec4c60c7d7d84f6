"""What a job will take and when it pays, for others: Markdown for a pull request, and a chart as a file of its own.

Both are made of what `finetune estimate --json` answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from finetune_sdk.estimate import quantity
from finetune_sdk.report.export import as_table, in_markdown
from finetune_sdk.report.plots import linear, nice, tag
from finetune_sdk.report.visible import short, written

WIDE, HIGH, LEFT, RIGHT, ROW = 760, 280, 84, 26, 22
NAMED = 40
MARKS = 6
_DASHES = ("none", "7 4", "2 4", "10 3 2 3", "4 2", "12 5")
_LIGHT = "--page:#fdfdfc;--ink:#1c1e21;--soft:#5d636b;--grid:#e9e9e5;"
_DARK = "--page:#16181b;--ink:#e6e6e3;--soft:#9ba1a9;--grid:#272b30;"
_MARKS = (
    ("#0b62a8", "#b26a00", "#7c4fa0", "#00796b", "#a8325e", "#6f757d"),
    ("#74b4ee", "#e3a44c", "#c09be0", "#5fc2b4", "#ea8fb1", "#a3a9b1"),
)
Row = Mapping[str, Any]
Figures = tuple[float, float, float]


def as_markdown(data: Row) -> str:
    """The estimate, or those of the places that were compared, and the break-even where it was asked for."""
    return "\n".join(_lines(data)).rstrip() + "\n"


def _lines(data: Row) -> Iterator[str]:
    yield f"# What {in_markdown(data['job'], 80)} will take"
    if "places" in data:
        yield from as_table(["", *(in_markdown(place["place"], 60) for place in data["places"])], list(_compared(data)))
    else:
        yield from ("", f"At {in_markdown(data['backend'], 60)}.")
        rows = [
            [name.replace("_", " "), _range(figure), in_markdown(figure["basis"])]
            for name, figure in data["estimate"].items()
            if isinstance(figure, dict) and "basis" in figure
        ]
        yield from as_table(["", "Low - high", "Rests on"], rows)
        if data["estimate"]["notes"]:
            yield ""
        yield from (f"- {in_markdown(note)}" for note in data["estimate"]["notes"])
    if data.get("break_even"):
        yield from _broken_even(data["break_even"], data["usage"])


def _compared(data: Row) -> Iterator[list[str]]:
    for name, cells in side_by_side(data["places"]):
        yield [name, *(in_markdown(cell) for cell in cells)]


def side_by_side(places: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """A row for each figure, with a cell for each place; the reason of one that refused stands in the first row alone."""
    rows = []
    names = [name for name in _NAMED if any(place["estimate"] for place in places)]
    for number, name in enumerate(names):
        cells = [
            _range(place["estimate"][name]) if place["estimate"] else place["error"]["message"] if not number else "–"
            for place in places
        ]
        rows.append((name.replace("_", " "), cells))
    if any(place["upkeep"] for place in places):
        for part in ("inference", "hosting"):
            cells = [_range(place["upkeep"][part]) if place["upkeep"] else "–" for place in places]
            rows.append((f"{part} a month", cells))
    return rows


_NAMED = ("charge", "machine", "time", "tokens", "trained_tokens", "memory", "disk", "energy")


def _broken_even(found: Row, usage: Row) -> Iterator[str]:
    plan = found["plan"]
    yield from ("", "## Break-even", "", in_markdown(asked(usage)))
    rows = [
        [f"{when}{name if name != 'total' else ''}".strip() or when, _range(figure), in_markdown(figure["basis"])]
        for when, parts in (("up front: ", found["up_front"]), ("a month: ", found["month"]))
        for name, figure in parts.items()
        if name != "total"
    ]
    totals = [
        [f"**{name}**", f"**{_range(found[part]['total'])}**", ""]
        for name, part in (("up front", "up_front"), ("a month", "month"))
    ]
    yield from as_table(["", "Low - high", "Rests on"], [*rows, *totals])
    head = ["Against", "A month", "Saves a month", f"Saved in {plan['months']} months", "Pays with answers a month"]
    rows = [
        [
            in_markdown(row["name"], 80),
            _range(row["month"]),
            _range(row["saving"]),
            _range(row["balance"]),
            row["pays_with"],
        ]
        for row in found["against"]
    ]
    yield from as_table(head, rows)
    if found["against"]:
        yield ""
    yield from (f"- {in_markdown(row['sentence'])}" for row in found["against"])
    if found["notes"]:
        yield ""
    yield from (f"- {in_markdown(note)}" for note in found["notes"])


def asked(usage: Row) -> str:
    """What a month is like, in a sentence."""
    return (
        f"{usage['answers']:,.10g} answers a month, {usage['input_tokens']:,.4g} tokens read and "
        f"{usage['output_tokens']:,.4g} written for each: {usage['basis']}.{_doubt(usage)}"
    )


def _doubt(usage: Row) -> str:
    spreads = [spread for name in ("input_spread", "output_spread") if (spread := usage.get(name)) is not None]
    if not spreads:
        return ""
    low, high = min(low for low, _ in spreads), max(high for _, high in spreads)
    return f" What was counted may be {low:g} to {high:g} times that, and all that is paid by the token with it."


def _range(figure: Row) -> str:
    if figure["low"] is None:
        return "unknown"
    low, high = quantity(figure["low"], figure["unit"]), quantity(figure["high"], figure["unit"])
    return low if low == high else f"{low} {'to' if figure['low'] < 0 else '-'} {high}"


def chart(title: str, found: Row) -> str | None:
    """What each has cost by the end of each month: the expected line in its band, as one SVG file; None where nothing is known.

    Text is text, colours follow light and dark, and each line has a dash of its own. A ring stands where the money is back.
    """
    series = [("tuned", _tuned(found), "")]
    series += [(row["name"], _rival(found, row["name"]), _said(row)) for row in found["against"]]
    drawn = [points for _, points, _ in series if points]
    if not drawn:
        return None
    months = found["plan"]["months"]
    ticks, upright = linear(0.0, max(figures[2] for points in drawn for _, figures in points))
    top = 44 + ROW * len(series) + 16
    whole = top + HIGH + 52

    def x(month: float) -> float:
        return LEFT + (WIDE - LEFT - RIGHT) * month / float(months)

    def y(value: float) -> float:
        return top + HIGH * (1 - float(upright(value)))

    said = "; ".join(_legend(*one, months=months) for one in series)
    parts = [Markup(f"<style>{_style()}</style>"), tag("title", f"{title}. {said}")]
    parts.append(tag("rect", class_="page", width=WIDE, height=whole))
    parts.append(tag("text", short(written(title), 76), class_="title", x=24, y=28))
    for tick in ticks:
        parts.append(tag("line", class_="grid", x1=LEFT, x2=WIDE - RIGHT, y1=f"{y(tick):.1f}", y2=f"{y(tick):.1f}"))
        parts.append(
            tag("text", _usd(tick), class_="tick", x=LEFT - 10, y=f"{y(tick):.1f}", dy="0.32em", text_anchor="end")
        )
    parts += [
        tag("text", f"{tick:g}", class_="tick", x=f"{x(tick):.1f}", y=top + HIGH + 20, text_anchor="middle")
        for tick in nice(0, months, min(months, 12))
        if tick <= months and tick == int(tick)
    ]
    parts.append(tag("text", "months", class_="tick", x=WIDE - RIGHT, y=top + HIGH + 40, text_anchor="end"))
    for place, (_, points, _) in enumerate(series):
        if points:
            edge = [(month, low) for month, (low, _, _) in points]
            back = [(month, high) for month, (_, _, high) in reversed(points)]
            parts.append(tag("path", class_=f"band mark-{place % MARKS}", d=_path([*edge, *back], x, y) + "Z"))
    for place, (_, points, _) in enumerate(series):
        if points:
            line = [(month, expected) for month, (_, expected, _) in points]
            parts.append(tag("path", class_=f"line mark-{place % MARKS}", d=_path(line, x, y)))
    parts += _rings(found, x, y)
    for place, one in enumerate(series):
        at = 54 + ROW * place
        parts.append(tag("line", class_=f"line mark-{place % MARKS}", x1=24, x2=58, y1=at, y2=at))
        parts.append(tag("text", short(_legend(*one, months=months), 98), class_="note", x=70, y=at, dy="0.35em"))
    box = {"viewBox": f"0 0 {WIDE} {whole}", "xmlns": "http://www.w3.org/2000/svg"}
    return str(tag("svg", *parts, width=WIDE, height=whole, role="img", aria_label=title, **box)) + "\n"


def _tuned(found: Row) -> list[tuple[float, Figures]]:
    """With a step where a retraining falls due."""
    points: list[tuple[float, Figures]] = []
    before = 0
    for row in found["over_time"]:
        figures, fresh = _figures(row["tuned"]), row["retrained"] - before
        if figures is None:
            return []
        before = row["retrained"]
        each = _figures(found["retraining"]["total"]) if fresh else None
        if each is not None:
            low, expected, high = (value - fresh * lump for value, lump in zip(figures, each, strict=True))
            points.append((row["month"], (low, expected, high)))
        points.append((row["month"], figures))
    return points


def _rival(found: Row, name: str) -> list[tuple[float, Figures]]:
    rows = ((row["month"], _figures(row["rivals"][name])) for row in found["over_time"])
    known = [(month, figures) for month, figures in rows if figures is not None]
    return known if len(known) == len(found["over_time"]) else []


def _figures(figure: Row) -> Figures | None:
    return None if figure["low"] is None else (figure["low"], figure["expected"], figure["high"])


def _said(row: Row) -> str:
    months = row["months"]
    if months is None:
        return "unknown when paid back"
    if months["expected"] == "never":
        return "as expected never paid back"
    return f"paid back after {months['expected']:,.1f} months"


def _named(name: str) -> str:
    """Cut in the middle where it is long: what tells one rival from another stands at either end."""
    told = written(name)
    return told if len(told) <= NAMED else f"{told[:14]}…{told[15 - NAMED :]}"


def _legend(name: str, points: Sequence[tuple[float, Figures]], back: str, *, months: int) -> str:
    if not points:
        return f"{_named(name)}: unknown"
    low, _, high = points[-1][1]
    cost = _usd(low) if _usd(low) == _usd(high) else f"{_usd(low)} - {_usd(high)}"
    return f"{_named(name)}: {cost} in {months} months{f'; {back}' if back else ''}"


def _rings(found: Row, x: Any, y: Any) -> list[Markup]:
    """Where the expected lines cross for good, within the horizon."""
    rings = []
    for place, row in enumerate(found["against"], 1):
        month = row["months"]["expected"] if row["months"] else "never"
        rate = row["month"]["expected"]
        if month != "never" and rate is not None and month <= found["plan"]["months"]:
            at = {"cx": f"{x(month):.1f}", "cy": f"{y(month * rate):.1f}"}
            rings.append(tag("circle", class_=f"ring mark-{place % MARKS}", r="6", **at))
    return rings


def _path(points: Sequence[tuple[float, float]], x: Any, y: Any) -> str:
    return "M" + "L".join(f"{x(month):.1f} {y(value):.1f}" for month, value in points)


def _usd(value: float) -> str:
    return f"${value:,.0f}" if value >= 100 or value == int(value) else quantity(value, "USD")


def _style() -> str:
    light, dark = (
        base + "".join(f"--mark-{number}:{colour};" for number, colour in enumerate(colours))
        for base, colours in zip((_LIGHT, _DARK), _MARKS, strict=True)
    )
    marks = "".join(
        f".mark-{number}{{stroke:var(--mark-{number});stroke-dasharray:{dash}}}.band.mark-{number}{{fill:var(--mark-{number})}}"
        for number, dash in enumerate(_DASHES)
    )
    return (
        f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        'text{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",sans-serif;'
        "font-variant-numeric:tabular-nums}"
        ".page{fill:var(--page)}.title{fill:var(--ink);font-size:15px;font-weight:600}.note{fill:var(--ink)}"
        ".tick{fill:var(--soft);font-size:12px}.grid{stroke:var(--grid)}"
        f"{marks}.line{{fill:none;stroke-width:2.25;stroke-linejoin:round}}"
        ".band{stroke:none;fill-opacity:.16}.ring{fill:var(--page);stroke-width:2;stroke-dasharray:none}"
    )

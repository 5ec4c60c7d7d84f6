"""Charts as inline SVG, out of plain values.

Widths are percentages and there is no viewBox around text, so a chart fills any column while its letters and dots keep
their size. Colours come from the page's style sheet by class; each series also has a shape or a dash of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from finetune_sdk.report.figures import between, loss, percent
from finetune_sdk.report.visible import short, visible

MARKS = 6
MOST_POINTS = 600
LOG_FROM = 10.0

Scale = Literal["linear", "logarithmic"]

_SHAPES: tuple[tuple[str, dict[str, str]], ...] = (
    ("circle", {"r": "5.5"}),
    ("circle", {"r": "4.5"}),
    ("rect", {"x": "-4.5", "y": "-4.5", "width": "9", "height": "9"}),
    ("path", {"d": "M0 -6L6 0L0 6L-6 0Z"}),
    ("path", {"d": "M0 -6L5.5 4.5L-5.5 4.5Z"}),
    ("path", {"d": "M0 6L5.5 -4.5L-5.5 -4.5Z"}),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a chart: points of (step, value). Where `lowest` is "best", its least value is marked so."""

    name: str
    points: tuple[tuple[float, float], ...]
    lowest: str = ""

    @classmethod
    def of(cls, name: str, points: Sequence[Sequence[float]], lowest: str = "") -> Line:
        """What can be drawn of `points`: numbers that are finite."""
        numbers = [
            (float(point[0]), float(point[1]))
            for point in points
            if len(point) > 1 and all(isinstance(part, int | float) and math.isfinite(part) for part in point[:2])
        ]
        return cls(name, tuple(sorted(numbers, key=lambda point: point[0])), lowest)


def interval(label: str, mark: int, rate: float, low: float, high: float) -> Markup:
    """A rate and its interval on an axis from 0 to 100%."""
    said = f"{short(label, 80)}: {percent(rate)}, interval {between(low, high)}"
    colour = f"mark-{mark % MARKS}"
    parts = [tag("title", said), *_grid()]
    parts.append(_line(_share(low), _share(high), 17, f"whisker {colour}"))
    parts += [
        tag("line", class_=f"whisker {colour}", x1=_share(end), x2=_share(end), y1=13, y2=21) for end in (low, high)
    ]
    parts.append(_at(_share(rate), "17", _shape(mark)))
    return tag("svg", *parts, class_="strip", width="100%", height="34", role="img", aria_label=said)


def percent_axis() -> Markup:
    """The axis that stands under rows of `interval`."""
    ticks = [
        tag("text", f"{tick}%", class_="tick", x=f"{tick}%", y=16, text_anchor="middle") for tick in range(0, 101, 25)
    ]
    return tag("svg", *ticks, class_="strip", width="100%", height="22", aria_hidden="true")


def swatch(mark: int) -> Markup:
    """The shape and colour of one model, to stand before its name."""
    return tag("svg", _at("7", "7", _shape(mark)), class_="swatch", width="14", height="14", aria_hidden="true")


def estimated(label: str, low: float, expected: float, high: float, actual: float | None) -> Markup | None:
    """A range as a bar with a tick at what was expected, and the actual figure as a dot; None where all is zero.

    The axis starts at 0 and is the row's own.
    """
    end = max(high, actual or 0.0) * 1.08
    if end <= 0:
        return None
    left, width = 100 * low / end, max(100 * (high - low) / end, 0.6)
    parts = [
        tag("title", label),
        _line("0%", "100%", 15, "track"),
        tag("rect", class_="range", x=f"{left:.2f}%", y=10, width=f"{width:.2f}%", height=10, rx=2),
        tag("line", class_="expected", x1=_share(expected / end), x2=_share(expected / end), y1=6, y2=24),
    ]
    if actual is not None:
        parts.append(_at(_share(actual / end), "15", tag("circle", class_="actual", r="5.5")))
    return tag("svg", *parts, class_="strip", width="100%", height="30", role="img", aria_label=label)


def scale(lines: Sequence[Line]) -> Scale:
    """The axis that losses are read best on: logarithmic where they span a factor of LOG_FROM or more."""
    values = [value for line in lines for _, value in line.points]
    wide = bool(values) and min(values) > 0 and max(values) / min(values) >= LOG_FROM
    return "logarithmic" if wide else "linear"


def curves(lines: Sequence[Line], on: Scale = "linear", height: int = 240) -> Markup | None:
    """Lines over the steps of a training; None where none has two points."""
    drawn = [line for line in lines if len(line.points) > 1]
    if not drawn:
        return None
    steps = [step for line in drawn for step, _ in line.points]
    values = [value for line in drawn for _, value in line.points]
    first, last = min(steps), max(steps)
    last = last if last > first else first + 1
    ticks, upright = (_decades if on == "logarithmic" else linear)(min(values), max(values))
    said = _described(drawn) + ("; logarithmic axis" if on == "logarithmic" else "")

    def across(step: float) -> float:
        return (step - first) / (last - first)

    parts: list[Markup] = [tag("title", said)]
    for tick in ticks:
        up = f"{100 * (1 - upright(tick)):.2f}%"
        parts.append(tag("line", class_="grid", x1="0%", x2="100%", y1=up, y2=up))
        parts.append(tag("text", _plain(tick), class_="tick", x=-8, y=up, dy="0.32em", text_anchor="end"))
    for tick in nice(first, last, 5):
        if first <= tick <= last:
            where = _share(across(tick))
            parts.append(tag("line", class_="notch", x1=where, x2=where, y1=height, y2=height + 4))
            parts.append(tag("text", f"{tick:,g}", class_="tick", x=where, y=height + 18, text_anchor="middle"))
    paths = [
        tag(
            "path",
            class_=f"curve curve-{place}",
            d=_path(_thinned(line.points), across, upright),
            vector_effect="non-scaling-stroke",
        )
        for place, line in enumerate(drawn)
    ]
    box = {"viewBox": "0 0 1000 1000", "preserveAspectRatio": "none", "width": "100%", "height": "100%"}
    parts.append(tag("svg", *paths, **box))
    for place, line in enumerate(drawn):
        parts += _dots(line, place, across, upright)
    return tag("svg", *parts, class_="curves", width="100%", height=str(height), role="img", aria_label=said)


def histogram(said: str, bars: Sequence[int], edges: Sequence[float], height: int = 120) -> Markup:
    """How often each stretch occurs; `edges` has one number more than there are bars, and every eighth edge is named."""
    top, width = max(bars), 100 / len(bars)
    parts = [tag("title", said), _line("0%", "100%", height, "track")]
    for place, count in enumerate(bars):
        tall = max(1.5, (height - 8) * count / top) if count else 0
        title = tag("title", f"{edges[place]:,.0f} to {edges[place + 1]:,.0f}: {count:,}")
        x, wide = f"{place * width + 0.2:.2f}%", f"{width - 0.4:.2f}%"
        parts.append(tag("rect", title, class_="bar", x=x, y=f"{height - tall:.1f}", width=wide, height=f"{tall:.1f}"))
    for place in range(0, len(edges), 8):
        anchor = "start" if place == 0 else "end" if place == len(edges) - 1 else "middle"
        name = _rounded(edges[place])
        parts.append(tag("text", name, class_="tick", x=_share(place / len(bars)), y=height + 18, text_anchor=anchor))
    return tag("svg", *parts, class_="curves", width="100%", height=height + 24, role="img", aria_label=said)


def bar(share: float) -> Markup:
    """A bar of that share of the width, to stand beside its figure."""
    drawn = tag("rect", class_="bar", x=0, y=4, width=_share(max(share, 0.004)), height=12, rx=2)
    return tag("svg", drawn, class_="strip", width="100%", height="20", aria_hidden="true")


def _rounded(value: float) -> str:
    """Two figures that count: `1,300`."""
    if value < 10:
        return f"{value:.0f}"
    size = 10 ** (math.floor(math.log10(value)) - 1)
    return f"{round(value / size) * size:,}"


def _dots(line: Line, place: int, across: Callable[[float], float], upright: Callable[[float], float]) -> list[Markup]:
    """The points of a line where they are few, and its best one with a ring and its figure."""
    found: list[Markup] = []
    if len(line.points) <= 40 and line.lowest:
        for step, value in line.points:
            dot = tag("circle", tag("title", f"step {step:,g}: {loss(value)}"), class_=f"point curve-{place}", r="3")
            found.append(_at(_share(across(step)), _share(1 - upright(value)), dot))
    if line.lowest:
        step, value = min(line.points, key=lambda point: point[1])
        x = across(step)
        anchor = "start" if x < 0.2 else "end" if x > 0.8 else "middle"
        said = f"{line.lowest} {loss(value)}, step {step:,g}"
        ring = tag("circle", class_=f"ring curve-{place}", r="6.5")
        note = tag("text", said, class_="note", y=-13, text_anchor=anchor)
        found.append(_at(_share(x), _share(1 - upright(value)), ring, note))
    return found


def _described(lines: Sequence[Line]) -> str:
    return "; ".join(
        f"{short(line.name, 60)} from {loss(line.points[0][1])} at step {line.points[0][0]:,g}"
        f" to {loss(line.points[-1][1])} at step {line.points[-1][0]:,g}"
        for line in lines
    )


def _decades(low: float, high: float) -> tuple[list[float], Callable[[float], float]]:
    """Ticks and a logarithmic scale, 0 at the foot and 1 at the top; `low` is above 0."""
    foot, top = math.log10(low) - 0.05, math.log10(high) + 0.05
    sizes = (1, 2, 5) if top - foot < 3 else (1,)
    ticks = [
        size * 10.0**power
        for power in range(math.floor(foot), math.ceil(top) + 1)
        for size in sizes
        if foot <= math.log10(size * 10.0**power) <= top
    ]
    return ticks, lambda value: (math.log10(value) - foot) / (top - foot)


def linear(low: float, high: float) -> tuple[list[float], Callable[[float], float]]:
    """Ticks and a scale that starts at 0 where that costs less than half of the height."""
    if 0 <= low < 0.5 * high:
        low = 0.0
    if high <= low:
        low, high = low - (abs(low) or 1.0) * 0.5, high + (abs(high) or 1.0) * 0.5
    ticks = nice(low, high, 4)
    foot, top = min(low, ticks[0]), max(high, ticks[-1])
    return ticks, lambda value: (value - foot) / (top - foot)


def nice(low: float, high: float, about: int) -> list[float]:
    """Round numbers from at most `low` to at least `high`, `about` so many (Heckbert 1990, Graphics Gems I)."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(size for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _plain(value: float) -> str:
    small = value != 0 and abs(value) < 0.0001
    return (f"{value:.0e}".replace("e-0", "e-") if small else f"{value:,g}").replace("-", "−")


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MOST_POINTS of them: of each stretch the least and the greatest, so that no spike is lost."""
    if len(points) <= MOST_POINTS:
        return list(points)
    size = math.ceil(2 * len(points) / MOST_POINTS)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def _path(
    points: Sequence[tuple[float, float]], across: Callable[[float], float], upright: Callable[[float], float]
) -> str:
    return "M" + "L".join(f"{1000 * across(step):.1f} {1000 * (1 - upright(value)):.1f}" for step, value in points)


def _grid() -> list[Markup]:
    return [tag("line", class_="grid", x1=f"{tick}%", x2=f"{tick}%", y1="0", y2="100%") for tick in range(0, 101, 25)]


def _shape(mark: int) -> Markup:
    name, form = _SHAPES[mark % MARKS]
    return tag(name, class_=f"dot mark-{mark % MARKS}", **form)


def _share(part: float) -> str:
    return f"{100 * part:.2f}%"


def _line(left: str, right: str, y: float, class_: str) -> Markup:
    return tag("line", class_=class_, x1=left, x2=right, y1=y, y2=y)


def _at(x: str, y: str, *parts: Markup) -> Markup:
    """A nested drawing whose origin lies at a percentage: the only way to place a shape there."""
    return tag("svg", *parts, x=x, y=y, overflow="visible", class_="place")


def tag(name: str, *inside: str, **attributes: str | float) -> Markup:
    """One SVG element; text and attribute values are escaped, names are ours."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(visible(str(value)))}"' for key, value in attributes.items()
    )
    content = "".join(part if isinstance(part, Markup) else escape(visible(part)) for part in inside)
    return Markup(f"<{name}{written}>{content}</{name}>")

"""Charts out of plain values: well-formed, readable ticks, and safe with any name."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from finetune_sdk.report import plots


def parsed(chart: Markup | None) -> ElementTree.Element:
    assert chart is not None
    return ElementTree.fromstring(str(chart))


def ticks(chart: Markup | None) -> list[str]:
    return [element.text or "" for element in parsed(chart).iter("text") if element.get("class") == "tick"]


def test_an_interval_stands_where_its_figures_say() -> None:
    chart = plots.interval("tuned", 0, 0.975, 0.937, 0.99)
    lines = [line for line in parsed(chart).iter("line") if "whisker" in (line.get("class") or "")]
    assert (lines[0].get("x1"), lines[0].get("x2")) == ("93.70%", "99.00%")
    assert "tuned: 97.5%, interval 93.7 – 99.0%" in chart


def test_ticks_are_round_numbers() -> None:
    line = plots.Line.of("loss", [[1, 0.31], [250, 0.87], [1000, 2.43]])
    assert ticks(plots.curves([line])) == ["0", "1", "2", "3", "200", "400", "600", "800", "1,000"]


def test_losses_over_a_wide_span_stand_on_a_logarithmic_axis() -> None:
    line = plots.Line.of("loss", [[step, 3 * math.exp(-step / 20)] for step in range(100)])
    assert plots.scale([line]) == "logarithmic"
    assert ticks(plots.curves([line], plots.scale([line])))[:4] == ["0.02", "0.05", "0.1", "0.2"]


def test_the_best_point_is_marked_with_its_figure_and_step() -> None:
    line = plots.Line.of("validation loss", [[10, 0.9], [20, 0.412], [30, 0.5]], lowest="best")
    assert "best 0.412, step 20" in plots.curves([line]) or ""


def test_what_is_not_a_number_is_not_drawn() -> None:
    line = plots.Line.of("loss", [[1, math.nan], [2, math.inf], [3, None], [4, 1.0], [5]])  # type: ignore[list-item]
    assert line.points == ((4.0, 1.0),)
    assert plots.curves([line]) is None


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, 1.0], [-2.0, 3.0], [1e-9, 1e-8], [1e12, 1e12], [-5.0, -5.0]])
def test_flat_negative_tiny_and_huge_curves_stay_inside_the_frame(values: list[float]) -> None:
    line = plots.Line.of("margin", [[step, value] for step, value in enumerate(values)])
    for on in {"linear", plots.scale([line])}:
        chart = plots.curves([line], on)  # type: ignore[arg-type]
        path = next(parsed(chart).iter("path")).get("d") or ""
        assert all(-0.1 <= float(part) <= 1000.1 for part in re.findall(r"-?[\d.]+", path))


def test_a_long_curve_is_thinned_and_keeps_its_spikes() -> None:
    points = [[step, 1.0] for step in range(100_000)]
    points[70_001][1] = 9.0
    chart = plots.curves([plots.Line.of("loss", points)])
    path = next(parsed(chart).iter("path")).get("d") or ""
    assert path.count("L") <= plots.MOST_POINTS
    assert min(float(part.split()[1]) for part in path[1:].split("L")) < 150


def test_a_range_of_nothing_but_zero_has_no_chart() -> None:
    assert plots.estimated("charge", 0.0, 0.0, 0.0, 0.0) is None


def test_an_actual_figure_above_the_range_stays_inside_the_chart() -> None:
    chart = parsed(plots.estimated("time", 40, 50, 60, 300))
    places = [float((part.get("x") or "").rstrip("%")) for part in chart.iter("svg") if part.get("class") == "place"]
    assert 90 < places[0] < 100


@pytest.mark.parametrize("name", ["</svg><script>", "\"'><&", "\ud800\x1b"])
def test_any_name_is_only_text(name: str) -> None:
    lines = [plots.Line.of(name, [[1, 1.0], [2, 2.0]], lowest=name)]
    for chart in (plots.interval(name, 7, 0.5, 0.4, 0.6), plots.curves(lines), plots.estimated(name, 1, 2, 3, 2)):
        assert not [element for element in parsed(chart).iter() if element.tag == "script"]

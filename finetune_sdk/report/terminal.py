"""The report on a terminal, or as plain text. Every text is a `Text`: rich never reads markup out of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from finetune_sdk.report import figures, labels, preferences
from finetune_sdk.report.cases import Case, Said, choose
from finetune_sdk.report.html import leakage
from finetune_sdk.report.slices import telling
from finetune_sdk.report.visible import short, visible, written

WIDTH = 100
STRIP = 25
EXAMPLES = 3
ANSWER = 300


def text(data: Mapping[str, Any]) -> str:
    """The report as plain text, 100 columns wide, without any escape sequence."""
    page = StringIO()
    console = Console(
        file=page, width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False, legacy_windows=False
    )
    show(data, console)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()).strip() + "\n"


def show(data: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints the report: the verdict first, then what it rests on."""
    console = console or Console()
    _heading(data, console)
    _metrics(data, console)
    _comparisons(data, console)
    _beside(data, console)
    _bullets(preferences.sentences(data), console)
    _estimate(data, console)
    _notes(data, console)
    _examples(data, console)


def _heading(data: Mapping[str, Any], console: Console) -> None:
    verdict = (data.get("verdict") or {}).get("sentence")
    if verdict:
        console.print(Text(visible(verdict), style="bold"))
    source = f" from {short(written(data['case_source']), 60)}" if data.get("case_source") else ""
    facts = (
        f"{figures.counted(data['cases'], 'case')}{source} · {figures.confidence(data['confidence'])} confidence"
        f" · {figures.day(visible(data['created']))}"
    )
    console.print(Text(f"{short(written(data['title']), 80)}\n{facts}", style="dim"))


def _metrics(data: Mapping[str, Any], console: Console) -> None:
    metrics = data.get("metrics") or []
    if not metrics:
        return
    cells = min(STRIP, console.width - 60)
    axis = "0%" + "100%".rjust(cells - 2) if cells >= 9 else ""
    table = _table("", "", axis, "rate", "interval", "passed")
    for column in table.columns[2:]:
        column.no_wrap, column.justify = True, "right"
    last = None
    for row in metrics:
        if last not in (None, row["evaluator"]):
            table.add_row()
        evaluator = "" if row["evaluator"] == last else short(written(row["evaluator"]), 24)
        last = row["evaluator"]
        known = None not in (row["rate"], row["low"], row["high"])
        table.add_row(
            Text(evaluator, style="bold"),
            Text(short(written(row["model"]), 20)),
            Text(_strip(row["rate"], row["low"], row["high"], cells) if known and axis else ""),
            Text(figures.percent(row["rate"]), style="bold"),
            Text(figures.between(row["low"], row["high"])),
            Text(f"{row['passed']} of {row['cases']}"),
        )
    console.print()
    console.print(table)


def _strip(rate: float, low: float, high: float, width: int) -> str:
    """An interval in characters: `·····├──●─┤····`."""
    left, dot, right = (round(min(max(part, 0.0), 1.0) * (width - 1)) for part in (low, rate, high))
    cells = ["·"] * width
    cells[left : right + 1] = ["─"] * (right - left + 1)
    cells[left], cells[right] = "├", "┤"
    cells[dot] = "●"
    return "".join(cells)


def _comparisons(data: Mapping[str, Any], console: Console) -> None:
    _bullets([visible(pair["sentence"]) for pair in (data.get("comparisons") or [])[:12]], console)


def _beside(data: Mapping[str, Any], console: Console) -> None:
    """What labels and slices tell, which answers changed, and what an answer costs, a sentence each."""
    pairs = [visible(pair["sentence"]) for pair in data.get("counterfactual") or []]
    costs = [visible(row["sentence"]) for row in (data.get("costs") or [])[:6]]
    slices = [telling(data)] if telling(data) else []
    _bullets([*labels.sentences(data), *slices, *pairs, *costs], console)


def _estimate(data: Mapping[str, Any], console: Console) -> None:
    origin = data.get("origin") or {}
    estimate, actual = origin.get("estimate") or {}, origin.get("actual") or {}
    table = _table("", "estimated", "actual", "", "basis")
    table.columns[1].justify = table.columns[2].justify = "right"
    for name, unit in figures.UNITS.items():
        figure, measured = estimate.get(name) or {}, actual.get(name)
        if figure.get("expected") is None and measured is None:
            continue
        standing = "" if measured is None else figures.standing(figure, measured)
        table.add_row(
            Text(figures.NAMES[name]),
            Text(figures.span(figure) if figure else "–"),
            Text("–" if measured is None else figures.amount(measured, unit), style="bold"),
            Text(standing, style="" if standing in ("", "within") else "yellow"),
            Text(short(written(figure.get("basis") or ""), 120), style="dim"),
        )
    if table.row_count:
        console.print()
        console.print(table)


def _notes(data: Mapping[str, Any], console: Console) -> None:
    notes = [short(written(note), 600) for note in (data.get("notes") or [])[:12]]
    notes += [leakage(data)] if leakage(data) else []
    _bullets(notes, console, style="dim")


def _bullets(sentences: Sequence[str], console: Console, style: str = "") -> None:
    table = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        table.add_row(Text("•"), Text(sentence, style=style))
    if sentences:
        console.print()
        console.print(table)


def _examples(data: Mapping[str, Any], console: Console) -> None:
    shown = choose(data, open_=EXAMPLES, folded=0)
    differing = [case for case in shown.open if case.differs]
    if not differing:
        return
    console.print()
    console.print(
        Text(
            f"{len(differing)} of {figures.counted(shown.differing, shown.unit)} where the models differ", style="bold"
        )
    )
    for case in differing:
        _example(case, console)


def _example(case: Case, console: Console) -> None:
    console.print()
    console.print(Text(f"Case {case.number}  {case.where}", style="dim"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text("asked", style="dim"), Text(_clipped(case.asked.whole)))
    if case.expected:
        table.add_row(Text("expected", style="dim"), Text(_clipped(case.expected.whole)))
    for one in case.said:
        sign = Text("✓ " if one.passed else "✗ ", style="green" if one.passed else "red")
        table.add_row(sign + Text(short(written(one.model), 20)), Text(_clipped(one.text.whole) or _nothing(one)))
        for reason in _reasons(one):
            table.add_row(Text(""), Text(reason, style="dim"))
    console.print(Padding(table, (0, 0, 0, 2)))


def _nothing(said: Said) -> str:
    return said.error or "(an empty answer)"


def _reasons(said: Said) -> Sequence[str]:
    error = [short(f"error: {said.error}", 160)] if said.error and said.text else []
    return error + [
        short(f"✗ {mark.evaluator}{': ' if mark.reason else ''}{mark.reason}", 160)
        for mark in said.marks
        if not mark.passed
    ]


def _clipped(whole: str) -> str:
    lines = whole.split("\n")
    kept = "\n".join(lines[:6])[:ANSWER]
    return kept if len(kept) == len(whole) else f"{kept.rstrip()} …"


def _table(*titles: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
    for title in titles:
        table.add_column(title, overflow="fold")
    return table

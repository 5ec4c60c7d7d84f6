"""What people and judges prefer, as a report shows it: a row for each, and sentences on agreement and on what judging took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finetune_sdk.estimate import quantity
from finetune_sdk.report import figures
from finetune_sdk.report.visible import short, written

_MOST = 30


@dataclass(frozen=True, slots=True)
class Preferred:
    """One row: who preferred which model, and how often."""

    who: str
    better: str
    than: str
    rate: float | None
    low: float | None
    high: float | None
    wins: int
    decided: int
    ties: int


def title(data: Mapping[str, Any]) -> str:
    kinds = {row["kind"] for row in data.get("preferences") or []}
    who = (
        "people and judges prefer" if len(kinds) > 1 else "the judge prefers" if kinds == {"judge"} else "people prefer"
    )
    return f"What {who}"


def rows(data: Mapping[str, Any]) -> list[Preferred]:
    return [
        Preferred(
            "People" if row["kind"] == "human" else short(written(row["reviewers"][0]), 60),
            row["better"],
            row["than"],
            row["rate"],
            row["low"],
            row["high"],
            row["wins"],
            row["wins"] + row["losses"],
            row["ties"],
        )
        for row in (data.get("preferences") or [])[:_MOST]
    ]


def sentences(data: Mapping[str, Any]) -> list[str]:
    """Each preference in words, then who agrees with whom, then what judging took."""
    found = (data.get("preferences") or [])[:_MOST]
    said = [row["sentence"] for row in found]
    said += [_agreement(pair) for row in found for pair in row["agreements"]]
    said += [_spent(row["reviewers"][0], row["spent"]) for row in found if row["spent"]]
    said += [_spent(f"{row['model']} ({row['evaluator']})", row) for row in (data.get("judges") or [])[:_MOST]]
    return [short(written(one), 1_000) for one in said]


def _agreement(pair: Mapping[str, Any]) -> str:
    rate = f"{figures.percent(pair['rate'])}, 95% interval {figures.between(pair['low'], pair['high'])}"
    said = f"{pair['one']} and {pair['other']} agree in {pair['agreed']} of {figures.counted(pair['cases'], 'case')} ({rate})"
    if pair["kappa"] is None:
        return f"{said}; kappa is not defined where both only ever chose the same."
    return (
        f"{said}; Cohen’s kappa {_signed(pair['kappa'])}, 95% interval {_signed(pair['kappa_low'])} to "
        f"{_signed(pair['kappa_high'])}."
    )


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _spent(who: str, spent: Mapping[str, Any]) -> str:
    said = f"Judging took {figures.counted(spent['answers'], 'answer')} of {who}"
    if spent["answers"] and spent["uncounted"] == spent["answers"]:
        return f"{said}, whose tokens its place does not count."
    missing = f" ({figures.counted(spent['uncounted'], 'answer')} not counted)" if spent["uncounted"] else ""
    cost = "" if spent["usd"] is None else f", {quantity(spent['usd'], 'USD')}"
    return f"{said}: {spent['input_tokens']:,} tokens in, {spent['output_tokens']:,} out{missing}{cost}."

"""Evaluators, models and reports that are not what they should be: said in words, and no answer is lost."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetune_sdk as ft
from finetune_sdk.evaluation.report import Report

CASES = ft.Dataset.of([{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(30)])


@dataclass(frozen=True)
class Strange:
    """Judges as it is told."""

    gives: Any
    pure: bool = True
    name: Any = "Strange"
    version: int = 1

    def judge(self, case: ft.Case, answer: ft.Answer) -> Any:
        return self.gives


@dataclass(frozen=True)
class Says:
    """Answers as it is told."""

    said: Any
    name: str = "says"
    origin: ft.Origin = field(default_factory=lambda: ft.Origin("test", "says"))

    def answer(self, asked: Any, sampling: Any = None) -> Any:
        return self.said

    def answers(self, asked: Any, sampling: Any = None) -> list[Any]:
        return [self.said for _ in asked]


def test_a_judge_that_says_only_yes_is_told_before_any_model_is_asked() -> None:
    with pytest.raises(ft.EvaluationError, match="not a Score"):
        ft.Evaluation(CASES, [Strange(gives=True)]).run(model=Says(None))


@pytest.mark.parametrize(
    "score", [ft.Score(True, None), ft.Score(True, value="x"), ft.Score(True, fields=None)], ids=str  # type: ignore[arg-type]
)  # fmt: skip
def test_a_score_that_cannot_be_kept_costs_no_answer(score: ft.Score) -> None:
    report = ft.Evaluation(CASES, [ft.ExactMatch(), Strange(score, pure=False)]).run(model=Says(ft.Answer("x")))
    assert report.metric("Strange", "model").errors == len(CASES)
    assert report.metric("ExactMatch", "model").cases == len(CASES)


@pytest.mark.parametrize("said", [None, "text", ft.Answer(None)], ids=str)  # type: ignore[arg-type]
def test_a_model_that_gives_no_answer_is_named(said: Any) -> None:
    with pytest.raises(ft.EvaluationError, match="says answered with"):
        ft.Evaluation(CASES, [ft.ExactMatch()]).run(model=Says(said))


@pytest.mark.parametrize("evaluators", [None, 3, [Strange(True, name=3)], [Strange(True, name="")]], ids=str)
def test_evaluators_that_are_none_are_refused(evaluators: Any) -> None:
    with pytest.raises(ft.EvaluationError):
        ft.Evaluation(CASES, evaluators)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ft.Length(max_characters="3"),  # type: ignore[arg-type]
        lambda: ft.Length(max_characters=float("nan")),  # type: ignore[arg-type]
        lambda: ft.FieldMatch(3),  # type: ignore[arg-type]
        lambda: ft.JSONSchema(None),  # type: ignore[arg-type]
    ],
)
def test_an_evaluator_of_wrong_parts_is_refused(make: Any) -> None:
    with pytest.raises(ft.EvaluationError):
        make()


@pytest.mark.parametrize(("part", "value"), [("created", 3), ("cases", "x"), ("verdict", {}), ("examples", None)])
def test_a_report_with_a_wrong_part_is_none(part: str, value: Any) -> None:
    data = ft.Evaluation(CASES, [ft.ExactMatch()]).run(model=Says(ft.Answer("x"))).to_dict()
    with pytest.raises(ft.EvaluationError, match=f"its {part} is not"):
        Report.from_dict(data | {part: value})


@pytest.mark.parametrize(
    ("value", "mean"),
    [(np.float32(0.5), 0.5), (np.int64(3), 3.0), (Decimal("1.5"), 1.5), (Fraction(1, 2), 0.5), (1e308, None)],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_numbers_of_other_libraries_are_numbers_in_the_file(value: Any, mean: float | None, tmp_path: Path) -> None:
    said = ft.Answer("x", input_tokens=np.int64(3), output_tokens=np.int64(1), seconds=np.float32(0.5))  # type: ignore[arg-type]
    report = ft.Evaluation(CASES, [Strange(ft.Score(True, value=value), pure=False)]).run(model=Says(said))
    again = Report.load(report.save(tmp_path / "report.json")).to_dict()
    score = again["metrics"][0]["score"]
    assert (score and score["mean"]) == mean
    assert again["models"][0]["tokens"] == {"input_mean": 3.0, "output_mean": 1.0}


def test_an_evaluator_that_ends_the_program_is_an_error_at_once() -> None:
    class Ends(Strange):
        def judge(self, case: ft.Case, answer: ft.Answer) -> Any:
            sys.exit("no such file")

    started = time.perf_counter()
    report = ft.Evaluation(CASES, [Ends(None, pure=False)]).run(model=Says(ft.Answer("x")))
    assert report.metric("Strange", "model").errors == len(CASES)
    assert "it raised SystemExit: no such file" in report.to_dict()["notes"][-1]
    assert time.perf_counter() - started < 30

"""Labels in a report: their places are never averaged, and what is taken for what is told label by label."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk.evaluation.evaluators import Evaluator
from scripted import Scripted, tickets

TEAMS = ("billing", "delivery", "other")
EXPECTED = ("billing", "billing", "billing", "delivery", "delivery", "other") * 6


def cases(expected: tuple[str, ...] = EXPECTED) -> ft.Dataset:
    rows = [
        ft.ChatExample((ft.Message("user", f"ticket {i}"), ft.Message("assistant", wanted)))
        for i, wanted in enumerate(expected)
    ]
    return ft.Dataset.of(rows, name="teams.jsonl")


def said(answers: dict[str, str], data: ft.Dataset) -> ft.Recorded:
    """A model that answers where a label is expected what `answers` has for it."""
    return ft.Recorded("said", [(row.prompt, ft.Answer(answers[row.answer.text])) for row in data])


def report(*evaluators: Evaluator, **models: dict[str, str]) -> ft.Report:
    data = cases()
    return ft.Evaluation(data, evaluators).run(**{key: said(one, data) for key, one in models.items()})


RIGHT = {each: each for each in TEAMS}
WRONG = {"billing": "billing", "delivery": "billing", "other": "nobody"}


def test_places_of_labels_and_numbers_that_were_said_are_never_averaged() -> None:
    numbers = cases(("7", "12", "99") * 12)
    same = ft.Recorded("same", [(row.prompt, ft.Answer(row.answer.text)) for row in numbers])
    for found in (
        report(ft.Labels(TEAMS), base=WRONG, tuned=RIGHT),
        ft.Evaluation(numbers, [ft.NumericMatch()]).run(base=same, tuned=same),
        ft.Evaluation(numbers, [ft.Bounded(ft.NumericMatch())]).run(base=same, tuned=same),
    ):
        data = found.to_dict()
        assert [row["score"] for row in data["metrics"] + data["comparisons"]] == [None] * 3
    measured = report(ft.LabelSets(TEAMS), base=RIGHT).to_dict()["metrics"][0]["score"]
    assert measured["mean"] == 1  # an F1 is a measure


def test_a_report_tells_which_label_is_taken_for_which() -> None:
    base, tuned = report(ft.Labels(TEAMS), base=WRONG, tuned=RIGHT).to_dict()["labels"]
    assert (base["evaluator"], base["model"], base["kind"], base["answers"]) == ("Labels", "base", "one", 36)
    assert base["matrix"] == [[18, 0, 0, 0], [12, 0, 0, 0], [0, 0, 0, 6]]
    assert base["confused"] == [
        {"expected": "delivery", "answered": "billing", "count": 12, "of": 12},
        {"expected": "other", "answered": None, "count": 6, "of": 6},
    ]
    assert base["labels"][0] == {
        "label": "billing", "right": 18, "extra": 12, "missed": 0, "precision": 0.6, "recall": 1.0, "f1": 0.75,
    }  # fmt: skip
    assert base["macro_f1"] == pytest.approx(0.25)
    assert base["micro"]["recall"] == base["accuracy"] == 0.5
    assert (tuned["macro_f1"], tuned["confused"]) == (1, [])


def test_sets_of_labels_and_entities_have_their_counts() -> None:
    [sets] = report(ft.LabelSets(TEAMS), tuned=WRONG).to_dict()["labels"]
    assert (sets["kind"], sets["labels"][1]["missed"], "matrix" in sets) == ("several", 12, False)
    spans = [json.dumps([{"label": "PER", "text": name}]) for name in ("Ada", "Max")]
    data = cases((spans[0],) * 4)
    found = ft.Evaluation(data, [ft.EntitySpans()]).run(
        good=said({spans[0]: spans[0]}, data), bad=said({spans[0]: spans[1]}, data), none=said({spans[0]: "?"}, data)
    )
    good, bad, none = found.to_dict()["labels"]
    assert (good["micro"]["f1"], bad["micro"]["f1"]) == (1, 0)
    assert (bad["labels"][0]["missed"], bad["labels"][0]["extra"]) == (4, 4)
    assert (none["labels"][0]["missed"], none["labels"][0]["extra"], none["answers"]) == (4, 0, 4)


def test_of_several_answers_to_a_case_each_counts_and_the_page_says_so() -> None:
    data = cases()
    drawn = ft.Evaluation(data, [ft.Labels(TEAMS)], samples=3, sampling=ft.Sampling(temperature=1.0))
    found = drawn.run(tuned=said(RIGHT, data))
    [row] = found.to_dict()["labels"]
    assert (row["answers"], row["matrix"][0][0]) == (108, 54)
    assert "Each of the 3 answers to a case counts." in found._repr_html_()


def test_answers_that_never_came_are_left_out() -> None:
    half = Scripted(128, fails_at=(1,))
    found = ft.Evaluation(tickets(128), [ft.Labels(("a", "b"), field="label")]).run(tuned=half).to_dict()
    [row] = found["labels"]
    assert (row["answers"], row["left_out"], row["matrix"]) == (64, 64, [[32, 0, 0], [0, 32, 0]])


def test_an_evaluator_of_ones_own_that_judges_labels_otherwise_is_not_counted_as_labels() -> None:
    @dataclass(frozen=True)
    class Mine(ft.Labels):
        def judge(self, case: ft.Case, answer: ft.Answer) -> ft.Score:
            return ft.Score(True, value=1e9)

    assert "labels" not in report(Mine(TEAMS), tuned=RIGHT).to_dict()


def test_many_labels_have_no_matrix_and_still_their_most_confused_pairs() -> None:
    many = tuple(f"intent {i}" for i in range(150))
    data = cases(many)
    turned = dict(zip(many, (*many[1:], many[0]), strict=True))
    found = ft.Evaluation(data, [ft.Labels(many)]).run(tuned=said(turned, data))
    [row] = found.to_dict()["labels"]
    assert (row["matrix"], len(row["confused"])) == (None, 150)
    page = found._repr_html_()
    assert "what tuned confuses most" in page
    assert "30 labels beside these are not kept in this page" in page


def test_the_confusions_are_on_every_kind_of_report(tmp_path: Path) -> None:
    found = report(ft.Labels(TEAMS), base=WRONG, tuned={**RIGHT, "delivery": "other"})
    sentence = "tuned has a macro F1 of 0.500 (micro 0.667); most often it says “other” where “delivery” is expected (12 of 12)."
    assert sentence in " ".join(str(found).split())
    page = found.save(tmp_path / "report.html").read_text("utf-8")
    assert sentence in page
    assert "Label by label" in page
    written = found.save(tmp_path / "report.md").read_text("utf-8")
    assert sentence in written
    assert "| delivery | tuned | – | 0.000 | 0.000 |" in written
    kept = found.save(tmp_path / "report.json")
    assert ft.Report.load(kept).to_dict()["labels"] == found.to_dict()["labels"]


def test_labels_that_are_markup_stay_text(tmp_path: Path) -> None:
    evil = ("<img src=x onerror=alert(1)>", "</td><script>alert(1)</script>", "\u202e=cmd|' /C calc'!A0")
    data = cases(evil * 8)
    found = ft.Evaluation(data, [ft.Labels(evil)]).run(
        tuned=said(dict(zip(evil, (*evil[1:], evil[0]), strict=True)), data)
    )
    page = found.save(tmp_path / "report.html").read_text("utf-8")
    assert "<img" not in page
    assert "<script>alert" not in page
    assert "\u202e" not in page

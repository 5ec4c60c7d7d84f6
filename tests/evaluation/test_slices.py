"""Slices: the same evaluation by label, length, source or a column, with intervals, corrected for many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError, EvaluationError
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.evaluation.evaluators import ExactMatch
from finetune_sdk.evaluation.slices import MOST_VALUES
from finetune_sdk.evaluation.statistics import fisher_exact, wilson
from finetune_sdk.messages import ChatExample, Message
from finetune_sdk.model import Answer, Recorded, Sampling


def chat(asked: str, expected: str) -> ChatExample:
    return ChatExample((Message("user", asked), Message("assistant", expected)))


def written(path: Path, groups: list[str], split: bool = False) -> Dataset:
    rows = [
        {
            "messages": [{"role": "user", "content": f"case {i}"}, {"role": "assistant", "content": "ab"[i % 2]}],
            "region": group,
            "metadata": {"shift": "night" if i % 3 else "day"},
        }
        for i, group in enumerate(groups)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    data = Dataset.load(path, columns={"messages": "messages"})  # without it, a chat file may hold nothing else
    return data.split(test=0.5, seed=1)[2] if split else data


def judged(cases: Dataset, wrong: set[int], **options: object) -> Report:
    """A model that is right in all cases but those of the numbers in `wrong`."""
    rows = [case for case in cases if isinstance(case, ChatExample)]
    said = [
        (row.prompt, Answer("?" if int(row.prompt.messages[0].text.split()[1]) in wrong else row.answer.text))
        for row in rows
    ]
    return Evaluation(cases, [ExactMatch()], **options).run(tuned=Recorded("tuned", said))  # type: ignore[arg-type]


def test_a_column_of_the_file_that_no_format_reads_makes_slices(tmp_path: Path) -> None:
    groups = ["north"] * 40 + ["south"] * 20
    found = judged(written(tmp_path / "cases.jsonl", groups), set(range(40, 52)), slices=["region"])
    north, south = found.slices(by="region")
    assert (north["value"], north["passed"], north["cases"]) == ("north", 40, 40)
    assert (south["value"], south["passed"], south["cases"]) == ("south", 8, 20)
    assert (south["low"], south["high"]) == wilson(8, 20)
    assert south["difference"] == pytest.approx(-0.6)
    assert south["apart_low"] < -0.6 < south["apart_high"] < 0
    assert south["p"] == pytest.approx(fisher_exact(8, 20, 40, 40))
    assert south["adjusted"] == north["adjusted"] == pytest.approx(south["p"])


def test_a_column_follows_the_rows_through_a_split_and_leads_inside(tmp_path: Path) -> None:
    held = written(tmp_path / "cases.jsonl", [f"r{i % 3}" for i in range(60)], split=True)
    numbers = [held.line(index) - 1 for index in range(len(held))]
    assert 0 < len(held) < 60
    assert held.column("region") == [f"r{number % 3}" for number in numbers]
    assert held.column("metadata.shift") == ["night" if number % 3 else "day" for number in numbers]


def test_a_table_has_columns_too(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("prompt,completion,team\ncase 0,a,x\ncase 1,b,y\ncase 2,a,x\n")
    assert Dataset.load(path).column("team") == ["x", "y", "x"]
    path.write_text("question,answer,team\ncase 0,a,x\ncase 1,b,y\n")
    renamed = Dataset.load(path, columns={"prompt": "question", "completion": "answer"})
    assert renamed.column("team") == ["x", "y"]


def test_a_column_that_there_is_not_is_named(tmp_path: Path) -> None:
    cases = written(tmp_path / "cases.jsonl", ["north", "south"])
    with pytest.raises(DatasetError, match="no row has a 'regoin'"):
        judged(cases, set(), slices=["regoin"])
    with pytest.raises(DatasetError, match="not loaded from a file"):
        Dataset.of([chat("case 1", "a")]).column("region")


def test_functions_and_lists_of_values_make_slices_too() -> None:
    cases = Dataset.of([chat(f"case {i}", "ab"[i % 2]) for i in range(20)])
    found = judged(
        cases, {1, 3}, slices={"parity": lambda case: case.index % 2, "half": ["first"] * 10 + ["last"] * 10}
    )
    assert [(row["by"], row["value"], row["passed"]) for row in found.slices()] == [
        ("parity", "0", 10),
        ("parity", "1", 8),
        ("half", "first", 8),
        ("half", "last", 10),
    ]
    with pytest.raises(EvaluationError, match="the slice 'x' raised KeyError"):
        judged(cases, set(), slices={"x": lambda case: {}["no"]})
    with pytest.raises(EvaluationError, match="2 values, and there are 20 cases"):
        judged(cases, set(), slices={"x": ["a", "b"]})
    with pytest.raises(EvaluationError, match="the slices are 'length'"):
        judged(cases, set(), slices="length")


def test_label_length_and_source_are_told_apart_unasked_where_they_divide_the_cases() -> None:
    cases = Dataset.of([chat(f"case {i} {'long ' * (i % 3)}", "ab"[i % 2]) for i in range(30)], name="t.jsonl")
    found = judged(cases, set())
    assert list(dict.fromkeys(row["by"] for row in found.slices())) == ["label", "length"]
    assert [row["value"] for row in found.slices(by="label")] == ["a", "b"]
    values = [row["value"] for row in found.slices(by="length")]
    assert values[0].startswith("below ")
    assert values[2].endswith("and more")
    assert judged(cases, set(), slices=()).slices() == []


def test_a_language_is_told_by_its_words() -> None:
    german = "case {} bitte sagen sie mir, was das ist und warum ich es nicht auf der Rechnung sehen kann, die ihr mir gestern geschickt habt"
    english = "case {} please tell me what this is and why I can not see it on the bill that you have sent to me for the last month"
    cases = Dataset.of([chat((german if i % 2 else english).format(i), "a") for i in range(20)])
    found = judged(cases, set(), slices=["language"])
    assert [row["value"] for row in found.slices()] == ["English", "German"]


def test_many_values_are_the_most_frequent_ones_and_others() -> None:
    cases = Dataset.of([chat(f"case {i}", "a") for i in range(200)])
    found = judged(cases, set(), slices={"id": lambda case: f"v{case.index // 4}"})
    values = [row["value"] for row in found.slices()]
    assert len(values) == MOST_VALUES + 1
    assert values[-1] == "other"


def test_of_slices_that_do_not_matter_hardly_ever_one_seems_to() -> None:
    import numpy as np

    random = np.random.default_rng(7)
    cases = Dataset.of([chat(f"case {i}", "a") for i in range(120)])
    alarms = 0
    for _ in range(40):
        marks = random.integers(0, 8, 120).tolist()
        wrong = set(np.flatnonzero(random.random(120) < 0.3).tolist())
        rows = judged(cases, wrong, slices={"group": [str(mark) for mark in marks]}).slices()
        alarms += any(row["adjusted"] < 0.05 for row in rows)
        assert all(row["p"] <= row["adjusted"] for row in rows)
    assert alarms <= 5


def test_cases_of_one_group_widen_every_interval(tmp_path: Path) -> None:
    cases = written(tmp_path / "cases.jsonl", [f"r{i // 6}" for i in range(240)])
    wrong = set(range(120))
    apart, together = judged(cases, wrong), judged(cases, wrong, group="region")
    one, other = apart.metric("ExactMatch", "tuned"), together.metric("ExactMatch", "tuned")
    assert one.rate == other.rate == 0.5
    assert one.low is not None
    assert other.low is not None
    assert other.low < one.low - 0.05
    assert together.to_dict()["groups"] == 40
    assert all(row["p"] is None and row["apart_low"] is not None for row in together.slices())


def test_a_report_names_the_slices_that_it_has(tmp_path: Path) -> None:
    found = judged(written(tmp_path / "cases.jsonl", ["north", "south"] * 20), set(), slices=["region"])
    assert len(found.slices(by="region", on="ExactMatch", model="tuned")) == 2
    with pytest.raises(EvaluationError, match="no slices of 'team'"):
        found.slices(by="team")


def test_several_answers_to_a_case_are_one_case_in_slices_and_gates() -> None:
    cases = Dataset.of([chat(f"case {i}", "ab"[i % 2]) for i in range(20)])
    said = [(row.prompt, Answer(row.answer.text)) for row in cases if isinstance(row, ChatExample)]
    models = {"base": Recorded("base", said), "tuned": Recorded("tuned", said)}
    drawn = Sampling(temperature=0.7)
    found = Evaluation(cases, [ExactMatch()], sampling=drawn, samples=3, slices=["label"]).run(**models)  # type: ignore[arg-type]
    assert [row["cases"] for row in found.slices(model="tuned")] == [10, 10]
    assert found.gate("tuned", "base", "ExactMatch").checks[0].cases == 20
    assert found.to_dict()["groups"] is None


def test_long_values_that_begin_alike_are_not_one(tmp_path: Path) -> None:
    names = [f"https://example.org/customers/of/a/region/with/a/long/name/{i // 3}" for i in range(30)]
    cases = written(tmp_path / "cases.jsonl", names)
    report = judged(cases, set(range(5)), slices=["region"], group="region")
    assert report.to_dict()["groups"] == 10
    values = [row["value"] for row in report.slices(by="region")]
    assert (len(set(values)), max(map(len, values)) < 70) == (10, True)

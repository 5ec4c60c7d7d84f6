"""The mark of rows that a model wrote: it goes wherever the row goes, and is no part of what the row says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.checks import QUICK
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.formats import FORMATS, named
from finetune_sdk.errors import DatasetError
from finetune_sdk.evaluation.evaluation import Evaluation
from finetune_sdk.evaluation.evaluators import ExactMatch
from finetune_sdk.job import Job
from finetune_sdk.messages import ChatExample, Message
from finetune_sdk.model import Answer, Prompted, Recorded
from rows import chat, pair

Writer = Callable[..., Path]
ROWS: dict[str, dict[str, Any]] = {
    "openai": chat("2 and 2?", "4"),
    "openai-preference": pair("2 and 2?", "4", "5"),
    "sharegpt": {"conversations": [{"from": "human", "value": "2 and 2?"}, {"from": "gpt", "value": "4"}]},
    "alpaca": {"instruction": "2 and 2?", "input": "", "output": "4"},
    "prompt-completion": {"prompt": "2 and 2?", "completion": "4"},
    "trl-preference": {"prompt": "2 and 2?", "chosen": "4", "rejected": "5"},
    "trl-kto": {"prompt": "2 and 2?", "completion": "4", "label": True},
    "text": {"text": "Two and two is four."},
}


def marks(dataset: Dataset) -> list[str | None]:
    return [row.get("synthetic") for row in dataset.rows()]


def test_every_format_but_that_of_tasks_has_a_row_here() -> None:
    assert {form.name for form in FORMATS} - ROWS.keys() == {"openai-rft"}


@pytest.mark.parametrize("name", ROWS)
def test_a_mark_is_read_written_and_carried_by_the_example(write: Writer, tmp_path: Path, name: str) -> None:
    dataset = Dataset.load(write(ROWS[name], {**ROWS[name], "synthetic": "gpt-5"}))
    assert marks(dataset) == [None, "gpt-5"]
    assert [getattr(example, "synthetic", 0) for example in dataset] == [None, "gpt-5"]
    assert [finding.check for finding in dataset.check() if finding.check == "unread"] == []
    dataset.save(tmp_path / "again.jsonl", name)
    assert list(Dataset.load(tmp_path / "again.jsonl", name).rows()) == list(dataset.rows())
    assert list(Dataset.of(list(dataset)).rows()) == list(dataset.rows())


@pytest.mark.parametrize("name", ROWS)
def test_a_marked_row_is_an_exact_duplicate_of_one_that_is_not(name: str) -> None:
    plain, synthetic = (Dataset.of([row]) for row in (ROWS[name], {**ROWS[name], "synthetic": "gpt-5"}))
    assert plain.fingerprint == synthetic.fingerprint
    assert plain[0] == synthetic[0]
    assert "repeats an earlier one" in Dataset.of([*plain, *synthetic]).check(QUICK)[0].message
    assert len(list(Dataset.of([*plain, *synthetic]).fix().rows())) == 1


@pytest.mark.parametrize("name", ROWS)
def test_rows_can_be_written_without_their_marks(tmp_path: Path, name: str) -> None:
    dataset = Dataset.of([{**ROWS[name], "synthetic": "gpt-5"}])
    dataset.save(tmp_path / "plain.jsonl", name, marks=False)
    written = json.loads((tmp_path / "plain.jsonl").read_text())
    assert "synthetic" not in written
    assert written.keys() <= (named(name).known or set())


def test_marks_survive_packing_splitting_sampling_mixing_and_mending(tmp_path: Path) -> None:
    rows = [
        {**chat(f"What is {n} and {n}? ", f"{2 * n}."), **({"synthetic": "gpt-5"} if n % 3 else {})} for n in range(60)
    ]
    whole = Dataset.of(rows, name="sums")
    whole.save(tmp_path / "rows.jsonl.gz")
    loaded = Dataset.load(tmp_path / "rows.jsonl.gz")
    assert marks(loaded) == marks(whole)
    sides = [side for side in loaded.split(test=0.3, seed=1) if len(side)]
    assert sum(marks(side).count("gpt-5") for side in sides) == 40
    assert set(marks(loaded.sample(30))) == {None, "gpt-5"}
    mixed = Dataset.mix({loaded: 0.8, Dataset.of([{**chat("Hi", "Hello"), "synthetic": "other"}] * 15): 0.2})
    assert marks(mixed).count("other") == 15
    mixed.save(tmp_path / "mixed.jsonl")
    assert marks(Dataset.load(tmp_path / "mixed.jsonl")) == marks(mixed)
    assert [row.get("synthetic") for row in whole.fix().rows()] == marks(whole)


def test_tables_have_marks_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion,synthetic\n2 and 2?,4,gpt-5\n3 and 3?,6,\n4 and 4?,8,TRUE\n5 and 5?,10,false\n")
    assert marks(Dataset.load(path)) == ["gpt-5", None, "a model that is not named", None]
    path.write_text("q,a,by\n2 and 2?,4,gpt-5\n")
    assert marks(Dataset.load(path, columns={"prompt": "q", "completion": "a", "synthetic": "by"})) == ["gpt-5"]


@pytest.mark.parametrize(
    ("mark", "read"),
    [(True, "a model that is not named"), (False, None), (None, None), (" ", None), (" gpt-5 ", "gpt-5")],
)
def test_what_files_say_about_synthetic_rows_is_understood(write: Writer, mark: Any, read: str | None) -> None:
    assert marks(Dataset.load(write({**chat("a", "b"), "synthetic": mark}))) == [read]


@pytest.mark.parametrize("mark", [0.5, ["gpt-5"], {"by": "gpt-5"}])
def test_a_mark_that_names_nothing_is_an_error(write: Writer, mark: Any) -> None:
    with pytest.raises(DatasetError, match=r"line 1: `synthetic` is .*, not the name") as caught:
        Dataset.load(write({**chat("a", "b"), "synthetic": mark}))
    assert caught.value.cure


def test_frames_and_examples_have_marks_as_files_have_them() -> None:
    pandas = pytest.importorskip("pandas")
    columns = {"prompt": ["a", "b", "c"], "completion": ["1", "2", "3"]}
    assert marks(Dataset.of(pandas.DataFrame({**columns, "synthetic": ["gpt-5", None, float("nan")]}))) == [
        "gpt-5",
        None,
        None,
    ]
    assert marks(Dataset.of(pandas.DataFrame({**columns, "synthetic": [False, False, True]})))[1:] == [
        None,
        "a model that is not named",
    ]
    half = ChatExample((Message("user", "a"), Message("assistant", "b")), synthetic="\ud800")
    with pytest.raises(DatasetError, match="no text that can be kept"):
        Dataset.of([half])


def test_a_mark_is_not_part_of_what_is_asked_and_a_graders_reference_stays_one(write: Writer) -> None:
    inside = {**pair("a", "b", "c"), "input": {"messages": [{"role": "user", "content": "a"}], "synthetic": "gpt-5"}}
    with pytest.raises(DatasetError, match="'synthetic' is not part of a chat row"):
        Dataset.load(write(inside))
    (task,) = Dataset.of([{"messages": [{"role": "user", "content": "a"}], "synthetic": "yes"}]).rows()
    assert task["reference"] == {"synthetic": "yes"}


def test_a_job_is_the_same_whatever_its_marks(write: Writer) -> None:
    plain = [chat(f"{n}?", f"{n}.") for n in range(4)]
    one, other = Dataset.of(plain), Dataset.of([{**row, "synthetic": "gpt-5"} for row in plain])
    assert Job(name="a", train=one).fingerprint == Job(name="a", train=other).fingerprint


def test_a_marked_example_in_a_prompt_is_still_seen_to_leak() -> None:
    cases = Dataset.of([chat(f"{n}?", f"{n}.") for n in range(3)])
    shown = ChatExample((Message("user", "1?"), Message("assistant", "1.")), synthetic="gpt-5")
    model = Prompted(Recorded("kept", [(f"{n}?", Answer("?")) for n in range(3)]), examples=[shown])
    with pytest.raises(Exception, match="1 of 3 cases stand in what base was trained on"):
        Evaluation(cases, [ExactMatch()]).run(base=model)


def test_a_check_says_how_many_rows_are_synthetic_and_by_which_model() -> None:
    rows = [{**chat(f"{n}?", f"{n}."), **({"synthetic": "ab"[n % 2]} if n < 7 else {})} for n in range(20)]
    (found,) = [finding for finding in Dataset.of(rows).check() if finding.check == "synthetic"]
    assert found.severity == "note"
    assert found.message == "7 rows were written by a model, 35% of all: a (4), b (3)."
    assert (found.rows, found.count) == ((1, 2, 3, 4, 5, 6, 7), 7)

"""The to-do list of an evaluation: what failed and why, for a person to read, and never a dataset by accident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError, EvaluationError
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.evaluation.evaluators import ExactMatch, Length
from finetune_sdk.messages import ChatExample, Message, ToolCall
from finetune_sdk.todo import read_todo
from scripted import Scripted, report

TOOL = {"type": "function", "function": {"name": "track", "parameters": {"type": "object"}}}


@pytest.fixture
def todo(tmp_path: Path) -> Path:
    path = tmp_path / "todo.jsonl"
    assert report(cases=30, base=5, tuned=28).save_failures(path) == 2
    return path


def test_a_failed_case_stands_with_its_prompt_what_was_said_and_why_it_fails(todo: Path) -> None:
    first = json.loads(todo.read_text().splitlines()[0])
    assert first["held_out"] == {
        "where": "tickets.jsonl row 29",
        "messages": [{"role": "system", "content": "Answer in JSON."}, {"role": "user", "content": "ticket 28"}],
        "expected": '{"label": "a"}',
    }
    assert (first["model"], first["answer"]) == ("tuned", "no idea")
    assert first["failed"].keys() == {"JSONSchema", "FieldMatch"}
    assert "not JSON" in first["failed"]["JSONSchema"]
    assert "stays held out" in first["todo"]


def test_the_list_comes_back_as_it_was_written(todo: Path) -> None:
    assert [case.to_dict() for case in read_todo(todo)] == [json.loads(line) for line in todo.read_text().splitlines()]


def test_one_evaluator_or_another_model_can_be_meant(tmp_path: Path) -> None:
    found = report(cases=30, base=5, tuned=28)
    assert found.save_failures(tmp_path / "todo.jsonl", "base", "FieldMatch") == 25
    assert {*read_todo(tmp_path / "todo.jsonl")[0].failed} == {"FieldMatch"}
    assert len(found.failures()) == 2
    with pytest.raises(EvaluationError, match="no evaluator 'BLEU'"):
        found.save_failures(tmp_path / "todo.jsonl", on="BLEU")


def test_what_a_place_did_not_answer_teaches_nothing(tmp_path: Path) -> None:
    rows = Dataset.of([ChatExample((Message("user", f"ticket {n}"), Message("assistant", "x"))) for n in range(3)])
    found = Evaluation(rows, [ExactMatch()]).run(tuned=Scripted(0, fails_at=(0,)))
    assert found.save_failures(tmp_path / "todo.jsonl") == 0
    with pytest.raises(DatasetError, match="holds no failed case"):
        read_todo(tmp_path / "todo.jsonl")


def test_tools_and_wrong_calls_and_odd_letters_are_kept(tmp_path: Path) -> None:
    calls = (ToolCall("track", {"order": "AB-1"}),)
    rows = Dataset.of([ChatExample((Message("user", "\u202ea\u2028 1"), Message("assistant", None, calls)), (TOOL,))])
    found = Report.from_dict(
        Evaluation(rows, [ExactMatch(), Length(max_characters=1)]).run(tuned=Scripted(0)).to_dict()
    )
    assert found.save_failures(tmp_path / "todo.jsonl") == 1
    (case,) = read_todo(tmp_path / "todo.jsonl")
    assert case.tools == (TOOL,)
    assert case.messages == (("user", "\u202ea\u2028 1"),)
    assert json.loads(case.expected or "") == {"name": "track", "arguments": {"order": "AB-1"}}


@pytest.mark.parametrize("form", [None, "openai", "openai-rft", "prompt-completion"])
def test_a_to_do_list_is_refused_as_a_dataset(todo: Path, form: str | None) -> None:
    with pytest.raises(DatasetError) as caught:
        Dataset.load(todo, form)
    assert caught.value.cure
    if form is None:
        assert "held out" in caught.value.message
        assert "drafts write" in caught.value.cure


def test_no_mapping_of_columns_makes_a_dataset_of_it(todo: Path) -> None:
    with pytest.raises(DatasetError):
        Dataset.load(todo, columns={"prompt": "held_out", "completion": "answer"})
    with pytest.raises(DatasetError, match="to-do list"):
        Dataset.of([json.loads(line) for line in todo.read_text().splitlines()])


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "null", "{}", '{"held_out": []}', '{"messages": []}', "[" * 50_000,
     '{"held_out": {"where": "a", "messages": [{"role": "user", "content": 3}], "expected": null}, "model": "a", "answer": "b", "failed": {}}'],
    ids=range(8),
)  # fmt: skip
def test_a_line_that_is_no_failed_case_is_named(todo: Path, line: str) -> None:
    with todo.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DatasetError, match=r"todo\.jsonl line 3 is no failed case") as caught:
        read_todo(todo)
    assert caught.value.cure


def test_a_list_that_cannot_be_written_or_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be written"):
        report(cases=3, base=0).save_failures(tmp_path / "absent" / "todo.jsonl")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_todo(tmp_path / "absent.jsonl")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match="not text in UTF-8"):
        read_todo(tmp_path / "bytes")

"""What is saved comes back as the same rows: as CSV, as Parquet; what a table cannot hold is refused by name."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.writers import tables
from finetune_sdk.errors import DatasetError, MissingDependencyError
from rows import chat, pair

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": {"y": [1, null]}}'}}
CALLING = {
    "messages": [
        {"role": "user", "content": "a", "name": "kim"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "content": "3", "tool_call_id": "c"},
        {"role": "assistant", "content": "b", "weight": 0},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": None, "refusal": "I cannot."},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}, "default": None}}}],
    "parallel_tool_calls": False,
}  # fmt: skip
TALK = {"messages": [*chat("a", "b")["messages"], *chat("c", "d")["messages"]]}
anything = st.text(max_size=20) | st.sampled_from(
    [
        "=SUM(A1)",
        "+1",
        "-1",
        "@x",
        '"',
        '""',
        "a\r\nb",
        "a\rb",
        "\n",
        ",;\t",
        " a ",
        "\ufeff",
        "\0",
        "\u2028",
        "NULL",
        "nan",
        "ä🛒",
    ]
)
something = anything.filter(lambda text: bool(text.strip()))
questions = st.lists(st.tuples(st.none() | something, anything, something), min_size=1, max_size=6)


def asked(system: str | None, question: str, answer: str) -> dict[str, Any]:
    first = [{"role": "system", "content": system}] if system else []
    return {"messages": [*first, *chat(question, answer)["messages"]]}


def same_again(dataset: Dataset, path: Path, form: str | None = None) -> None:
    dataset.save(path, form)
    again = Dataset.load(path)
    assert list(again.rows()) == list(dataset.rows())
    assert again.fingerprint == dataset.fingerprint


@pytest.mark.parametrize("form", ["prompt-completion", "alpaca"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.tsv", "rows.tsv.gz", "rows.parquet"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=questions)
@example(rows=[(None, "=cmd|' /C calc'!A0", '"'), ("x", "", "\r")])
def test_questions_and_answers_come_back_exactly(tmp_path: Path, form: str, name: str, rows: list[Any]) -> None:
    same_again(Dataset.of([asked(*row) for row in rows]), tmp_path / name, form)


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(something, min_size=1, max_size=6))
def test_texts_come_back_exactly(tmp_path: Path, name: str, texts: list[str]) -> None:
    same_again(Dataset.of([{"text": text} for text in texts]), tmp_path / name)


message = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": something},
    optional={"name": something, "weight": st.sampled_from([0, 1])},
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(st.lists(message, max_size=3), min_size=1, max_size=4), more=st.booleans())
def test_messages_come_back_from_parquet_exactly(tmp_path: Path, turns: list[Any], more: bool) -> None:
    rows = [{"messages": [*chat("a", "b")["messages"], *row, {"role": "assistant", "content": "z"}]} for row in turns]
    same_again(Dataset.of([*rows, *([CALLING] if more else [])]), tmp_path / "rows.parquet")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"prompt": "a", "completion": "b", "label": False},
        {"prompt": [{"role": "user", "content": "a"}], "completion": "b", "label": True, "tools": CALLING["tools"]},
    ],
)
def test_pairs_and_ratings_come_back_from_parquet_exactly(tmp_path: Path, row: Any) -> None:
    same_again(Dataset.of([row]), tmp_path / "rows.parquet")


def test_a_table_says_what_its_columns_are(tmp_path: Path) -> None:
    Dataset.of([chat("=1+1", "b"), asked("x", "c", "d")]).save(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["system", "prompt", "completion"], ["", "=1+1", "b"], ["x", "c", "d"]]
    parquet = pytest.importorskip("pyarrow.parquet")
    Dataset.of([chat("a", "b")]).save(tmp_path / "rows.parquet")
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == [chat("a", "b")]


def test_a_name_in_tsv_makes_a_table_with_tabs(tmp_path: Path) -> None:
    Dataset.of([chat("a, b", "c")]).save(tmp_path / "rows.tsv")
    assert (tmp_path / "rows.tsv").read_bytes() == b"prompt\tcompletion\r\na, b\tc\r\n"


def test_many_rows_are_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GROUP_ROWS", 7)
    monkeypatch.setattr(tables, "GROUP_BYTES", 300)
    parquet = pytest.importorskip("pyarrow.parquet")
    same_again(Dataset.of([chat(f"{n}", "b" * n) for n in range(1, 50)]), tmp_path / "rows.parquet")
    assert parquet.ParquetFile(tmp_path / "rows.parquet").num_row_groups > 7


PARTS = {
    "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "assistant", "content": "b"}]
}
HEAVY = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 1.0}]}


@pytest.mark.parametrize(
    ("row", "name", "form", "said"),
    [
        (TALK, "rows.csv", None, "talk row 2: this row is more than one question and one answer"),
        (TALK, "rows.csv", "alpaca", "talk row 2: this row is more"),
        (TALK, "rows.parquet", "prompt-completion", "talk row 2: this row is more"),
        (PARTS, "rows.parquet", None, "talk row 2: the row holds what a column of Parquet cannot"),
        (HEAVY, "rows.parquet", None, "talk row 2: the row holds what"),
        (CALLING, "rows.csv", "openai", "CSV cannot hold the format 'openai'"),
        (CALLING, "rows.parquet", "sharegpt", "Parquet cannot hold the format 'sharegpt'"),
        (CALLING, "rows.parquet", "text", "text holds text examples"),
        (chat("a", "b" * (16 << 20)), "rows.csv", None, "talk row 2: the row is too long for CSV"),
        (CALLING, "rows.parquet.gz", None, "packed twice"),
    ],
)  # fmt: skip
def test_a_row_that_a_table_cannot_hold_is_named_and_nothing_is_written(
    tmp_path: Path, row: Any, name: str, form: str | None, said: str
) -> None:
    (tmp_path / name).write_text("earlier")
    with pytest.raises(DatasetError, match=said) as caught:
        Dataset.of([chat("a", "b"), row], name="talk").save(tmp_path / name, form)
    assert caught.value.cure
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "earlier"


def test_kinds_that_a_table_cannot_hold_are_sent_to_json_lines(tmp_path: Path) -> None:
    task = {"messages": [{"role": "user", "content": "a"}], "answer": 4}
    for row, name in ((task, "rows.csv"), (task, "rows.parquet"), (pair("a", "b", "c"), "rows.csv")):
        with pytest.raises(DatasetError, match="cannot hold") as caught:
            Dataset.of([row]).save(tmp_path / name)
        assert "jsonl" in str(caught.value.cure)


def test_parquet_without_pyarrow_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingDependencyError) as caught:
        Dataset.of([chat("a", "b")]).save(tmp_path / "rows.parquet")
    assert caught.value.cure == "pip install 'finetune-anywhere[data]'"
    assert os.listdir(tmp_path) == []


def test_what_is_mended_can_be_a_table(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(chat(text, "b")) + "\n" for text in ("a ", "a", "c")))
    for name in ("fixed.csv", "fixed.parquet"):
        Dataset.load(file).fix().save(tmp_path / name)
        assert [row["messages"][0]["content"] for row in Dataset.load(tmp_path / name).rows()] == ["a", "c"]


def test_messages_and_tools_may_be_json_text_in_a_table(tmp_path: Path) -> None:
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    rows = [{key: json.dumps(value) if key in ("messages", "tools") else value for key, value in CALLING.items()}]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    wanted = Dataset.of([CALLING]).fingerprint
    assert Dataset.load(tmp_path / "rows.parquet").fingerprint == wanted
    assert Dataset.of(arrow.Table.from_pylist(rows)).fingerprint == wanted

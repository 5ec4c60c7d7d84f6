"""Tables and frames: columns under other names, cells without a value, rows that go through a spool."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.readers import lines, tables
from finetune_sdk.data.spool import Spool
from finetune_sdk.errors import DatasetError, MissingDependencyError
from rows import chat

ROWS = [{"question": f"What is {n}?", "answer": f"It is {n}.", "mood": "good"} for n in range(5)]
COLUMNS = {"prompt": "question", "completion": "answer"}
CHATS = [chat(f"What is {n}?", f"It is {n}.") for n in range(5)]


def pandas_frame(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("pandas").DataFrame(rows)


def arrow_table(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("pyarrow").Table.from_pylist(rows)


def hub_dataset(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("datasets").Dataset.from_list(rows)


def polars_frame(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("polars").DataFrame(rows)


FRAMES = [pandas_frame, polars_frame, arrow_table, hub_dataset]


def in_lines(path: Path) -> None:
    path.write_text("\n".join(map(json.dumps, ROWS)))


def in_array(path: Path) -> None:
    path.write_text(json.dumps(ROWS))


def in_csv(path: Path) -> None:
    path.write_text("question,answer,mood\n" + "".join(f"{r['question']},{r['answer']},{r['mood']}\n" for r in ROWS))


def in_parquet(path: Path) -> None:
    pytest.importorskip("pyarrow.parquet").write_table(arrow_table(ROWS), path)


@pytest.mark.parametrize("write", [in_lines, in_array, in_csv, in_parquet])
def test_columns_under_other_names_are_the_same_rows(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "rows")
    dataset = Dataset.load(tmp_path / "rows", columns=COLUMNS)
    assert dataset.fingerprint == Dataset.of(CHATS).fingerprint
    assert dataset.check() == ()


@pytest.mark.parametrize("make", FRAMES)
def test_a_frame_is_the_same_rows(make: Callable[[list[dict[str, Any]]], Any]) -> None:
    assert Dataset.of(make(ROWS), columns=COLUMNS).fingerprint == Dataset.of(CHATS).fingerprint
    assert Dataset.of(ROWS, columns=COLUMNS).fingerprint == Dataset.of(CHATS).fingerprint


@pytest.mark.parametrize("make", FRAMES)
def test_messages_in_a_frame_are_read_without_its_padding(make: Callable[[list[dict[str, Any]]], Any]) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": null}'}}
    turns = [
        {"role": "user", "content": "a", "name": "someone"}, {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "c"}, {"role": "assistant", "content": "b", "weight": 1},
    ]  # fmt: skip
    rows = [{"messages": turns}, *CHATS]
    dataset = Dataset.of(make(rows))
    assert dataset.fingerprint == Dataset.of(rows).fingerprint


@pytest.mark.parametrize("make", FRAMES)
def test_cells_without_a_value_are_left_out(make: Callable[[list[dict[str, Any]]], Any]) -> None:
    rows = [{"instruction": "a", "output": "b", "system": None}, {"instruction": "a", "output": "b", "system": "c"}]
    dataset = Dataset.of(make(rows))
    assert [len(row["messages"]) for row in dataset.rows()] == [2, 3]
    with pytest.raises(DatasetError, match="row 2: `output` is missing"):
        Dataset.of(make([rows[1], {"instruction": "a", "output": None}]))


def test_a_query_without_rows_is_refused_with_its_cure() -> None:
    with pytest.raises(DatasetError, match="LazyFrame is a query") as caught:
        Dataset.of(polars_frame(ROWS).lazy(), columns=COLUMNS)
    assert "collect()" in str(caught.value.cure)


@pytest.mark.parametrize("make", [pandas_frame, polars_frame])
def test_numbers_of_a_frame_become_plain_ones(make: Callable[[list[dict[str, Any]]], Any]) -> None:
    frame = make([{"messages": [{"role": "user", "content": "a"}], "answer": 4, "sure": True}])
    (row,) = Dataset.of(frame).rows()
    assert row["reference"] == {"answer": 4, "sure": True}


def test_a_frame_with_a_column_that_is_not_there() -> None:
    with pytest.raises(DatasetError, match="there is no column 'questions'") as caught:
        Dataset.of(pandas_frame(ROWS), columns={"prompt": "questions", "completion": "answer"})
    assert caught.value.cure == "use 'question'"


@pytest.mark.parametrize("write", [in_lines, in_array, in_csv, in_parquet])
@pytest.mark.parametrize(
    ("name", "cure"), [("questions", "use 'question'"), ("Answer", "use 'answer'"), ("x", "one of")]
)
def test_a_column_that_a_file_has_not_is_named_with_those_that_it_has(
    tmp_path: Path, write: Callable[[Path], None], name: str, cure: str
) -> None:
    write(tmp_path / "rows")
    with pytest.raises(DatasetError, match=f"there is no column '{name}'; there are question, answer, mood") as caught:
        Dataset.load(tmp_path / "rows", columns={"prompt": "question", "completion": name})
    assert cure in str(caught.value.cure)


def test_a_table_under_any_name_is_one_where_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("Frage;Antwort\na;b\n")
    with pytest.raises(DatasetError, match="there is no column 'Fragen'; there are Frage, Antwort") as caught:
        Dataset.load(tmp_path / "rows.txt", columns={"prompt": "Fragen", "completion": "Antworten"})
    assert caught.value.cure == "use 'Frage'"
    with pytest.raises(DatasetError, match="not JSON lines"):
        Dataset.load(tmp_path / "rows.txt")


def test_a_key_that_few_objects_have_is_found_however_late(tmp_path: Path) -> None:
    rows = [*ROWS * 30, {**ROWS[0], "setting": "Be brief."}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = Dataset.load(tmp_path / "rows.jsonl", columns={**COLUMNS, "system": "setting"})
    assert [len(dataset.row(n)["messages"]) for n in (0, 150)] == [2, 3]
    with pytest.raises(DatasetError, match="there is no column 'settings'"):
        Dataset.load(tmp_path / "rows.jsonl", columns={**COLUMNS, "system": "settings"})


def test_keys_of_no_known_format_can_be_said_to_be_columns(tmp_path: Path) -> None:
    in_csv(tmp_path / "rows.csv")
    with pytest.raises(DatasetError, match="their keys are answer, mood, question") as caught:
        Dataset.load(tmp_path / "rows.csv")
    assert "columns={" in str(caught.value.cure)
    assert "--columns" in str(caught.value.cure)


@pytest.mark.parametrize(
    ("write", "unit"), [(in_lines, "line"), (in_array, "item"), (in_csv, "line"), (in_parquet, "row")]
)
def test_findings_call_a_row_what_its_source_does(tmp_path: Path, write: Callable[[Path], None], unit: str) -> None:
    write(tmp_path / "rows")
    dataset = Dataset.load(tmp_path / "rows", columns={"prompt": "mood", "completion": "mood"})
    (finding,) = (finding for finding in dataset.check() if finding.check == "duplicates")
    first = 3 if write is in_csv else 2
    assert (finding.unit, finding.rows[0]) == (unit, first)
    assert finding.example == f"{unit} {first} repeats {unit} {first - 1}"
    assert str(dataset.fix().changes[0]).startswith(f"{unit} {first}: dropped: it repeats {unit} {first - 1}")


def test_rows_of_tables_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('prompt,completion\na,b\n"a\nb",c\n\nd,e\n')
    csv = Dataset.load(tmp_path / "rows.csv")
    assert [csv.where(n) for n in range(3)] == ["rows.csv line 2", "rows.csv line 3", "rows.csv line 6"]
    in_parquet(tmp_path / "rows.parquet")
    assert Dataset.load(tmp_path / "rows.parquet", columns=COLUMNS).where(4) == "rows.parquet row 5"
    in_array(tmp_path / "rows.json")
    assert Dataset.load(tmp_path / "rows.json", columns=COLUMNS).where(4) == "rows.json item 5"


def test_the_limit_of_the_csv_module_stays_as_it_was(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    (tmp_path / "rows.csv").write_text("text\n" + "x" * 500_000 + "\n")
    assert len(Dataset.load(tmp_path / "rows.csv")[0].text) == 500_000  # type: ignore[union-attr]
    assert csv.field_size_limit() == before


def test_parquet_without_pyarrow_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parquet(tmp_path / "rows.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError) as caught:
        Dataset.load(tmp_path / "rows.parquet")
    assert caught.value.cure == "pip install 'finetune-anywhere[data]'"


def test_neither_pandas_nor_pyarrow_is_loaded_by_a_dataset() -> None:
    script = """
import sys
from finetune_sdk import Dataset
Dataset.of([{'text': 'a'}])
assert not {'pandas', 'pyarrow', 'datasets', 'numpy'} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_spool_gives_the_same_rows_from_disk_and_from_memory() -> None:
    rows = [{"text": f"{n} " * (n % 7 + 1)} for n in range(300)]
    spools = [Spool("text", "rows", in_memory=size) for size in (50, 1000, 1 << 20)]
    for number, row in enumerate(rows, 1):
        for spool in spools:
            spool.add(row, number)
    for spool in spools:
        assert [spool.row(n) for n in range(len(spool))] == rows
    assert len({bytes(spool.hashes) for spool in spools}) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
def test_items_of_an_array_do_not_depend_on_where_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    rows = [chat('a "quoted" [b], {c}', "back\\slash\\"), chat("\\\\", '"'), chat("ä🛒", "\n,")]
    (tmp_path / "rows.json").write_text(" \n" + json.dumps(rows, ensure_ascii=False, indent=1) + "\n ")
    monkeypatch.setattr("finetune_sdk.data.readers.arrays.BUFFER_BYTES", size)
    dataset = Dataset.load(tmp_path / "rows.json")
    assert dataset.fingerprint == Dataset.of(rows).fingerprint


def test_a_million_items_would_not_stay_in_memory() -> None:
    spool = Spool("text", "rows", in_memory=1000)
    spool.fill(((n, {"text": "x" * 100}) for n in range(1, 1001)), lambda row: row)
    assert spool._file is not None
    assert len(spool._pending) <= 1200
    assert spool.row(999) == {"text": "x" * 100}


def test_limits_are_what_the_pages_say() -> None:
    assert lines.LINE_BYTES == 64 << 20
    assert tables.CELL_BYTES == 16 << 20


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (b"sep=;\r\nFrage;Antwort\r\na, b;c\r\n", 3),
        (b'"Frage, kurz, knapp";Antwort\na, b;c\n', 2),
        (b'"Frage\n(kurz)";Antwort\na, b;c\n', 3),
        (b"Frage;Antwort;;\na, b;c;;\n", 2),
        (b'Antwort;"Frage ""kurz"""\nc;a, b\n', 2),
    ],
)
def test_headers_as_spreadsheets_write_them(tmp_path: Path, written: bytes, line: int) -> None:
    (tmp_path / "faq.csv").write_bytes(written)
    with (tmp_path / "faq.csv").open("rb") as file:
        asked = next(name for name in tables.header(file).names if name.startswith("Frage"))
    data = Dataset.load(tmp_path / "faq.csv", columns={"prompt": asked, "completion": "Antwort"})
    assert [message["content"] for message in data.row(0)["messages"]] == ["a, b", "c"]
    assert data.line(0) == line


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Größe;Antwort\r\na;b\r\n".encode("cp1252"), "line 1 is not text in UTF-8"),
        (b"prompt,completion\ra,b\rc,d\r", "end in CR alone"),
        (b'"prompt,completion\n' + b"a,b\n" * 400_000, "the names of the columns are longer"),
    ],
)
def test_a_header_that_cannot_be_read_is_told_for_what_it_is(tmp_path: Path, written: bytes, said: str) -> None:
    (tmp_path / "faq.csv").write_bytes(written)
    with pytest.raises(DatasetError, match=said):
        Dataset.load(tmp_path / "faq.csv", columns={"prompt": "Größe", "completion": "Antwort"})


def test_two_columns_of_one_name_are_refused_in_frames_and_parquet_too(tmp_path: Path) -> None:
    pandas, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    names = ["prompt", "completion", "completion"]
    table = arrow.Table.from_arrays([arrow.array([cell]) for cell in "qab"], names=names)
    for frame in (table, pandas.DataFrame([list("qab")], columns=names)):
        with pytest.raises(DatasetError, match="two columns are named 'completion'"):
            Dataset.of(frame)
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "two.parquet")
    with pytest.raises(DatasetError, match="two columns are named 'completion'"):
        Dataset.load(tmp_path / "two.parquet")

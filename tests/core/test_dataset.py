"""Dataset: rows stay on the disk, a split moves no row, and a source that changed is an error."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import ChatExample, Message, PreferenceExample, TextExample
from rows import chat, pair


def numbered(count: int) -> list[dict[str, Any]]:
    return [chat(f"What is {n}?", f"It is {n}.") for n in range(count)]


def test_rows_come_back_in_order_with_their_lines(train: Dataset) -> None:
    assert len(train) == 24
    assert [example.answer.text for example in train][:3] == ["It is 0.", "It is 2.", "It is 4."]  # type: ignore[union-attr]
    assert train.where(4) == "chats.jsonl line 5"
    assert train[-1].answer.text == "It is 46."  # type: ignore[union-attr]


def test_blank_lines_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in numbered(3)]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + f"{lines[0]}\r\n\n   \n{lines[1]}\n\n{lines[2]}".encode())
    dataset = Dataset.load(path)
    assert [dataset.line(index) for index in range(3)] == [1, 4, 6]
    assert list(dataset) == list(Dataset.of(numbered(3)))
    assert dataset.fingerprint == Dataset.of(numbered(3)).fingerprint


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\n  "])
def test_a_json_array_is_read_as_rows(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(mark + json.dumps(numbered(4), indent=2).encode())
    assert Dataset.load(path).fingerprint == Dataset.of(numbered(4)).fingerprint


def test_the_order_of_keys_and_white_space_do_not_change_the_fingerprint(write: Any) -> None:
    row = numbered(1)[0]
    turned = {"messages": [dict(reversed(message.items())) for message in row["messages"]]}
    one, other = write(row, name="one.jsonl"), write(json.dumps(turned, separators=(" ,", " : ")), name="two.jsonl")
    assert Dataset.load(one).fingerprint == Dataset.load(other).fingerprint


def test_the_fingerprint_is_of_the_rows_in_order(train: Dataset) -> None:
    seen = {part.fingerprint for part in (train, train[::-1], train[:23], train[1:], train[::2])}
    assert len(seen) == 5
    assert train[:].fingerprint == train.fingerprint == train[::-1][::-1].fingerprint


def test_the_name_of_the_file_is_not_part_of_the_fingerprint(chats: Path, train: Dataset) -> None:
    moved = chats.rename(chats.with_name("other.jsonl"))
    assert Dataset.load(moved).fingerprint == train.fingerprint


def test_a_row_that_changed_since_it_was_loaded_is_an_error(chats: Path, train: Dataset) -> None:
    assert train[0]
    text = chats.read_text()
    chats.write_text(text.replace("It is 46.", "It is 64."))
    with pytest.raises(DatasetError, match="has changed since it was loaded") as caught:
        list(train)
    assert caught.value.cure


def test_a_file_that_changed_before_its_first_row_was_read_is_an_error(chats: Path, train: Dataset) -> None:
    with chats.open("a") as file:
        file.write(json.dumps(numbered(1)[0]))
    with pytest.raises(DatasetError, match="has changed since it was loaded"):
        train[0]


def test_a_file_that_is_gone_is_an_error(chats: Path, train: Dataset) -> None:
    chats.unlink()
    with pytest.raises(DatasetError, match="cannot be read any more"):
        train[0]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(60, 150), st.integers(1, 50), st.integers(0, 9))
def test_new_rows_move_no_other_row(before: int, added: int, seed: int) -> None:
    def sides(count: int) -> dict[str, int]:
        parts = Dataset.of(numbered(count)).split(validation=0.3, test=0.3, seed=seed)
        return {json.dumps(row): side for side, part in enumerate(parts) for row in part.rows()}

    small, grown = sides(before), sides(before + added)
    assert len(grown) == before + added
    assert grown.items() >= small.items()


def test_a_split_is_whole_and_seeded() -> None:
    dataset = Dataset.of(numbered(1000))
    parts = dataset.split(validation=0.1, test=0.2, seed=7)
    assert sorted(map(str, (row for part in parts for row in part.rows()))) == sorted(map(str, dataset.rows()))
    train, validation, test = map(len, parts)
    assert (train, validation, test) == (
        pytest.approx(700, abs=60),
        pytest.approx(100, abs=40),
        pytest.approx(200, abs=50),
    )
    assert [p.fingerprint for p in dataset.split(validation=0.1, test=0.2, seed=7)] == [p.fingerprint for p in parts]
    assert dataset.split(validation=0.1, test=0.2, seed=8)[0].fingerprint != parts[0].fingerprint


def test_exact_duplicates_fall_on_one_side() -> None:
    train, _, test = Dataset.of(numbered(50) * 3).split(test=0.4)
    assert not set(train.hashes()) & set(test.hashes())


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.0), (0.5, 0.5), (0.0, 1.0)])
def test_shares_that_leave_nothing_are_refused(train: Dataset, validation: float, test: float) -> None:
    with pytest.raises(DatasetError, match="leave nothing to train on"):
        train.split(validation=validation, test=test)


def test_a_side_that_ends_up_empty_is_an_error() -> None:
    with pytest.raises(DatasetError, match="falls on the test side"):
        Dataset.of(numbered(2)).split(test=0.0001)


def test_a_sample_is_the_same_rows_in_file_order(train: Dataset) -> None:
    drawn = train.sample(5, seed=3)
    assert len(drawn) == 5
    assert drawn.fingerprint == train.sample(5, seed=3).fingerprint
    lines = [drawn.line(index) for index in range(5)]
    assert lines == sorted(lines)
    with pytest.raises(DatasetError, match="fewer than 25"):
        train.sample(25)


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))
    with pytest.raises(DatasetError, match="more than one question"):
        Dataset.of([ChatExample(turns)]).save(path, "alpaca")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_duplicates_are_a_warning_with_their_lines(write: Any) -> None:
    rows = numbered(3)
    (finding,) = Dataset.load(write(*rows, rows[0], rows[2])).check()
    assert (finding.severity, finding.rows, finding.count) == ("warning", (4, 5), 2)


def test_a_dataset_of_a_million_duplicates_names_only_a_few() -> None:
    (finding,) = Dataset.of(numbered(1) * 100).check()
    assert finding.count == 99
    assert len(finding.rows) == 20


def test_preference_pairs_and_text_are_kinds_of_their_own(pairs: Path) -> None:
    assert Dataset.load(pairs).kind == "preference"
    assert isinstance(Dataset.load(pairs)[0], PreferenceExample)
    assert list(Dataset.of([{"text": "words"}])) == [TextExample("words")]


def test_examples_of_several_kinds_are_refused() -> None:
    chats, pairs = Dataset.of([chat("a", "b")]), Dataset.of([pair("a", "b", "c")])
    with pytest.raises(DatasetError, match="row 2"):
        Dataset.of([chats[0], pairs[0]])


def test_examples_made_by_a_program_are_checked_as_a_file_is() -> None:
    with pytest.raises(DatasetError, match="nothing to learn"):
        Dataset.of([ChatExample((Message("user", "hello"),))])


def test_a_key_that_nothing_learns_from_is_a_warning(write: Any) -> None:
    rows = [{"prompt": f"q{n}", "completion": "a", "mood": "good"} for n in range(3)]
    for dataset in (Dataset.load(write(*rows)), Dataset.of(rows)):
        found = [finding for finding in dataset.check() if finding.check == "unread"]
        assert [(finding.severity, finding.count) for finding in found] == [("warning", 3)]
        assert "'mood'" in found[0].message

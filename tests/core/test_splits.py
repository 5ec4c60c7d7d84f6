"""Splits by group and by stratum: what stays together, what is met, and what is given up."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from rows import chat, pair


def label(example: Any) -> str:
    return str(example.answer.text)


def side_of(dataset: Dataset, **how: Any) -> dict[str, int]:
    return {str(row): side for side, part in enumerate(dataset.split(0.2, 0.2, **how)) for row in part.rows()}


def families(count: int) -> list[dict[str, Any]]:
    """Each question three times, answered otherwise."""
    return [chat(f"What is {n}?", f"It is {n}, {how}.") for n in range(count) for how in ("surely", "perhaps", "never")]


@pytest.mark.parametrize("group", ["prompt", lambda example: example.messages[-2].text])
def test_rows_of_a_group_fall_on_one_side(group: Any) -> None:
    parts = Dataset.of(families(60)).split(0.2, 0.2, group=group)
    asked = [{example.messages[-2].text for example in part} for part in parts]  # type: ignore[union-attr]
    assert not asked[0] & asked[1]
    assert not asked[0] & asked[2]
    assert not asked[1] & asked[2]
    assert sum(map(len, parts)) == 180


def test_a_group_may_be_called_by_half_a_character() -> None:
    parts = Dataset.of(families(60)).split(0.2, 0.2, group=lambda example: example.messages[-2].text + "\ud83d")  # type: ignore[union-attr]
    assert sum(map(len, parts)) == 180


def test_a_group_does_not_move_when_rows_are_added() -> None:
    small, grown = side_of(Dataset.of(families(40)), group="prompt"), side_of(Dataset.of(families(80)), group="prompt")
    assert {row: grown[row] for row in small} == small


@given(st.lists(st.sampled_from("abc"), min_size=60, max_size=200), st.integers(0, 5))
def test_each_stratum_has_its_share_as_nearly_as_whole_rows_allow(answers: list[str], seed: int) -> None:
    dataset = Dataset.of([chat(f"What is {n}?", answer) for n, answer in enumerate(answers)])
    _, validation, test = dataset.split(0.2, 0.1, seed, stratify="answer")
    whole, held, tested = (Counter(map(label, part)) for part in (dataset, validation, test))
    for answer, count in whole.items():
        assert tested[answer] == round(count * 0.1)
        assert tested[answer] + held[answer] == round(count * (0.1 + 0.2))


def test_equal_rows_stay_together_in_a_stratum() -> None:
    rows = [chat(f"What is {n}?", "yes") for n in range(20)] * 3
    parts = Dataset.of(rows).split(0.2, 0.2, stratify=label)
    hashes = [set(part.hashes()) for part in parts]
    assert not hashes[0] & hashes[1]
    assert not hashes[0] & hashes[2]
    assert not hashes[1] & hashes[2]


@pytest.mark.parametrize(
    ("rows", "how", "found"),
    [
        ([pair("a", "b", "c")] * 9, {"stratify": "answer"}, "have no one answer"),
        ([{"text": "hello"}] * 9, {"group": "prompt"}, "have no prompt"),
        ([chat("a", "b")] * 9, {"group": "customer"}, "cannot be told apart by 'customer'"),
        ([chat("a", "b")] * 9, {"group": "prompt", "stratify": "answer"}, "cannot also be stratified"),
        ([chat("a", "b")] * 9, {"seed": 2**70}, "no whole number of 64 bits"),
    ],
)
def test_what_cannot_be_split_so_is_refused(rows: list[Any], how: dict[str, Any], found: str) -> None:
    with pytest.raises(DatasetError, match=found) as caught:
        Dataset.of(rows).split(0.2, 0.2, **how)
    assert caught.value.cure


def test_rows_that_are_held_out_exactly_or_nearly_are_left_out_of_training() -> None:
    pytest.importorskip("rensa")
    long = "the parcel that was promised for last Tuesday has not been seen by anybody since it left the depot"
    train = Dataset.of([chat(f"{n}: {long}", "delivery") for n in ("first", "second")] + families(3))
    held = Dataset.of([chat(f"third: {long}", "delivery"), families(1)[0]])
    assert [row["messages"][0]["content"] for row in train.apart_from(held).rows()] == [
        row["messages"][0]["content"] for row in families(3)[1:]
    ]
    assert len(train.apart_from()) == len(train)

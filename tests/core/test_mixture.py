"""Mixing datasets: shares are met, no row is taken twice, and each keeps its place."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from rows import chat, pair


def made(name: str, count: int) -> Dataset:
    return Dataset.of([chat(f"{name} {n}?", f"{n}.") for n in range(count)], name=f"{name}.jsonl")


def test_the_largest_share_is_taken_whole_and_the_others_are_sampled() -> None:
    task, general, tools = made("task", 80), made("general", 50), made("tools", 10)
    mixed = Dataset.mix({general: 0.15, task: 0.8, tools: 0.05}, seed=3)
    names = [mixed.where(index).split()[0] for index in range(len(mixed))]
    assert {name: names.count(name) for name in names} == {"general.jsonl": 15, "task.jsonl": 80, "tools.jsonl": 5}
    assert len(set(mixed.hashes())) == 100
    assert mixed.fingerprint == Dataset.mix({general: 0.15, task: 0.8, tools: 0.05}, seed=3).fingerprint
    assert mixed.fingerprint != Dataset.mix({general: 0.15, task: 0.8, tools: 0.05}, seed=4).fingerprint


def test_a_mixed_row_is_the_row_that_stands_where_it_says() -> None:
    task, general = made("task", 30), made("general", 30)
    mixed = Dataset.mix({task: 0.75, general: 0.25})
    for index, row in enumerate(mixed.rows()):
        name, _, line = mixed.where(index).split()
        source = task if name == "task.jsonl" else general
        assert row == list(source.rows())[int(line) - 1]
    train, _, test = mixed.split(test=0.3)
    assert len(train) + len(test) == len(mixed)


def test_a_mix_can_be_saved_and_mixed_again(tmp_path: Any) -> None:
    mixed = Dataset.mix({Dataset.mix({made("task", 30): 0.75, made("general", 30): 0.25}): 0.8, made("more", 20): 0.2})
    mixed.save(tmp_path / "mixed.jsonl")
    assert Dataset.load(tmp_path / "mixed.jsonl").fingerprint == mixed.fingerprint


@pytest.mark.parametrize(
    ("shares", "found"),
    [
        ({}, "needs a share"),
        ({made("task", 9): 0.9}, "add up to 0.9"),
        ({made("task", 9): 1.5, made("general", 9): -0.5}, "needs a share"),
        ({made("task", 90): 0.5, made("general", 9): 0.5}, r"general\.jsonl has 9 rows.*takes 90"),
        ({made("task", 9): 0.5, Dataset.of([pair("a", "b", "c")]): 0.5}, "several kinds"),
    ],
)
def test_what_cannot_be_mixed_is_refused(shares: Any, found: str) -> None:
    with pytest.raises(DatasetError, match=found) as caught:
        Dataset.mix(shares)
    assert caught.value.cure

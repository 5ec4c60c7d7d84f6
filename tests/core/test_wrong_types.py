"""What a program may give by mistake: each is refused in words, before anything is sent."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.ledger import Ledger
from place import Made
from rows import chat


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


ROWS: dict[str, tuple[Any, str]] = {
    "a text": ("tickets.jsonl", "the rows are str"),
    "one row": (chat("a", "b"), "the rows are dict"),
    "numbers": ([1, 2], "row 1 is int"),
    "nothing among rows": ([chat("a", "b"), None], "row 2 is NoneType"),
    "too deep": ([{**chat("a", "b"), "tools": [nested(300)]}], "row 1: .* nested too deeply"),
    "not JSON": ([{**chat("a", "b"), "tools": [{"x": object()}]}], "row 1: .* not JSON serializable: object"),
    "a lone surrogate": ([chat("\ud800", "b")], "row 1: .* surrogates not allowed"),
}


@pytest.mark.parametrize(("rows", "said"), ROWS.values(), ids=ROWS.keys())
def test_rows_that_are_none_are_named(rows: Any, said: str) -> None:
    with pytest.raises(ft.DatasetError, match=said) as caught:
        ft.Dataset.of(rows)
    assert caught.value.cure


def test_a_row_nested_too_deeply_costs_no_other_row(write: Any) -> None:
    path = write(chat("a", "b"), {**chat("c", "d"), "tools": [nested(300)]}, chat("e", "f"))
    good, faults = ft.Dataset.inspect(path)
    assert len(good) == 2
    assert [fault.rows for fault in faults] == [(2,)]
    assert "nested too deeply" in faults[0].message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.jsonl")
    with pytest.raises(ft.DatasetError, match="is a pipe or a device"):
        ft.Dataset.load(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        ('{"messages": []}\n'.encode("utf-16"), "UTF-8"),
        (b"\x28\xb5\x2f\xfd", "unpack"),
        (b"\x1f\x8b\x08\0", "anew"),
        (b"a,b\n", "one JSON object"),
    ],
)
def test_a_file_of_another_kind_is_told_its_own_cure(tmp_path: Path, content: bytes, cure: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(ft.DatasetError) as caught:
        ft.Dataset.load(tmp_path / "rows.jsonl")
    assert cure in str(caught.value.cure)


@pytest.mark.parametrize("share", [math.nan, math.inf, "0.1", None, -0.1, True])
def test_a_share_that_is_none_is_refused(train: ft.Dataset, share: Any) -> None:
    with pytest.raises(ft.DatasetError):
        train.split(validation=share)


@pytest.mark.parametrize("count", [-1, 1.5, math.nan, "3", None])
def test_a_sample_of_no_count_is_refused(train: ft.Dataset, count: Any) -> None:
    with pytest.raises(ft.DatasetError):
        train.sample(count)


@pytest.mark.parametrize("seed", ["x", None, 10**70])
def test_a_seed_that_is_none_is_refused(train: ft.Dataset, seed: Any) -> None:
    with pytest.raises(ft.DatasetError):
        train.sample(3, seed=seed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 3}, {"train": "chats.jsonl"}, {"validation": []}, {"method": "sft"}, {"method": ft.SFT},
        {"adapter": "lora"}, {"base": 3}, {"base": ""}, {"seed": "x"}, {"seed": True},
    ],
    ids=str,
)  # fmt: skip
def test_a_job_of_wrong_parts_names_the_part(train: ft.Dataset, wrong: dict[str, Any]) -> None:
    with pytest.raises(ft.JobError) as caught:
        ft.Job(**({"name": "a", "train": train} | wrong))
    assert next(iter(wrong)) in str(caught.value)
    assert caught.value.cure


@pytest.mark.parametrize(
    "make",
    [
        lambda: ft.SFT(epochs=1e308),
        lambda: ft.SFT(steps=10**30),
        lambda: ft.SFT(batch_size=2**31),
        lambda: ft.SFT(kind="dpo"),  # type: ignore[arg-type]
        lambda: ft.LoRA(kind="full"),  # type: ignore[arg-type]
        lambda: ft.LoRA(targets=3),  # type: ignore[arg-type]
        lambda: ft.LoRA(targets=("",)),
    ],
)
def test_hyperparameters_out_of_this_world_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ft.JobError):
        make()


def test_targets_may_be_a_list() -> None:
    assert ft.LoRA(targets=["q_proj"]) == ft.LoRA(targets=("q_proj",))  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [-1, math.nan, "3", True])
def test_a_cap_that_is_no_sum_of_money_submits_nothing(home: Path, train: ft.Dataset, most: Any) -> None:
    client = ft.Client("fake")
    with pytest.raises(ft.BudgetError, match="no sum of money"):
        client.submit(ft.Job(name="a", train=train), max_cost=most)
    assert client.runs() == []


def test_what_is_no_job_is_said_to_be_none(home: Path) -> None:
    with pytest.raises(ft.JobError, match="not a Job"):
        ft.Client("fake").submit("job.yaml")  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [None, 3, {"role": "user", "content": "x"}, ["hi"], [{}], [{"role": "nobody"}]])
def test_what_cannot_be_asked_is_refused(home: Path, asked: Any) -> None:
    with pytest.raises(ft.InputError):
        ft.Client("fake").model("echo").answer(asked)


@pytest.mark.parametrize("wrong", [{"max_tokens": 0}, {"max_tokens": "9"}, {"temperature": math.nan}, {"top_p": 2}])
def test_sampling_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ft.InputError, match="makes no sense"):
        ft.Sampling(**wrong)


def test_one_place_under_two_names_is_paid_once(home: Path, train: ft.Dataset, made: Made) -> None:
    names = ("fake", "mine", "a/../b")
    Path("finetune.toml").write_text(
        "".join(f'[backends."{name}"]\nkind = "fake"\ncareless = true\n' for name in names)
    )
    job = ft.Job(name="a", train=train)
    first = ft.Client("fake").submit(job)
    for name in names:
        assert ft.Client(name).submit(job).id == first.id
    assert len(ft.Client("fake").runs()) == 1
    assert made() == [first.key]


@pytest.mark.parametrize("spoilt", ["DROP TABLE submissions", "UPDATE submissions SET resolved = '{'"])
def test_a_damaged_ledger_says_so(home: Path, train: ft.Dataset, spoilt: str) -> None:
    client = ft.Client("fake")
    client.submit(ft.Job(name="a", train=train))
    with sqlite3.connect(client.ledger.path) as connection:
        connection.execute(spoilt)
    with pytest.raises(ft.SettingsError, match="is damaged") as caught:
        client.runs()
    assert "move it aside" in str(caught.value.cure)


def test_a_ledger_of_garbage_is_damaged_not_unwritable(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"garbage " * 1000)
    with pytest.raises(ft.SettingsError, match="is damaged"):
        Ledger(tmp_path)
    assert (tmp_path / "ledger.sqlite").read_bytes() == b"garbage " * 1000


def test_settings_may_begin_with_a_byte_order_mark(home: Path) -> None:
    Path("finetune.toml").write_bytes(b'\xef\xbb\xbfbackend = "fake"\n')
    assert ft.Client().name == "fake"
    Path("finetune.toml").write_bytes('backend = "fake"\n'.encode("utf-16"))
    with pytest.raises(ft.SettingsError, match="not text in UTF-8"):
        ft.Client()

"""Continued pretraining: texts as the base reads them, every token learnt, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

import finetune_sdk as ft
from finetune_sdk_local import bases, texts
from finetune_sdk_local.tokenising import Sequences

LONG = "A long text is split into sequences that follow each other. " * 5


def tokenizer(**special: str) -> Any:
    made: Any = deepcopy(bases.tokenizer("tiny"))
    made.add_special_tokens(special)
    return made


def dataset(*rows: str) -> ft.Dataset:
    return ft.Dataset.of([{"text": row} for row in rows], name="texts")


def of(made: Sequences) -> Iterator[list[int]]:
    return (made.row(index)[0].tolist() for index in range(len(made)))


def test_a_text_ends_with_the_token_that_ends_a_text_once() -> None:
    reads = tokenizer()
    end = reads.eos_token_id
    for row in ("Hello.", f"Hello.{reads.eos_token}"):
        ((*said, last),) = of(texts.tokenise(reads, dataset(row), 100))
        assert last == end
        assert said == reads("Hello.")["input_ids"]


def test_a_tokenizer_without_an_end_adds_none() -> None:
    reads = tokenizer()
    reads.eos_token = None
    assert list(of(texts.tokenise(reads, dataset("Hello."), 100))) == [reads("Hello.")["input_ids"]]


def test_what_the_tokenizer_puts_around_a_text_is_there_once() -> None:
    reads = tokenizer(bos_token="<|begin|>")
    begin, end = reads.bos_token_id, reads.eos_token_id
    reads.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|begin|> $A <|end|>", special_tokens=[("<|begin|>", begin), ("<|end|>", end)]
    )
    said = reads("Hello.", add_special_tokens=False)["input_ids"]
    for row in ("Hello.", "<|begin|>Hello.", "Hello.<|end|>"):
        assert list(of(texts.tokenise(reads, dataset(row), 100))) == [[begin, *said, end]]


@given(st.integers(1, 40), st.integers(2, 12))
def test_each_token_but_the_first_is_learnt_exactly_once_however_a_text_is_split(length: int, most: int) -> None:
    parts = texts.pieces(np.arange(length, dtype=np.int32), most)
    assert all(len(part) <= most for part in parts)
    assert [int(token) for part in parts for token in part[1:]] == list(range(1, length))
    assert parts[0][0] == 0
    assert length == 1 or all(len(part) > 1 for part in parts)


def test_a_long_text_becomes_several_sequences_and_the_check_says_so(client: ft.Client) -> None:
    data = dataset("Short.", LONG, "Short too.")
    job = ft.Job(name="a", train=data, method=ft.Pretraining(max_length=16, epochs=1, batch_size=4))
    found = {finding.check: finding for finding in client.check(job)}
    assert "cut" not in found
    assert found["split"].severity == "note"
    assert found["split"].rows == (2,)
    whole = texts.tokenise(bases.tokenizer("tiny"), data, 10_000)
    estimate = client.estimate(job)
    assert estimate.trained_tokens.expected == int(whole.trained_counts.sum())
    assert "a step takes sequences" in estimate.notes[0]


def test_a_text_of_one_token_is_refused_by_its_line(client: ft.Client, small: str, tmp_path: Path) -> None:
    from shutil import copytree

    folder = copytree(small, tmp_path / "endless")
    reads = bases.tokenizer_in(folder)
    reads.eos_token = None
    reads.save_pretrained(folder)
    job = ft.Job(name="a", train=dataset("Hello there.", "a"), base=str(folder), method=ft.Pretraining())
    (found,) = [finding for finding in client.check(job) if finding.check == "untrained"]
    assert (found.severity, found.rows) == ("error", (2,))


def test_a_base_without_a_chat_template_is_pretrained(client: ft.Client, small: str, tmp_path: Path) -> None:
    from shutil import copytree

    folder = copytree(small, tmp_path / "plain")
    for template in folder.glob("*.jinja"):
        template.unlink()
    data = dataset(*(f"Case {n} is closed." for n in range(8)))
    job = ft.Job(
        name="a", train=data, base=str(folder), method=ft.Pretraining(epochs=1, batch_size=4, learning_rate=1e-2)
    )
    run = client.submit(job)
    tuned = run.wait(progress=False)
    assert run.status == "succeeded"
    with pytest.raises(ft.UnsupportedError, match="no chat template"):
        tuned.answer("Hello?")


def test_a_pretrained_model_knows_its_texts_better_than_before(client: ft.Client) -> None:
    data = dataset(*(f"The lamp of room {n} is green." for n in range(16)))
    method = ft.Pretraining(steps=12, batch_size=8, learning_rate=2e-2)
    run = client.submit(ft.Job(name="a", train=data[:12], validation=data[12:], method=method))
    run.wait(progress=False)
    curve = [loss for _, loss in sorted(run.curves()["validation_loss"])]
    assert curve[-1] < curve[0] - 0.3

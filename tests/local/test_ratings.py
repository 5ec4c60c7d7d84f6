"""KTO: rated answers, and the mismatched ones that measure how far the model has moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import finetune_sdk as ft
from finetune_sdk_local import bases, ratings
from finetune_sdk_local.prepare import sequences, steps
from finetune_sdk_local.tokenising import Sequences
from local_data import rated


def made(small: str, rows: int, max_length: int = 512) -> Sequences:
    return sequences(small, bases.tokenizer(small), rated(rows), ft.KTO(), max_length)


def parts(sequences: Sequences, row: int) -> tuple[list[int], list[int]]:
    """The prompt and the answer of a row."""
    ids, trained = sequences.row(row)
    return ids[~trained].tolist(), ids[trained].tolist()


def test_each_prompt_of_a_batch_has_the_answer_of_the_row_before_it(small: str) -> None:
    rows = made(small, 10)
    batches = list(ratings.batches(steps(ft.KTO(batch_size=4, epochs=3), 5, 10)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    mixed = ratings.mismatched(rows, batches, 512)
    for batch in batches:
        for at, row in enumerate(batch.tolist()):
            before = int(batch[at - 1])
            assert parts(mixed, row) == (parts(rows, row)[0], parts(rows, before)[1])


def test_a_row_alone_in_its_batch_has_the_answer_of_the_batch_before(small: str) -> None:
    rows = made(small, 5)
    mixed = ratings.mismatched(rows, ratings.in_order(5, 4), 512)
    assert parts(mixed, 4) == (parts(rows, 4)[0], parts(rows, 3)[1])


def test_mismatched_answers_are_cut_like_all_others(small: str) -> None:
    most = int(made(small, 6).lengths.max()) - 1
    mixed = ratings.mismatched(made(small, 6, most), ratings.in_order(6, 6), most)
    assert int(mixed.lengths.max()) <= most
    assert (mixed.trained_counts > 0).all()


@pytest.mark.parametrize("good", [True, False])
def test_answers_that_are_all_rated_alike_are_refused(client: ft.Client, good: bool) -> None:
    rows: list[dict[str, Any]] = [{"prompt": f"Case {n}?", "completion": "Thank you.", "label": good} for n in range(6)]
    job = ft.Job(name="a", train=ft.Dataset.of(rows, name="replies"), method=ft.KTO())
    (found,) = [finding for finding in client.check(job) if finding.check == "ratings"]
    assert found.severity == "error"
    assert f"replies: all 6 answers are rated {'good' if good else 'bad'}" in found.message
    with pytest.raises(ft.DatasetError, match="rated"):
        client.submit(job)


def test_a_kind_of_answer_that_outweighs_the_other_is_a_warning_with_the_fair_weight(client: ft.Client) -> None:
    def found(**weights: float) -> list[ft.Finding]:
        job = ft.Job(name="a", train=rated(12), method=ft.KTO(**weights))
        return [finding for finding in client.check(job) if finding.check == "ratings"]

    (warned,) = found()
    assert warned.severity == "warning"
    assert "8 answers are rated good and 4 bad" in warned.message
    assert "desirable_weight from 0.5 to 0.667" in warned.cure
    assert found(desirable_weight=0.5) == []
    assert found(undesirable_weight=2.0) == []


def test_one_row_alone_is_refused(small: str) -> None:
    with pytest.raises(ft.JobError, match="validation holds one row"):
        ft.Job(name="a", train=rated(4), validation=rated(1), method=ft.KTO())


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(ft.JobError, match="batch_size=1"):
        ft.KTO(batch_size=1)


def test_good_answers_become_likelier_and_bad_ones_less_likely(client: ft.Client) -> None:
    method = ft.KTO(epochs=4, batch_size=8, learning_rate=1e-2, beta=0.5)
    run = client.submit(ft.Job(name="a", train=rated(24), validation=rated(6, 50), method=method))
    run.wait(progress=False)
    told = [event.data for event in run.events() if event.kind == "metrics" and "validation_loss" in event.data]
    assert told[0]["validation_loss"] == pytest.approx(0.5, abs=1e-6)
    assert told[-1]["validation_loss"] < 0.45
    assert told[-1]["validation_accuracy"] == 1.0
    assert told[-1]["validation_kl"] >= 0
    assert np.isfinite([data["validation_loss"] for data in told]).all()

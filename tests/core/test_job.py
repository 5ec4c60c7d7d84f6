"""Job: its fingerprint stands for the definition, and nonsense is refused where it is written."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import JobError
from finetune_sdk.evaluation.evaluators import ExactMatch
from finetune_sdk.job import (
    DPO,
    KTO,
    ORPO,
    RFT,
    SFT,
    Full,
    Job,
    LoRA,
    PrefixTuning,
    Pretraining,
    PromptTuning,
    QLoRA,
    table,
)


@pytest.fixture
def job(train: Dataset) -> Job:
    return Job(name="numbers", train=train[:20], validation=train[20:])


def test_the_name_is_not_part_of_the_fingerprint(job: Job) -> None:
    assert replace(job, name="other").fingerprint == job.fingerprint
    assert len(job.fingerprint) == 32


def test_everything_that_decides_what_is_learnt_is_part_of_the_fingerprint(job: Job, train: Dataset) -> None:
    others = [
        replace(job, train=train[:19]),
        replace(job, train=job.train[::-1]),
        replace(job, validation=None),
        replace(job, base="tiny"),
        replace(job, seed=1),
        replace(job, method=SFT(epochs=2)),
        replace(job, method=SFT(learning_rate=1e-4)),
        replace(job, adapter=LoRA()),
        replace(job, adapter=LoRA(rank=8)),
        replace(job, adapter=LoRA(dora=True)),
        replace(job, adapter=LoRA(rslora=True)),
        replace(job, adapter=QLoRA()),
        replace(job, adapter=Full()),
        replace(job, adapter=PromptTuning()),
        replace(job, adapter=PrefixTuning()),
        replace(job, adapter=PrefixTuning(tokens=5)),
    ]
    assert len({other.fingerprint for other in (job, *others)}) == len(others) + 1


def test_an_option_that_is_off_is_as_if_it_had_never_been(job: Job) -> None:
    """A version with more options knows the runs of the one before."""
    assert table(LoRA()) == {"kind": "lora", "rank": 16, "dropout": 0, "targets": "all-linear"}
    assert table(LoRA(dora=True))["dora"] is True


def test_three_epochs_are_three_epochs_whether_whole_or_not(job: Job) -> None:
    whole, real = replace(job, method=SFT(epochs=3)), replace(job, method=SFT(epochs=3.0))
    assert whole.fingerprint == real.fingerprint


def test_the_same_rows_in_another_file_are_the_same_job(job: Job, train: Dataset, tmp_path: Path) -> None:
    train[:20].save(tmp_path / "copy.jsonl")
    assert replace(job, train=Dataset.load(tmp_path / "copy.jsonl")).fingerprint == job.fingerprint


def test_a_job_is_frozen(job: Job) -> None:
    with pytest.raises(FrozenInstanceError):
        job.seed = 3  # type: ignore[misc]


NONSENSE: list[tuple[type[Any], dict[str, Any]]] = [
    (SFT, {"epochs": 0}),
    (SFT, {"epochs": -1}),
    (SFT, {"epochs": math.nan}),
    (SFT, {"epochs": math.inf}),
    (SFT, {"epochs": 1, "steps": 10}),
    (SFT, {"steps": 0}),
    (SFT, {"steps": 1.5}),
    (SFT, {"batch_size": 0}),
    (SFT, {"batch_size": 2.5}),
    (SFT, {"learning_rate": 0.0}),
    (SFT, {"learning_rate": math.inf}),
    (SFT, {"warmup": 1}),
    (SFT, {"warmup": -0.1}),
    (SFT, {"weight_decay": -1}),
    (SFT, {"weight_decay": math.nan}),
    (SFT, {"max_length": 0}),
    (SFT, {"schedule": "cosin"}),
    (SFT, {"loss_on": "answers"}),
    (Pretraining, {"max_length": 1}),
    (Pretraining, {"kind": "sft"}),
    (KTO, {"batch_size": 1}),
    (KTO, {"desirable_weight": 0}),
    (KTO, {"undesirable_weight": -1}),
    (DPO, {"beta": 0}),
    (DPO, {"schedule": "square"}),
    (ORPO, {"beta": 0}),
    (ORPO, {"loss_on": "chosen"}),
    (LoRA, {"rank": 0}),
    (LoRA, {"rank": 1.5}),
    (LoRA, {"alpha": -1}),
    (LoRA, {"dropout": 1}),
    (LoRA, {"targets": ()}),
    (LoRA, {"targets": "q_proj"}),
    (QLoRA, {"rank": -4}),
    (LoRA, {"dora": "yes"}),
    (PromptTuning, {"tokens": 0}),
    (PrefixTuning, {"tokens": 2.5}),
    (QLoRA, {"rslora": 1}),
]


@pytest.mark.parametrize(("kind", "words"), NONSENSE, ids=[f"{kind.__name__}-{words}" for kind, words in NONSENSE])
def test_nonsense_is_refused_and_says_what_it_is(kind: type[Any], words: dict[str, Any]) -> None:
    with pytest.raises(JobError) as caught:
        kind(**words)
    assert next(iter(words)) in str(caught.value)
    assert caught.value.cure


def test_data_of_another_kind_is_refused(pairs: Path, train: Dataset) -> None:
    with pytest.raises(JobError, match="SFT learns from chat examples, and train holds preference"):
        Job(name="numbers", train=Dataset.load(pairs))
    with pytest.raises(JobError, match="DPO learns from preference examples, and validation holds chat"):
        Job(name="numbers", train=Dataset.load(pairs), validation=train, method=DPO())


@pytest.mark.parametrize("words", [{"name": " "}, {"seed": -1}, {"seed": 2**31}])
def test_a_job_without_a_name_or_with_an_odd_seed_is_refused(job: Job, words: dict[str, Any]) -> None:
    with pytest.raises(JobError) as caught:
        replace(job, **words)
    assert caught.value.cure


def test_a_job_without_rows_is_refused(job: Job) -> None:
    with pytest.raises(JobError, match="train has no rows"):
        replace(job, train=job.train[:0])


def test_rft_learns_from_tasks_that_evaluators_grade() -> None:
    tasks = Dataset.of([{"messages": [{"role": "user", "content": f"{n}?"}], "answer": str(n)} for n in range(4)])
    job = Job(name="sums", train=tasks, method=RFT(graders=(ExactMatch(),), epochs=2))
    assert table(job.method)["graders"] == [{"kind": "ExactMatch", "version": 1, "strip": True, "name": "ExactMatch"}]
    other = replace(job, method=RFT(graders=(ExactMatch(strip=False),), epochs=2))
    assert job.fingerprint != other.fingerprint
    with pytest.raises(JobError, match="graders"):
        RFT(graders=("exact",))  # type: ignore[arg-type]
    with pytest.raises(JobError, match="learns from task examples"):
        Job(name="sums", train=Dataset.of([{"prompt": "a", "completion": "b"}]), method=RFT())

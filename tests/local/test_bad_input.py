"""What does not belong together is refused with the reason and the cure, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk_local import checkpoints
from finetune_sdk_local.devices import Device
from finetune_sdk_local.memory import full_card_told
from finetune_sdk_local.training import load_weights
from local_data import chats
from prepared import prepared
from watched import STARTUP, folder, losses, saved_step, until

torch = pytest.importorskip("torch")


@pytest.fixture
def shrunk(small: str, tmp_path: Path) -> str:
    """The small base's tokenizer beside a model that knows only its first 40 tokens."""
    from transformers import AutoConfig, AutoModelForCausalLM

    where = tmp_path / "shrunk"
    shutil.copytree(small, where)
    config = AutoConfig.from_pretrained(small)
    config.vocab_size, config.pad_token_id, config.eos_token_id = 40, None, None
    AutoModelForCausalLM.from_config(config).save_pretrained(where)
    return str(where)


def test_a_base_that_is_no_causal_language_model_is_refused(client: ft.Client, job: ft.Job, tmp_path: Path) -> None:
    where = tmp_path / "translator"
    where.mkdir()
    (where / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(ft.UnsupportedError, match=r"\(t5\) is not a causal language model"):
        client.submit(ft.Job(name="a", train=job.train, base=str(where)))


def test_a_tokenizer_whose_tokens_the_base_does_not_know_is_refused(
    client: ft.Client, job: ft.Job, shrunk: str
) -> None:
    with pytest.raises(ft.JobError, match="knows 40 tokens: this tokenizer is not the base's") as caught:
        client.submit(ft.Job(name="a", train=job.train, base=shrunk))
    assert "row 1" in caught.value.message
    assert client.backend.runs() == []


def test_a_padding_token_that_the_base_does_not_know_does_no_harm(
    client: ft.Client, small: str, tmp_path: Path
) -> None:
    """Some bases came without one, and somebody added it to the tokenizer alone. It is masked wherever it stands."""
    from transformers import AutoTokenizer

    where = tmp_path / "padded"
    shutil.copytree(small, where)
    tokenizer = AutoTokenizer.from_pretrained(where)
    tokenizer.add_special_tokens({"pad_token": "<|nothing|>"})
    tokenizer.save_pretrained(where)
    method = ft.SFT(steps=2, batch_size=4, learning_rate=1e-2)
    found = []
    for base in (small, str(where)):
        job = ft.Job(name="a", train=chats(8), method=method, base=base)
        run, training, _ = prepared(client, job, tmp_path / Path(base).name / "run")
        training.run()
        found.append([event.data["loss"] for event in run.events() if "loss" in event.data])
    assert found[0] == found[1]


def test_an_adapter_is_no_base(client: ft.Client, job: ft.Job, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ft.UnsupportedError, match="holds an adapter and no base") as caught:
        client.submit(ft.Job(name="a", train=job.train, base=str(tmp_path)))
    assert "merged" in str(caught.value)


def test_an_adapter_that_was_put_beside_another_base_is_refused(client: ft.Client, tmp_path: Path) -> None:
    """Its folder says which base it belongs to, and by which weights."""
    run = client.submit(ft.Job(name="a", train=chats(8), method=ft.SFT(steps=1, batch_size=4)))
    run.wait(progress=False)
    made = run.export(tmp_path / "adapter")
    about = made.folder / "finetune.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "base": "tiny"}))
    with pytest.raises(ft.RunError, match="'tiny' is not the one that the run started from"):
        client.model(str(made.folder)).answer("Which colour?")


def test_a_checkpoint_of_another_job_is_refused_and_left_where_it_is(client: ft.Client, tmp_path: Path) -> None:
    """Also where its weights have the same names and shapes, and would be taken without a word."""
    made = {}
    for rate, rank in ((1e-2, 8), (1e-3, 8), (1e-2, 4)):
        method = ft.SFT(steps=2, batch_size=4, learning_rate=rate)
        job = ft.Job(name="a", train=chats(8), method=method, adapter=ft.LoRA(rank=rank))
        made[rate, rank] = prepared(client, job, tmp_path / f"{rate}-{rank}")
    run, training, _ = made[1e-2, 8]
    training.run()
    saved, _ = checkpoints.latest(run.checkpoints)
    assert saved is not None
    with pytest.raises(ft.BackendError, match="belongs to another job: it was written by another run") as caught:
        made[1e-3, 8][1].run(saved)
    assert "remove it" in str(caught.value)
    with pytest.raises(ft.BackendError, match="its weights have other shapes"):
        load_weights(made[1e-2, 4][1].weights, saved)
    with pytest.raises(ft.BackendError, match="its weights have other names"):
        load_weights({}, saved)
    assert checkpoints.read(saved.folder) is not None


def test_a_disk_that_fills_while_a_checkpoint_is_written_loses_nothing(
    client: ft.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights still fit, the optimizer's moments do not. With room again the run goes on and ends as it would have."""
    method = ft.SFT(steps=4, batch_size=4, learning_rate=1e-3)
    job = ft.Job(name="a", train=chats(16), method=method, adapter=ft.Full())
    monkeypatch.syspath_prepend(STARTUP)
    monkeypatch.setenv("LARGEST_FILE", "200000")
    run = client.submit(job)
    until(lambda: run.status == "failed")
    said = [event.message for event in run.events() if event.kind == "status"][-1]
    assert "the checkpoint of step 2 could not be written" in said
    assert "free some disk and resume" in said
    assert saved_step(client, run) == 0
    assert not list((folder(client, run) / "checkpoints").glob(".*.part"))
    monkeypatch.delenv("LARGEST_FILE")
    before = losses(run)
    run.resume().wait(progress=False)
    after = losses(run)
    assert sorted(after) == [1, 2, 3, 4]
    assert all(after[step] == loss for step, loss in before.items())


def test_a_card_that_others_fill_is_told_with_the_cure() -> None:
    with (
        pytest.raises(ft.BackendError, match="H99 has no room left: CUDA out of memory") as caught,
        full_card_told(Device("cpu", "H99", "float32", 1, 1)),
    ):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
    assert "resume" in str(caught.value)
    assert caught.value.retryable


def test_the_estimate_of_data_that_trains_nothing_names_it_as_the_check_does(client: ft.Client, job: ft.Job) -> None:
    short = ft.Job(name="a", train=job.train, method=ft.SFT(max_length=8, steps=1))
    with pytest.raises(
        ft.DatasetError, match=r"row 1: within 8 tokens nothing is left to train \(24 of 24 rows\)"
    ) as caught:
        client.estimate(short)
    assert "raise max_length" in str(caught.value.cure)


def test_the_estimate_says_that_a_run_would_be_refused_for_rows_that_train_nothing(client: ft.Client) -> None:
    long = [{"role": "user", "content": "word " * 200}, {"role": "assistant", "content": "red"}]
    data = ft.Dataset.of([*chats(4), *ft.Dataset.of([{"messages": long}])], name="colours")
    said = client.estimate(ft.Job(name="a", train=data, method=ft.SFT(max_length=64, steps=1))).notes[0]
    assert "row 5: within 64 tokens nothing is left to train (1 of 5 rows)" in said
    assert said.startswith("a run of it is refused")

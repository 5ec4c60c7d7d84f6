"""Several processes train what one would: the same steps, the same losses but for rounding, and a resume bit for bit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import finetune_sdk as ft
from finetune_sdk_local import bases, checkpoints
from finetune_sdk_local.devices import Device
from finetune_sdk_local.probe import Probe
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.shapes import Shape
from local_data import chats, pairs, rated, tasks
from own_graders import Spread
from watched import STARTUP, folder, losses, until, went_on_from

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402
from transformers import LlamaConfig  # noqa: E402

from finetune_sdk_local import prepare, processes  # noqa: E402 - these need torch
from finetune_sdk_local.processes import Processes  # noqa: E402

ADAPTER = ft.LoRA(rank=4)
JOBS = {
    "sft": ft.Job(
        name="colours", train=chats(13), validation=chats(5, 100), adapter=ADAPTER,
        method=ft.SFT(epochs=2, batch_size=4, learning_rate=1e-2),
    ),
    "dpo": ft.Job(
        name="thanks", train=pairs(9), validation=pairs(3, 100), adapter=ADAPTER,
        method=ft.DPO(epochs=2, batch_size=4, learning_rate=1e-2),
    ),
    "kto": ft.Job(
        name="rated", train=rated(12), validation=rated(6, 100), adapter=ADAPTER,
        method=ft.KTO(epochs=2, batch_size=4, learning_rate=1e-2),
    ),
}  # fmt: skip


def place(home: Path, base: str, processes: int) -> ft.Client:
    options = {"base": base, "device": "cpu", "threads": 1, "processes": processes, "checkpoint_every": 2}
    return ft.Client(settings=ft.Settings("local", home, {"local": options}))


def trained(home: Path, base: str, processes: int, job: ft.Job) -> tuple[ft.Client, ft.Run]:
    client = place(home / str(processes), base, processes)
    run = client.submit(job)
    run.wait(progress=False)
    return client, run


def trained_here(run: Path, to: Path) -> RunFolder:
    """The same job in this process, alone."""
    to.mkdir()
    for file in (run / "job.json", *run.glob("*.jsonl")):
        shutil.copy(file, to)
    (to / "events.jsonl").write_text("")
    alone = RunFolder(to)
    job = prepare.RunJob.read(alone)
    model = bases.adapt(bases.load(job.where, job.device, job.adapter, train=True), job.adapter, job.seed)
    training = prepare.training(alone, job, prepare.data(alone, job), model, lambda: False, Processes())
    training.run()
    return alone


def figures(events: Iterable[ft.Event]) -> list[dict[str, float]]:
    """What each step and each validation reported, without what hangs on the clock and the machine."""
    left_out = {"tokens_per_second", "memory_bytes"}
    metrics = [event.data for event in events if event.kind == "metrics"]
    return [{name: value for name, value in data.items() if name not in left_out} for data in metrics]


def assert_the_same_but_for_rounding(home: Path, base: str, job: ft.Job, count: int) -> None:
    client, run = trained(home, base, count, job)
    alone = trained_here(folder(client, run), home / "alone")
    one, other = figures(alone.events()), figures(run.events())
    assert len(one) == len(other) > 4
    for mine, theirs in zip(one, other, strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert theirs[name] == pytest.approx(mine[name], rel=2e-4, abs=2e-6), name
    last = [checkpoints.latest(path)[0] for path in (alone.checkpoints, folder(client, run) / "checkpoints")]
    held = [saved.tensors("weights") for saved in last if saved is not None]
    for name, tensor in held[0].items():
        assert torch.allclose(tensor, held[1][name], rtol=1e-3, atol=2e-5), name


@pytest.mark.slow
def test_two_processes_train_what_one_trains(small: str, tmp_path: Path) -> None:
    """Steps of odd sizes too: the last one of an epoch has one example, so one process has nothing to do."""
    assert_the_same_but_for_rounding(tmp_path, small, JOBS["sft"], 2)


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "count"), [("dpo", 2), ("kto", 2), ("sft", 3)])
def test_so_it_is_for_other_methods_and_numbers(small: str, tmp_path: Path, kind: str, count: int) -> None:
    assert_the_same_but_for_rounding(tmp_path, small, JOBS[kind], count)


@pytest.mark.soak
def test_two_processes_reinforce_together(small: str, tmp_path: Path) -> None:
    """Each draws answers of its own, so what is learnt is not that of one process."""
    method = ft.RFT(graders=(Spread(),), steps=12, batch_size=5, samples=6, max_tokens=6, learning_rate=2e-2)
    job = ft.Job(name="tasks", train=tasks(12), validation=tasks(5, 100), adapter=ADAPTER, method=method)
    _, run = trained(tmp_path, small, 2, job)
    rewards = [reward for _, reward in run.curves()["reward"]]
    assert len(rewards) == 12
    assert np.mean(rewards[-4:]) > np.mean(rewards[:4])


@pytest.mark.soak
def test_with_dropout_too_a_resume_in_as_many_processes_is_bit_for_bit_what_was_never_stopped(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ft.Job(
        name="colours", train=chats(13), validation=chats(5, 100), adapter=ft.LoRA(rank=4, dropout=0.1),
        method=ft.SFT(epochs=3, batch_size=4, learning_rate=1e-2),
    )  # fmt: skip
    whole_client, whole = trained(tmp_path / "whole", small, 2, job)
    client = place(tmp_path / "killed", small, 2)
    with monkeypatch.context() as dying:
        dying.syspath_prepend(STARTUP)
        dying.setenv("DIE_AFTER_STEP", "5")
        run = client.submit(job)
        until(lambda: run.status.terminal)
    assert run.status == "failed"
    again = place(tmp_path / "killed", small, 1).get_run(run.id)  # the run keeps its number, whatever is set now
    again.resume()
    again.wait(progress=False)
    assert went_on_from(again) == [4]
    assert losses(again) == losses(whole)
    files = [folder(*which) / "model" / "adapter_model.safetensors" for which in ((client, run), (whole_client, whole))]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.soak
def test_a_run_that_is_cancelled_leaves_no_process_and_goes_on(small: str, tmp_path: Path) -> None:
    client = place(tmp_path, small, 2)
    method = ft.SFT(steps=20_000, batch_size=4, learning_rate=1e-3)
    run = client.submit(ft.Job(name="long", train=chats(12), adapter=ADAPTER, method=method))
    until(lambda: len(losses(run)) > 2)
    others = children_of(worker := int((folder(client, run) / "worker.lock").read_text()))
    assert len(others) == 1
    run.cancel()
    assert run.status == "cancelled"
    until(lambda: not any(map(alive, [*others, worker])), 30)
    assert not list(folder(client, run).glob(".meeting*"))


@pytest.mark.soak
def test_a_process_that_dies_ends_the_run_and_says_so(small: str, tmp_path: Path) -> None:
    client = place(tmp_path, small, 2)
    method = ft.SFT(steps=20_000, batch_size=4, learning_rate=1e-3)
    run = client.submit(ft.Job(name="long", train=chats(12), adapter=ADAPTER, method=method))
    until(lambda: len(losses(run)) > 2)
    (other,) = children_of(int((folder(client, run) / "worker.lock").read_text()))
    os.kill(other, 9)
    until(lambda: run.status.terminal, 60)
    assert run.status == "failed"
    assert "another process of the run has ended" in list(run.events())[-1].message


def children_of(process: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(process).children()]


def alive(process: int) -> bool:
    import psutil

    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_each_example_is_one_processes_and_all_have_about_as_much_to_do(count: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 50)
    for examples in (list(range(50)), [3], [], [9, 4, 7]):
        shares = [Processes(rank, count).share(lengths, examples) for rank in range(count)]
        assert sorted(example for share in shares for example in share) == sorted(examples)
        loads = [int(lengths[share].sum()) for share in shares]
        assert max(loads) - min(loads) <= max((int(lengths[each]) for each in examples), default=0)


def test_the_estimate_counts_the_weights_of_each_process(small: str, tmp_path: Path) -> None:
    one, two = (place(tmp_path, small, count).estimate(JOBS["sft"]) for count in (1, 2))
    assert one.memory.expected is not None
    assert 1.8 * one.memory.expected < (two.memory.expected or 0) <= 2 * one.memory.expected
    assert "in 2 processes" in two.memory.basis
    assert "2 processes share each step" in two.time.basis
    assert two.tokens == one.tokens


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_the_estimate_deals_the_examples_of_a_step_as_the_run_does(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Two processes that have as much to do each take half as long over it."""
    steady = Probe(0.0, 1.0, 0.0, 0.3, "a steady machine")
    monkeypatch.setattr("finetune_sdk_local.probe.probe", lambda *_: steady)
    train = {"sft": chats, "dpo": pairs, "kto": rated}[kind](48)
    job = replace(JOBS[kind], train=train, validation=None, method=replace(JOBS[kind].method, batch_size=16))
    one, two, many = (place(tmp_path, small, count).estimate(job).time.expected or 0 for count in (1, 2, 64))
    assert 0.5 <= two / one < 0.65
    assert 1 / 16 <= many / one < 0.12, "no example is cut in two"


def larger(small: str, folder: Path) -> str:
    """A base of 1.1 billion weights, as far as its config tells."""
    config = LlamaConfig(
        vocab_size=1024, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=16,
        pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    base = shutil.copytree(small, folder / "base", ignore=shutil.ignore_patterns("*.safetensors"))
    config.save_pretrained(base)
    save_file({}, Path(base) / "model.safetensors")
    return str(base)


def test_full_weights_on_a_card_need_at_least_what_each_of_them_needs(small: str, tmp_path: Path) -> None:
    """In float32 the weight, its gradient and two moments: 16 bytes, whatever the batch."""
    base = larger(small, tmp_path)
    job = ft.Job(name="full", train=chats(4), adapter=ft.Full(), method=ft.SFT(steps=1, batch_size=4))
    made = place(tmp_path, base, 1).estimate(job, gpu="H200")
    assert (made.memory.low or 0) > 16 * Shape.of(base).parameters
    assert (made.memory.high or 0) < 1.5 * (made.memory.low or 0)


def test_cards_that_are_not_here_share_a_step_and_are_all_paid(small: str, tmp_path: Path) -> None:
    """Eight cards take less time than one, for more money: what each does alone, as the base's weights are read, is not shared."""
    base = larger(small, tmp_path)
    job = ft.Job(name="long", train=chats(256), adapter=ADAPTER, method=ft.SFT(steps=1000, batch_size=256))
    one, eight = (place(tmp_path, base, 1).estimate(job, gpu=card) for card in ("A100 80GB", "8x A100 80GB"))
    set_so = place(tmp_path, base, 8).estimate(job, gpu="A100 80GB")
    faster = (eight.time.expected or 0) / (one.time.expected or 1)
    assert 1 / 8 < faster < 2 / 3
    assert (eight.machine.expected or 0) / (one.machine.expected or 1) == pytest.approx(8 * faster)
    assert set_so.machine == eight.machine
    assert any("8 of them, as local has processes = 8" in note for note in set_so.notes)


def test_more_processes_than_cards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check: Callable[[Device, int], None] = processes.require
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check(Device("cuda", "card", "float32", 1, 1), 1)
    with pytest.raises(ft.SettingsError, match="there are 1") as caught:
        check(Device("cuda", "card", "float32", 1, 1), 2)
    assert "processes = 1" in str(caught.value.cure)
    with pytest.raises(ft.SettingsError, match="Apple"):
        check(Device("mps", "apple", "float32", 1, 1), 2)
    check(Device("cpu", "cpu", "float32", 1, 1), 64)


@pytest.mark.slow
def test_a_process_that_fails_before_all_have_met_is_not_waited_for(tmp_path: Path) -> None:
    """There is no run in that folder: the second process ends at once, and the first would wait for it."""
    code = (
        "from pathlib import Path; from finetune_sdk_local import processes; from finetune_sdk_local.devices import Device\n"
        "processes.GRACE = 0.5\n"
        f"with processes.together(Path({str(tmp_path)!r}), 0, 2, Device('cpu', 'test', 'float32', 1, 1)): pass"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert "another process of the run has ended" in ended.stderr

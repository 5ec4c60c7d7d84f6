"""Runs as processes: they outlive their caller, survive a kill, and are the same afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk_local import checkpoints
from local_data import chats, pairs

SUBMIT = """
import sys; sys.path.insert(0, {tests!r})
import finetune_sdk as ft
from local_data import chats
settings = ft.Settings("local", __import__("pathlib").Path({home!r}), {{"local": {{"base": {base!r}, "threads": 1, "device": "cpu"}}}})
job = ft.Job(name="colours", train=chats(24), method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2))
print(ft.Client(settings=settings).submit(job).id)
"""


def folder(client: ft.Client, run: ft.Run) -> Path:
    return client.settings.home / "runs" / run.key


def losses(run: ft.Run) -> dict[int, float]:
    """The loss of each step as it was last reported."""
    return {e.data["step"]: e.data["loss"] for e in run.events() if e.kind == "metrics" and "loss" in e.data}


def until(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def kill(client: ft.Client, run: ft.Run) -> None:
    os.kill(int((folder(client, run) / "worker.lock").read_text()), signal.SIGKILL)


def test_a_run_ends_in_a_model_that_answers_and_says_where_it_is_from(client: ft.Client, job: ft.Job) -> None:
    run = client.submit(job, max_cost=0.0)
    tuned = run.wait(progress=False)
    curve = [e.data["loss"] for e in run.events() if e.kind == "metrics" and "loss" in e.data]
    assert run.status == "succeeded"
    assert len(curve) == 12
    assert curve[-1] < curve[0]
    assert tuned.origin.run == run.id
    assert tuned.origin.actual["charge"] == 0.0
    assert set(tuned.origin.curves) >= {"loss", "validation_loss", "learning_rate"}
    assert isinstance(tuned.answer("case 1", ft.Sampling(max_tokens=4)).text, str)
    names = {path.name for path in (folder(client, run) / "model").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "chat_template.jinja", "tokenizer.json"} <= names
    assert not [p for p in folder(client, run).rglob("*") if p.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_the_same_job_again_is_the_same_run(client: ft.Client, job: ft.Job) -> None:
    run = client.submit(job)
    assert client.submit(job).id == run.id
    run.wait(progress=False)
    assert client.submit(job).id == run.id
    assert len(client.backend.runs()) == 1


def test_two_processes_that_submit_at_once_make_one_run(client: ft.Client, small: str) -> None:
    code = SUBMIT.format(tests=str(Path(__file__).parent), home=str(client.settings.home), base=small)
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    ids = {process.communicate(timeout=200)[0].strip() for process in processes}
    assert len(ids) == 1
    assert len(client.backend.runs()) == 1
    client.get_run(ids.pop()).wait(progress=False)


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_killed_run_goes_on_as_if_it_had_never_stopped(client: ft.Client, method: str) -> None:
    more = {"batch_size": 4, "learning_rate": 1e-2, "epochs": 3.0, "validate_every": 5}
    adapter = ft.LoRA(rank=4, dropout=0.1)
    if method == "sft":
        job = ft.Job(name="a", train=chats(24), validation=chats(6, 50), method=ft.SFT(**more), adapter=adapter)
    else:
        job = ft.Job(name="a", train=pairs(24), validation=pairs(6, 50), method=ft.DPO(**more), adapter=adapter)
    whole = client.submit(job)
    expected = whole.wait(progress=False)
    moved = client.settings.home.with_name("other")
    other = ft.Client(settings=ft.Settings("local", moved, client.settings.places))
    run = other.submit(job)
    for step in (3, 7):
        until(lambda step=step: max(losses(run), default=0) >= step)
        kill(other, run)
        until(lambda: run.status == "failed")
        assert "ended without a word" in [e.message for e in run.events() if e.kind == "status"][-1]
        run.resume()
    tuned = run.wait(progress=False)
    assert losses(run) == losses(whole)
    one, two = (path / "model" / "adapter_model.safetensors" for path in (folder(client, whole), folder(other, run)))
    assert one.read_bytes() == two.read_bytes()
    assert tuned.origin.actual["trained_tokens"] == expected.origin.actual["trained_tokens"]


def test_a_half_written_checkpoint_is_passed_over_for_the_one_before(client: ft.Client) -> None:
    job = ft.Job(name="a", train=chats(24), method=ft.SFT(epochs=4, batch_size=4, learning_rate=1e-2))
    run = client.submit(job)
    until(lambda: max(losses(run), default=0) >= 7)
    kill(client, run)
    until(lambda: run.status == "failed")
    saved = checkpoints.every(folder(client, run) / "checkpoints")
    newest = saved[0].folder / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    run.resume()
    run.wait(progress=False)
    said = [event.message for event in run.events()]
    assert f"the checkpoint {saved[0].folder.name} is not whole and was passed over" in said
    assert f"going on from step {saved[1].step}" in said
    assert len(losses(run)) == 24


def test_cancel_ends_a_run_within_ten_seconds_and_resume_goes_on(client: ft.Client) -> None:
    job = ft.Job(name="a", train=chats(24), method=ft.SFT(steps=2000, batch_size=4, learning_rate=1e-3))
    run = client.submit(job)
    until(lambda: max(losses(run), default=0) >= 3)
    started = time.monotonic()
    run.cancel()
    assert time.monotonic() - started < 10
    assert run.status == "cancelled"
    step = max(losses(run))
    assert run.checkpoints()[-1].step == step
    with pytest.raises(ft.RunError, match="resume"):
        client.submit(job)
    run.resume()
    until(lambda: max(losses(run), default=0) > step)
    run.cancel()


def test_a_run_that_was_deleted_by_hand_is_said_to_be_gone(client: ft.Client, job: ft.Job) -> None:
    run = client.submit(job)
    run.wait(progress=False)
    shutil.rmtree(folder(client, run))
    with pytest.raises(ft.RunError, match=r"was submitted on .* and is gone"):
        run.status  # noqa: B018 - asking is what raises
    with pytest.raises(ft.RunError, match="gone") as caught:
        client.submit(job)
    assert "again=True" in str(caught.value)
    assert client.submit(job, again=True).key != run.key


def test_a_full_disk_is_said_and_leaves_the_checkpoints_before_whole(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    checkpoints.save(tmp_path, 1, {"weights": {"a": torch.zeros(10)}}, {})
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from finetune_sdk_local import checkpoints\n"
        "from finetune_sdk.errors import BackendError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n    checkpoints.save(Path(sys.argv[1]), 2, {'weights': {'a': torch.zeros(100_000)}}, {})\n"
        "except BackendError as fault:\n    print(fault)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "could not be written" in done.stdout
    saved, broken = checkpoints.latest(tmp_path)
    assert saved is not None
    assert saved.step == 1
    assert broken == []


def test_an_unknown_base_says_what_was_looked_for_and_where(client: ft.Client, job: ft.Job) -> None:
    with pytest.raises(ft.NotFoundError, match=r"no-such-base") as caught:
        client.estimate(ft.Job(name="a", train=job.train, base="./no-such-base"))
    assert "tiny" in str(caught.value)
    with pytest.raises(ft.NotFoundError, match="on the hub"):
        client.estimate(ft.Job(name="a", train=job.train, base="nobody/no-such-base"))


def test_a_row_that_trains_nothing_is_an_error_that_names_it(client: ft.Client) -> None:
    rows = [example.canonical() for example in chats(5)]
    rows[3]["messages"][1]["content"] = "word " * 60
    job = ft.Job(name="a", train=ft.Dataset.of(rows, name="t.jsonl"), method=ft.SFT(max_length=40))
    with pytest.raises(ft.DatasetError, match=r"t\.jsonl row 4: .*nothing is left to train"):
        client.submit(job)
    assert client.backend.runs() == []


def test_a_cut_row_is_a_warning_with_its_number(client: ft.Client) -> None:
    rows = [example.canonical() for example in chats(5)]
    rows[2]["messages"][2]["content"] = "word " * 60
    job = ft.Job(name="a", train=ft.Dataset.of(rows, name="t.jsonl"), method=ft.SFT(max_length=60))
    found = [finding for finding in client.check(job) if finding.check == "cut"]
    assert [(finding.severity, finding.rows) for finding in found] == [("warning", (3,))]


def test_full_weights_are_trained_and_answer(client: ft.Client) -> None:
    job = ft.Job(name="a", train=chats(8), method=ft.SFT(epochs=1, batch_size=4), adapter=ft.Full())
    tuned = client.submit(job).wait(progress=False)
    assert isinstance(tuned.answer("case 1", ft.Sampling(max_tokens=3)).text, str)


def test_early_stopping_ends_a_run_and_keeps_the_best_checkpoint(client: ft.Client) -> None:
    method = ft.SFT(epochs=40, batch_size=4, learning_rate=0.3, validate_every=2, early_stopping=2, schedule="constant")
    run = client.submit(ft.Job(name="a", train=chats(12), validation=chats(6, 100), method=method))
    run.wait(progress=False)
    said = [event.message for event in run.events()]
    assert any("stopped early" in message for message in said)
    assert max(losses(run)) < 120
    curve = dict(run.curves()["validation_loss"])
    del curve[0]
    best = min(curve, key=lambda step: curve[step])
    assert best == max(curve) or any(f"that of step {best}" in message for message in said)


def test_the_manifest_says_what_a_run_was_made_with(client: ft.Client, job: ft.Job) -> None:
    run = client.submit(job)
    run.wait(progress=False)
    manifest = json.loads((folder(client, run) / "manifest.json").read_text())
    assert manifest["packages"]["torch"]
    assert manifest["job"]["train"]["fingerprint"] == job.train.fingerprint
    assert manifest["hardware"]["threads"] == 1


def test_a_disk_without_room_is_an_error_before_anything_is_written(
    client: ft.Client, job: ft.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ft.JobError, match=r"1\.0 kB free"):
        client.submit(job)
    assert client.backend.runs() == []

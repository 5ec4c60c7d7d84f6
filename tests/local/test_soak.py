"""Kills at random moments: the short version is in test_runs.py."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

import finetune_sdk as ft
from local_data import chats

KILLS = 25


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_kills_at_random_moments_end_in_the_adapter_of_a_run_never_killed(client: ft.Client, home: Path) -> None:
    method = ft.SFT(epochs=20, batch_size=4, learning_rate=5e-3, validate_every=7)
    job = ft.Job(
        name="a", train=chats(24), validation=chats(6, 50), method=method, adapter=ft.LoRA(rank=4, dropout=0.1)
    )
    whole = client.submit(job)
    whole.wait(progress=False)
    other = ft.Client(settings=ft.Settings("local", home.with_name("other"), client.settings.places))
    run = other.submit(job)
    draw = random.Random(0)
    for _ in range(KILLS):
        time.sleep(draw.uniform(0.0, 12.0))
        lock = other.settings.home / "runs" / run.key / "worker.lock"
        if run.status == "succeeded":
            break
        if not run.status.terminal and lock.exists() and lock.read_text():
            os.kill(int(lock.read_text()), signal.SIGKILL)
            while not run.status.terminal:
                time.sleep(0.05)
        if run.status.terminal and run.status != "succeeded":
            run.resume()
    run.wait(progress=False)
    files = [
        one.settings.home / "runs" / made.key / "model" / "adapter_model.safetensors"
        for one, made in ((client, whole), (other, run))
    ]
    assert files[0].read_bytes() == files[1].read_bytes()

"""Kills at random moments: the short version is in test_runs.py."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from local_data import chats, pairs, rated, tasks, texts
from own_graders import Spread
from watched import folder, kill, losses, saved_step, until, went_on_from

KILLS = 25
"""Of each of eight kinds of runs: two hundred in all."""
LORA, DROPOUT = ft.LoRA(rank=4), ft.LoRA(rank=4, dropout=0.1)
RUNS: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "SFT": (ft.SFT, DROPOUT, chats, {}),
    "SFT with QLoRA": (ft.SFT, ft.QLoRA(rank=4), chats, {}),
    "SFT of all weights": (ft.SFT, ft.Full(), chats, {}),
    "Pretraining": (ft.Pretraining, DROPOUT, texts, {}),
    "DPO": (ft.DPO, DROPOUT, pairs, {}),
    "ORPO": (ft.ORPO, LORA, pairs, {}),
    "KTO": (ft.KTO, LORA, rated, {}),
    "RFT": (ft.RFT, DROPOUT, tasks, {"graders": (Spread(),), "samples": 4, "max_tokens": 6, "steps": 900}),
}


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", RUNS)
def test_kills_at_random_moments_end_in_the_weights_of_a_run_never_killed(
    client: ft.Client, home: Path, kind: str
) -> None:
    of, adapter, rows, more = RUNS[kind]
    method = of(**{"steps": 2500, "batch_size": 4, "learning_rate": 1e-3, "validate_every": 7, **more})
    job = ft.Job(name="a", train=rows(24), validation=rows(6, 50), method=method, adapter=adapter)
    whole = client.submit(job)
    whole.wait(progress=False)
    other = ft.Client(settings=ft.Settings("local", home.with_name("other"), client.settings.places))
    run = other.submit(job)
    draw, saved = random.Random(0), list[int]()
    for number in range(KILLS):
        lock = folder(other, run) / "worker.lock"
        until(lambda lock=lock: lock.exists() and lock.read_text().isdigit())
        if number % 3:  # while it trains; else while it starts
            done = max(losses(run), default=0)
            until(lambda done=done: max(losses(run), default=0) > done)
            time.sleep(draw.uniform(0.0, 1.0))
        else:
            time.sleep(draw.uniform(0.0, 6.0))
        assert run.status != "succeeded", "the run was too short to be killed so often"
        kill(other, run)
        until(lambda: run.status == "failed")
        saved.append(saved_step(other, run))
        run.resume()
        until(lambda lock=lock: run.status == "running")
    run.wait(progress=False)
    went_on = went_on_from(run)
    assert set(went_on) <= set(saved)
    assert went_on[-1] == saved[-1]
    assert len(went_on) >= KILLS // 2
    models = [folder(at, made) / "model" for at, made in ((client, whole), (other, run))]
    files = [{file.name: file.read_bytes() for file in model.glob("*.safetensors")} for model in models]
    assert files[0]
    assert files[0] == files[1]

"""Weights that are spread over processes are trained as if each held them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
import together
from finetune_sdk_local.runs import RunFolder
from local_data import chats, pairs, rated
from test_together import figures
from watched import weights

torch = pytest.importorskip("torch")

JOBS = {
    "full": ft.Job(
        name="colours", train=chats(13), validation=chats(5, 100), adapter=ft.Full(),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-3),
    ),
    "lora": ft.Job(
        name="colours", train=chats(13), validation=chats(5, 100), adapter=ft.LoRA(rank=4),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "dora": ft.Job(
        name="thanks", train=pairs(9), validation=pairs(3, 100), adapter=ft.LoRA(rank=4, dora=True),
        method=ft.DPO(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "kto": ft.Job(
        name="rated", train=rated(12), validation=rated(6, 100), adapter=ft.LoRA(rank=4),
        method=ft.KTO(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "prefix": ft.Job(
        name="colours", train=chats(13), validation=chats(5, 100), adapter=ft.PrefixTuning(tokens=3),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "qlora": ft.Job(
        name="colours", train=chats(9), validation=chats(5, 100), adapter=ft.QLoRA(rank=4),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
}  # fmt: skip


def prepared(base: str, where: Path, job: ft.Job, micro_tokens: int = 60) -> Path:
    """A job's folder as it is submitted; so few tokens at once that a step takes several passes."""
    client = ft.Client(settings=ft.Settings("local", where / "home", {"local": {"base": base, "device": "cpu"}}))
    resolved, run = client.resolve(job), RunFolder(where / "job")
    machine = {"threads": 1, "micro_tokens": micro_tokens, "checkpoint_every": 2}
    run.make(
        {**resolved.to_dict(), "machine": machine, "token": resolved.token("here", 1)},
        train=job.train,
        validation=job.validation,
    )
    return run.path


@pytest.mark.parametrize("kind", sorted(JOBS))
def test_two_processes_with_half_the_weights_each_train_what_one_trains(small: str, tmp_path: Path, kind: str) -> None:
    """But for rounding; and what two with all the weights train, bit for bit where these stand still.

    Steps of one example are among them, and others in which one process has more to pass than the other.
    """
    made = prepared("tiny" if kind == "qlora" else small, tmp_path, JOBS[kind])
    alone, both, spread = (together.copied(made, tmp_path / name) for name in ("alone", "both", "spread"))
    assert together.trained(alone, 1) == [0]
    assert together.trained(both, 2, engine="separate") == [0, 0]
    assert together.trained(spread, 2, sharding=True) == [0, 0]
    assert_the_same_losses(alone, spread)
    assert_the_same_losses(both, spread)
    one, other = (model(path) for path in (both, spread))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]) or (kind == "full" and close(tensor, other[name])), name
    if kind != "qlora":
        assert all(close(tensor, other[name]) for name, tensor in model(alone).items())
    assert {path.name for path in (spread / "model").iterdir()} == {path.name for path in (both / "model").iterdir()}


def model(run: Path) -> dict[str, Any]:
    (file,) = (run / "model").glob("*.safetensors")
    return weights(file)


def close(one: Any, other: Any) -> bool:
    return bool(torch.allclose(one, other, rtol=1e-3, atol=2e-5))


def assert_the_same_losses(one: Path, other: Path) -> None:
    mine, theirs = (figures(RunFolder(path).events()) for path in (one, other))
    assert len(mine) == len(theirs) > 3
    for expected, found in zip(mine, theirs, strict=True):
        assert found == pytest.approx(expected, rel=2e-4, abs=2e-6)

"""The same promises on a CUDA card; skipped by name where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

import finetune_sdk as ft
from local_data import chats, pairs

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA card here")


@pytest.fixture
def client(home: Path, small: str) -> ft.Client:
    return ft.Client(settings=ft.Settings("local", home, {"local": {"base": small}}))


def test_the_card_and_its_dtype_are_picked_by_themselves(client: ft.Client) -> None:
    own = client.resolve(ft.Job(name="a", train=chats(8))).own
    assert own["device"] == "cuda"
    assert own["dtype"] == ("bfloat16" if torch.cuda.is_bf16_supported() else "float32")


@pytest.mark.parametrize("adapter", [ft.LoRA(rank=4), ft.QLoRA(rank=4), ft.Full()], ids=["lora", "qlora", "full"])
def test_sft_learns_on_the_card(client: ft.Client, adapter: ft.LoRA | ft.QLoRA | ft.Full) -> None:
    method = ft.SFT(epochs=4, batch_size=8, learning_rate=1e-2)
    run = client.submit(ft.Job(name="a", train=chats(24), validation=chats(6, 50), method=method, adapter=adapter))
    tuned = run.wait(progress=False)
    losses = [value for _, value in run.curves()["loss"]]
    assert losses[-1] < losses[0]
    assert isinstance(tuned.answer("case 1", ft.Sampling(max_tokens=3)).text, str)


def test_dpo_raises_the_margin_on_the_card(client: ft.Client) -> None:
    method = ft.DPO(epochs=4, batch_size=8, learning_rate=5e-3)
    run = client.submit(ft.Job(name="a", train=pairs(24), validation=pairs(6, 50), method=method))
    run.wait(progress=False)
    margins = run.curves()["validation_margin"]
    assert margins[-1][1] > margins[0][1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shared_prefixes_learn_what_separate_passes_learn_on_the_card(home: Path, small: str, dtype: str) -> None:
    rows = [{"messages": [{"role": "system", "content": "Say the number of the case. " * 20}, *row["messages"]]}
            for row in (example.canonical() for example in chats(16))]  # fmt: skip
    job = ft.Job(name="a", train=ft.Dataset.of(rows), method=ft.SFT(epochs=2, batch_size=8, learning_rate=1e-3))
    losses = []
    for engine in ("shared", "separate"):
        options = {"base": small, "dtype": dtype, "engine": engine}
        client = ft.Client(settings=ft.Settings("local", home / engine, {"local": options}))
        run = client.submit(job)
        run.wait(progress=False)
        losses.append([value for _, value in run.curves()["loss"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4 if dtype == "float32" else 2e-2)

"""QLoRA on a CPU: it trains, and looking at the validation loss in between does not change what is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk_local import bases, objectives
from finetune_sdk_local.batches import batch
from finetune_sdk_local.devices import Device
from finetune_sdk_local.rendering import Renderer
from local_data import chats

pytest.importorskip("bitsandbytes")
CPU = Device("cpu", "test", "float32", 1, 1)


def gradients(base: str, *, look: bool) -> dict[str, Any]:
    import torch

    adapter = ft.QLoRA(rank=4)
    model = bases.adapt(bases.load(base, CPU, adapter, train=True), adapter, seed=1)
    block = batch(Renderer(base, bases.tokenizer(base)).sequences(chats(4), 512), range(4), 0, "cpu")
    logits = objectives.all_logits(model)
    if look:
        model.eval()
        with torch.no_grad():
            objectives.sft(logits, block)
        model.train()
    objectives.sft(logits, block).loss.backward()
    return {name: parameter.grad for name, parameter in bases.trainable(model).items()}


def test_a_validation_in_between_leaves_the_gradients_as_they_are(small: str) -> None:
    import torch

    plain, looked = gradients(small, look=False), gradients(small, look=True)
    for name in plain:
        assert torch.equal(plain[name], looked[name])


def test_no_layer_can_repack_its_weights_and_the_adapter_is_float32(small: str) -> None:
    import torch

    adapter = ft.QLoRA(rank=4)
    model = bases.adapt(bases.load(small, CPU, adapter, train=True), adapter, seed=1)
    repacking = [m for m in model.modules() if getattr(m, "support_avx512bf16_for_cpu", False)]
    assert repacking == []
    assert {parameter.dtype for parameter in bases.trainable(model).values()} == {torch.float32}


def test_a_qlora_run_ends_in_a_model_that_answers(client: ft.Client) -> None:
    job = ft.Job(
        name="a", train=chats(12), validation=chats(4, 50), adapter=ft.QLoRA(rank=4),
        method=ft.SFT(epochs=2, batch_size=4, learning_rate=1e-2),
    )  # fmt: skip
    run = client.submit(job)
    tuned = run.wait(progress=False)
    curve = [value for _, value in run.curves()["loss"]]
    assert curve[-1] < curve[0]
    assert isinstance(tuned.answer("case 1", ft.Sampling(max_tokens=3)).text, str)


def test_code_from_a_hub_is_not_fetched(home: Path) -> None:
    import sys

    bases.block_hub_kernels()
    with pytest.raises(ImportError):
        __import__("kernels")
    assert sys.modules["kernels"] is None

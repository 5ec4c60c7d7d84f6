"""The loop against trl's own trainers, and against itself laid out otherwise."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import finetune_sdk as ft
from finetune_sdk_local import bases, objectives
from finetune_sdk_local.batches import batch, grouped, plan
from finetune_sdk_local.devices import Device
from finetune_sdk_local.prepare import sequences
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.training import Data, Options, Training
from local_data import chats, pairs

CPU = Device("cpu", "test", "float32", 1, 1)
ROWS, STEPS, RATE = 8, 4, 5e-3


def training(base: str, method: ft.SFT | ft.DPO, folder: Path, model: Any, micro_tokens: int = 10_000) -> Training:
    renderer = Renderer(base, bases.tokenizer(base))
    dataset = pairs(ROWS) if isinstance(method, ft.DPO) else chats(ROWS)
    made = sequences(renderer, dataset, method, 512)
    width = 2 if isinstance(method, ft.DPO) else 1
    return Training(
        model, Data(made, None, width), plan(ROWS, ROWS, 0, None, STEPS), method, CPU, Options(micro_tokens, 1000),
        folder, 0, lambda kind, message, data: seen.append(dict(data)) if kind == "metrics" else None,
    )  # fmt: skip


seen: list[dict[str, Any]] = []


def method(kind: type[ft.SFT] | type[ft.DPO]) -> Any:
    more = {"beta": 0.1} if kind is ft.DPO else {}
    return kind(steps=STEPS, batch_size=ROWS, learning_rate=RATE, schedule="constant", max_length=512, **more)


def model(base: str, adapter: Any) -> Any:
    return bases.adapt(bases.load(base, CPU, adapter, train=True), adapter, seed=1)


def run(
    base: str, kind: Any, adapter: Any, folder: Path, micro_tokens: int = 10_000
) -> tuple[list[float], dict[str, Any]]:
    seen.clear()
    made = training(base, method(kind), folder, model(base, adapter), micro_tokens)
    made.run()
    return [row["loss"] for row in seen], {n: p.detach().clone() for n, p in made.weights.items()}


def trl_run(base: str, kind: Any, adapter: Any, folder: Path) -> tuple[list[float], dict[str, Any]]:
    """The same steps by trl's SFTTrainer or DPOTrainer: one batch a step holds all rows, so their order is no matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datasets import Dataset
        from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

        rows = [example.canonical() for example in (pairs(ROWS) if kind is ft.DPO else chats(ROWS))]
        common: dict[str, Any] = {
            "output_dir": str(folder), "max_steps": STEPS, "per_device_train_batch_size": ROWS, "learning_rate": RATE,
            "lr_scheduler_type": "constant", "weight_decay": 0.0, "max_grad_norm": 1.0, "max_length": 512, "use_cpu": True,
            "gradient_checkpointing": False, "logging_steps": 1, "report_to": [], "save_strategy": "no", "bf16": False,
            "disable_tqdm": True,
        }  # fmt: skip
        wrapped = model(base, adapter)
        tokenizer = bases.tokenizer(base)
        if kind is ft.DPO:
            data = [{"prompt": r["prompt"]["messages"], "chosen": r["chosen"], "rejected": r["rejected"]} for r in rows]
            trainer = DPOTrainer(
                wrapped,
                args=DPOConfig(beta=0.1, **common),
                train_dataset=Dataset.from_list(data),
                processing_class=tokenizer,
            )
        else:
            data = [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in rows]
            trainer = SFTTrainer(
                wrapped, args=SFTConfig(**common), train_dataset=Dataset.from_list(data), processing_class=tokenizer
            )
        trainer.train()
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return losses, {n: p.detach().clone() for n, p in wrapped.named_parameters() if p.requires_grad}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ft.SFT, ft.DPO], ids=["sft", "dpo"])
def test_losses_and_weights_are_those_of_trl(small: str, kind: Any, tmp_path: Path) -> None:
    adapter = ft.LoRA(rank=4)
    losses, weights = run(small, kind, adapter, tmp_path)
    theirs, reference = trl_run(small, kind, adapter, tmp_path / "trl")
    np.testing.assert_allclose(losses, theirs, rtol=2e-4, atol=1e-4)  # trl logs four digits
    assert weights.keys() == reference.keys()
    for name in weights:
        torch.testing.assert_close(weights[name], reference[name], rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("kind", [ft.SFT, ft.DPO], ids=["sft", "dpo"])
@pytest.mark.parametrize("adapter", [ft.LoRA(rank=4), ft.Full()], ids=["lora", "full"])
def test_micro_batches_do_not_change_what_a_step_means(small: str, kind: Any, adapter: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    losses, weights = run(small, kind, adapter, tmp_path / "a")
    split, others = run(small, kind, adapter, tmp_path / "b", micro_tokens=90)
    np.testing.assert_allclose(losses, split, rtol=1e-5)
    for name in weights:
        torch.testing.assert_close(weights[name], others[name], rtol=1e-3, atol=1e-5)


def test_the_head_at_trained_positions_gives_the_loss_and_gradient_of_the_whole_model(small: str) -> None:
    made = Renderer(small, bases.tokenizer(small)).sequences(chats(6), 512)
    block = batch(made, range(6), 0, "cpu")
    results = []
    for logits_of in (objectives.all_logits, objectives.picked_logits):
        whole = model(small, ft.Full()).double()
        sums = objectives.sft(logits_of(whole), block)
        sums.loss.backward()
        results.append((float(sums.loss.detach()), whole.model.embed_tokens.weight.grad))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-5, atol=1e-7)


def test_a_model_whose_logits_are_changed_after_the_head_is_left_as_it_is(small: str) -> None:
    whole = model(small, ft.LoRA(rank=4))
    block = batch(Renderer(small, bases.tokenizer(small)).sequences(chats(2), 512), range(2), 0, "cpu")
    assert objectives.exact_logits(whole, block)[1] is True
    inner = whole.get_base_model()
    forward = inner.forward

    def doubled(*args: Any, **kwargs: Any) -> Any:
        out = forward(*args, **kwargs)
        out.logits = out.logits * 2
        return out

    inner.forward = doubled
    assert objectives.exact_logits(whole, block)[1] is False


def test_groups_hold_every_row_once_within_the_budget() -> None:
    lengths = [5, 90, 20, 20, 300, 7]
    groups = grouped(lengths, 100)
    assert sorted(at for group in groups for at in group) == list(range(6))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[at] for at in group) <= 100


def test_an_epoch_takes_every_example_once_in_an_order_of_its_own() -> None:
    steps = plan(10, 4, 3, 2, None)
    epochs = [np.concatenate([steps.rows(3 * epoch + at) for at in range(3)]).tolist() for epoch in range(2)]
    assert steps.steps == 6
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0] != epochs[1]

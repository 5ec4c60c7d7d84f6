"""The loop against trl's own trainers, and against itself laid out otherwise."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import finetune_sdk as ft
from finetune_sdk_local import bases, objectives, prefixes, prompts, ratings
from finetune_sdk_local.batches import Batch, batch, grouped, plan
from finetune_sdk_local.devices import Device
from finetune_sdk_local.prepare import sequences, steps, width
from finetune_sdk_local.progress import learning_rate
from finetune_sdk_local.prompts import ahead
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.tokenising import tokenise
from finetune_sdk_local.training import Data, Options, Training
from local_data import chats, pairs, rated, texts

CPU = Device("cpu", "test", "float32", 1, 1)
ROWS, STEPS, RATE = 8, 4, 5e-3
ATOL = 2e-6


DATA = {"sft": chats, "pretraining": texts, "dpo": pairs, "orpo": pairs, "kto": rated}


def training(
    base: str, method: Any, folder: Path, model: Any, micro_tokens: int = 10_000, engine: prefixes.Engine = "auto"
) -> Training:
    dataset = DATA[method.kind](ROWS)
    made = sequences(base, bases.tokenizer(base), dataset, method, 512)
    taken = steps(method, 0, ROWS)
    ratings_of = {}
    if isinstance(method, ft.KTO):
        ratings_of = {"train": ratings.of(dataset, made, ratings.batches(taken), 512)}
    return Training(
        model, Data(made, None, width(method), ratings_of), taken, method, CPU, Options(micro_tokens, 1000, engine=engine),
        folder, 0, lambda kind, message, data: seen.append(dict(data)) if kind == "metrics" else None,
    )  # fmt: skip


seen: list[dict[str, Any]] = []


def method(kind: Any, **options: Any) -> Any:
    more: dict[str, Any] = {"beta": 0.1} if kind in (ft.DPO, ft.ORPO, ft.KTO) else {}
    if kind is ft.ORPO:
        more["loss_on"] = "all"
    usual = {"steps": STEPS, "batch_size": ROWS, "learning_rate": RATE, "schedule": "constant", "max_length": 512}
    return kind(**{**usual, **more, **options})


def model(base: str, adapter: Any) -> Any:
    return bases.adapt(bases.load(base, CPU, adapter, train=True), adapter, seed=1)


def run(
    base: str, how: Any, adapter: Any, folder: Path, micro_tokens: int = 10_000, engine: prefixes.Engine = "auto"
) -> tuple[list[float], dict[str, Any]]:
    seen.clear()
    made = training(base, how, folder, model(base, adapter), micro_tokens, engine)
    made.run()
    return [row["loss"] for row in seen], {n: p.detach().clone() for n, p in made.weights.items()}


def trl_run(base: str, how: Any, adapter: Any, folder: Path) -> tuple[list[float], dict[str, Any]]:
    """The same steps by trl's own trainer. One batch a step holds all rows, so their order matters to KTO alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from datasets import Dataset
        from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        paired = isinstance(how, ft.DPO | ft.ORPO)
        rows = [example.canonical() for example in DATA[how.kind](ROWS)]
        common: dict[str, Any] = {
            "output_dir": str(folder), "max_steps": how.steps, "per_device_train_batch_size": how.batch_size, "learning_rate": RATE,
            "lr_scheduler_type": how.schedule, "weight_decay": how.weight_decay or 0.0, "max_grad_norm": 1.0,
            "max_length": 512, "use_cpu": True, "gradient_checkpointing": False, "logging_steps": 1, "report_to": [],
            "save_strategy": "no", "bf16": False, "disable_tqdm": True,
        }  # fmt: skip
        wrapped = model(base, adapter)
        tokenizer = bases.tokenizer(base)
        if paired:
            data = [{"prompt": r["prompt"]["messages"], "chosen": r["chosen"], "rejected": r["rejected"]} for r in rows]
            kind, config = (DPOTrainer, DPOConfig) if isinstance(how, ft.DPO) else (ORPOTrainer, ORPOConfig)
            trainer = watched(kind)(
                wrapped,
                args=config(beta=how.beta, **common),
                train_dataset=Dataset.from_list(data),
                processing_class=tokenizer,
            )
        elif isinstance(how, ft.KTO):
            taken = steps(how, 0, ROWS)
            order = [int(row) for step in range(taken.per_epoch) for row in taken.rows(step)]
            data = [
                {"prompt": rows[at]["prompt"]["messages"], "completion": rows[at]["answer"], "label": rows[at]["good"]}
                for at in order
            ]
            weights = {name: getattr(how, name) or 1.0 for name in ("desirable_weight", "undesirable_weight")}
            trainer = watched(KTOTrainer)(
                wrapped,
                args=KTOConfig(beta=how.beta, train_sampling_strategy="sequential", **weights, **common),
                train_dataset=Dataset.from_list(data),
                processing_class=tokenizer,
            )
        else:
            if isinstance(how, ft.Pretraining):
                data = rows
            elif how.loss_on == "all":
                data = [{"messages": r["messages"]} for r in rows]
            else:
                data = [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in rows]
            trainer = watched(SFTTrainer)(
                wrapped, args=SFTConfig(**common), train_dataset=Dataset.from_list(data), processing_class=tokenizer
            )
        trainer.train()
    moved = {n: p for n, p in wrapped.named_parameters() if p.requires_grad and ".ref." not in n}
    return trainer.losses, {n: p.detach().clone() for n, p in moved.items()}


def watched(trainer: Any) -> Any:
    """The trainer, with the loss of each step kept as it is: what trl logs has four digits.

    Its adapters stay as they are given: beside 4 bits it would round them to bfloat16, and here they are float32.
    """

    class Watched(trainer):  # type: ignore[misc]
        def __init__(self, model: Any, **options: Any) -> None:
            given = {name: weight.data.clone() for name, weight in bases.trainable(model).items()}
            super().__init__(model, **options)
            for name, weight in model.named_parameters():
                if name in given:
                    weight.data = given[name]

        def compute_loss(self, *args: Any, **options: Any) -> Any:
            loss = super().compute_loss(*args, **options)
            self.losses = [*getattr(self, "losses", []), float(loss.detach())]
            return loss

    return Watched


LORA, QLORA = ft.LoRA(rank=4), ft.QLoRA(rank=4)
KINDS = (ft.SFT, ft.Pretraining, ft.DPO, ft.ORPO, ft.KTO)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "adapter"),
    [
        pytest.param(method(ft.SFT), LORA, id="sft"),
        pytest.param(method(ft.SFT, schedule="linear"), LORA, id="sft-linear"),
        pytest.param(method(ft.SFT, schedule="cosine", weight_decay=2.0), LORA, id="sft-cosine-decay"),
        pytest.param(method(ft.SFT, loss_on="all"), LORA, id="sft-every-token"),
        pytest.param(method(ft.SFT, weight_decay=2.0), ft.Full(), id="sft-all-weights-decay"),
        pytest.param(method(ft.Pretraining), LORA, id="pretraining"),
        pytest.param(method(ft.Pretraining), ft.Full(), id="pretraining-all-weights"),
        pytest.param(method(ft.DPO), LORA, id="dpo"),
        pytest.param(method(ft.SFT), ft.LoRA(rank=4, rslora=True), id="sft-rslora"),
        pytest.param(method(ft.SFT, weight_decay=2.0), ft.LoRA(rank=4, dora=True), id="sft-dora-decay"),
        pytest.param(method(ft.SFT), ft.PromptTuning(tokens=3), id="sft-prompt-tuning"),
        pytest.param(method(ft.SFT), ft.PrefixTuning(tokens=3), id="sft-prefix-tuning"),
        pytest.param(method(ft.ORPO), ft.PrefixTuning(tokens=3), id="orpo-prefix-tuning"),
        pytest.param(method(ft.DPO), ft.PromptTuning(tokens=3), id="dpo-prompt-tuning"),
        pytest.param(method(ft.DPO), ft.PrefixTuning(tokens=3), id="dpo-prefix-tuning"),
        pytest.param(method(ft.DPO), ft.LoRA(rank=4, dora=True, rslora=True), id="dpo-dora-rslora"),
        pytest.param(method(ft.ORPO), LORA, id="orpo"),
        pytest.param(method(ft.ORPO, beta=0.5, schedule="linear"), ft.Full(), id="orpo-beta-all-weights"),
        pytest.param(method(ft.KTO), LORA, id="kto"),
        pytest.param(method(ft.KTO, beta=0.3, desirable_weight=0.5, undesirable_weight=1.5), LORA, id="kto-weights"),
        pytest.param(method(ft.KTO, batch_size=4, steps=2, schedule="linear"), LORA, id="kto-batches"),
        pytest.param(method(ft.DPO, schedule="cosine", weight_decay=2.0), LORA, id="dpo-cosine-decay"),
        pytest.param(method(ft.SFT), QLORA, id="sft-four-bits"),
        pytest.param(method(ft.Pretraining), QLORA, id="pretraining-four-bits"),
        pytest.param(method(ft.DPO), QLORA, id="dpo-four-bits"),
        pytest.param(method(ft.KTO), QLORA, id="kto-four-bits"),
    ],
)
def test_losses_and_weights_are_those_of_trl(
    small: str, how: Any, adapter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(adapter, ft.QLoRA):
        pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(prefixes, "WORTHWHILE", 1)
    # trl was given an adapted model, and takes that for its reference; here it is the base, always.
    monkeypatch.setattr(prompts, "without", lambda model: nullcontext())
    theirs, reference = trl_run(small, how, adapter, tmp_path / "trl")
    for engine in ("separate",) if ahead(adapter) else ("separate", "shared"):
        (tmp_path / engine).mkdir()
        losses, weights = run(small, how, adapter, tmp_path / engine, engine=engine)  # type: ignore[arg-type]
        np.testing.assert_allclose(losses, theirs, rtol=0, atol=ATOL)
        assert weights.keys() == reference.keys()
        for name in weights:
            torch.testing.assert_close(weights[name], reference[name], rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("schedule", "warmup", "shares"),
    [
        ("constant", 0.0, [1, 1, 1, 1]),
        ("linear", 0.0, [1, 3 / 4, 2 / 4, 1 / 4]),
        ("cosine", 0.0, [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
        ("constant", 0.5, [1 / 2, 1, 1, 1]),
        ("linear", 0.5, [1 / 2, 1, 1, 1 / 2]),
        ("cosine", 0.5, [1 / 2, 1, 1, 1 / 2]),
        ("linear", 0.3, [1 / 2, 1, 1, 1 / 2]),
        ("constant", 0.99, [1 / 4, 2 / 4, 3 / 4, 1]),
    ],
)
def test_the_rate_of_each_of_four_steps(schedule: Any, warmup: float, shares: list[float]) -> None:
    """Warmup starts at peak / warmup steps and is at the peak in its last step; its steps are rounded up.

    transformers starts at 0 instead, a step that learns nothing, and is at the peak one step later.
    """
    how = ft.SFT(learning_rate=3e-4, schedule=schedule, warmup=warmup)
    rates = [learning_rate(how, step, 4) for step in range(4)]
    assert rates == pytest.approx([3e-4 * share for share in shares], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "adapter", [LORA, ft.LoRA(rank=4, dora=True), ft.Full(), ft.PrefixTuning()], ids=["lora", "dora", "full", "prefix"]
)
def test_micro_batches_do_not_change_what_a_step_means(small: str, kind: Any, adapter: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    losses, weights = run(small, method(kind), adapter, tmp_path / "a")
    split, others = run(small, method(kind), adapter, tmp_path / "b", micro_tokens=90)
    np.testing.assert_allclose(losses, split, rtol=1e-5)
    for name in weights:
        torch.testing.assert_close(weights[name], others[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [ft.SFT, ft.DPO, ft.ORPO, ft.KTO], ids=lambda kind: kind.__name__)
def test_a_batch_too_big_for_the_memory_is_split_and_the_steps_stay_the_same(
    small: str, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = training(small, method(kind), tmp_path / "a", model(small, ft.Full()), engine="separate")
    plain.run()
    squeezed = training(small, method(kind), tmp_path / "b", model(small, ft.Full()), engine="separate")
    example = squeezed.data.longest * squeezed.data.width
    squeezed.micro_tokens = ROWS * example
    said = list[str]()
    squeezed.report = lambda kind, message, data: said.append(message) if kind == "message" else None
    only_fit(3 * example, monkeypatch, late=squeezed.model.get_input_embeddings().weight)
    squeezed.run()
    tries = [4 * example, 2 * example]
    assert said[1:] == [f"out of memory: now {now} tokens at once, same steps" for now in tries]
    assert squeezed.micro_tokens == 2 * example
    for name, weight in plain.weights.items():
        torch.testing.assert_close(squeezed.weights[name], weight, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [ft.SFT, ft.DPO], ids=lambda kind: kind.__name__)
def test_memory_that_runs_out_within_the_run_splits_the_batch_and_the_steps_stay_the_same(
    small: str, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = training(small, method(kind), tmp_path / "a", model(small, LORA))
    plain.run()
    later = training(small, method(kind), tmp_path / "b", model(small, LORA))

    def report(kind: str, message: str, data: Any) -> None:
        if kind == "metrics" and data["step"] == 2:  # somebody else takes memory from here on
            only_fit(2 * later.data.longest, monkeypatch)

    later.report = report
    later.run()
    assert later.micro_tokens < plain.micro_tokens
    for name, weight in plain.weights.items():
        torch.testing.assert_close(later.weights[name], weight, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [ft.SFT, ft.DPO, ft.KTO], ids=lambda kind: kind.__name__)
def test_a_sequence_too_big_for_the_memory_is_an_error_before_the_first_step(
    small: str, kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = training(small, method(kind), tmp_path, model(small, LORA), engine="separate")
    longest = made.data.longest
    only_fit(longest - 1, monkeypatch)
    with pytest.raises(ft.BackendError, match=f"no room for one sequence of {longest} tokens") as caught:
        made.run()
    assert "max_length" in str(caught.value.cure)
    assert made.progress.step == 0


def only_fit(tokens: int, monkeypatch: pytest.MonkeyPatch, late: torch.nn.Parameter | None = None) -> None:
    """A device whose memory runs out in any batch of more tokens, padding included.

    With `late`, the weight whose gradient is made last, it runs out when the other gradients are there already.
    """
    token_losses, held = objectives.token_losses, 0

    def check(_: object = None) -> None:
        if held > tokens:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    def cramped(logits: Any, block: Any) -> Any:
        nonlocal held
        held = block.ids.numel()
        if late is None or not torch.is_grad_enabled():
            check()
        return token_losses(logits, block)

    monkeypatch.setattr(objectives, "token_losses", cramped)
    if late is not None:
        late.register_hook(check)


def test_the_head_at_trained_positions_gives_the_loss_and_gradient_of_the_whole_model(small: str) -> None:
    made = tokenise(Renderer(small, bases.tokenizer(small)), chats(6), 512)
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
    block = batch(tokenise(Renderer(small, bases.tokenizer(small)), chats(2), 512), range(2), 0, "cpu")
    assert objectives.exact_logits(whole, block)[1] is True
    inner = whole.get_base_model()
    forward = inner.forward

    def doubled(*args: Any, **kwargs: Any) -> Any:
        out = forward(*args, **kwargs)
        out.logits = out.logits * 2
        return out

    inner.forward = doubled
    assert objectives.exact_logits(whole, block)[1] is False


def test_an_answer_that_is_certain_has_odds_and_a_gradient() -> None:
    """Log-probabilities of short answers that are known by heart are 0 in float32, and their odds infinite."""
    ids = torch.tensor([[1, 2, 3], [1, 2, 4]])
    block = Batch(ids, torch.ones_like(ids), torch.tensor([[False, True, True]] * 2))
    logits = torch.zeros(4, 6)
    logits[[0, 1, 2, 3], [2, 3, 2, 4]] = 200.0
    logits.requires_grad_()
    sums = objectives.orpo(lambda _: logits, block, 1, 0.1, 0.5)
    sums.loss.backward()
    assert sums.loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_odds_may_stand_beside_the_likelihood_of_answers_alone(small: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone, _ = run(small, method(ft.ORPO, loss_on="completions", beta=1e-9, steps=1), LORA, tmp_path / "a")
    whole, _ = run(small, method(ft.ORPO, beta=1e-9, steps=1), LORA, tmp_path / "b")
    made = sequences(small, bases.tokenizer(small), pairs(ROWS), method(ft.ORPO, loss_on="completions"), 512)
    plain = model(small, LORA)
    block = batch(made, range(0, 2 * ROWS, 2), 0, "cpu")
    expected = objectives.sft(objectives.all_logits(plain), block)
    assert alone[0] == pytest.approx(float(expected.loss.detach()) / expected.count, rel=1e-5)
    assert whole[0] != pytest.approx(alone[0], rel=1e-3)


def test_groups_hold_every_row_once_within_the_budget() -> None:
    lengths = [5, 90, 20, 20, 300, 7]
    groups = grouped(lengths, 100)
    assert sorted(at for group in groups for at in group) == list(range(6))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[at] for at in group) <= 100


def test_steps_that_stay_together_are_the_same_in_each_epoch_in_another_order() -> None:
    taken = plan(20, 3, 3, 3, None, together=True)
    epochs = [[taken.rows(7 * epoch + at).tolist() for at in range(7)] for epoch in range(3)]
    assert sorted(row for rows in epochs[0] for row in rows) == list(range(20))
    assert [sorted(epoch) for epoch in epochs] == [sorted(epochs[0])] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_an_epoch_takes_every_example_once_in_an_order_of_its_own() -> None:
    steps = plan(10, 4, 3, 2, None)
    epochs = [np.concatenate([steps.rows(3 * epoch + at) for at in range(3)]).tolist() for epoch in range(2)]
    assert steps.steps == 6
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0] != epochs[1]

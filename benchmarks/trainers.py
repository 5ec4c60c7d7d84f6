"""Our loop and trl's own trainers, each made ready for a case; `stepped` is called after each step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import finetune_sdk as ft
from benchmarks.cases import BETA, LEARNING_RATE, MAX_LENGTH, SEED, Case, in_plan_order

Stepped = Callable[[], None]


@dataclass
class Loop:
    """A trainer that is ready: `run` trains; `losses` are there afterwards, one a step."""

    run: Callable[[], object]
    losses: list[float] = field(default_factory=list)
    trainer: object = None


def ours(case: Case, model: Any, folder: Path, stepped: Stepped) -> Loop:
    """The loop of the local backend, as its worker drives it."""
    from finetune_sdk_local import bases
    from finetune_sdk_local.batches import plan
    from finetune_sdk_local.devices import MICRO_TOKENS
    from finetune_sdk_local.prepare import sequences
    from finetune_sdk_local.training import Data, Options, Training

    losses: list[float] = []

    def report(kind: str, message: str, data: Any) -> None:
        if kind == "metrics":
            losses.append(data["loss"])

    def stop() -> bool:
        stepped()
        return False

    tokenizer = bases.tokenizer("tiny")
    rows = ft.Dataset.of(in_plan_order(case))
    made = sequences("tiny", tokenizer, rows, case.method, MAX_LENGTH)
    folder.mkdir(parents=True, exist_ok=True)
    loop = Training(
        model=model,
        data=Data(made, None, 2 if case.kind == "dpo" else 1),
        plan=plan(len(case.rows), case.batch, SEED, None, case.steps),
        method=case.method,
        device=case.device,
        options=Options(MICRO_TOKENS[case.device.kind], checkpoint_every=case.steps + 1),
        folder=folder,
        pad=tokenizer.pad_token_id,
        report=report,
        stop=stop,
    )
    return Loop(loop.run, losses)


def trl(case: Case, model: Any, folder: Path, stepped: Stepped, *, precompute: bool = False) -> Loop:
    """trl's SFTTrainer or DPOTrainer at the same settings, without gradient checkpointing, which costs it time.

    `precompute` scores the reference once before the first step instead of in each step, which trl does not by default.
    """
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback, TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    from finetune_sdk_local import bases

    class Told(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            stepped()

    disable_progress_bars()
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": case.steps,
        "per_device_train_batch_size": case.batch,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "max_length": MAX_LENGTH,
        "train_sampling_strategy": "sequential",
        "use_cpu": case.device.kind == "cpu",
        "bf16": case.device.dtype == "bfloat16",
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    given: dict[str, Any] = {
        "train_dataset": Dataset.from_list([as_trl_reads_it(case, row) for row in case.rows]),
        "processing_class": bases.tokenizer("tiny"),
        "callbacks": [Told()],
    }
    trainer: Any
    if case.kind == "dpo":
        options = DPOConfig(beta=BETA, precompute_ref_log_probs=precompute, **common)
        trainer = DPOTrainer(model, args=options, **given)
    else:
        trainer = SFTTrainer(model, args=SFTConfig(**common), **given)
    trainer.remove_callback(PrinterCallback)
    loop = Loop(lambda: None, trainer=trainer)

    def run() -> None:
        trainer.train()
        loop.losses += [row["loss"] for row in trainer.state.log_history if "loss" in row]

    loop.run = run
    return loop


def as_trl_reads_it(case: Case, row: dict[str, Any]) -> dict[str, Any]:
    if case.kind == "dpo":
        return {
            "prompt": row["input"]["messages"],
            "chosen": row["preferred_output"],
            "rejected": row["non_preferred_output"],
        }
    if case.everything:
        return row
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}


@contextmanager
def quiet() -> Iterator[None]:
    """Without what trl and its dependencies warn of when they are imported, and show while they work."""
    from transformers.utils import logging

    from finetune_sdk_local import bases

    bases.quiet()
    before = logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.set_verbosity(before)

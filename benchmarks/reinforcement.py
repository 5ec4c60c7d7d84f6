"""RFT beside trl's GRPOTrainer: answers drawn, graded and learnt, whole steps in one process, alternating."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.child import call
from benchmarks.figures import NOT_MEASURED, Row, Spread

TITLE = "Reinforcement beside trl's GRPOTrainer"
GOAL = "as fast as trl's trainer, which generates with transformers too, and no more memory"
SAMPLES, LONGEST = 8, 32
CASES = {"long shared prompt": 4, "nothing shared": 4, "toy": 2}
"""Tasks a step. Prompts are those of the training benchmark; a random model hardly ever ends an answer, so all are equally long."""


def measure(pairs: int = 5, names: Any = ("long shared prompt", "nothing shared"), alone_steps: int = 2) -> list[Row]:
    """One row for each kind of prompts: answers/s, the ratio, the peak."""
    return [_row(name, pairs, alone_steps) for name in names]


def _row(name: str, pairs: int, alone_steps: int) -> Row:
    beside = call("reinforcement", "side_by_side", name=name, pairs=pairs).value
    ratio = Spread.of_ratios(beside["seconds"]["trl"], beside["seconds"]["ours"])
    peaks = {side: call("reinforcement", "alone", side=side, name=name, steps=alone_steps) for side in ("ours", "trl")}
    answers = CASES[name] * SAMPLES
    return {
        "prompts": name,
        "answers a step": f"{CASES[name]} × {SAMPLES} of {LONGEST} tokens",
        "× trl": ratio,
        "× trl in CPU time": Spread.of_ratios(beside["cpu"]["trl"], beside["cpu"]["ours"]),
        "pairs": ratio.count,
        "answers/s": Spread.of([answers / seconds for seconds in beside["seconds"]["ours"]]),
        "trl's": Spread.of([answers / seconds for seconds in beside["seconds"]["trl"]]),
        "peak MB": peaks["ours"].peak_bytes / 1e6,
        "trl's peak": peaks["trl"].peak_bytes / 1e6,
        "met": ratio.median >= 1 and peaks["ours"].peak_bytes <= peaks["trl"].peak_bytes,
        "on a GPU": NOT_MEASURED,
    }


def side_by_side(name: Any, pairs: int) -> dict[str, Any]:
    """Seconds of each step of both."""
    from benchmarks import trainers
    from benchmarks.turns import Turns

    turns = Turns("ours", "trl", 1, pairs)
    with trainers.quiet(), tempfile.TemporaryDirectory() as folder:
        loops = {
            "ours": _ours(name, turns.steps, Path(folder) / "ours", lambda: turns.step("ours")),
            "trl": _trl(name, turns.steps, Path(folder) / "trl", lambda: turns.step("trl")),
        }
        turns.run(loops)
    return {"seconds": turns.seconds, "cpu": turns.cpu}


def alone(side: str, name: Any, steps: int) -> None:
    """A few steps of one trainer and nothing of the other."""
    from benchmarks import trainers

    with trainers.quiet(), tempfile.TemporaryDirectory() as folder:
        (_ours if side == "ours" else _trl)(name, steps, Path(folder), lambda: None)()


def _ours(name: Any, steps: int, folder: Path, stepped: Any) -> Any:
    import finetune_sdk as ft
    from benchmarks.cases import LEARNING_RATE, MAX_LENGTH, SEED, case
    from benchmarks.graders import Drawn
    from finetune_sdk_local import bases
    from finetune_sdk_local.batches import plan
    from finetune_sdk_local.devices import MICRO_TOKENS
    from finetune_sdk_local.prepare import sequences
    from finetune_sdk_local.reinforcement import Reinforcement
    from finetune_sdk_local.training import Data, Options

    made, tokenizer = case(name, "sft", CASES[name], steps), bases.tokenizer("tiny")
    method = ft.RFT(
        graders=(Drawn(),), steps=steps, batch_size=CASES[name], samples=SAMPLES, max_tokens=LONGEST, temperature=1.0,
        beta=0.0, learning_rate=LEARNING_RATE, schedule="constant", max_length=MAX_LENGTH,
    )  # fmt: skip
    tasks = ft.Dataset.of([{"messages": row["messages"][:-1], "expected": ""} for row in made.rows])

    def stop() -> bool:
        stepped()
        return False

    folder.mkdir(parents=True, exist_ok=True)
    loop = Reinforcement(
        made.model(),
        Data(sequences("tiny", tokenizer, tasks, method, MAX_LENGTH), None, 1, {}, LONGEST),
        plan(len(tasks), CASES[name], SEED, None, steps),
        method,
        made.device,
        Options(MICRO_TOKENS[made.device.kind], checkpoint_every=steps + 1),
        folder,
        tokenizer.pad_token_id,
        lambda kind, message, data: None,
        stop=stop,
        tasks={"train": tasks},
        tokenizer=tokenizer,
        ends=bases.ends("tiny"),
    )
    return loop.run


def _trl(name: Any, steps: int, folder: Path, stepped: Any) -> Any:
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from benchmarks.cases import LEARNING_RATE, case
    from benchmarks.graders import worth
    from finetune_sdk_local import bases

    class Told(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            stepped()

    disable_progress_bars()
    made = case(name, "sft", CASES[name], steps)
    trainer = GRPOTrainer(
        made.model(),
        reward_funcs=lambda completions, **more: [worth(said[0]["content"]) for said in completions],
        args=GRPOConfig(
            output_dir=str(folder), max_steps=steps, per_device_train_batch_size=CASES[name] * SAMPLES,
            num_generations=SAMPLES, max_completion_length=LONGEST, temperature=1.0, beta=0.0, learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, use_cpu=made.device.kind == "cpu", bf16=False,
            gradient_checkpointing=False, logging_steps=1, report_to=[], save_strategy="no", disable_tqdm=True,
            shuffle_dataset=False,
        ),
        train_dataset=Dataset.from_list([{"prompt": row["messages"][:-1]} for row in made.rows]),
        processing_class=bases.tokenizer("tiny"),
        callbacks=[Told()],
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    return trainer.train

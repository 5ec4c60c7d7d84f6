"""The process of a rehearsal: `python -m finetune_sdk_local.rehearsing FOLDER`, the folder of a run that will not be.

It does what the run's own process would do, in its order, and stops after a few steps; what that took is in `rehearsal.json`.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from finetune_sdk.errors import FinetuneError
from finetune_sdk.job import DPO, KTO, RFT
from finetune_sdk_local.runs import RunFolder

ENOUGH_SECONDS = 6.0
FEWEST, MOST = 2, 24
LOOKED_AT = 16
ATTEMPTS = 3


def main(folder: Path) -> int:
    run = RunFolder(folder)
    try:
        found = _rehearsed(run)
    except FinetuneError as fault:
        found = {"error": fault.message, "cure": fault.cure}
    (folder / "rehearsal.json").write_text(json.dumps(found))
    return 0


def end_with_its_parent(folder: Path) -> None:
    """Once the input ends, whoever asked is gone: this process goes too, and what it has written."""
    gone = threading.Event()

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        gone.set()
        for _ in range(ATTEMPTS):  # the other thread may be writing a file
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    watching = threading.Thread(target=watch, daemon=True)
    atexit.register(lambda: watching.join() if gone.is_set() else None)  # work whose folder is gone may fail first
    watching.start()


def _rehearsed(run: RunFolder) -> dict[str, Any]:
    begun = time.perf_counter()
    import numpy as np
    import torch

    from finetune_sdk_local import bases, prepare, publish
    from finetune_sdk_local.layouts import longest_of
    from finetune_sdk_local.memory import full_card_told, peak_bytes
    from finetune_sdk_local.processes import Processes

    bases.quiet()
    job = prepare.RunJob.read(run)
    torch.set_num_threads(job.threads)
    publish.write_manifest(run, job)
    with full_card_told(job.device):
        data = prepare.data(run, job)
        if not job.bitsandbytes:
            bases.spare_bitsandbytes(job.where)
        model = bases.load(job.where, job.device, job.adapter, train=True)
        model = bases.adapt(model, job.adapter, job.seed, bases.locate(job.base))
        training = prepare.training(run, job, data, model, lambda: False, Processes())
        training.report = lambda kind, message, figures: None
        steps = range(min(MOST, training.plan.steps))
        longest = np.argsort(-longest_of(data.train, data.width), kind="stable")[: training.plan.batch_size].tolist()
        looked = list(range(min(LOOKED_AT, len(data.train) // data.width)))
        training.only = []
        model.train()
        took: dict[str, Any] = {"start": time.perf_counter() - begun}
        took["prepare"] = _seconds(training._prepare)
        training.only = sorted({*longest, *looked, *(int(row) for step in steps for row in training.plan.rows(step))})
        if isinstance(job.method, DPO | KTO):
            training._score_reference()
        if not isinstance(job.method, RFT):
            took["longest"] = _seconds(lambda: training._within_memory(lambda: training._backward(longest)))
            training.optimizer.zero_grad(set_to_none=True)
        took["steps"] = []
        for step in steps:
            took["steps"].append(_seconds(partial(training._step, step)))
            training.progress.step = step + 1
            if len(took["steps"]) >= FEWEST and sum(took["steps"]) > ENOUGH_SECONDS:
                break
        if not isinstance(job.method, RFT):
            took["looked"] = looked
            model.eval()
            took["look"] = _seconds(lambda: training._scores(data.train, looked))
            model.train()
        took["save"] = _seconds(training._save)
        took["publish"] = _seconds(lambda: publish.model(run, job, training.model))
        took |= {
            "checkpoint_bytes": _bytes(run.checkpoints),
            "model_bytes": _bytes(run.model),
            "memory": peak_bytes(job.device),
            "micro_tokens": training.micro_tokens,
        }
    return took


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    end_with_its_parent(Path(sys.argv[1]).parent)
    sys.exit(main(Path(sys.argv[1])))

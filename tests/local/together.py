"""Processes that train together in a test: forked from one that has imported what they need, so that each takes no time to start."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune_sdk_local.runs import RunFolder

Change = Callable[[Any], None]
PRELOADED = [
    "torch",
    "transformers.models.llama.modeling_llama",
    "peft",
    "finetune_sdk_local.training",
    "finetune_sdk_local.sharding",
]
SECONDS = 120


def copied(run: Path, to: Path) -> Path:
    """A run's folder without what it has done so far."""
    to.mkdir(parents=True)
    for file in (run / "job.json", *run.glob("*.jsonl")):
        shutil.copy(file, to)
    (to / "events.jsonl").write_text("")
    return to


def trained(
    folder: Path, count: int, *, sharding: bool = False, change: Change | None = None, **own: Any
) -> list[int | None]:
    """Trains the job in a folder in so many processes, each of which `change` gets its training first; their exit codes.

    `own` is what else is different from what the folder says.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    made = [context.Process(target=_train, args=(folder, rank, count, sharding, change, own)) for rank in range(count)]
    (folder / ".meeting").unlink(missing_ok=True)
    for process in made:
        process.start()
    for process in made:
        process.join(SECONDS)
    for process in made:
        process.kill()
    return [process.exitcode for process in made]


def fault(folder: Path, rank: int) -> str:
    """What ended a process, in its words."""
    return (folder / f"fault.{rank}").read_text()


def _train(folder: Path, rank: int, count: int, sharding: bool, change: Change | None, own: dict[str, Any]) -> None:
    """As the worker does it, but that the first process has not started the others."""
    import torch

    from finetune_sdk_local import bases, prepare
    from finetune_sdk_local.processes import Processes, met

    torch.set_num_threads(1)
    bases.quiet()
    run = RunFolder(folder)
    job = replace(prepare.RunJob.read(run), sharding=sharding, **own)
    try:
        if count == 1:
            _trained(run, job, Processes(), change)
        else:
            with met(folder / ".meeting", rank, count, job.device, sharding=sharding) as processes:
                _trained(run, job, processes, change)
    except Exception as fault:
        (folder / f"fault.{rank}").write_text(f"{type(fault).__name__}: {fault}")
        raise


def _trained(run: RunFolder, job: Any, processes: Any, change: Change | None) -> None:
    from finetune_sdk_local import bases, checkpoints, prepare, publish, sharding

    if job.sharding:
        model = sharding.load(job.where, job.device, job.adapter, job.seed, processes, job.where)
    else:
        model = bases.adapt(bases.load(job.where, job.device, job.adapter, train=True), job.adapter, job.seed)
    training = prepare.training(run, job, prepare.data(run, job), model, lambda: False, processes)
    if change is not None:
        change(training)
    progress = training.run(checkpoints.latest(run.checkpoints)[0])
    if processes.first:
        whole = checkpoints.required(run.checkpoints, progress.step).tensors("weights")
        publish.model(run, job, model, whole if job.table["adapter"]["kind"] == "full" else None)

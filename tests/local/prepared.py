"""A run as its worker prepares it, in the test's own process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import finetune_sdk as ft
from finetune_sdk_local import bases, defaults, prepare
from finetune_sdk_local.processes import Processes
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.training import Training


def prepared(
    client: ft.Client, job: ft.Job, where: Path, checkpoint_every: int = 100
) -> tuple[RunFolder, Training, Any]:
    from finetune_sdk_local import watching

    resolved, run = client.resolve(job), RunFolder(where)
    homes = defaults.own_judges(resolved.job)
    machine = {
        "threads": 1, "micro_tokens": 4096, "checkpoint_every": checkpoint_every, "engine": "auto", "homes": homes
    }  # fmt: skip
    general = job.guards.forgetting if job.guards else None
    table = {**resolved.to_dict(), "machine": machine, "token": resolved.token("here", 1)}
    run.make(table, train=job.train, validation=job.validation, forgetting=general)
    of = prepare.RunJob.read(run)
    data = prepare.data(run, of)
    model = bases.adapt(bases.load(of.where, of.device, of.adapter, train=True), of.adapter, of.seed)
    training = prepare.training(run, of, data, model, lambda: False, Processes())
    if job.guards:
        training.watch = watching.Watch(run, of, model)
    return run, training, model


def figures(run: RunFolder) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for event in run.events():
        for name, value in event.data.items() if event.kind == "metrics" else ():
            found.setdefault(name, []).append(value)
    return found

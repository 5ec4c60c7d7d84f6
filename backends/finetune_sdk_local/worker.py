"""The process that trains one run: `python -m finetune_sdk_local.worker FOLDER`.

It outlives whoever started it, holds the run's lock while it lives, and says all that happens in the run's events.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_sdk.errors import FinetuneError
from finetune_sdk_local.meter import Meter
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.trackers import Trackers

if TYPE_CHECKING:
    from finetune_sdk_local.prepare import RunJob
    from finetune_sdk_local.processes import Processes
    from finetune_sdk_local.training import Training

LOCK_PATIENCE = 5.0


class Stop:
    """Whether the run is to end: by the cancel mark, by SIGTERM, or because it has cost more than its cap."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self.over: Callable[[], str] = str
        self.why = ""
        self._asked = False
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: object) -> None:
        self._asked = True

    def __call__(self) -> bool:
        self.why = self.why or self.over()
        return self._asked or self._run.cancel_mark.exists() or bool(self.why)


def main(folder: Path) -> int:
    run = RunFolder(folder)
    stop = Stop(run)  # first: whoever sees that the run is worked on may send a signal
    with run.only_worker(LOCK_PATIENCE, sign=True) as held:
        if not held or run.ended():
            return 0
        run.started_mark.touch()
        started = time.monotonic()
        run.append("status", "starting", {"status": "running", "worker": os.getpid()})
        stop.over = Meter(run, started).over
        followers = Trackers(run, run.job()["machine"].get("trackers", ()))

        def end(status: str, message: str, **more: object) -> None:
            followers.finish(status)
            run.append("status", message, {"status": status, "worked": round(time.monotonic() - started, 3), **more})

        try:
            if stop():
                raise _Cancelled(0)
            actual = _train(run, stop, started)
        except _Cancelled as cancelled:
            end("cancelled", f"cancelled after step {cancelled.step}{f': {stop.why}' if stop.why else ''}")
        except FinetuneError as fault:
            message = fault.message + (f" Cure: {fault.cure}" if fault.cure else "")
            end("failed", message, error=type(fault).__name__)
        except BaseException as fault:  # the last words of a process: a run must never end without them
            traceback.print_exc()
            message = (
                f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else 'no message'}; see {run.log}"
            )
            end("failed", message, error=type(fault).__name__)
            return 1
        else:
            end("succeeded", "succeeded", actual=actual)
    return 0


class _Cancelled(Exception):  # noqa: N818 - nothing went wrong
    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


def _train(run: RunFolder, stop: Stop, started: float) -> Mapping[str, float]:
    import torch

    from finetune_sdk.job import Full
    from finetune_sdk_local import bases, checkpoints, prepare, publish, watching
    from finetune_sdk_local.memory import full_card_told, peak_bytes
    from finetune_sdk_local.training import Stopped, load_weights

    bases.quiet()
    job = prepare.RunJob.read(run)
    torch.set_num_threads(job.threads)
    publish.write_manifest(run, job)
    run.append("message", f"loading {job.base} on {job.device.kind} ({job.device.name}), {job.device.dtype}")
    with full_card_told(job.device), _together(run, job, 0) as processes:
        training = _training(run, job, stop, processes)
        if "guards" in job.table:
            training.watch = watching.Watch(run, job, training.model)
        saved, broken = checkpoints.latest(run.checkpoints)
        for folder in broken:
            run.append("message", f"the checkpoint {folder.name} is not whole and was passed over")
        if saved is not None:
            run.append("message", f"going on from step {saved.step}", {"step": saved.step})
        if stop():
            raise _Cancelled(saved.step if saved else 0)
        try:
            progress = training.run(saved)
        except Stopped:
            raise _Cancelled(training.progress.step) from None
    by = "validation score" if "best_by" in job.table.get("guards", {}) else "validation loss"
    best = checkpoints.at(run.checkpoints, progress.best_step) if progress.best_step else None
    if progress.best_step and best is None:
        run.append(
            "message",
            f"the checkpoint of step {progress.best_step}, which has the best {by}, is not whole any more: "
            f"the model is that of step {progress.step}",
        )
    elif best is not None and best.step != progress.step:
        run.append("message", f"the model is that of step {best.step}, which has the best {by}")
    if job.sharding and isinstance(job.adapter, Full):  # whole weights are in checkpoints alone
        whole = checkpoints.required(run.checkpoints, best.step if best else progress.step).tensors("weights")
        publish.model(run, job, training.model, whole)
    else:
        if best is not None and best.step != progress.step:
            load_weights(training.weights, best)
        publish.model(run, job, training.model)
    seconds, price = run.worked_seconds(time.monotonic() - started), run.job()["machine"].get("usd_per_hour")
    return {
        "time": seconds,
        "memory": peak_bytes(job.device),
        "tokens": progress.tokens,
        "trained_tokens": progress.trained_tokens,
        "charge": 0.0,
        **({"machine": seconds / 3600 * price} if price is not None else {}),
        "disk": run.bytes(),
    }


def _together(run: RunFolder, job: RunJob, rank: int) -> AbstractContextManager[Processes]:
    from finetune_sdk_local.processes import together

    return together(run.path, rank, job.processes, job.device, sharding=job.sharding)


def _training(run: RunFolder, job: RunJob, stop: Callable[[], bool], processes: Processes) -> Training:
    import torch

    from finetune_sdk_local import bases, prepare, sharding

    data = prepare.data(run, job)
    name = bases.locate(job.base)
    if not job.bitsandbytes:
        bases.spare_bitsandbytes(job.where)
    if job.sharding:
        model = sharding.load(job.where, job.device, job.adapter, job.seed, processes, name)
    else:
        model = bases.load(job.where, job.device, job.adapter, train=True)
        model = bases.adapt(model, job.adapter, job.seed, name)
    if not processes.first:
        torch.manual_seed(job.seed + processes.rank)  # the adapter is the same everywhere, dropout is not
    return prepare.training(run, job, data, model, stop, processes)


def join(folder: Path, rank: int) -> int:
    """One more process of a run, which the first has started: it takes its share of each step, and writes nothing."""
    import torch

    from finetune_sdk_local import bases, checkpoints, prepare
    from finetune_sdk_local.training import Stopped

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the first process decides when all end
    bases.quiet()
    run = RunFolder(folder)
    job = prepare.RunJob.read(run)
    torch.set_num_threads(job.threads)
    with _together(run, job, rank) as processes:
        training = _training(run, job, lambda: False, processes)
        with suppress(Stopped):
            training.run(checkpoints.latest(run.checkpoints)[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else join(Path(sys.argv[1]), int(sys.argv[2])))

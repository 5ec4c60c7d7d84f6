"""The process that tells one tracker of a run: `python -m finetune_sdk_local.tracking FOLDER NAME`.

Whoever started it says on the standard input how the run ended; an input that ends without a word is a worker's death.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from finetune_sdk_local.runs import RunFolder

EVERY_SECONDS = 1.0
_CREDENTIALS = re.compile(r"://[^\s/@]+@")


class Tracker(Protocol):
    """What a run is told to."""

    def write(self, step: int, figures: Mapping[str, float], when: float) -> None: ...

    def close(self, status: str) -> None: ...


def main(folder: Path, name: str) -> int:
    """Tells one tracker what stands in the run's events, until the standard input says how the run ended.

    A mark in the run's folder says how far it has come, so that a resumed run tells what a killed one did not.
    """
    words = os.dup(1)
    os.dup2(2, 1)  # clients print what they like
    os.nice(5)
    try:
        _follow(RunFolder(folder), name)
    except BaseException as fault:  # some clients end the process that they think they own
        traceback.print_exc()
        os.write(words, _said(fault).encode())
        return 1
    return 0


def _follow(run: RunFolder, name: str) -> None:
    mark = run.path / "trackers" / f"{name}.mark"
    mark.parent.mkdir(exist_ok=True)
    at, status = _read(mark), ""
    tracker = OPEN[name](run, run.job())
    while not status:
        if select.select([0], [], [], EVERY_SECONDS)[0]:
            status = os.read(0, 100).decode() or "killed"
        before = at
        for line in _lines(run.events_file, at):
            at += len(line)
            event = json.loads(line)
            if event["kind"] == "metrics":
                figures = {name: float(v) for name, v in event["data"].items() if _is_figure(name, v)}
                tracker.write(int(event["data"]["step"]), figures, event["time"])
        if at > before:
            mark.write_text(str(at))
    tracker.close(status)


def _lines(file: Path, at: int) -> Iterator[bytes]:
    """The whole lines from byte `at` on."""
    with file.open("rb") as opened:
        opened.seek(at)
        for line in opened:
            if line.endswith(b"\n"):
                yield line


def _read(mark: Path) -> int:
    text = mark.read_text() if mark.exists() else ""
    return int(text) if text.isdigit() else 0


def _is_figure(name: str, value: object) -> bool:
    return isinstance(value, int | float) and name not in ("step", "steps")


def _said(fault: BaseException) -> str:
    """The first line of an error, without what an address may say before its host."""
    text = next(iter(str(fault).strip().splitlines()), "")
    return f"{type(fault).__name__}{': ' if text else ''}{_CREDENTIALS.sub('://***@', text)[:300]}"


def settings(job: Mapping[str, Any]) -> dict[str, Any]:
    """What a tracker is told of the job: no rows, no paths of files."""
    told = {"base": job["base"], "seed": job["seed"], "device": job["own"]["device"], "dtype": job["own"]["dtype"]}
    for side in ("train", "validation"):
        if job.get(side):
            told |= {f"{side}.rows": job[side]["rows"], f"{side}.fingerprint": job[side]["fingerprint"]}
    for part in ("method", "adapter"):
        told |= {f"{part}.{name}": value for name, value in (job.get(part) or {}).items()}
    return told


class TensorBoard:
    """Events files in the run's folder, under `tensorboard`."""

    def __init__(self, run: RunFolder, job: Mapping[str, Any]) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer: Any = EventFileWriter(str(run.path / "tensorboard"))

    def write(self, step: int, figures: Mapping[str, float], when: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._writer.add_event(Event(step=step, wall_time=when, summary=Summary(value=values)))
        self._writer.flush()

    def close(self, status: str) -> None:
        self._writer.close()


class WandB:
    """A run of the same id at W&B: project, entity, key and mode are its own variables' to say. Nothing but the figures and
    the job's settings is sent: no code, no console, no figures of the machine.
    """

    def __init__(self, run: RunFolder, job: Mapping[str, Any]) -> None:
        os.environ.setdefault("WANDB_PROJECT", "finetune")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        quiet: Any = {"console": "off", "disable_git": True, "save_code": False, "silent": True}
        private: Any = {"x_disable_meta": True, "x_disable_stats": True, "x_save_requirements": False}
        self._run: Any = wandb.init(
            name=job["name"],
            id=run.id,
            resume="allow",
            dir=str(run.path),
            config=settings(job),
            settings=wandb.Settings(**quiet, **private),
        )
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, figures: Mapping[str, float], when: float) -> None:
        self._run.log({**figures, "step": step})

    def close(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == "succeeded" else 1)


class MLflow:
    """A run of MLflow with the tag `finetune_run`: where is `MLFLOW_TRACKING_URI`'s to say, or else a database under the home
    of this place.
    """

    def __init__(self, run: RunFolder, job: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", "finetune")
        os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{run.path.parent.parent / 'mlflow.db'}")
        from mlflow import MlflowClient

        self._client: Any = MlflowClient()
        experiment = os.environ["MLFLOW_EXPERIMENT_NAME"]
        known = self._client.get_experiment_by_name(experiment)
        where = known.experiment_id if known is not None else self._client.create_experiment(experiment)
        found = self._client.search_runs([where], f"tags.finetune_run = '{run.id}'", max_results=1)
        made = (
            found[0] if found else self._client.create_run(where, tags={"finetune_run": run.id}, run_name=job["name"])
        )
        self._id: str = made.info.run_id
        if not found:
            for name, value in settings(job).items():
                self._client.log_param(self._id, name, value)

    def write(self, step: int, figures: Mapping[str, float], when: float) -> None:
        from mlflow.entities import Metric

        self._client.log_batch(
            self._id, metrics=[Metric(name, value, int(when * 1000), step) for name, value in figures.items()]
        )

    def close(self, status: str) -> None:
        ends = {"succeeded": "FINISHED", "cancelled": "KILLED"}
        self._client.set_terminated(self._id, ends.get(status, "FAILED"))


class Trackio:
    """A run of trackio's project `finetune`, on this machine."""

    def __init__(self, run: RunFolder, job: Mapping[str, Any]) -> None:
        import trackio

        self._run: Any = trackio.init(
            project="finetune",
            name=f"{job['name']}-{run.id}",
            config=settings(job),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def write(self, step: int, figures: Mapping[str, float], when: float) -> None:
        self._run.log(dict(figures), step=step)

    def close(self, status: str) -> None:
        self._run.finish()


OPEN: dict[str, Callable[[RunFolder, Mapping[str, Any]], Tracker]] = {
    "mlflow": MLflow,
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": WandB,
}


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), sys.argv[2])
    sys.stderr.flush()
    os._exit(code)  # a client may have more to do at the end of a process, and the run does not wait for it

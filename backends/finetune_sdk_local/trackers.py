"""Experiment trackers that follow a run: TensorBoard, W&B, MLflow and trackio, each through its own client.

A tracker reads the run's events from a thread of its own, imports its client there, and may fail or hang as it likes: that
is one message among the events, and never stops, slows or changes the run.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from finetune_sdk.data.checks import Finding
from finetune_sdk_local.runs import RunFolder

Name = Literal["mlflow", "tensorboard", "trackio", "wandb"]
NAMES: tuple[Name, ...] = get_args(Name)
EVERY_SECONDS = 1.0
PATIENCE = 5.0
_CREDENTIALS = re.compile(r"://[^\s/@]+@")


class Tracker(Protocol):
    """What a run is told to."""

    def write(self, step: int, figures: Mapping[str, float], when: float) -> None: ...

    def close(self, status: str) -> None: ...


def missing(names: Sequence[Name]) -> Iterator[Finding]:
    """An error for each tracker whose client is not installed."""
    for name in names:
        found = find_spec(name)
        if found is None or found.origin is None:  # a mere folder of that name is no package
            yield Finding(
                "job",
                "error",
                f"the settings name {name} among their trackers, and it is not installed.",
                f"pip install 'finetune-anywhere[{name}]', or take it out of `trackers`",
            )


class Trackers:
    """The trackers of one run, at work from now on."""

    def __init__(self, run: RunFolder, names: Sequence[str]) -> None:
        self._run = run
        self._followers = [_Follower(run, name) for name in names]
        for follower in self._followers:
            follower.start()

    def __bool__(self) -> bool:
        return bool(self._followers)

    def finish(self, status: str) -> None:
        """Lets them write the rest and close. Those that take longer than `PATIENCE` seconds together are left behind."""
        for follower in self._followers:
            follower.end(status)
        until = time.monotonic() + PATIENCE
        for follower in self._followers:
            follower.join(max(0.0, until - time.monotonic()))
        for follower in self._followers:
            if follower.leave():
                self._run.append(
                    "message",
                    f"the tracker {follower.name} had not finished after {PATIENCE:g} s and was left behind",
                )


class _Follower(threading.Thread):
    """Hands one tracker what stands in the run's events. A mark in the run's folder says how far it has come, so that a
    resumed run tells what the killed one did not.
    """

    def __init__(self, run: RunFolder, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._run = run
        self._mark = run.path / "trackers" / f"{name}.mark"
        self._over = threading.Event()
        self._status = "running"
        self._speaking = threading.Lock()
        self._left = False

    def end(self, status: str) -> None:
        self._status = status
        self._over.set()

    def leave(self) -> bool:
        """Whether it is still at work; if so it says nothing any more."""
        with self._speaking:
            self._left = self.is_alive()
        return self._left

    def run(self) -> None:
        try:
            self._follow()
        except BaseException as fault:  # some clients end the process they think they own
            traceback.print_exc()
            with self._speaking, suppress(OSError):
                if not self._left:
                    self._run.append(
                        "message", f"the tracker {self.name} failed: {_said(fault)}; the run goes on without it"
                    )

    def _follow(self) -> None:
        self._mark.parent.mkdir(exist_ok=True)
        at = _read(self._mark)
        tracker = OPEN[self.name](self._run, self._run.job())
        over = False
        while not over:
            over = self._over.wait(EVERY_SECONDS)
            before = at
            for line in _lines(self._run.events_file, at):
                at += len(line)
                event = json.loads(line)
                if event["kind"] == "metrics":
                    figures = {name: float(v) for name, v in event["data"].items() if _is_figure(name, v)}
                    tracker.write(int(event["data"]["step"]), figures, event["time"])
            if at > before:
                self._mark.write_text(str(at))
        tracker.close(self._status)


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
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run.path / "tensorboard"))
        self._writer.add_text("job", "  \n".join(f"{name}: {value}" for name, value in settings(job).items()))

    def write(self, step: int, figures: Mapping[str, float], when: float) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step, walltime=when)
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

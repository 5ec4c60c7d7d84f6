"""A fine-tuning job of the test-suite's provider: it trains on the clock, and what happened in it only grows."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import Any

NO_ERROR: dict[str, Any] = {}
ACTIVE = ("validating_files", "queued", "running")
BEGUN = 0.05


@dataclass
class Training:
    """One job. `asked` is the body that made it; `seconds` is what it takes; `rows` are those of its file.

    With `bills` it tells its tokens while it runs, so many times those that a place counts.
    """

    id: str
    asked: dict[str, Any]
    seconds: float
    rows: list[dict[str, Any]]
    keeps_metadata: bool = True
    reports_metrics: bool = True
    fails: dict[str, Any] | None = None
    running_as: str = "running"
    bills: float | None = None
    made: float = field(default_factory=time.time)
    status: str = "validating_files"
    worked: float = 0.0
    step: int = 0
    finished: float | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    result_files: list[str] = field(default_factory=list)
    looked: float = 0.0

    def __post_init__(self) -> None:
        self.looked = self.made
        self._tell("Created fine-tuning job: " + self.id, at=self.made)

    @property
    def words(self) -> dict[str, Any]:
        method = self.asked["method"]
        return dict(method[method["type"]].get("hyperparameters", {}))

    @property
    def epochs(self) -> int:
        said = self.words.get("n_epochs", "auto")
        return 3 if said == "auto" else int(said)

    @property
    def steps(self) -> int:
        said = self.words.get("batch_size", "auto")
        return max(4, self.epochs * math.ceil(len(self.rows) / (4 if said == "auto" else int(said))))

    @property
    def model(self) -> str:
        return f"ft:{self.asked['model']}:test:{self.asked.get('suffix', '')}:{self.id.removeprefix('ftjob-')}"

    def tick(self) -> None:
        """Does the work of the time that has gone by."""
        now = time.time()
        gone, self.looked = now - self.looked, now
        if self.status not in (*ACTIVE, self.running_as):
            return
        self.worked += gone
        if self.worked < BEGUN:
            return
        if self.status in ACTIVE[:2]:
            self.status = self.running_as
            self._tell("Fine-tuning job started")
        if self.fails is not None:
            self._end("failed", str(self.fails["message"]))
            return
        due = min(self.steps, int(self.steps * (self.worked - BEGUN) / self.seconds)) if self.seconds else self.steps
        while self.step < due:
            self._train()
        if self.step == self.steps:
            self._tell(f"New fine-tuned model created: {self.model}")
            self._end("succeeded", "The job has successfully completed")

    def _train(self) -> None:
        self.step += 1
        measured = {
            "step": self.step, "total_steps": self.steps, "train_loss": round(2.0 / (1 + self.step), 5),
            "train_mean_token_accuracy": round(1 - 1 / (1 + self.step), 5),
        }  # fmt: skip
        if self.asked.get("validation_file") and self.step % 2 == 0:
            measured["valid_loss"] = round(2.2 / (1 + self.step), 5)
        if self.bills is not None:
            measured["trained_tokens"] = round(self.tokens() * self.step / self.steps)
        if self.reports_metrics:
            self._tell(f"Step {self.step}/{self.steps}", "metrics", measured)
        if self.step % max(1, self.steps // 3) == 0:
            self.checkpoints.append({
                "object": "fine_tuning.job.checkpoint", "id": f"ftckpt-{self.id}-{self.step}", "created_at": int(time.time()),
                "fine_tuned_model_checkpoint": f"{self.model}:ckpt-step-{self.step}", "step_number": self.step,
                "fine_tuning_job_id": self.id,
                "metrics": {"step": self.step, "train_loss": measured["train_loss"]},
            })  # fmt: skip

    def _end(self, status: str, said: str) -> None:
        self.status, self.finished = status, time.time()
        self._tell(said)

    def cancel(self) -> bool:
        return self._turn((*ACTIVE, self.running_as, "paused"), "cancelled", "The job has been cancelled")

    def pause(self) -> bool:
        return self._turn((*ACTIVE, self.running_as), "paused", "The job has been paused")

    def resume(self) -> bool:
        return self._turn(("paused",), self.running_as, "The job has been resumed")

    def _turn(self, may: tuple[str, ...], to: str, said: str) -> bool:
        self.tick()
        if self.status not in may:
            return False
        self.status = to
        self.finished = time.time() if to == "cancelled" else None
        self._tell(said)
        return True

    def _tell(self, said: str, kind: str = "message", data: Any = None, at: float | None = None) -> None:
        self.events.append({
            "object": "fine_tuning.job.event", "id": f"ftevent-{self.id}-{len(self.events)}",
            "created_at": int(at or time.time()), "level": "info", "message": said, "type": kind, "data": data or {},
        })  # fmt: skip

    def tokens(self) -> int:
        """As a place may count: four characters a token, three for each message, times the epochs."""
        counted = sum(3 + len(json.dumps(row, ensure_ascii=False)) // 5 for row in self.rows) * self.epochs
        return round(counted * (self.bills or 1))

    def shown(self) -> dict[str, Any]:
        done = self.status == "succeeded"
        return {
            "object": "fine_tuning.job", "id": self.id, "model": self.asked["model"], "created_at": int(self.made),
            "finished_at": int(self.finished) if self.finished else None, "status": self.status,
            "fine_tuned_model": self.model if done else None, "organization_id": "org-test",
            "training_file": self.asked["training_file"], "validation_file": self.asked.get("validation_file"),
            "result_files": self.result_files if done else [], "trained_tokens": self.tokens() if done else None,
            "seed": self.asked.get("seed", 0), "method": self.asked["method"], "hyperparameters": self.words,
            "error": self.fails if self.status == "failed" else NO_ERROR, "integrations": [],
            "metadata": self.asked.get("metadata") if self.keeps_metadata else None,
        }  # fmt: skip

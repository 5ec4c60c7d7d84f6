"""What happened in a job, in the contract's order: numbered from 1, told once the same way as ever after.

The place lists the newest first and keeps no numbers. An end is told as a status event with its reason; where no event
had metrics, those of the result file stand before it.
"""

from __future__ import annotations

import base64
import binascii
import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

from finetune_sdk.backend import Event
from finetune_sdk.errors import BackendError
from finetune_sdk_openai import wire
from finetune_sdk_openai.connecting import Connection
from finetune_sdk_openai.files import Files
from finetune_sdk_openai.jobs import PAGE, Jobs

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

AFTERWARDS = "from the result file"
"""Said of steps that were told only once the job had ended, all at its end."""


@dataclass(slots=True)
class _Told:
    """What was told of one job. `over` is set once its end was."""

    events: list[Event] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    over: bool = False


class History:
    """The events of jobs."""

    def __init__(self, connection: Connection, jobs: Jobs, files: Files) -> None:
        self._connection = connection
        self._jobs = jobs
        self._files = files
        self._told: dict[str, _Told] = {}

    def events(self, run: str, after: int) -> Sequence[Event]:
        told = self._told.get(run)
        job = self._jobs.read(run) if told is None or not told.over else None
        if told is None:
            told = self._told.setdefault(run, _Told())
        for event in self._fresh(run, told.seen):
            told.seen.add(event.id)
            self._add(told, event.created_at, wire.kind(event), event.message or "", _data(event))
        if job is not None and wire.status(job).terminal:
            self._end(told, job)
        return told.events[max(0, after) :]

    def _fresh(self, run: str, seen: set[str]) -> list[FineTuningJobEvent]:
        """Events that were not told yet, in the order in which they happened."""
        fresh: list[FineTuningJobEvent] = []
        for page in self._connection.pages(
            f"list the events of {run}",
            lambda client, **asked: client.fine_tuning.jobs.list_events(run, **asked),
            limit=PAGE,
        ):
            new = [event for event in page if event.id not in seen]
            fresh += new
            if len(new) < len(page):
                break
        fresh.reverse()
        return sorted(fresh, key=lambda event: event.created_at or 0)

    def _end(self, told: _Told, job: FineTuningJob) -> None:
        status, when = wire.status(job), float(job.finished_at or 0)
        if status == "succeeded" and not any(event.kind == "metrics" for event in told.events):
            for row in self._results(job):
                self._add(told, when, "metrics", f"step {row.get('step', '?')}, {AFTERWARDS}", row)
        self._add(told, when, "status", wire.failure(job) or "", {"status": str(status)})
        told.over = True

    def _results(self, job: FineTuningJob) -> list[dict[str, Any]]:
        for file in job.result_files or ():
            try:
                return result_rows(self._files.content(file))
            except BackendError:
                continue
        return []

    @staticmethod
    def _add(told: _Told, when: float | None, kind: str, message: str, data: Mapping[str, Any]) -> None:
        last = told.events[-1].time if told.events else 0.0
        told.events.append(Event(len(told.events) + 1, max(last, float(when or 0)), kind, message, data))


def _data(event: FineTuningJobEvent) -> dict[str, Any]:
    found = wire.metrics(event.data)
    return {**found, "level": event.level} if event.level not in (None, "info") else found


def result_rows(content: bytes) -> list[dict[str, Any]]:
    """The rows of a result file: CSV, which some places hand out in base64. Empty cells are left out."""
    with suppress(binascii.Error, ValueError):
        content = base64.b64decode(content, validate=True)
    try:
        table = list(csv.DictReader(StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error):
        return []
    rows = ({name: _number(cell) for name, cell in row.items() if name and cell not in (None, "")} for row in table)
    return [found for found in map(_named, rows) if "step" in found]


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    older = {"train_accuracy": "train_mean_token_accuracy", "valid_accuracy": "valid_mean_token_accuracy"}
    return wire.metrics({older.get(name, name): value for name, value in row.items()})


def _number(cell: Any) -> Any:
    try:
        return int(cell)
    except ValueError:
        try:
            return float(cell)
        except ValueError:
            return cell

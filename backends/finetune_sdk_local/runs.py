"""The folder of a run: its job, its data, its events, its checkpoints and its model; and who works in it.

A worker holds the lock `worker.lock` as long as it lives, so whether one lives is asked of the system, never guessed from
a process number. Events are JSON lines; the number of an event is that of its line.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from finetune_sdk.backend import Event, Status
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import BackendError, NotFoundError
from finetune_sdk.files import beside

START_SECONDS = 60.0
_STATUS = b'"kind": "status"'


class RunFolder:
    """One run on the disk. Everything that must survive a crash is here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events_file = path / "events.jsonl"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.log = path / "worker.log"
        self.cancel_mark = path / "cancel"
        self.cap_file = path / "max_cost"
        self.sent_mark = path / "sent"
        self.started_mark = path / "started"
        self._writing = threading.Lock()

    @property
    def id(self) -> str:
        return self.path.name

    def exists(self) -> bool:
        return (self.path / "job.json").is_file()

    def require(self) -> RunFolder:
        if not self.exists():
            raise NotFoundError(
                f"its folder {self.path} is not there; it was deleted, or it belongs to another FINETUNE_HOME.",
                cure="list the runs with `finetune runs`",
            )
        return self

    def make(self, job: Mapping[str, Any], **sides: Dataset | None) -> None:
        """Writes the run's folder, whole or not at all; made already, it stays as it is."""
        if self.exists():
            return
        part = beside(self.path)
        try:
            part.mkdir(parents=True)
            for side, dataset in sides.items():
                if dataset is not None:
                    dataset.save(part / f"{side}.jsonl")
            (part / "job.json").write_text(json.dumps(job, indent=1))
            (part / "events.jsonl").touch()
            part.rename(self.path)
        except OSError as fault:
            if not self.exists():
                raise BackendError(
                    f"the run's folder {self.path} could not be written: {fault.strerror or fault}.",
                    cure="free some disk, or set FINETUNE_HOME to a folder with room",
                    retryable=True,
                ) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def job(self) -> dict[str, Any]:
        table = json.loads((self.require().path / "job.json").read_text())
        assert isinstance(table, dict)
        return table

    def dataset(self, side: str) -> Dataset | None:
        path = self.path / f"{side}.jsonl"
        return Dataset.load(path) if path.exists() else None

    def events(self, after: int = 0) -> Iterator[Event]:
        """The events after number `after`; a last line that is not whole yet is left for later."""
        self.require()
        with self.events_file.open("rb") as file:
            for number, line in enumerate(file, 1):
                if number > after and line.endswith(b"\n"):
                    row = json.loads(line)
                    yield Event(number, row["time"], row["kind"], row.get("message", ""), row.get("data", {}))

    def append(self, kind: str, message: str = "", data: Mapping[str, Any] | None = None) -> None:
        """One more event; a line that a killed process left unfinished is dropped first."""
        row = {"time": time.time(), "kind": kind, "message": message, "data": data or {}}
        with self._writing, self.events_file.open("r+b") as file:
            _drop_unfinished(file)
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            if kind == "status":
                os.fsync(file.fileno())

    def status(self) -> tuple[Status, str]:
        """The status last written, and its message; a run whose worker died without a word has failed."""
        last = self._last_status()
        if Status(last[0]).terminal or self.is_worked_on():
            return Status(last[0]), last[1]
        if not self.started_mark.exists() and time.time() - self.path.stat().st_mtime < START_SECONDS:
            return Status("queued"), ""
        return self.note_death()

    def _last_status(self) -> tuple[str, str]:
        """Found from the end: one line is parsed, however long the run is."""
        raw = self.require().events_file.read_bytes()
        found = raw.rfind(_STATUS, 0, raw.rfind(b"\n") + 1)
        if found < 0:
            return "queued", ""
        row = json.loads(raw[raw.rfind(b"\n", 0, found) + 1 : raw.index(b"\n", found)])
        return str(row["data"]["status"]), str(row["message"])

    def ended(self) -> bool:
        return Status(self._last_status()[0]).terminal

    def worked_seconds(self, this_session: float) -> float:
        """Seconds that workers spent on the run: earlier sessions from their first event to their last, and this one."""
        return sum(seconds for seconds, _ in self._sessions()[:-1]) + this_session

    def seconds_so_far(self) -> float:
        """Seconds that workers spent on the run up to now; of a session that was killed, up to its last event."""
        sessions = self._sessions()
        if not sessions:
            return 0.0
        (last, began), live = sessions[-1], self.is_worked_on()
        open_ended = live and self._last_status()[0] == "running"
        return sum(seconds for seconds, _ in sessions[:-1]) + (self._going_for(began) if open_ended else last)

    def _going_for(self, began: float) -> float:
        """Seconds since a session began that goes on: by the age of its process, which a clock that is set does not change."""
        worker = self.worker()
        with suppress(psutil.Error):
            if worker is not None:
                return max(0.0, time.time() - float(psutil.Process(worker).create_time()))
        return max(0.0, time.time() - began)

    def _sessions(self) -> list[tuple[float, float]]:
        """The seconds of each worker's time on the run, and when it began: as it said at its end, or else to its last event.

        However long the run is, little more than its statuses is parsed.
        """
        found, last, lives = list[tuple[float, float]](), b"", False

        def seen() -> None:
            """The last event of a session that has not ended."""
            if lives and last:
                found[-1] = (max(0.0, json.loads(last)["time"] - found[-1][1]), found[-1][1])

        with self.events_file.open("rb") as file:
            for line in file:
                if _STATUS not in line or not line.endswith(b"\n"):
                    last = line if line.endswith(b"\n") else last
                    continue
                seen()
                row, last = json.loads(line), b""
                lives = bool(row["data"].get("worker"))
                if lives:
                    found.append((0.0, row["time"]))
                elif found:  # others write statuses too: of a death that they found, of a resume
                    found[-1] = (max(0.0, row["data"].get("worked", found[-1][0])), found[-1][1])
        seen()
        return found

    def cap(self, usd: float | None) -> None:
        """Another cap than that of the submission; None lifts it."""
        part = beside(self.cap_file)
        part.write_text(str(math.inf if usd is None else usd))
        part.replace(self.cap_file)

    def max_cost(self, submitted: float | None) -> float:
        """What the run may cost in USD: as was said since, or as it was submitted; infinite without a cap."""
        with suppress(FileNotFoundError):
            return float(self.cap_file.read_text())
        return math.inf if submitted is None else submitted

    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def note_death(self) -> tuple[Status, str]:
        """Writes down that nobody works on the run, as a failure or as what was wished for; nothing where somebody does."""
        with self.only_worker() as held:
            last = self._last_status()
            if not held or Status(last[0]).terminal:
                return Status(last[0]), last[1]
            cancelled = self.cancel_mark.exists()
            step = max((e.data.get("step", 0) for e in self.events() if e.kind == "metrics"), default=0)
            message = (
                f"cancelled after step {step}"
                if cancelled
                else f"its process ended without a word after step {step} (killed, or out of memory); see {self.log}"
            )
            status = "cancelled" if cancelled else "failed"
            with suppress(OSError):  # a disk that is full: whoever asks next finds the same
                self.append("status", message, {"status": status})
            return Status(status), message

    @contextmanager
    def only_worker(self, patience: float = 0.0, *, sign: bool = False) -> Iterator[bool]:
        """Holds the run for this process; gives False when another holds it for longer than `patience` seconds.

        Who may be told to end by a signal signs with its process number.
        """
        descriptor = os.open(self.path / "worker.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            until = time.monotonic() + patience
            while not _locked(descriptor):
                if time.monotonic() >= until:
                    yield False
                    return
                time.sleep(0.05)
            os.ftruncate(descriptor, 0)
            if sign:
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield True
        finally:
            os.close(descriptor)

    def is_worked_on(self) -> bool:
        """Whether a worker lives."""
        try:
            descriptor = os.open(self.path / "worker.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def worker(self) -> int | None:
        """The process number of the worker, while one lives."""
        if not self.is_worked_on():
            return None
        text = (self.path / "worker.lock").read_text()
        return int(text) if text else None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _drop_unfinished(file: BinaryIO) -> None:
    """Leaves the file at its end, after its last whole line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    file.seek(end)
    file.truncate()

"""The local record of everything that was ever submitted, written before it is sent.

One row a token. A row begins as an intent, and becomes `sent` with the run's id, `refused` when the place said no before
it made anything, or `unknown` when nobody can say; only a look at the place ends that doubt.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from finetune_sdk.errors import SettingsError

State = Literal["intent", "sent", "refused", "unknown"]
_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS submissions (
    token TEXT PRIMARY KEY,
    place TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    name TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL,
    run TEXT,
    status TEXT,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    resolved TEXT NOT NULL,
    estimate TEXT NOT NULL,
    actual TEXT,
    sketch TEXT NOT NULL,
    max_cost REAL,
    resumed INTEGER,
    version TEXT
);
CREATE INDEX IF NOT EXISTS by_run ON submissions (place, run);
CREATE INDEX IF NOT EXISTS by_job ON submissions (place, fingerprint);
"""
_SINCE_1 = (("max_cost", "REAL"), ("resumed", "INTEGER"), ("version", "TEXT"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One submission. `run` is the place's own id, without the place's name; times are seconds since 1970.

    `max_cost` is its cap in USD. `resumed` says whether the run ever went on after an end or a pause, None where nobody noted it;
    `version` is that of the SDK that made the estimate.
    """

    token: str
    place: str
    fingerprint: str
    name: str
    attempt: int
    state: State
    run: str | None
    status: str | None
    created: float
    updated: float
    resolved: Mapping[str, Any]
    estimate: Mapping[str, Any]
    actual: Mapping[str, Any] | None
    sketch: tuple[str, ...]
    max_cost: float | None = None
    resumed: bool | None = None
    version: str | None = None


_COLUMNS = ", ".join(Entry.__dataclass_fields__)


class Ledger:
    """The SQLite file `ledger.sqlite` under FINETUNE_HOME. Every write is committed to the disk before it returns."""

    def __init__(self, home: Path) -> None:
        self.path = home / "ledger.sqlite"
        self._locks = home / "locks"
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
            # Two processes that turn a new file into a WAL at once lock each other out, whatever their patience.
            with FileLock(self._locks / "ledger.lock"), self._connect() as connection:
                self._prepare(connection)
        except OSError as fault:
            raise self._unwritable(fault) from None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise SettingsError(
                f"the ledger {self.path} was written by a newer version of this SDK.", cure="upgrade finetune-anywhere"
            )
        if version < _VERSION:
            there = {row[1] for row in connection.execute("PRAGMA table_info(submissions)")}
            missing = [
                f"ALTER TABLE submissions ADD COLUMN {name} {kind};" for name, kind in _SINCE_1 if name not in there
            ]
            change = " ".join(missing) if there else _SCHEMA
            connection.executescript(f"BEGIN; {change} PRAGMA user_version = {_VERSION}; COMMIT;")

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as fault:
            broken = not isinstance(fault, sqlite3.OperationalError) or str(fault).startswith("no such")
            raise self._damaged(str(fault)) if broken else self._unwritable(fault) from None

    def _unwritable(self, fault: Exception) -> SettingsError:
        return SettingsError(
            f"the ledger {self.path} cannot be written: {fault}.",
            cure="set FINETUNE_HOME to a folder that you can write to; nothing is submitted without a ledger",
        )

    def _damaged(self, what: str) -> SettingsError:
        return SettingsError(
            f"the ledger {self.path} is damaged: {what}.",
            cure="restore it, or move it aside: runs go on where they are, but no job is known as submitted any more",
        )

    @contextmanager
    def only_one(self, job: str, seconds: float = 600) -> Iterator[None]:
        """Holds the submission of one job for this process alone; freed by the system when the process dies."""
        try:
            with FileLock(self._locks / f"{job}.lock", timeout=seconds):
                yield
        except Timeout:
            raise SettingsError(
                f"another process has been submitting the same job for {seconds:.0f} s.",
                cure="wait for it, or end it, and submit again: its intent is kept",
            ) from None

    def intend(self, entry: Entry) -> None:
        """Writes the intent. The same token twice is an error of the caller's (sqlite3.IntegrityError)."""
        marks = ", ".join("?" * len(Entry.__dataclass_fields__))
        with self._connect() as connection:
            connection.execute(f"INSERT INTO submissions ({_COLUMNS}) VALUES ({marks})", _written(entry))

    def settle(self, token: str, state: State, run: str | None = None) -> None:
        """What became of an intent."""
        with self._connect() as connection:
            connection.execute(
                "UPDATE submissions SET state = ?, run = coalesce(?, run), updated = ? WHERE token = ?",
                (state, run, time.time(), token),
            )

    def renew(self, token: str, estimate: Mapping[str, Any], max_cost: float | None, version: str) -> None:
        """The estimate and the cap of an intent that is sent once more."""
        with self._connect() as connection:
            connection.execute(
                "UPDATE submissions SET estimate = ?, max_cost = ?, version = ? WHERE token = ?",
                (json.dumps(estimate), max_cost, version, token),
            )

    def observe(self, place: str, run: str, status: str, actual: Mapping[str, Any] | None = None) -> None:
        """The status last seen, and the actual figures once they are known. What is known already is not written again."""
        figures = json.dumps(actual) if actual is not None else None
        with self._connect() as connection:
            connection.execute(
                "UPDATE submissions SET status = ?, actual = coalesce(?, actual), updated = ? "
                "WHERE place = ? AND run = ? AND (status IS NOT ? OR actual IS NOT coalesce(?, actual))",
                (status, figures, time.time(), place, run, status, figures),
            )

    def cap(self, place: str, run: str, max_cost: float) -> None:
        """Another cap for a run."""
        with self._connect() as connection:
            connection.execute(
                "UPDATE submissions SET max_cost = ? WHERE place = ? AND run = ?", (max_cost, place, run)
            )

    def resume(self, place: str, run: str) -> None:
        """Notes that a run goes on after an end or a pause."""
        with self._connect() as connection:
            connection.execute("UPDATE submissions SET resumed = 1 WHERE place = ? AND run = ?", (place, run))

    def attempts(self, fingerprint: str) -> list[Entry]:
        """All submissions of one resolved job at one address, whatever the settings call it; the first attempt first."""
        return self._select("fingerprint = ? ORDER BY attempt", fingerprint)

    def of_run(self, place: str, run: str) -> Entry | None:
        found = self._select("place = ? AND run = ?", place, run)
        return found[0] if found else None

    def entries(self, place: str | None = None) -> list[Entry]:
        """Everything that was submitted, the newest first."""
        if place is None:
            return self._select("1 ORDER BY created DESC")
        return self._select("place = ? ORDER BY created DESC", place)

    def _select(self, where: str, *values: str) -> list[Entry]:
        with self._connect() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM submissions WHERE {where}", values).fetchall()
        try:
            return [_read(row) for row in rows]
        except ValueError as fault:
            raise self._damaged(f"a row is not JSON ({fault})") from None


def _written(entry: Entry) -> tuple[Any, ...]:
    tables = {"resolved", "estimate", "actual", "sketch"}
    values = ((name, getattr(entry, name)) for name in Entry.__dataclass_fields__)
    return tuple(json.dumps(v) if name in tables and v is not None else v for name, v in values)


def _read(row: tuple[Any, ...]) -> Entry:
    kept = dict(zip(Entry.__dataclass_fields__, row, strict=True))
    tables = {name: json.loads(kept[name]) for name in ("resolved", "estimate", "actual") if kept[name]}
    resumed = None if kept["resumed"] is None else bool(kept["resumed"])
    return Entry(**{**kept, **tables, "sketch": tuple(json.loads(kept["sketch"])), "resumed": resumed})

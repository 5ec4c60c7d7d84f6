"""Where a fake place keeps its runs: one SQLite file, shared by processes, that outlives any of them."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune_sdk.errors import BackendError, NotFoundError
from finetune_sdk.testing.clock import Leg, Plan

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, token TEXT NOT NULL, created REAL NOT NULL,
    record TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS legs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, began REAL NOT NULL, from_step INTEGER NOT NULL,
    until REAL
);
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One run as it was made: its plan, the base, what it learnt ({last words: answer}), and its actual figures."""

    plan: Plan
    base: str
    learnt: Mapping[str, Any]
    otherwise: Mapping[str, Any]
    actual: Mapping[str, float]
    manifest: Mapping[str, Any]


class Records:
    """The file `runs.sqlite` in the folder of a fake place."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "runs.sqlite"

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        except (OSError, sqlite3.Error) as fault:
            raise BackendError(f"the fake place cannot open {self.path}: {fault}.", cure="check the folder") from None
        try:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()

    def make(self, token: str, record: Record, *, careless: bool = False) -> str:
        """The id of the run with this token, which is made unless it is there already."""
        with self._connect() as connection:
            seen = connection.execute("SELECT id FROM runs WHERE token = ? ORDER BY number", (token,)).fetchone()
            if seen and not careless:
                return str(seen[0])
            run, now = f"run-{uuid.uuid4().hex[:12]}", time.time()
            connection.execute(
                "INSERT INTO runs (id, token, created, record) VALUES (?, ?, ?, ?)",
                (run, token, now, json.dumps(asdict(record))),
            )
            connection.execute("INSERT INTO legs (run, began, from_step) VALUES (?, ?, 0)", (run, now))
        return run

    def find(self, token: str, made_before: float) -> list[str]:
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT id FROM runs WHERE token = ? AND created <= ? ORDER BY number", (token, made_before)
            ).fetchall()
        return [row[0] for row in rows]

    def ids(self) -> list[str]:
        """All runs, the newest first."""
        with self._connect() as connection:
            return [row[0] for row in connection.execute("SELECT id FROM runs ORDER BY number DESC").fetchall()]

    def read(self, run: str) -> tuple[Record, list[Leg]]:
        """Raises NotFoundError for a run that is not there."""
        with self._connect() as connection:
            return self._read(connection, run)

    def change(self, run: str, change: Callable[[Record, list[Leg]], Leg | None]) -> None:
        """Ends the last leg or adds one, as `change` says from what is there; alone among all processes."""
        with self._connect() as connection:
            record, legs = self._read(connection, run)
            leg = change(record, legs)
            if leg is None:
                return
            if leg.until is not None:
                connection.execute(
                    "UPDATE legs SET until = ? WHERE number = (SELECT max(number) FROM legs WHERE run = ?)",
                    (leg.until, run),
                )
            else:
                connection.execute(
                    "INSERT INTO legs (run, began, from_step) VALUES (?, ?, ?)", (run, leg.began, leg.from_step)
                )

    def _read(self, connection: sqlite3.Connection, run: str) -> tuple[Record, list[Leg]]:
        kept = connection.execute("SELECT record FROM runs WHERE id = ?", (run,)).fetchone()
        if kept is None:
            raise NotFoundError(
                f"the fake place knows no run {run!r}; it looked in {self.path}.",
                cure="check the id, and that FINETUNE_HOME is the folder where the run was submitted",
            )
        rows = connection.execute("SELECT began, from_step, until FROM legs WHERE run = ? ORDER BY number", (run,))
        table = json.loads(kept[0])
        return Record(**{**table, "plan": Plan(**table["plan"])}), [Leg(*row) for row in rows.fetchall()]

"""The file of drafts: SQLite, each change on the disk before it counts, for several processes at once."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from finetune_sdk.errors import DatasetError

_FORMAT = 0x46744472  # "FtDr", the application id of the file
_VERSION = 1
_SCHEMA = f"""
CREATE TABLE drafts (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    row TEXT NOT NULL,
    asked BLOB NOT NULL,
    question BLOB NOT NULL,
    model TEXT NOT NULL,
    origin TEXT,
    written REAL NOT NULL
);
CREATE TABLE decisions (
    number INTEGER PRIMARY KEY,
    draft TEXT NOT NULL REFERENCES drafts (id),
    state TEXT NOT NULL,
    answer TEXT,
    reason TEXT,
    decided REAL NOT NULL
);
CREATE TABLE held_out (question BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX by_asked ON drafts (asked);
CREATE INDEX by_question ON drafts (question);
CREATE INDEX by_draft ON decisions (draft);
PRAGMA application_id = {_FORMAT};
PRAGMA user_version = {_VERSION}
"""


class Database:
    """The database at a path; made by the first change, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Raises DatasetError where there are no drafts."""
        if not self.path.exists():
            raise self._missing()
        with self._transaction("BEGIN") as connection:
            if not self._known(connection):
                raise self._missing()
            yield connection

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """What is changed within is on the disk when the block ends, or nothing of it is."""
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as fault:
            raise self._unwritable(str(fault.strerror)) from None
        with self._transaction("BEGIN IMMEDIATE") as connection:
            if not self._known(connection):
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as fault:
            broken = not isinstance(fault, sqlite3.OperationalError) or str(fault).startswith("no such")
            raise self.damaged(str(fault)) if broken else self._unwritable(str(fault)) from None

    def _known(self, connection: sqlite3.Connection) -> bool:
        """Whether there are tables of ours already. Raises DatasetError for those of somebody else."""
        (kind,), (version,) = (connection.execute(f"PRAGMA {n}").fetchone() for n in ("application_id", "user_version"))
        if kind == _FORMAT and version > _VERSION:
            raise DatasetError(
                f"{self.path} was written by a newer version of this SDK.", cure="upgrade finetune-anywhere"
            )
        if kind != _FORMAT and (kind or version or connection.execute("SELECT 1 FROM sqlite_master").fetchone()):
            raise DatasetError(f"{self.path} is a database of something else.", cure="name another file for the drafts")
        return bool(kind)

    def damaged(self, why: str) -> DatasetError:
        return DatasetError(f"{self.path} is no file of drafts: {why}.", cure="name another file, or restore this one")

    def _missing(self) -> DatasetError:
        return DatasetError(
            f"there are no drafts at {self.path}.",
            cure="check the path, or have some written: `finetune drafts write`, or Drafts.write in Python",
        )

    def _unwritable(self, why: str) -> DatasetError:
        return DatasetError(
            f"the drafts {self.path} cannot be opened: {why}.", cure="check the path, its rights, the disk"
        )

"""The ballot box: SQLite, each vote on the disk before it counts, for several servers and reviewers at once.

Nothing is ever changed in it: a vote that is taken back stays, followed by a line that says so.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.votes import Vote

_FORMAT = 0x46745674  # "FtVt", the application id of the file
_VERSION = 1
_SCHEMA = f"""
CREATE TABLE votes (
    number INTEGER PRIMARY KEY,
    ballot TEXT NOT NULL,
    one TEXT NOT NULL,
    other TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    state TEXT NOT NULL,
    chosen TEXT,
    note TEXT NOT NULL,
    cast_at REAL NOT NULL
);
CREATE TABLE drawing (secret BLOB NOT NULL);
CREATE INDEX by_reviewer ON votes (reviewer, ballot);
PRAGMA application_id = {_FORMAT};
PRAGMA user_version = {_VERSION}
"""
_CAST, _BACK = "cast", "taken back"
_LAST = "number = (SELECT max(number) FROM votes l WHERE l.ballot = v.ballot AND l.reviewer = v.reviewer)"
_COUNTED = f"SELECT ballot, one, other, chosen, reviewer, note FROM votes v WHERE state = '{_CAST}' AND {_LAST}"


class BallotBox:
    """The file of votes at a path, which is made when it is not there, readable by its owner alone. Raises EvaluationError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as fault:
            raise self._unusable(str(fault.strerror)) from None
        with self._changing() as connection:
            if not self._known(connection):
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute("INSERT INTO drawing VALUES (?)", (secrets.token_bytes(16),))
            (self.secret,) = connection.execute("SELECT secret FROM drawing").fetchone()

    def cast(self, vote: Vote) -> None:
        """The vote is on the disk when this returns. It takes the place of the reviewer's earlier one on that ballot."""
        self._append(vote, _CAST)

    def take_back(self, reviewer: str, among: frozenset[str]) -> Vote | None:
        """Takes the reviewer's last vote on one of these ballots back, and returns it; None where there is none."""
        with self._changing() as connection:
            rows = connection.execute(f"{_COUNTED} AND reviewer = ? ORDER BY number DESC", (reviewer,))
            vote = next((_vote(row) for row in rows if row[0] in among), None)
            if vote is not None:
                _insert(connection, vote, _BACK)
        return vote

    def votes(self) -> list[Vote]:
        """All that count, in the order in which they were cast."""
        with self._changing() as connection:
            return [_vote(row) for row in connection.execute(f"{_COUNTED} ORDER BY number")]

    def voted(self, reviewer: str) -> set[str]:
        """The ballots on which the reviewer's vote counts."""
        with self._changing() as connection:
            rows = connection.execute(
                "SELECT ballot, state, max(number) FROM votes WHERE reviewer = ? GROUP BY ballot", (reviewer,)
            )
            return {ballot for ballot, state, _ in rows if state == _CAST}

    def reviewers(self) -> list[str]:
        """Everybody who ever cast a vote."""
        with self._changing() as connection:
            found = connection.execute("SELECT reviewer FROM votes GROUP BY reviewer ORDER BY min(number)")
            return [name for (name,) in found]

    def _append(self, vote: Vote, state: str) -> None:
        with self._changing() as connection:
            _insert(connection, vote, state)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """What is changed within is on the disk when the block ends, or nothing of it is."""
        try:
            with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as fault:
            raise self._unusable(str(fault)) from None

    def _known(self, connection: sqlite3.Connection) -> bool:
        """Whether there are tables of ours already. Raises EvaluationError for those of somebody else."""
        (kind,), (version,) = (connection.execute(f"PRAGMA {n}").fetchone() for n in ("application_id", "user_version"))
        if kind == _FORMAT and version > _VERSION:
            raise EvaluationError(
                f"{self.path} was written by a newer version of this SDK.", cure="upgrade finetune-anywhere"
            )
        if kind != _FORMAT and (kind or version or connection.execute("SELECT 1 FROM sqlite_master").fetchone()):
            raise EvaluationError(
                f"{self.path} is a database of something else.", cure="name another file for the votes"
            )
        return bool(kind)

    def _unusable(self, why: str) -> EvaluationError:
        return EvaluationError(
            f"the votes {self.path} cannot be kept: {why}.",
            cure="check the path, its rights, the disk, or name another",
        )


def _insert(connection: sqlite3.Connection, vote: Vote, state: str) -> None:
    row = (vote.ballot, *vote.between, vote.reviewer, state, vote.chosen, vote.note, time.time())
    connection.execute(
        "INSERT INTO votes (ballot, one, other, reviewer, state, chosen, note, cast_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    )


def _vote(row: tuple[str, str, str, str | None, str, str]) -> Vote:
    ballot, one, other, chosen, reviewer, note = row
    return Vote(ballot, (one, other), chosen, reviewer, note=note)

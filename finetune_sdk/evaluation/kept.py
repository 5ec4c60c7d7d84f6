"""Answers that were paid for, kept on this disk: an evaluation that was killed goes on, and the same one again is free.

`answers.sqlite` lies beside the ledger, for its owner's eyes alone. What was asked is there as a hash only. What cannot be
kept costs no evaluation: it goes on without, and says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from filelock import FileLock

from finetune_sdk.errors import SettingsError
from finetune_sdk.settings import DEFAULT_KEPT_MB, Settings

_VERSION = 1
_SCHEMA = """
CREATE TABLE kept (
    key BLOB PRIMARY KEY, sitting TEXT, lasting INTEGER NOT NULL, size INTEGER NOT NULL, used REAL NOT NULL,
    value BLOB NOT NULL
);
CREATE INDEX by_use ON kept (used, size);
CREATE INDEX by_sitting ON kept (sitting) WHERE sitting IS NOT NULL;
CREATE TABLE sittings (
    id TEXT PRIMARY KEY, definition BLOB NOT NULL UNIQUE, opened REAL NOT NULL, spent REAL NOT NULL
);
"""
_DAY = 86_400.0
_FORGOTTEN = 14 * _DAY
_ROOM_AFTER = 0.9
_MANY = 500


def digest(*parts: Any) -> bytes:
    """Stands for plain data."""
    return sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).digest()


class Kept:
    """The file of one home. `most` bytes remain in it between evaluations: what was used last stays."""

    def __init__(self, home: Path, most: int) -> None:
        self.path = home / "answers.sqlite"
        self._most = most
        locks = home / "locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            with FileLock(locks / "answers.lock"), _said_of(self.path):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
                self.connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
                try:
                    self._prepare()
                    self._make_room()
                except BaseException:
                    self.connection.close()
                    raise
        except OSError as fault:
            raise _unkept(self.path, str(fault.strerror or fault)) from None

    def _prepare(self) -> None:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise _unkept(self.path, "a newer version of this SDK wrote it")
        if version == 0:
            self.connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self.connection.execute("PRAGMA journal_mode = WAL")
        # What is written outlives the process at once; only a power cut may take the last answers, and damages nothing.
        self.connection.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            self.connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")

    def close(self) -> None:
        """Leaves no more than there is room for."""
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self.connection):
            self._make_room()

    def sitting(self, definition: bytes) -> Sitting:
        """The sitting of this definition that nobody has ended, or a new one."""
        now, fresh = time.time(), os.urandom(16).hex()
        with _said_of(self.path), self.writing():
            self.connection.execute("INSERT OR IGNORE INTO sittings VALUES (?, ?, ?, 0)", (fresh, definition, now))
            held = "SELECT id, opened, spent FROM sittings WHERE definition = ?"
            id_, opened, spent = self.connection.execute(held, (definition,)).fetchone()
        return Sitting(self, id_, None if id_ == fresh else opened, spent)

    @contextmanager
    def writing(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def _make_room(self) -> None:
        """Drops what was used longest ago, but nothing of a sitting that may go on."""
        now = time.time()
        with self.writing():
            self.connection.execute("DELETE FROM sittings WHERE opened < ?", (now - _FORGOTTEN,))
            for gone in self.connection.execute(
                "SELECT DISTINCT sitting FROM kept WHERE sitting NOT IN (SELECT id FROM sittings)"
            ).fetchall():
                self.loosen(*gone)
            pages, free, size = (
                self.connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            held = (pages - free) * size
            if held > self._most:
                self._drop(1 - _ROOM_AFTER * self._most / held)
        self.connection.executescript("PRAGMA incremental_vacuum;")  # `execute` would stop after the first page

    def _drop(self, share: float) -> None:
        (whole,) = self.connection.execute("SELECT coalesce(sum(size), 0) FROM kept").fetchone()
        excess, dropped = share * whole, list[tuple[bytes]]()
        for key, size in self.connection.execute("SELECT key, size FROM kept WHERE sitting IS NULL ORDER BY used"):
            if excess <= 0:
                break
            excess -= size
            dropped.append((key,))
        self.connection.executemany("DELETE FROM kept WHERE key = ?", dropped)

    def loosen(self, sitting: str) -> None:
        """What a sitting that is over has kept: what does not last goes, and the rest may go."""
        self.connection.execute("DELETE FROM kept WHERE sitting = ? AND NOT lasting", (sitting,))
        self.connection.execute("UPDATE kept SET sitting = NULL WHERE sitting = ?", (sitting,))


class Sitting:
    """One evaluation from its start to its end, through however many processes.

    `since` is when an earlier process began it, None where it is new; `spent` is what it has cost in USD so far.
    """

    def __init__(self, kept: Kept, id_: str, since: float | None, spent: float) -> None:
        self._kept = kept
        self.id = id_
        self.since = since
        self.spent = spent
        self.trouble: str | None = None
        self._guard = Lock()  # evaluators may ask from threads of their own

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is kept under these keys."""
        found: dict[bytes, bytes] = {}
        now = time.time()
        with self._told():
            for some in (keys[at : at + _MANY] for at in range(0, len(keys), _MANY)):
                marks = ", ".join("?" * len(some))
                rows = self._kept.connection.execute(f"SELECT key, value FROM kept WHERE key IN ({marks})", some)
                found.update(rows.fetchall())
                again = (now, now - _DAY, *some)
                self._kept.connection.execute(f"UPDATE kept SET used = ? WHERE used < ? AND key IN ({marks})", again)
        return found

    def keep(self, key: bytes, value: bytes, *, lasting: bool, usd: float = 0.0) -> None:
        """Is on the disk when this returns. What does not last is gone when the sitting ends."""
        self.spent += usd
        size = len(value) + 200
        with self._told(), self._kept.writing():
            row = (key, self.id, lasting, size, time.time(), value)
            self._kept.connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?)", row)
            self._spend(usd)

    def pay(self, usd: float) -> None:
        """Notes what was spent without an answer."""
        self.spent += usd
        with self._told(), self._kept.writing():
            self._spend(usd)

    def _spend(self, usd: float) -> None:
        if usd:
            self._kept.connection.execute("UPDATE sittings SET spent = spent + ? WHERE id = ?", (usd, self.id))

    def end(self) -> None:
        """The evaluation is complete: the same one again is a new sitting."""
        with self._told(), self._kept.writing():
            self._kept.connection.execute("DELETE FROM sittings WHERE id = ?", (self.id,))
            self._kept.loosen(self.id)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Trouble with the file is told once, and costs no answer."""
        try:
            with self._guard:
                yield
        except sqlite3.Error as fault:
            self.trouble = self.trouble or _unkept(self._kept.path, str(fault)).message


@contextmanager
def sitting_of(cache: bool | str | os.PathLike[str], definition: bytes) -> Iterator[tuple[Sitting | None, str | None]]:
    """The sitting of an evaluation in the settings' home, or in a folder; None where nothing is kept, and why if that is a pity."""
    settings = Settings.load()
    if cache is False or (cache is True and not settings.answers_kept_mb):
        yield None, None
        return
    home, most = settings.home if cache is True else Path(cache), settings.answers_kept_mb or DEFAULT_KEPT_MB
    with contextlib.ExitStack() as opened:
        try:
            kept = opened.enter_context(contextlib.closing(Kept(home, most * 1_000_000)))
            sitting = kept.sitting(definition)
        except SettingsError as fault:
            yield None, f"{fault.message} To keep them, {fault.cure}."
        else:
            yield sitting, None


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise _unkept(path, str(fault)) from None


def _unkept(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"answers cannot be kept in {path}: {why}.",
        cure="remove the file, whose loss costs no more than asking again, or set FINETUNE_HOME to a folder of your own",
    )

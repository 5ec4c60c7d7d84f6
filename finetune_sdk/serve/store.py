"""Where the server keeps what it must not forget: one SQLite file, committed to the disk before anything is answered."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from finetune_sdk.errors import SettingsError
from finetune_sdk.serve.records import File, Happening, Part, Stage, Tuning, Upload, Wish, new_id

FOLDER = "serve"
"""Where a server keeps its store and its files, under FINETUNE_HOME."""
_VERSION = 1
_SCHEMA = """
CREATE TABLE files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, filename TEXT NOT NULL,
    purpose TEXT NOT NULL, bytes INTEGER NOT NULL, created INTEGER NOT NULL, expires INTEGER, sha256 TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE uploads (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
    created INTEGER NOT NULL, expires INTEGER NOT NULL, status TEXT NOT NULL, file TEXT, keep_for INTEGER
);
CREATE TABLE parts (id TEXT PRIMARY KEY, upload TEXT NOT NULL, bytes INTEGER NOT NULL, created INTEGER NOT NULL);
CREATE TABLE tunings (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, created INTEGER NOT NULL,
    model TEXT NOT NULL, base TEXT NOT NULL, training_file TEXT NOT NULL, validation_file TEXT, suffix TEXT,
    seed INTEGER NOT NULL, method TEXT NOT NULL, definition TEXT NOT NULL, metadata TEXT, status TEXT NOT NULL,
    stage TEXT NOT NULL, wish TEXT, fingerprint TEXT, attempt INTEGER, run TEXT, seen INTEGER NOT NULL,
    resolved TEXT NOT NULL, error TEXT, estimated INTEGER, finished INTEGER, trained_tokens INTEGER, result_file TEXT,
    tuned TEXT, target TEXT
);
CREATE INDEX by_stage ON tunings (stage);
CREATE INDEX by_tuned ON tunings (tuned);
CREATE TABLE metadata (tuning TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (tuning, key));
CREATE INDEX by_metadata ON metadata (key, value);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, tuning TEXT NOT NULL, created INTEGER NOT NULL,
    level TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL, data TEXT NOT NULL
);
CREATE INDEX by_tuning ON events (tuning, number);
CREATE TABLE keys (owner TEXT PRIMARY KEY, hash TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_TABLES = {"method", "metadata", "resolved", "error"}
_FILE, _UPLOAD, _PART, _TUNING = (
    ", ".join(field.name for field in fields(kind)) for kind in (File, Upload, Part, Tuning)
)
_ALIVE = "deleted = 0 AND (expires IS NULL OR expires > ?)"
_R = TypeVar("_R", File, Upload, Part)


class Store:
    """`serve.sqlite` in the server's folder. Any thread may call; each call is one transaction."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "serve.sqlite"
        self._alone = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self.path.chmod(0o600)
            self._prepare()
        except (OSError, sqlite3.Error) as fault:
            raise SettingsError(
                f"the server's store {self.path} cannot be opened: {fault}.",
                cure="set FINETUNE_HOME to a folder that you can write to",
            ) from None

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        with self._change() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise SettingsError(
                    f"the server's store {self.path} was written by a newer version.", cure="upgrade finetune-anywhere"
                )
            if version < _VERSION:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                connection.execute("INSERT INTO facts VALUES ('began', ?)", (int(time.time()),))
                connection.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        with self._alone:
            self._connection.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._alone:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._alone:
            return self._connection.execute(query, values).fetchall()

    @property
    def began(self) -> int:
        """When this store was made."""
        return int(self._rows("SELECT value FROM facts WHERE name = 'began'")[0][0])

    # Files and uploads

    def add_file(self, file: File) -> None:
        with self._change() as connection:
            _insert(connection, "files", file)

    def file(self, owner: str, file: str) -> File | None:
        rows = self._rows(
            f"SELECT {_FILE} FROM files WHERE id = ? AND owner = ? AND {_ALIVE}", file, owner, time.time()
        )
        return File(*rows[0]) if rows else None

    def files(self, owner: str, purpose: str | None, after: str | None, limit: int, newest: bool) -> list[File]:
        """A page of at most `limit` files, from the one behind `after`."""
        order, beyond = ("DESC", "<") if newest else ("ASC", ">")
        rows = self._rows(
            f"SELECT {_FILE} FROM files WHERE owner = ? AND {_ALIVE} AND (? IS NULL OR purpose = ?) "
            f"AND (? IS NULL OR number {beyond} (SELECT number FROM files WHERE id = ?)) "
            f"ORDER BY number {order} LIMIT ?",
            owner, time.time(), purpose, purpose, after, after, limit,
        )  # fmt: skip
        return [File(*row) for row in rows]

    def had_file(self, owner: str, file: str) -> bool:
        """Whether the owner has, or had, a file of that id: a page may follow one that was deleted since."""
        return bool(self._rows("SELECT 1 FROM files WHERE id = ? AND owner = ?", file, owner))

    def delete_file(self, file: str) -> None:
        with self._change() as connection:
            connection.execute("UPDATE files SET deleted = 1 WHERE id = ?", (file,))

    def unwanted_files(self) -> list[str]:
        """Files that were deleted or have expired, and that no unfinished tuning needs."""
        rows = self._rows(
            f"SELECT id FROM files WHERE NOT ({_ALIVE}) AND deleted < 2 AND id NOT IN (SELECT training_file FROM tunings "
            "WHERE stage != 'over') AND id NOT IN (SELECT coalesce(validation_file, '') FROM tunings WHERE stage != 'over')",
            time.time(),
        )
        return [row[0] for row in rows]

    def forget_file(self, file: str) -> None:
        """Its content is gone from the disk."""
        with self._change() as connection:
            connection.execute("UPDATE files SET deleted = 2 WHERE id = ?", (file,))

    def file_ids(self) -> set[str]:
        return {row[0] for row in self._rows("SELECT id FROM files WHERE deleted < 2 UNION SELECT id FROM parts")}

    def kept_bytes(self, owner: str) -> int:
        """What the owner's files take on the disk, with the parts of uploads that are not over."""
        rows = self._rows(
            "SELECT (SELECT coalesce(sum(bytes), 0) FROM files WHERE owner = ? AND deleted < 2) + "
            "(SELECT coalesce(sum(parts.bytes), 0) FROM parts JOIN uploads ON uploads.id = parts.upload WHERE owner = ?)",
            owner, owner,
        )  # fmt: skip
        return int(rows[0][0])

    def add_upload(self, upload: Upload) -> None:
        with self._change() as connection:
            _insert(connection, "uploads", upload)

    def upload(self, owner: str, upload: str) -> Upload | None:
        rows = self._rows(f"SELECT {_UPLOAD} FROM uploads WHERE id = ? AND owner = ?", upload, owner)
        return Upload(*rows[0]) if rows else None

    def end_upload(self, upload: str, status: str, file: File | None = None) -> bool:
        """Completes a pending upload with its file, or ends it; False where it is pending no more. Its parts are forgotten."""
        with self._change() as connection:
            done = connection.execute(
                "UPDATE uploads SET status = ?, file = ? WHERE id = ? AND status = 'pending'",
                (status, file.id if file else None, upload),
            ).rowcount
            if done and file:
                _insert(connection, "files", file)
            if done:
                connection.execute("DELETE FROM parts WHERE upload = ?", (upload,))
        return bool(done)

    def add_part(self, part: Part) -> bool:
        """False where its upload has ended meanwhile."""
        with self._change() as connection:
            pending = connection.execute(
                "SELECT 1 FROM uploads WHERE id = ? AND status = 'pending'", (part.upload,)
            ).fetchone()
            if pending:
                _insert(connection, "parts", part)
        return bool(pending)

    def parts(self, upload: str) -> dict[str, Part]:
        rows = self._rows(f"SELECT {_PART} FROM parts WHERE upload = ? ORDER BY rowid", upload)
        return {row[0]: Part(*row) for row in rows}

    def expired_uploads(self) -> list[str]:
        return [
            row[0]
            for row in self._rows("SELECT id FROM uploads WHERE status = 'pending' AND expires <= ?", time.time())
        ]

    # Tunings

    def add_tuning(self, tuning: Tuning) -> None:
        with self._change() as connection:
            _insert(connection, "tunings", tuning)
            connection.executemany(
                "INSERT INTO metadata VALUES (?, ?, ?)",
                [(tuning.id, key, value) for key, value in (tuning.metadata or {}).items()],
            )

    def tuning(self, owner: str | None, tuning: str) -> Tuning | None:
        """The tuning of that id, if it is the owner's; None asks for anybody's."""
        found = self._tunings("id = ? AND (? IS NULL OR owner = ?)", tuning, owner, owner)
        return found[0] if found else None

    def tunings(
        self, owner: str, after: str | None, limit: int, metadata: Mapping[str, str] | None, bare: bool = False
    ) -> list[Tuning]:
        """The newest first, from the one behind `after`; those that have all of `metadata`, or with `bare` none."""
        where = ["owner = ?", "(? IS NULL OR number < (SELECT number FROM tunings WHERE id = ?))"]
        values: list[Any] = [owner, after, after]
        for key, value in (metadata or {}).items():
            where.append("EXISTS (SELECT 1 FROM metadata WHERE tuning = tunings.id AND key = ? AND value = ?)")
            values += [key, value]
        if bare:
            where.append("metadata IS NULL")
        return self._tunings(f"{' AND '.join(where)} ORDER BY number DESC LIMIT ?", *values, limit)

    def in_stage(self, *stages: Stage) -> list[Tuning]:
        """The oldest first."""
        marks = ", ".join("?" * len(stages))
        return self._tunings(f"stage IN ({marks}) ORDER BY number", *stages)

    def waiting(self, owner: str) -> int:
        """How many tunings of the owner's are not over."""
        return int(self._rows("SELECT count(*) FROM tunings WHERE owner = ? AND stage != 'over'", owner)[0][0])

    def next_waiting(self) -> Tuning | None:
        """The oldest one that waits, and whose definition nobody trains right now."""
        found = self._tunings(
            "stage = 'wait' AND definition NOT IN (SELECT definition FROM tunings WHERE stage IN ('start', 'follow')) "
            "ORDER BY number LIMIT 1"
        )
        return found[0] if found else None

    def tuned(self, owner: str) -> list[Tuning]:
        return self._tunings("owner = ? AND tuned IS NOT NULL AND target IS NOT NULL ORDER BY number DESC", owner)

    def by_model(self, owner: str, model: str) -> Tuning | None:
        found = self._tunings("tuned = ? AND owner = ? AND target IS NOT NULL", model, owner)
        return found[0] if found else None

    def with_prefix(self, owner: str, prefix: str) -> list[Tuning]:
        """The owner's tunings whose id begins so."""
        return self._tunings("owner = ? AND substr(id, 1, ?) = ?", owner, len(prefix), prefix)

    def change(self, tuning: str, **values: Any) -> None:
        """Sets columns of a tuning."""
        self.move(tuning, None, **values)

    def move(self, tuning: str, stages: Sequence[Stage] | None, **values: Any) -> bool:
        """Sets columns of a tuning if it is in one of the stages; False where it is in none of them."""
        names = ", ".join(f"{name} = ?" for name in values)
        written = [_written(name, value) for name, value in values.items()]
        where, more = "id = ?", list[str]()
        if stages is not None:
            where, more = f"id = ? AND stage IN ({', '.join('?' * len(stages))})", list(stages)
        with self._change() as connection:
            return bool(
                connection.execute(f"UPDATE tunings SET {names} WHERE {where}", (*written, tuning, *more)).rowcount
            )

    def wish(self, tuning: str, wish: Wish) -> bool:
        """Asks whoever follows a tuning to end it. A cancellation is never taken back for a pause."""
        return self.move(tuning, ("start", "follow"), wish=wish)

    def _tunings(self, where: str, *values: Any) -> list[Tuning]:
        return [_tuning(row) for row in self._rows(f"SELECT {_TUNING} FROM tunings WHERE {where}", *values)]

    # Events

    def note(
        self, tuning: str, message: str, *, level: str = "info", kind: str = "message",
        data: Mapping[str, Any] | None = None, at: float | None = None,
    ) -> None:  # fmt: skip
        self.note_all(tuning, [(message, level, kind, data or {}, at or time.time())])

    def note_all(
        self,
        tuning: str,
        happened: Sequence[tuple[str, str, str, Mapping[str, Any], float]],
        seen: int | None = None,
    ) -> None:
        """Adds events, and with them how far the run's own have been read: both or neither."""
        rows = [
            (new_id("ftevent-"), tuning, int(at), level, kind, message, json.dumps(dict(data)))
            for message, level, kind, data, at in happened
        ]
        with self._change() as connection:
            connection.executemany(
                "INSERT INTO events (id, tuning, created, level, kind, message, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            if seen is not None:
                connection.execute("UPDATE tunings SET seen = ? WHERE id = ?", (seen, tuning))

    def events(self, tuning: str, after: str | None = None, limit: int | None = None) -> list[Happening]:
        """The newest first, from the one behind `after`."""
        rows = self._rows(
            "SELECT number, id, created, level, kind, message, data FROM events WHERE tuning = ? "
            "AND (? IS NULL OR number < (SELECT number FROM events WHERE id = ?)) ORDER BY number DESC LIMIT ?",
            tuning, after, after, -1 if limit is None else limit,
        )  # fmt: skip
        return [_happening(row) for row in rows]

    def has_event(self, tuning: str, event: str) -> bool:
        return bool(self._rows("SELECT 1 FROM events WHERE id = ? AND tuning = ?", event, tuning))

    # Keys

    def add_key(self, owner: str, digest: str) -> bool:
        """False where the owner has a key already."""
        with self._change() as connection:
            return bool(
                connection.execute(
                    "INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", (owner, digest, int(time.time()))
                ).rowcount
            )

    def remove_key(self, owner: str) -> bool:
        with self._change() as connection:
            return bool(connection.execute("DELETE FROM keys WHERE owner = ?", (owner,)).rowcount)

    def owners(self) -> list[tuple[str, str, int]]:
        """Owner, hash and time of each key."""
        return [(row[0], row[1], row[2]) for row in self._rows("SELECT owner, hash, created FROM keys ORDER BY owner")]


def _insert(connection: sqlite3.Connection, into: str, record: File | Upload | Part | Tuning) -> None:
    names = [field.name for field in fields(record)]
    connection.execute(
        f"INSERT INTO {into} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        [_written(name, getattr(record, name)) for name in names],
    )


def _written(name: str, value: Any) -> Any:
    return json.dumps(dict(value)) if name in _TABLES and value is not None else value


def _happening(row: tuple[Any, ...]) -> Happening:
    number, name, created, level, kind, message, data = row
    return Happening(number, name, created, level, kind, message, json.loads(data))


def _tuning(row: tuple[Any, ...]) -> Tuning:
    kept = dict(zip((field.name for field in fields(Tuning)), row, strict=True))
    return Tuning(**{name: json.loads(v) if name in _TABLES and v is not None else v for name, v in kept.items()})

"""The folder of one migrated job: what lies where, what is known of it, and one process at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from finetune_sdk.errors import InputError
from finetune_sdk.files import whole

STATE = "migration.json"
VERSION = 1


class Folder:
    """One job's folder. `known` is what migration.json holds: plain data, written whole after each step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.train = path / "train.jsonl"
        self.rest = path / "train_without_cases.jsonl"
        self.validation = path / "validation.jsonl"
        self.cases = path / "cases.jsonl"
        self.answers = path / "recorded.jsonl"
        self.told = path / "job.json"
        self.grader = path / "grader.json"
        self.job = path / "job.yaml"
        self.settings = path / "finetune.toml"
        self.readme = path / "README.md"
        self.known: dict[str, Any] = self._read()

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    @classmethod
    def of(cls, to: Path, job: str, address: str) -> Folder:
        """The folder of a job in the folder `to`. Raises InputError where another job's answers lie there."""
        folder = cls(to / (re.sub(r"[^\w.-]+", "-", job).strip(".-") or "job"))
        held = (folder.known.get("job", job), folder.known.get("address", address))
        if held != (job, address):
            raise InputError(
                f"{folder.path} holds the job {held[0]} of {held[1]}, and this is {job} of {address}.",
                cure="choose another folder: --to",
            )
        return folder

    @classmethod
    def opened(cls, path: Path) -> Folder:
        """A migrated job's folder, or the one above it where it is alone there. Raises InputError where there is none."""
        inside = sorted(one.parent for one in path.glob(f"*/{STATE}")) if path.is_dir() else []
        folder = cls(inside[0] if len(inside) == 1 and not (path / STATE).exists() else path)
        if folder.known:
            return folder
        raise InputError(
            f"{path} holds {len(inside)} migrated jobs." if inside else f"{path} holds no migrated job.",
            cure=f"name the folder of one: {', '.join(map(str, inside[:5]))}"
            if inside
            else "migrate one first: finetune migrate openai JOB --to FOLDER",
        )

    def _read(self) -> dict[str, Any]:
        path = self.path / STATE
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as fault:
            raise InputError(f"{path} cannot be read: {fault}.", cure="restore it, or migrate anew elsewhere") from None
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise InputError(
                f"{path} was not written by this version of the SDK.", cure="migrate anew into another folder"
            )
        return found

    def know(self, **news: Any) -> None:
        """Keeps what is known, on the disk when this returns."""
        self.known = {"version": VERSION, **self.known, **news}
        self.put(self.path / STATE, json.dumps(self.known, indent=2, ensure_ascii=False, default=str) + "\n")

    def put(self, path: Path, text: str) -> None:
        """Writes a text whole or not at all."""
        with whole(path) as file:
            file.write(text.encode("utf-8", "replace"))

    def suggest(self, path: Path, text: str) -> bool:
        """Writes a text, unless a person has changed what was written before; says whether it stands."""
        written: Mapping[str, str] = self.known.get("written", {})
        digest = _digest(text.encode("utf-8", "replace"))
        there = _digest(path.read_bytes()) if path.exists() else None
        if there not in (None, digest, written.get(path.name)):
            return False
        if there != digest:
            self.put(path, text)
        self.know(written={**written, path.name: digest})
        return True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the folder for this process; the system frees it when the process dies. What a killed one left is swept."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / ".lock", timeout=0):
                for part in self.path.glob(".*.part"):
                    part.unlink(missing_ok=True)
                self.known = self._read()
                yield
        except Timeout:
            raise InputError(
                f"another process is migrating into {self.path}.", cure="wait for it, or end it, and call this again"
            ) from None


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()

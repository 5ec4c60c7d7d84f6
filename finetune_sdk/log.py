"""The log of what a model answered in production, and what people thought of it: JSON lines, appended.

A line is an answer (id, time, model, run, asked, answer), or a rating (rates: the id, good, correction). Of several
ratings of one answer the last one counts.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from finetune_sdk.errors import DatasetError, InputError
from finetune_sdk.messages import ROLES, Conversation, Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Logged:
    """One answer of the log. `good` is None while nobody has rated it; `correction` is what it should have said."""

    id: str
    asked: Conversation
    answer: Message
    good: bool | None = None
    correction: str | None = None


class Log:
    """A log at a path; made by its first line. Several processes may append at once."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def note(self, asked: Conversation, answer: Message, model: str, run: str | None) -> str:
        """Appends an answer; returns the id to rate it by."""
        identity = os.urandom(16).hex()
        self._append(
            {
                "id": identity,
                "time": time.time(),
                "model": model,
                "run": run,
                "asked": asked.canonical(),
                "answer": answer.canonical(),
            }
        )
        return identity

    def rate(self, answer: str, good: bool, correction: str | None = None) -> None:
        """Notes what a person thought of an answer, by its id; `correction` is what it should have said."""
        if not isinstance(good, bool) or not isinstance(correction, str | None):
            raise InputError("a rating is good=True or False, with a correction as text, or none.")
        self._append({"rates": answer, "time": time.time(), "good": good, "correction": correction})

    def _append(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as fault:
            raise InputError(
                f"the log {self.path} cannot be written: {fault.strerror}.",
                cure="choose another path, or free some disk",
            ) from None

    def answers(self) -> Iterator[Logged]:
        """The answers, the oldest first, with what is thought of each. Raises DatasetError naming a line that is none."""
        ratings = dict[str, _Rating]()
        for number, row in self._rows():
            if "rates" in row:
                rated, rating = self._read(number, _rating, row)
                ratings[rated] = rating
        for number, row in self._rows():
            if "rates" not in row:
                logged = self._read(number, _logged, row)
                good, correction = ratings.get(logged.id, _Rating())
                yield replace(logged, good=good, correction=correction)

    def _read(self, number: int, read: Callable[[dict[str, Any]], T], row: dict[str, Any]) -> T:
        try:
            return read(row)
        except (KeyError, TypeError, AttributeError, InputError):
            raise DatasetError(
                f"{self.path} line {number} is neither an answer nor a rating of this SDK's log.",
                cure="load it with Dataset.load if it is a dataset",
            ) from None

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.endswith(b"\n"):  # still being written
                        return
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError
                    yield number, row
        except OSError as fault:
            raise DatasetError(f"{self.path} cannot be read: {fault.strerror}.", cure="check the path") from None
        except (ValueError, RecursionError):
            raise DatasetError(
                f"{self.path} line {number} is not JSON.", cure="remove that line, or restore the log"
            ) from None


class _Rating(NamedTuple):
    good: bool | None = None
    correction: str | None = None


def _rating(row: Mapping[str, Any]) -> tuple[str, _Rating]:
    """The id of what is rated, and the rating. Raises TypeError or KeyError for anything else."""
    rating = _Rating(row["good"], row.get("correction"))
    if not isinstance(row["rates"], str) or not isinstance(rating.good, bool):
        raise TypeError
    if not isinstance(rating.correction, str | None):
        raise TypeError
    return row["rates"], rating


def _logged(row: Mapping[str, Any]) -> Logged:
    """An answer without its rating. Raises TypeError, KeyError or AttributeError for anything else."""
    asked, answer = Conversation.from_canonical(row["asked"]), Message.from_canonical(row["answer"])
    for message in (*asked.messages, answer):
        parts = message.content if isinstance(message.content, tuple) else ()
        if not isinstance(message.content, str | tuple | None) or message.role not in ROLES:
            raise TypeError
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError
    if not isinstance(row["id"], str) or answer.role != "assistant":
        raise TypeError
    return Logged(row["id"], asked, answer)

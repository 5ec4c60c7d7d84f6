"""The to-do list that an evaluation leaves: failed cases as JSON lines, for a person to read and for drafts to be written like.

The cases are held out, so none may become a training row: each stands inside a `held_out` object, which no format of
datasets has, and a list that is loaded as a dataset is refused in these words.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_sdk.errors import DatasetError
from finetune_sdk.files import whole
from finetune_sdk.messages import ROLES, Role

HELD_OUT = "held_out"
_TODO = "write new rows like this case; the case itself stays held out"


@dataclass(frozen=True, slots=True)
class FailedCase:
    """A held-out case that a model failed. `messages` are the prompt's roles and texts; `failed` has a reason for each evaluator."""

    where: str
    messages: tuple[tuple[Role, str], ...]
    tools: tuple[Mapping[str, Any], ...]
    expected: str | None
    model: str
    answer: str
    tool_calls: tuple[Mapping[str, Any], ...]
    failed: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        held: dict[str, Any] = {"where": self.where}
        held["messages"] = [{"role": role, "content": text} for role, text in self.messages]
        if self.tools:
            held["tools"] = list(self.tools)
        return {
            "todo": _TODO,
            HELD_OUT: {**held, "expected": self.expected},
            "model": self.model,
            "answer": self.answer,
            **({"tool_calls": list(self.tool_calls)} if self.tool_calls else {}),
            "failed": dict(self.failed),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> FailedCase:
        """The inverse of `to_dict`. Raises KeyError or TypeError for anything else."""
        held = row[HELD_OUT]
        case = cls(
            held["where"],
            tuple((message["role"], message["content"]) for message in held["messages"]),
            tuple(held.get("tools", ())),
            held["expected"],
            row["model"],
            row["answer"],
            tuple(row.get("tool_calls", ())),
            dict(row["failed"].items()),
        )
        texts = [
            case.where,
            case.model,
            case.answer,
            *case.failed.values(),
            *(part for turn in case.messages for part in turn),
        ]
        texts += [] if case.expected is None else [case.expected]
        known = all(role in ROLES for role, _ in case.messages) and all(isinstance(tool, dict) for tool in case.tools)
        if not case.messages or not known or not all(isinstance(text, str) for text in texts):
            raise TypeError("a part of the case is not what it should be")
        return case


def write_todo(path: str | os.PathLike[str], cases: Iterable[FailedCase]) -> None:
    """Writes a list, whole or not at all."""
    lines = (json.dumps(case.to_dict(), ensure_ascii=False) for case in cases)
    try:
        with whole(Path(path)) as file:
            file.writelines(f"{line}\n".encode() for line in lines)
    except OSError as fault:
        raise DatasetError(f"{path} cannot be written: {fault.strerror}.", cure="check the path and the disk") from None


def read_todo(path: str | os.PathLike[str]) -> list[FailedCase]:
    """The failed cases of a list. Raises DatasetError naming a line that is none, and for a list without any."""
    try:
        lines = Path(path).read_text("utf-8").split("\n")
    except OSError as fault:
        raise DatasetError(f"{path} cannot be read: {fault.strerror}.", cure="check the path") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is not text in UTF-8.", cure="name the list that an evaluation wrote") from None
    cases = [_case(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not cases:
        raise DatasetError(f"{path} holds no failed case.", cure="there is nothing to do, or it is the wrong file")
    return cases


def _case(path: str | os.PathLike[str], number: int, line: str) -> FailedCase:
    try:
        return FailedCase.from_dict(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DatasetError(
            f"{path} line {number} is no failed case of an evaluation.",
            cure="give what `report.save_failures` or `finetune evaluate --failures` wrote, a case on each line",
        ) from None

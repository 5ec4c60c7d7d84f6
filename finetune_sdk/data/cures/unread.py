"""Rows of a file that cannot be used as they stand, and can without the keys that nobody reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from finetune_sdk.data.checks import Finding, RowError, structure
from finetune_sdk.data.formats import Format, detect, named
from finetune_sdk.data.formats.marks import MARK
from finetune_sdk.data.formats.openai import CHAT
from finetune_sdk.data.strict import parse
from finetune_sdk.errors import DatasetError

_MESSAGE = ("role", "content", "name", "weight", "refusal", "tool_calls", "tool_call_id", "function_call")


def mended(path: Path, form: str | None, faults: Sequence[Finding]) -> Iterator[tuple[int, dict[str, Any], str]]:
    """Line, canonical row and what was removed, for each faulty line of a JSON-lines file in OpenAI's chat format."""
    wanted = {line for fault in faults for line in fault.rows}
    if not wanted:
        return
    with path.open("rb") as file:
        chosen = _format(file, form, path)
        if chosen is None or chosen.name != "openai":
            return
        file.seek(0)
        for line, raw in enumerate(file, 1):
            if line in wanted and (found := _without_unread(raw, chosen)) is not None:
                yield line, *found


def _format(file: Any, form: str | None, path: Path) -> Format | None:
    if form is not None:
        return named(form)
    rows = (_object(raw) for raw in islice(file, 200))
    try:
        return detect(list(islice((row for row in rows if row is not None), 20)), str(path))
    except DatasetError:
        return None


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        row = parse(raw.removeprefix(b"\xef\xbb\xbf"))
    except (RowError, ValueError):
        return None
    return row if isinstance(row, dict) else None


def _without_unread(raw: bytes, form: Format) -> tuple[dict[str, Any], str] | None:
    row = _object(raw)
    if row is None or not isinstance(row.get("messages"), list):
        return None
    removed = sorted(row.keys() - CHAT - {MARK})
    kept: dict[str, Any] = {name: row[name] for name in (CHAT | {MARK}) & row.keys()}
    kept["messages"] = []
    for message in row["messages"]:
        if not isinstance(message, dict):
            return None
        removed += sorted(f"messages.{name}" for name in set(message) - set(_MESSAGE))
        kept["messages"].append({name: message[name] for name in _MESSAGE if name in message})
    if not removed:
        return None
    try:
        canonical = form.canonical(kept)
        structure(form.kind, canonical)
    except RowError:
        return None
    return canonical, ", ".join(dict.fromkeys(removed))

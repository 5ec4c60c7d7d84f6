"""Cures of wording: white space around texts, and labels that are written in several ways."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from finetune_sdk.data.checks.labels import LONGEST, Labels
from finetune_sdk.data.checks.reading import folded, object_in, said

_INVISIBLE = "\ufeff\u200b\u2060"
_STRIPPED = frozenset({"system", "developer", "user", "assistant"})


def stripped(text: str) -> str:
    """A text without byte order marks, white space after it and empty lines before it.

    The first line keeps its indentation where others follow: it may be code. A text of white space alone stays, for what to
    do about it is not mechanical.
    """
    bare = text.strip(_INVISIBLE).rstrip().rstrip(_INVISIBLE)
    if not bare.strip():
        return text
    bare = re.sub(r"\A(?:[^\S\n]*\n)+", "", bare)
    return bare if "\n" in bare else bare.lstrip()


def strip_turns(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns with their texts stripped; what a tool said stays as it is."""
    return [
        {**turn, "content": stripped(turn["content"])}
        if turn["role"] in _STRIPPED and isinstance(turn["content"], str)
        else turn
        for turn in turns
    ]


def strip_row(row: dict[str, Any]) -> dict[str, Any]:
    """A copy of a row with all its turns stripped; of plain text only the byte order mark goes."""
    if "text" in row:
        return {**row, "text": row["text"].strip(_INVISIBLE)}
    copy = dict(row)
    if "prompt" in row:
        copy["prompt"] = {**row["prompt"], "messages": strip_turns(row["prompt"]["messages"])}
    for side in ("messages", "chosen", "rejected", "answer"):
        if side in row:
            copy[side] = strip_turns(row[side])
    return copy


def usual_ways(labels: Labels) -> dict[str, dict[str, str]]:
    """For each field ("" for the whole answer) its labels that have several ways, each with the most frequent one."""
    found: dict[str, dict[str, str]] = {}
    for name, _, ways in labels.found():
        several = {label: written[0].strip() for label, written in ways.items() if len(written) > 1}
        if several:
            found[name] = several
    return found


def relabelled(row: dict[str, Any], usual: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, Any], str]:
    """A row whose answer has its labels in their usual way, and what changed; the row itself and "" where nothing does."""
    side = "messages" if "messages" in row else "answer"
    if not usual or side not in row or not row.get("good", True):
        return row, ""
    answer = row[side][-1]
    if not isinstance(answer["content"], str) or "tool_calls" in answer:
        return row, ""
    text, changed = _in_usual_ways(said(answer), usual)
    if not changed:
        return row, ""
    return {**row, side: [*row[side][:-1], {**answer, "content": text}]}, changed


def _in_usual_ways(text: str, usual: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
    value = object_in(text)
    if value is None:
        label = usual.get("", {}).get(folded(text)) if len(text) <= LONGEST else None
        return (text, "") if label in (None, text) else (str(label), f"{text!r} became {label!r}")
    changed = []
    for name, labels in usual.items():
        old = value.get(name)
        label = labels.get(folded(old)) if isinstance(old, str) and len(old) <= LONGEST else None
        if label is None or label == old:
            continue
        new = _replaced(text, value, name, label)
        if new is not None:
            text, value[name] = new, label
            changed.append(f"{name}: {old!r} became {label!r}")
    return text, "; ".join(changed)


def _replaced(text: str, value: Mapping[str, Any], name: str, label: str) -> str | None:
    """The JSON text with one value of its own replaced, all else letter for letter; None where that cannot be told."""
    for ascii_only in (True, False):
        key, old = (json.dumps(part, ensure_ascii=ascii_only) for part in (name, value[name]))
        found = re.search(rf"{re.escape(key)}\s*:\s*{re.escape(old)}", text)
        if found is not None:
            new = f"{text[: found.end() - len(old)]}{json.dumps(label, ensure_ascii=ascii_only)}{text[found.end() :]}"
            if orjson.loads(new) == {**value, name: label}:
                return new
    return None

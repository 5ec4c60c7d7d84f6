"""Rows of a file that cannot be used as they stand, and can with roles under their right names and without unread keys."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from finetune_sdk.data.checks import Finding, RowError
from finetune_sdk.data.formats import Format, openai, sharegpt
from finetune_sdk.data.formats.marks import MARK
from finetune_sdk.data.index import MOST_FAULTS
from finetune_sdk.data.opening import Origin
from finetune_sdk.data.spool import Spool
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import ROLES

_TURNS = (
    "messages", "prompt", "completion", "chosen", "rejected", "conversations", "preferred_output", "non_preferred_output",
    "preferred_completion", "non_preferred_completion",
)  # fmt: skip
Did = tuple[Literal["renamed", "removed"], str]
"""What was done to a row, and what it was done to."""


class Good(Protocol):
    """The rows that can be used as they stand."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def line(self, index: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Recovered:
    """Rows that can be used now, each with what was done to it, and those that still cannot, each with why."""

    rows: Spool | None = None
    did: dict[int, tuple[Did, ...]] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)


def recovered(origin: Origin | None, good: Good, faults: Sequence[Finding]) -> Recovered:
    """Reads once more what could not be used. Raises DatasetError where more is lost than can be named."""
    if origin is None or not faults:
        return Recovered()
    found = Recovered(Spool(origin.form.kind, good.name))
    faulty = _faulty(good, faults)
    for number, raw in origin.rows():
        if faulty(number):
            _recover(number, raw, origin.form, found)
        if len(found.lost) > MOST_FAULTS:
            raise DatasetError(
                f"{good.name}: so many rows cannot be used that not each can be named, so nothing is dropped.",
                cure="is it the right file, and the right format? mend the rows that `finetune check` shows first",
            )
    return found


def _faulty(good: Good, faults: Sequence[Finding]) -> Callable[[int], bool]:
    """Whether a row is one that cannot be used: by its finding, or where not all have one, because it is not a good one."""
    if all(fault.rows for fault in faults):
        return {line for fault in faults for line in fault.rows}.__contains__
    rows = range(len(good))

    def is_none(number: int) -> bool:
        at = bisect_left(rows, number, key=good.line)
        return at == len(rows) or good.line(at) != number

    return is_none


def _recover(number: int, raw: Any, form: Format, found: Recovered) -> None:
    """Adds the row to those that can be used, or to those that are lost."""
    assert found.rows is not None
    try:
        if isinstance(raw, RowError):
            raise raw
        row, did = _mended(raw, form)
        found.rows.add(form.canonical(row), number)
    except RowError as fault:
        found.lost[number] = fault.message
    else:
        found.did[number] = did


def _mended(raw: Any, form: Format) -> tuple[dict[str, Any], tuple[Did, ...]]:
    if not isinstance(raw, Mapping):
        raise RowError(f"the row holds {type(raw).__name__}, not an object.", "write one JSON object for each example")
    names = dict[str, str]()
    row = _named(raw, names)
    did: list[Did] = [("renamed", f"the role {old!r} became {new!r}") for old, new in sorted(names.items())]
    if form.name == "openai" and (removed := _without_unread(row)):
        did.append(("removed", f"what nothing reads: {', '.join(removed)}"))
    return row, tuple(did)


def _named(row: Mapping[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A copy of a row whose turns are from whom they mean; the names that changed are added to `names`."""
    copy = dict(row)
    for key in copy.keys() & _TURNS:
        if isinstance(copy[key], list):
            copy[key] = [_turn(turn, names) for turn in copy[key]]
    if isinstance(copy.get("input"), Mapping):
        copy["input"] = _named(copy["input"], names)
    return copy


def _turn(turn: Any, names: dict[str, str]) -> Any:
    if not isinstance(turn, dict):
        return turn
    role, by = turn.get("role"), turn.get("from")
    if isinstance(role, str) and role not in ROLES and (right := openai.meant(role)) is not None:
        names[role] = right
        return {**turn, "role": right}
    if isinstance(by, str) and (right := sharegpt.meant(by)) is not None:
        names[by] = right
        return {**turn, "from": right}
    return dict(turn)


def _without_unread(row: dict[str, Any]) -> list[str]:
    """Takes the keys out of a chat row, and out of its messages, that nothing reads; their names."""
    removed = _taken(row, openai.CHAT | {MARK})
    for message in row["messages"] if isinstance(row.get("messages"), list) else ():
        if isinstance(message, dict):
            removed += [f"messages.{name}" for name in _taken(message, openai.MESSAGE)]
    return list(dict.fromkeys(removed))


def _taken(value: dict[str, Any], known: Iterable[str]) -> list[str]:
    unread = sorted(map(str, value.keys() - known))
    for name in unread:
        del value[name]
    return unread

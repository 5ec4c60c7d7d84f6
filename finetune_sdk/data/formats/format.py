"""Which formats there are, and which one a file is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from finetune_sdk.data.formats import instructions, openai, sharegpt, trl
from finetune_sdk.data.formats.marks import MARK, mark
from finetune_sdk.data.strict import kept
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import Kind
from finetune_sdk.todo import HELD_OUT


@dataclass(frozen=True, slots=True)
class Format:
    """One file format. `keys` are those that a row of it must have, one set of several; `known` all that are read (None: any).

    `read` and `write` are the format's own, and know nothing of the mark of synthetic rows; `canonical` and `written` do. `shape` tells rows of this format from those of another with the same keys. `kept` tells, from a line, its row, the
    canonical row and that as JSON, whether it is certain that nothing was lost.
    """

    name: str
    kind: Kind
    keys: tuple[frozenset[str], ...]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    write: Callable[[Mapping[str, Any]], dict[str, Any]]
    known: frozenset[str] | None
    shape: Callable[[Mapping[str, Any]], bool] = lambda row: True
    kept: Callable[[bytes, Mapping[str, Any], Mapping[str, Any], bytes], bool] = lambda line, row, made, written: kept(
        line, row
    )

    def fits(self, row: Mapping[str, Any]) -> bool:
        return any(keys <= row.keys() for keys in self.keys) and self.shape(row)

    def canonical(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The canonical row, marked where the row is. Where every key is a reference, no key is a mark."""
        if MARK not in row or self.known is None:
            return self.read(row)
        return {**self.read({key: value for key, value in row.items() if key != MARK}), **mark(row[MARK])}

    def written(self, row: Mapping[str, Any], *, marked: bool) -> dict[str, Any]:
        """The row as this format has it, with its mark or without."""
        if MARK not in row:
            return self.write(row)
        made = self.write({key: value for key, value in row.items() if key != MARK})
        return {**made, MARK: row[MARK]} if marked else made

    def unread(self, row: Mapping[str, Any]) -> Iterator[str]:
        """The keys of the row that nothing reads."""
        return (str(key) for key in row.keys() - self.known - {MARK}) if self.known is not None else iter(())


def _keys(*names: str) -> frozenset[str]:
    return frozenset(names)


FORMATS = (
    Format(
        "openai-preference",
        "preference",
        (
            _keys("input", "preferred_output", "non_preferred_output"),
            _keys("input", "preferred_completion", "non_preferred_completion"),
        ),
        openai.read_preference,
        openai.write_preference,
        _keys("input", "preferred_output", "non_preferred_output", "preferred_completion", "non_preferred_completion"),
    ),
    Format("openai-rft", "task", (_keys("messages"),), openai.read_task, openai.write_task, None, openai.asks),
    Format("openai", "chat", (_keys("messages"),), openai.read_chat, openai.write_chat, openai.CHAT, kept=openai.kept),
    Format("sharegpt", "chat", (_keys("conversations"),), sharegpt.read, sharegpt.write, sharegpt.KNOWN, sharegpt.told),
    Format(
        "alpaca",
        "chat",
        (_keys("instruction", "output"),),
        instructions.read_alpaca,
        instructions.write_alpaca,
        _keys("instruction", "input", "output", "system"),
    ),
    Format(
        "trl-preference",
        "preference",
        (_keys("chosen", "rejected"),),
        trl.read_preference,
        trl.write_preference,
        _keys("prompt", "chosen", "rejected", "tools"),
    ),
    Format(
        "trl-kto",
        "rated",
        (_keys("prompt", "completion", "label"),),
        trl.read_rated,
        trl.write_rated,
        _keys("prompt", "completion", "label", "tools"),
        trl.labelled,
    ),
    Format(
        "prompt-completion",
        "chat",
        (_keys("prompt", "completion"),),
        instructions.read_prompt_completion,
        instructions.write_prompt_completion,
        _keys("prompt", "completion", "system", "tools"),
    ),
    Format("text", "text", (_keys("text"),), instructions.read_text, instructions.write_text, _keys("text")),
)


DEFAULTS: Mapping[Kind, str] = {
    "chat": "openai", "preference": "openai-preference", "rated": "trl-kto", "task": "openai-rft", "text": "text"
}  # fmt: skip
"""The format that rows of a kind are written in unless another is named."""


def named(name: str) -> Format:
    """The format of that name. Raises DatasetError with the nearest one."""
    for known in FORMATS:
        if known.name == name:
            return known
    names = [known.name for known in FORMATS]
    near = get_close_matches(name, names, 1)
    raise DatasetError(
        f"{name!r} is not a format that is known here.",
        cure=f"use {near[0]!r}" if near else f"use one of {', '.join(names)}",
    )


def detect(rows: Sequence[Mapping[str, Any]], where: str) -> Format:
    """The format that most of the first rows have. Raises DatasetError when none fits, and for held-out cases."""
    if any(HELD_OUT in row for row in rows):
        raise DatasetError(
            f"{where} is the to-do list of an evaluation: its cases are held out, and a model that was trained on them could not "
            "be judged by them any more.",
            cure="write new rows like them, or let a model draft some: `finetune drafts write drafts.db --like FILE --model NAME`",
        )
    votes = [next((known for known in FORMATS if known.fits(row)), None) for row in rows]
    fitting = [vote for vote in votes if vote is not None]
    if not fitting:
        found = ", ".join(sorted(map(str, rows[0]))[:8]) if rows and rows[0] else "nothing"
        wanted = "; ".join(f"{f.name}: {' + '.join(sorted(f.keys[0]))}" for f in FORMATS)
        raise DatasetError(
            f"{where}: the rows are in no format that is known here; their keys are {found}.",
            cure=f"rename the keys to those of one format ({wanted}), or say which is which: columns={{'prompt': 'question', …}}, "
            "on the command line --columns prompt=question,…",
        )
    return max(FORMATS, key=fitting.count)

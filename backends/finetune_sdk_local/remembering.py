"""Token sequences of large datasets, kept on the disk: who asks again, in another process, need not wait for the tokenizer.

A file is named by all that its content hangs on. It holds numbers only, is written whole or not at all, and the oldest go when
there are more than a few.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from finetune_sdk.files import whole
from finetune_sdk_local.tokenising import Sequences

WORTHWHILE = 5_000
"""Rows from which it is quicker to read them than to make them."""
KEPT = 6


def remembered(folder: Path, name: str, rows: int, make: Callable[[], Sequences]) -> Sequences:
    """The sequences of that name, read or made. What cannot be read is made anew, and what cannot be written is not kept."""
    if rows < WORTHWHILE:
        return make()
    file = folder / f"{name}.npz"
    found = _read(file)
    if found is not None:
        with suppress(OSError):
            os.utime(file)
        return found
    made = make()
    with suppress(OSError):
        _write(file, made)
        _forget(folder)
    return made


def _read(file: Path) -> Sequences | None:
    try:
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as kept:
            return Sequences(**{name: kept[name] for name in kept.files})
    except (OSError, ValueError, TypeError, EOFError, BadZipFile):
        return None


def _write(file: Path, made: Sequences) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    parts = {field.name: getattr(made, field.name) for field in fields(Sequences)}
    with whole(file) as written:
        np.savez(written, **{name: part for name, part in parts.items() if part is not None})


def _forget(folder: Path) -> None:
    files = sorted(folder.glob("*.npz"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[KEPT:]:
        file.unlink(missing_ok=True)

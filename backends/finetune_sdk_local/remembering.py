"""Token sequences of large datasets, kept on the disk: who asks again, in another process, need not wait for the tokenizer.

A file is named by all that its content hangs on. It holds numbers only, is written whole or not at all, and the oldest go when
there are more than a few.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_sdk.files import make_room, whole
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
        make_room(folder, file.suffix, KEPT)
    return made


def _read(file: Path) -> Sequences | None:
    try:
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as kept:
            parts = {name: kept[name] for name in kept.files}
            seal = parts.pop("seal")
            return Sequences(**parts) if seal.tobytes() == _seal(parts) else None
    except Exception:  # whatever a damaged file makes numpy and zipfile say
        return None


def _seal(parts: Mapping[str, NDArray[Any]]) -> bytes:
    said = hashlib.sha256()
    for name in sorted(parts):
        said.update(f"{name} {parts[name].dtype} {parts[name].shape}".encode())
        said.update(np.ascontiguousarray(parts[name]).data)
    return said.digest()


def _write(file: Path, made: Sequences) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    every = {field.name: getattr(made, field.name) for field in fields(Sequences)}
    parts = {name: part for name, part in every.items() if part is not None}
    with whole(file) as written:
        np.savez(written, allow_pickle=False, **parts, seal=np.frombuffer(_seal(parts), np.uint8))

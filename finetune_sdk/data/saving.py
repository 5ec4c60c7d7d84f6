"""Canonical rows, written as JSON lines: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune_sdk.data.checks import RowError
from finetune_sdk.data.formats import DEFAULTS, named
from finetune_sdk.data.sources import written
from finetune_sdk.errors import DatasetError
from finetune_sdk.files import whole
from finetune_sdk.messages import Kind


def save_rows(
    rows: Iterator[dict[str, Any]], kind: Kind, name: str, path: str | os.PathLike[str], format_name: str | None = None
) -> None:
    """Writes rows of a kind, by default in OpenAI's format of it. `name` is what they are called in an error."""
    form = named(format_name or DEFAULTS[kind])
    if form.kind != kind:
        raise DatasetError(
            f"{form.name} holds {form.kind} examples, and these are {kind}.", cure="choose another format"
        )
    target = Path(path)
    try:
        with whole(target) as file:
            file.writelines(written(rows, form.write))
    except RowError as fault:
        raise DatasetError(f"{name}: {fault.message}", cure=fault.cure) from None
    except OSError as fault:
        raise DatasetError(
            f"{target} cannot be written: {fault.strerror}.", cure="check the path and the disk"
        ) from None

"""What the config of a base says in its own file, before transformers fills in the sizes of another model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_sdk.errors import JobError
from finetune_sdk_local import bases

ALWAYS = ("hidden_size", "num_hidden_layers")
SIZES = (*ALWAYS, "num_attention_heads", "vocab_size")
CURE = "take the config.json that was published with the base's weights"


def require(base: str) -> None:
    """Raises JobError where the config's file lacks a size.

    Models of more than text leave out sizes of their text part that are as usual.
    """
    stated = _stated(base)
    if stated is None:
        return
    text = bases.config(base).get_text_config()
    parts = [part for part in stated.values() if isinstance(part, dict) and "num_hidden_layers" in part]
    for name in ALWAYS if parts else SIZES:
        names = {name, getattr(text, "attribute_map", {}).get(name, name)}
        if hasattr(text, name) and not any(names & part.keys() for part in (stated, *parts)):
            raise JobError(f"config.json of the base {base!r} does not say {' or '.join(sorted(names))}.", cure=CURE)


def _stated(base: str) -> Mapping[str, Any] | None:
    """The config as it stands in its file; None where it cannot be found again."""
    from transformers.utils import cached_file

    try:
        found = cached_file(bases.locate(base), "config.json", local_files_only=True)
        read = json.loads(Path(str(found)).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None

"""Secrets and personal data replaced by placeholders: <EMAIL_1>, the same value the same one in all rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from finetune_sdk.data.checks.personal import BINARY, FORM, NAMES, Held, apart, personal, texts
from finetune_sdk.data.checks.secrets import secrets

_PLACEHOLDER = re.compile(rf"<({'|'.join([*NAMES, 'SECRET'])})_(\d{{1,9}})>")


class Redaction:
    """Numbers values in the order in which they come. Raises MissingDependencyError where secrets cannot be looked for."""

    def __init__(self) -> None:
        self._last = Counter[str]()
        self._numbers: dict[tuple[str, str], int] = {}

    def skip(self, row: Mapping[str, Any]) -> None:
        """Leaves the numbers alone that a row holds already, from a redaction before."""
        for text in texts(row):
            if "<" in text:
                for kind, number in _PLACEHOLDER.findall(text):
                    self._last[kind] = max(self._last[kind], int(number))

    def again(self) -> Redaction:
        """One that starts beside the same numbers, for another pass over the rows."""
        fresh = Redaction()
        fresh._last = Counter(self._last)
        return fresh

    def redacted(self, value: Any, placed: list[str]) -> Any:
        """A copy of a row, or a part of it, without what it should not tell; the placeholders are added to `placed`."""
        if isinstance(value, str):
            return value if value.startswith("data:") else self._text(value, placed)
        if isinstance(value, dict) and value.get("type") not in BINARY:
            return {
                name: inner if name in FORM else self.redacted(inner, placed) for name, inner in value.items()
            }  # fmt: skip
        if isinstance(value, list):
            return [self.redacted(inner, placed) for inner in value]
        return value

    def _text(self, text: str, placed: list[str]) -> str:
        held = apart([*secrets(text), *personal(text)])
        if not held:
            return text
        parts, at = [], 0
        for one in held:
            parts += [text[at : one.start], self._placeholder(one, placed)]
            at = one.end
        return "".join([*parts, text[at:]])

    def _placeholder(self, held: Held, placed: list[str]) -> str:
        known = (held.kind, held.value)
        if known not in self._numbers:
            self._last[held.kind] += 1
            self._numbers[known] = self._last[held.kind]
        placeholder = f"<{held.kind}_{self._numbers[known]}>"
        if placeholder not in placed:
            placed.append(placeholder)
        return placeholder

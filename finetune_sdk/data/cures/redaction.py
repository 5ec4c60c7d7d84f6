"""Secrets and personal data replaced by placeholders: <EMAIL_1>, the same value the same one in all rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from finetune_sdk.data.checks.personal import BINARY, FORM, FREE, NAMES, Held, apart, is_file, personal, texts
from finetune_sdk.data.checks.reading import tools
from finetune_sdk.data.checks.secrets import secrets

_PLACEHOLDER = re.compile(rf"<({'|'.join([*NAMES, 'SECRET'])})_(\d{{1,9}})>")


class Redaction:
    """Numbers values in the order in which they come. Raises MissingDependencyError where secrets cannot be looked for."""

    def __init__(self) -> None:
        self._last = Counter[str]()
        self._numbers: dict[tuple[str, str], int] = {}

    def skip(self, row: Mapping[str, Any]) -> None:
        """Leaves the numbers alone that a row holds already, from a redaction before."""
        for text in (*texts(row), *texts(list(tools(row)), free=True)):
            if "<" in text:
                for kind, number in _PLACEHOLDER.findall(text):
                    self._last[kind] = max(self._last[kind], int(number))

    def again(self) -> Redaction:
        """One that starts beside the same numbers, for another pass over the rows."""
        fresh = Redaction()
        fresh._last = Counter(self._last)
        return fresh

    def redacted(self, value: Any, placed: dict[str, None], *, free: bool = False) -> Any:
        """A copy of a row, or a part of it, without what it should not tell; the placeholders are added to `placed`.

        Keys of the row's own form stay; where they are `free` they are texts too.
        """
        if isinstance(value, str):
            return value if is_file(value) else self._text(value, placed)
        if isinstance(value, dict) and (free or value.get("type") not in BINARY):
            return {
                self._text(name, placed) if free else name: (
                    self.redacted(inner, placed, free=free or name in FREE)
                    if free or name not in FORM
                    else self._tools(inner, placed)
                    if name == "tools"
                    else inner
                )
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self.redacted(inner, placed, free=free) for inner in value]
        return value

    def _tools(self, value: Any, placed: dict[str, None]) -> Any:
        """A copy of tools without secrets. Addresses there are examples, or the firm's own."""
        if isinstance(value, str):
            return self._without(value, secrets(value), placed)
        if isinstance(value, dict):
            return {name: inner if name == "pattern" else self._tools(inner, placed) for name, inner in value.items()}
        return [self._tools(inner, placed) for inner in value] if isinstance(value, list) else value

    def _text(self, text: str, placed: dict[str, None]) -> str:
        return self._without(text, apart([*secrets(text), *personal(text)]), placed)

    def _without(self, text: str, held: Sequence[Held], placed: dict[str, None]) -> str:
        if not held:
            return text
        parts, at = [], 0
        for one in held:
            parts += [text[at : one.start], self._placeholder(one, placed)]
            at = one.end
        return "".join([*parts, text[at:]])

    def _placeholder(self, held: Held, placed: dict[str, None]) -> str:
        known = (held.kind, held.value)
        if known not in self._numbers:
            self._last[held.kind] += 1
            self._numbers[known] = self._last[held.kind]
        placeholder = f"<{held.kind}_{self._numbers[known]}>"
        placed[placeholder] = None
        return placeholder

"""What a place makes of rows: the text that its base sees, and what of it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_sdk.errors import DatasetError, SettingsError

if TYPE_CHECKING:
    from rich.text import Text

    from finetune_sdk.cli.checking import Checked
    from finetune_sdk.cli.screen import Screen

_MARKS = ("⟦", "⟧")


def preview(
    found: Checked, count: int, base: str | None, backend: str | None, config: Path | None, out: Screen
) -> list[dict[str, Any]]:
    """Shows the first rows as the place renders them; returns line, text, spans and token counts of each."""
    from finetune_sdk.client import Client

    client = Client(backend, config=config)
    client.backend.capabilities.require("render", client.name)
    base = base or client.settings.place(client.name).get("base")
    if not base:
        raise SettingsError(
            f"a preview at {client.name} needs a base: each renders rows in its own way.",
            cure="name one, as in --base tiny, or set `base` in finetune.toml",
        )
    rendered = list[dict[str, Any]]()
    for index in range(min(count, len(found.data))):
        try:
            row = client.backend.render(found.data, index, base)
        except DatasetError as fault:
            rendered.append({"line": found.data.line(index), "base": base, "error": fault.message})
            out.show(f"\n{found.data.where(index)}, as {base} sees it: not at all. {fault.message}")
            continue
        figures = {"tokens": len(row["ids"]), "trained_tokens": sum(row["trained"])}
        rendered.append(
            {"line": found.data.line(index), "base": base, "text": row["text"], "spans": row["spans"], **figures}
        )
        out.show(
            f"\n{found.data.where(index)}, as {base} sees it; {figures['trained_tokens']} of {figures['tokens']} tokens are "
            f"trained, those {'in green' if out.in_colour else 'between ' + ' and '.join(_MARKS)}:\n",
            coloured(row, out.in_colour),
        )
    return rendered


def coloured(row: Mapping[str, Any], in_colour: bool) -> Text:
    """The text with what is trained of it set apart."""
    from rich.text import Text

    from finetune_sdk.cli.screen import plain

    text, made, at = row["text"], Text(), 0
    opening, closing = ("", "") if in_colour else _MARKS
    for start, end in row["spans"]:
        made.append(plain(text[at:start]), style="dim")
        made.append(f"{opening}{plain(text[start:end])}{closing}", style="green")
        at = end
    made.append(plain(text[at:]), style="dim")
    return made

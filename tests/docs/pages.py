"""The pages that people read, and the blocks in them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHOWN = "#>"
Folder = Callable[[bool], Path]


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is that of its first line in the page."""

    page: Path
    kind: str
    text: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def shown(self) -> str:
        """What the block says that it prints: its lines that begin with `#>`."""
        lines = (line for line in self.text.splitlines() if line.startswith(_SHOWN))
        return "".join(line.removeprefix(_SHOWN).removeprefix(" ") + "\n" for line in lines)

    def code(self) -> object:
        """Compiled so that a traceback points into the page."""
        return compile("\n" * (self.line - 1) + self.text, str(self.page), "exec", dont_inherit=True)


def blocks(page: Path, kind: str) -> list[Block]:
    text = page.read_text("utf-8")
    found = ((match, text.count("\n", 0, match.start()) + 2) for match in _BLOCK.finditer(text))
    return [Block(page, match[1], match[2], line) for match, line in found if match[1] == kind]


def all_blocks(kind: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, kind)]


def commands() -> Iterator[tuple[Block, str]]:
    """Every `$ …` line of every page."""
    for block in all_blocks("console"):
        for line in block.text.splitlines():
            if line.startswith("$ "):
                yield block, line.removeprefix("$ ")


def settings(page: Path) -> str | None:
    """The page's own finetune.toml: its first block that says so."""
    own = (block.text for block in blocks(page, "toml") if block.text.startswith("# finetune.toml"))
    return next(own, None)


def trains_here(page: Path) -> bool:
    text = settings(page)
    return text is not None and tomllib.loads(text)["backend"] == "local"

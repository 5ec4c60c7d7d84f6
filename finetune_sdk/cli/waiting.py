"""A progress bar on standard error, from the third second on, where a person looks on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune_sdk.data.checks import Finding

PATIENCE = 2.0
_EVERY = 256


class Ticks:
    """A check that finds nothing and says how far the others are."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell

    def see(self, index: int, row: Mapping[str, Any]) -> None:
        if index % _EVERY == 0:
            self._tell(index)

    def findings(self, rows: object) -> Iterator[Finding]:
        return iter(())


@contextmanager
def waiting(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yields a function that is told how much is done, of how much; None where that is not known."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[count]}"), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    task = bar.add_task(what, total=None, count="")

    def tell(done: int, total: int | None) -> None:
        bar.update(task, completed=done, total=total, count=f"{done:,} of {total:,}" if total else "")

    timer = threading.Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield tell
    finally:
        timer.cancel()
        timer.join()
        bar.stop()

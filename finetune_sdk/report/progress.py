"""The progress of a run on a terminal or in a notebook: a bar with the loss and the time left."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from finetune_sdk.report.visible import visible

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress:
    """Shows a run's events on standard error; by default only where a person looks on."""

    def __init__(self, title: str, *, always: bool = False, shown: bool = True) -> None:
        self._title = title
        self._shown = shown and (always or sys.stderr.isatty() or _in_notebook())
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._last: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", style="bold", markup=False),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(visible(self._title), total=None, figures="starting")
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def show(self, kind: str, message: str, data: Mapping[str, Any]) -> None:
        """One event of a run: metrics move the bar, messages stand above it."""
        if self._bar is None or self._task is None:
            return
        if kind != "metrics":
            if message:
                self._bar.console.print(visible(f"{self._title}: {message}"), markup=False, highlight=False)
            return
        self._last.update({name: value for name, value in data.items() if value is not None})
        names = (("loss", "loss"), ("validation_loss", "validation"))
        figures = "  ".join(f"{label} {self._last[name]:.4f}" for name, label in names if name in self._last)
        self._bar.update(
            self._task, completed=self._last.get("step", 0), total=self._last.get("steps"), figures=figures
        )

    def warn(self, message: str) -> None:
        """A warning: above the bar, and in the log where there is none."""
        if self._bar is None:
            logging.getLogger("finetune_sdk").warning("%s", message)
        else:
            self.show("message", f"warning: {message}", {})

    def say(self, message: str) -> None:
        """A sentence for the person, whether or not there is a bar."""
        if self._bar is not None:
            self._bar.stop()
        print(message, file=sys.stderr)


def silent() -> Progress:
    """A progress that shows nothing."""
    return Progress("", shown=False)


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules

"""Looking at runs from outside: what they reported, where they went on, and how they are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import finetune_sdk as ft
from finetune_sdk_local import checkpoints

STARTUP = Path(__file__).parent / "startup"


def folder(client: ft.Client, run: ft.Run) -> Path:
    return client.settings.home / "runs" / run.key


def losses(run: ft.Run) -> dict[int, float]:
    """The loss of each step as it was last reported."""
    return {e.data["step"]: e.data["loss"] for e in run.events() if e.kind == "metrics" and "loss" in e.data}


def weights(file: Path) -> dict[str, Any]:
    """Tensors by name; peft leaves the adapter's own name out where it publishes them."""
    from safetensors.torch import load_file

    return {name.replace(".default.", "."): tensor for name, tensor in load_file(file).items()}


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def kill(client: ft.Client, run: ft.Run, number: int = signal.SIGKILL) -> None:
    os.kill(int((folder(client, run) / "worker.lock").read_text()), number)


def saved_step(client: ft.Client, run: ft.Run) -> int:
    """The step of the newest whole checkpoint, 0 before the first: where a resume has to go on."""
    saved, _ = checkpoints.latest(folder(client, run) / "checkpoints")
    return saved.step if saved else 0


def went_on_from(run: ft.Run) -> list[int]:
    """The step that each resume went on from, 0 where it began anew; those that ended before a word of it are left out.

    Training is the same each time, so a resume that began anew would end in the same weights: what tells is which steps
    are done again. The first of a session is the one after its checkpoint, and none up to that is reported again.
    """
    sessions: list[list[ft.Event]] = [[]]
    for event in run.events():
        if event.kind == "status" and event.message == "resumed":
            sessions.append([])
        sessions[-1].append(event)
    found = []
    for session in sessions[1:]:
        said = [event.data["step"] for event in session if event.message.startswith("going on from step")]
        reported = [event.data for event in session if event.kind == "metrics"]
        steps = [data["step"] for data in reported if "loss" in data]
        if not said and not reported:
            continue
        start = said[0] if said else 0
        assert steps[:1] in ([], [start + 1]), f"said to go on from step {start}, and began with step {steps[0]}"
        assert not said or all(data["step"] > start for data in reported), f"a step up to {start} was done again"
        found.append(start)
    return found

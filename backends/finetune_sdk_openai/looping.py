"""A thread of our own with a loop in it, so that many questions wait together in a notebook, a script, or another loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_guard = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def loop() -> asyncio.AbstractEventLoop:
    """The loop of this process; one that a fork brought along runs in no thread here."""
    with _guard:
        here = os.getpid()
        if here not in _loops:
            made = asyncio.new_event_loop()
            threading.Thread(target=made.run_forever, name="finetune-loop", daemon=True).start()
            _loops[here] = made
        return _loops[here]


def is_ours(one: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop runs in this process, and was not brought along by a fork."""
    return _loops.get(os.getpid()) is one


def inside(one: asyncio.AbstractEventLoop) -> bool:
    """Whether this is called from within the loop, where nobody may wait for it."""
    try:
        return asyncio.get_running_loop() is one
    except RuntimeError:
        return False


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, done in the loop. ctrl-C here cancels it there."""
    future = asyncio.run_coroutine_threadsafe(work, loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise

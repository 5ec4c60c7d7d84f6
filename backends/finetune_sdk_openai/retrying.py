"""What may safely be asked again is asked again: with jitter, as late as the place wishes, and not for ever.

Reading, listing, downloading, cancelling, and uploading what is looked for first. Creating a job never comes through here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from finetune_sdk_openai.errors import passing, retry_after

if TYPE_CHECKING:
    from tenacity import RetryCallState
    from tenacity.stop import stop_base

T = TypeVar("T")
MOST = 8
_FIRST, LONGEST = 0.5, 20.0


def pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: the place's own wish and a little, or twice as long as before, with full jitter."""
    from random import uniform

    fault = state.outcome.exception() if state.outcome else None
    wished = retry_after(fault)
    if wished is not None:
        return wished + uniform(0, min(1.0, 0.25 * wished + 0.05))
    return uniform(0.05, min(LONGEST, _FIRST * 2**state.attempt_number))


def limit(patience: float) -> stop_base:
    """Ends when the next wait would end after `patience` seconds, or after eight attempts."""
    from tenacity import stop_after_attempt, stop_before_delay

    return stop_after_attempt(MOST) | stop_before_delay(patience)


def _may_pass(fault: BaseException) -> bool:
    return isinstance(fault, Exception) and passing(fault)


def repeated(call: Callable[[], T], patience: float) -> T:
    """The call's result, asked for again while what goes wrong may pass; the last fault when it does not."""
    from tenacity import Retrying, retry_if_exception

    waiting: dict[str, Any] = {"wait": pause, "stop": limit(patience), "retry": retry_if_exception(_may_pass)}
    return Retrying(**waiting, reraise=True)(call)

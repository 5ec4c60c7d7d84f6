"""What a run costs on this machine while it trains: the time of all its sessions at the price an hour, beside its cap."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from finetune_sdk.estimate import Range, Spent
from finetune_sdk.spending import dollars
from finetune_sdk_local.runs import RunFolder


def spent(run: RunFolder) -> Spent:
    """What the run has taken so far, at the price that held when it was submitted."""
    seconds, price = run.seconds_so_far(), _price(run.job())
    return Spent(_cost(seconds, price), Range.exactly(seconds, "s", "the time that its processes worked"))


def _price(job: Mapping[str, Any]) -> float:
    return float(job["machine"].get("usd_per_hour") or 0.0)


def _cost(seconds: float, price: float) -> Range:
    if not price:
        return Range.exactly(0.0, "USD", "own hardware, and no price per hour is set")
    return Range.exactly(seconds / 3600 * price, "USD", f"${price:g} an hour, as finetune.toml said")


class Meter:
    """The worker's own look at its run's cost, so that a cap holds when nobody waits. `started` is by the monotonic clock."""

    def __init__(self, run: RunFolder, started: float) -> None:
        self._run = run
        self._started = started
        self._before = run.worked_seconds(0.0)
        job = run.job()
        self._price, self._submitted = _price(job), job["machine"].get("max_cost")

    def over(self) -> str:
        """Words about a cap that is exceeded, empty below it."""
        if not self._price:
            return ""
        cost = (self._before + time.monotonic() - self._started) / 3600 * self._price
        cap = self._run.max_cost(self._submitted)
        return f"it has cost {dollars(cost)}, above max_cost={dollars(cap)}" if cost > cap else ""

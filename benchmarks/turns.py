"""Two loops, side by side in one process: one moves while the other waits, a few steps each, in the order ABBA."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

WARM_UP = 1


class Turns:
    """Each loop calls `step(name)` after each of its steps. Its first chunk is not counted: it holds the start.

    `seconds[name]` are the seconds of each counted chunk, `cpu[name]` those of CPU that the process spent meanwhile; the
    chunks of the two at one position make a pair.
    """

    def __init__(self, one: str, other: str, chunk: int, pairs: int) -> None:
        self.chunk = chunk
        self.steps = chunk * (pairs + WARM_UP)
        self._order = [name for pair in range(pairs + WARM_UP) for name in ((one, other), (other, one))[pair % 2]]
        self._at, self._taken, self._since = 0, 0, 0.0
        self._moved = threading.Condition()
        self._failed: BaseException | None = None
        self._since_cpu = 0.0
        self._seconds: dict[str, list[float]] = {one: [], other: []}
        self._cpu: dict[str, list[float]] = {one: [], other: []}

    @property
    def seconds(self) -> dict[str, list[float]]:
        return {name: times[WARM_UP:] for name, times in self._seconds.items()}

    @property
    def cpu(self) -> dict[str, list[float]]:
        return {name: times[WARM_UP:] for name, times in self._cpu.items()}

    def run(self, loops: Mapping[str, Callable[[], object]]) -> None:
        """Runs both loops to their ends. Raises what either raised."""
        threads = [threading.Thread(target=self._guarded, args=(name, loop)) for name, loop in loops.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failed is not None:
            raise self._failed

    def step(self, name: str) -> None:
        """One step of `name` is done: at the end of its chunk it waits until it is its turn again."""
        self._taken += 1
        if self._taken < self.chunk:
            return
        with self._moved:
            self._seconds[name].append(time.perf_counter() - self._since)
            self._cpu[name].append(time.process_time() - self._since_cpu)
            self._at, self._taken = self._at + 1, 0
            self._moved.notify_all()
        self._wait(name)

    def _wait(self, name: str) -> None:
        with self._moved:
            over = len(self._order)
            self._moved.wait_for(lambda: self._failed or self._at == over or self._order[self._at] == name)
            if self._failed is not None:
                raise RuntimeError("the other loop has failed")
            self._since, self._since_cpu = time.perf_counter(), time.process_time()

    def _guarded(self, name: str, loop: Callable[[], object]) -> None:
        try:
            self._wait(name)
            loop()
        except BaseException as fault:  # whatever it is, the other loop must not wait for ever
            with self._moved:
                self._failed = self._failed or fault
                self._moved.notify_all()

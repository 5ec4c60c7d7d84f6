"""What the server costs: beside the model called directly, under many clients, and what batching gives."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.child import ROOT
from benchmarks.figures import Row, Spread

TITLE = "The server"
GOAL = (
    "at most 5 ms a completion above the model called directly; 200 clients at once without an error; at least 3 × the "
    "throughput of one at a time on CPU"
)
BASE = "tiny"
ASKED = "Where is my parcel number {}?"
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}


def measure(repeats: int = 100, clients: int = 200, together: int = 64, rounds: int = 5, tokens: int = 16) -> list[Row]:
    """One row a figure. The server is a process of its own, over the local backend; the clients are threads here."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as address:
        alone = overheads(address, repeats)
        crowd = crowded(address, clients, tokens)
        one, many = batching(address, together, rounds, tokens)
    return [
        _row("a completion of 4 tokens, in the model", Spread.of(alone["model"]), "ms"),
        _row("above that, over plain HTTP", Spread.of(alone["plain"]), "ms", 5.0),
        _row("above that, with OpenAI's client", Spread.of(alone["official"]), "ms"),
        _row(f"errors of {clients} clients at once, 3 requests each", float(crowd["errors"]), "", 0.0),
        _row(f"latency of these, {tokens} tokens", Spread.of(crowd["seconds"]), "s"),
        _row(f"{together} requests of {tokens} tokens, one at a time", one, "requests/s"),
        _row(f"{together} requests of {tokens} tokens, at once", many, "requests/s"),
        _ratio(one, many),
    ]


def _row(what: str, figure: Any, unit: str, most: float | None = None) -> Row:
    value = figure.median if isinstance(figure, Spread) else figure
    goal = "" if most is None else f"≤ {most:g}"
    return {"what": what, "figure": figure, "unit": unit, "goal": goal, "met": "" if most is None else value <= most}


def _ratio(one: Spread, many: Spread) -> Row:
    ratio = many.median / one.median
    return {"what": "that is", "figure": ratio, "unit": "×", "goal": "≥ 3", "met": ratio >= 3}


@contextmanager
def serving(home: Path, base: str = BASE, backend: str = "local") -> Iterator[str]:
    """A server as a process; its address."""
    command = [
        sys.executable, "-m", "finetune_sdk", "serve", "--backend", backend, "--base", base, "--port", "0", "--quiet",
        "--json",
    ]  # fmt: skip
    path = os.pathsep.join(entry for entry in (str(ROOT), os.environ.get("PYTHONPATH", "")) if entry)
    environment = {**_PATIENT, **os.environ, "PYTHONPATH": path, "FINETUNE_HOME": str(home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]
        finally:
            process.terminate()


class Plain:
    """One connection that is kept, and as little client as can be."""

    def __init__(self, address: str) -> None:
        at = urlsplit(address)
        self._connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=300)
        self.timing = ""

    def ask(self, text: str, tokens: int, base: str = BASE) -> int:
        """The status of a completion."""
        body = {"model": base, "messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        answer.read()
        self.timing = answer.getheader("server-timing") or ""
        return answer.status

    def close(self) -> None:
        self._connection.close()


def overheads(address: str, repeats: int, base: str = BASE) -> dict[str, list[float]]:
    """Milliseconds of a completion of 4 tokens: those in the model, as the server says, and those above.

    Each request is its own pair, so that a model which is slower in one process than in another does not count. "plain" and
    "official" are what is above with plain HTTP and with OpenAI's client, in turns.
    """
    import openai

    plain, official = Plain(address), openai.OpenAI(base_url=address, api_key="none")
    found: dict[str, list[float]] = {"model": [], "plain": [], "official": []}

    def by_client(text: str) -> float:
        said = official.chat.completions.with_raw_response.create(
            model=base, messages=[{"role": "user", "content": text}], max_tokens=4, temperature=0
        )
        said.parse()
        return in_the_model(said.headers["server-timing"])

    def by_hand(text: str) -> float:
        assert plain.ask(text, 4, base) == 200
        return in_the_model(plain.timing)

    for turn in range(repeats + 3):
        for name, ask in (("plain", by_hand), ("official", by_client))[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            inside = ask(ASKED.format(turn))
            if turn >= 3:
                found["model"].append(inside)
                found[name].append(1000 * (time.perf_counter() - began) - inside)
    plain.close()
    official.close()
    return found


def in_the_model(timing: str) -> float:
    """The milliseconds of a header `Server-Timing: model;dur=12.3`."""
    return float(timing.partition("dur=")[2])


def crowded(address: str, clients: int, tokens: int, base: str = BASE) -> dict[str, Any]:
    """`clients` threads, each with a connection of its own, that begin at one moment and ask three times."""
    ready, errors, seconds = threading.Barrier(clients), list[Any](), list[float]()

    def one(number: int) -> None:
        client = Plain(address)
        ready.wait(60)
        for turn in range(3):
            began = time.perf_counter()
            try:
                status = client.ask(ASKED.format(1000 * turn + number), tokens, base)
            except OSError as fault:
                errors.append(fault)
                continue
            seconds.append(time.perf_counter() - began)
            if status != 200:
                errors.append(status)
        client.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"errors": len(errors), "seconds": seconds}


def batching(address: str, together: int, rounds: int, tokens: int, base: str = BASE) -> tuple[Spread, Spread]:
    """Requests a second, one after another and at once, in turns; the same questions."""
    clients = [Plain(address) for _ in range(together)]
    one, many = list[float](), list[float]()
    with ThreadPoolExecutor(together) as pool:
        for turn in range(rounds + 1):
            texts = [ASKED.format(10_000 * turn + number) for number in range(together)]
            began = time.perf_counter()
            assert {clients[0].ask(text, tokens, base) for text in texts} == {200}
            between = time.perf_counter()
            assert set(pool.map(lambda pair: pair[0].ask(pair[1], tokens, base), zip(clients, texts, strict=True))) == {
                200
            }
            if turn:
                one.append(together / (between - began))
                many.append(together / (time.perf_counter() - between))
    for client in clients:
        client.close()
    return Spread.of(one), Spread.of(many)

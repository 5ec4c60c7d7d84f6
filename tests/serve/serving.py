"""A server over the fake backend, in a thread or in a process of its own, and what is asked of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai

from finetune_sdk.backend import Place
from finetune_sdk.client import Client
from finetune_sdk.serve.server import listen, server, url
from finetune_sdk.serve.service import Options, Service
from finetune_sdk.settings import Settings
from finetune_sdk.testing import FakeBackend

OVER = ("succeeded", "failed", "cancelled")


def chats(count: int = 24, first: int = 0) -> bytes:
    """Rows that teach to answer "What is n?" with "It is n."."""
    return lines(
        {
            "messages": [
                {"role": "user", "content": f"What is {n}?"},
                {"role": "assistant", "content": f"It is {n}."},
            ]
        }
        for n in range(first, first + count)
    )


def pairs(count: int = 24) -> bytes:
    return lines(
        {
            "input": {"messages": [{"role": "user", "content": f"What is {n}?"}]},
            "preferred_output": [{"role": "assistant", "content": f"It is {n}."}],
            "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
        }
        for n in range(count)
    )


def lines(rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@dataclass(frozen=True)
class Said:
    """An answer as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.value["error"]


@dataclass
class Served:
    """A running server. `service` is None where it is a process of its own."""

    url: str
    home: Path
    service: Service | None = None
    opened: dict[str, openai.OpenAI] = field(default_factory=dict)

    def client(self, key: str = "any") -> openai.OpenAI:
        """The official client, with its address and key changed and nothing else."""
        if key not in self.opened:
            self.opened[key] = openai.OpenAI(base_url=self.url, api_key=key)
        return self.opened[key]

    def close(self) -> None:
        for client in self.opened.values():
            client.close()

    def ask(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, key: str = "any"
    ) -> Said:
        """One plain request; `body` is JSON unless it is bytes."""
        at = urlsplit(self.url)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=30)
        sent = {"Authorization": f"Bearer {key}", **(headers or {})}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, f"{at.path}{path}" if path.startswith("/") else f"/{path}", body, sent)
            answer = connection.getresponse()
            return Said(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def upload(self, content: bytes, client: openai.OpenAI | None = None) -> str:
        return (client or self.client()).files.create(file=("rows.jsonl", content), purpose="fine-tune").id

    def tune(self, content: bytes | None = None, **more: Any) -> str:
        """A new job on `content`; its id."""
        given = {"model": "echo", **more}
        client = given.pop("client", None) or self.client()
        if "training_file" not in given:
            given["training_file"] = self.upload(content or chats(), client)
        return client.fine_tuning.jobs.create(**given).id

    def ended(self, job: str, seconds: float = 30, client: openai.OpenAI | None = None) -> Any:
        return self.until(job, lambda found: found.status in OVER, seconds, client)

    def until(
        self, job: str, right: Callable[[Any], bool], seconds: float = 30, client: openai.OpenAI | None = None
    ) -> Any:
        asked, until = client or self.client(), time.monotonic() + seconds
        while not right(found := asked.fine_tuning.jobs.retrieve(job)):
            assert time.monotonic() < until, found
            time.sleep(0.03)
        return found

    def said(self, job: str) -> list[str]:
        """The messages of a job's events, the oldest first."""
        return [event.message for event in self.client().fine_tuning.jobs.list_events(job, limit=100)][::-1]

    @property
    def made(self) -> list[str]:
        """All runs that the fake place has ever made."""
        return list(FakeBackend(Place("fake", {}, self.home)).runs())


@contextmanager
def in_a_thread(home: Path, options: Options, place: str = "fake", **told: Any) -> Iterator[Served]:
    """A server in this process; it is careless, so that nothing hides a second run."""
    table = {"careless": True, "seconds": 0.3, **told} if place == "fake" else told
    service = Service(Client(settings=Settings(place, home, {place: table})), options)
    bound = listen("127.0.0.1", 0)
    running = server(service)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
    thread.start()
    served = Served(url(bound), home, service)
    try:
        yield served
    finally:
        served.close()
        running.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@dataclass
class Process:
    """`finetune serve` as a process."""

    served: Served
    process: subprocess.Popen[str]
    errors: Path

    def kill(self) -> None:
        self.served.close()
        self.process.kill()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.served.close()
        self.process.send_signal(number)
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


# What a shell starts in the background ignores ctrl-C unless it is told otherwise.
_HEEDING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
_COMMAND = [sys.executable, "-c", f"{_HEEDING}\nfrom finetune_sdk.cli import main; main()", "serve"]


def start(folder: Path, *args: str, place: Sequence[tuple[str, Any]] = ()) -> Process:
    """`finetune serve` in `folder`, over a fake place that is told `place`; returns once it listens."""
    told = [("careless", True), ("seconds", 0.3), *place]
    config = "".join(f"{name} = {json.dumps(value)}\n" for name, value in dict(told).items())
    (folder / "finetune.toml").write_text(f'backend = "fake"\nhome = "home"\n[backends.fake]\n{config}')
    errors = folder / "errors.txt"
    with errors.open("a") as file:
        process = subprocess.Popen(
            [*_COMMAND, "--port", "0", "--json", *args], cwd=folder, env=_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=file, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    said = ""
    while "}" not in said:
        line = process.stdout.readline()
        assert line, errors.read_text()
        said += line
    at = json.loads(said)["url"].replace("0.0.0.0", "127.0.0.1")
    return Process(Served(at, folder / "home"), process, errors)


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """`finetune serve …` to its end."""
    return subprocess.run(
        [*_COMMAND, *args], cwd=folder, env=_environment(), capture_output=True, text=True, timeout=60, check=False
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FINETUNE")}

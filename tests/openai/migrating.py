"""How these tests migrate: the command, jobs of long ago, and a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import finetune_sdk.cli
from opened import VARIABLE
from provider import Provider

DEMO = Path(finetune_sdk.__file__).parent / "demo"
ROWS, HELD = 40, 12


def first(name: str, count: int) -> bytes:
    with (DEMO / name).open("rb") as file:
        return b"".join(islice(file, count))


TRAIN, HELDOUT = first("tickets.jsonl", ROWS), first("tickets_heldout.jsonl", HELD)


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        return json.loads(self.out)


Finetune = Callable[..., Ended]


def told(folder: Path, provider: Provider, **options: Any) -> None:
    own = {
        "kind": "openai", "base_url": provider.url, "api_key_env": VARIABLE, "timeout": 5.0, "patience": 5.0,
        "usd_per_million": 0.0, **options,
    }  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in own.items()]
    (folder / "finetune.toml").write_text("\n".join(['backend = "fake"', "[backends.mine]", *lines, ""]))


def migrated(tmp_path: Path, job: str) -> Path:
    return tmp_path / "out" / job


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def asked(provider: Provider) -> list[str]:
    """What every question ended with, in order; one that a kill cut in the middle was none."""
    return [seen.body["messages"][-1]["content"] for seen in provider.posts("/chat/completions") if seen.body]


def downloads(provider: Provider) -> list[str]:
    return [seen.path for seen in provider.requests if seen.path.endswith("/content")]


def begun(folder: Path, *args: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from finetune_sdk.cli import main; main()", *args]
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, "FINETUNE_HOME": str(folder / "home")}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def killed_when(process: subprocess.Popen[bytes], due: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not due():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(10)

"""The `finetune` command in a folder of its own, in this process or in a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk.cli
from finetune_sdk.backend import Place
from finetune_sdk.testing import FakeBackend

JOB = """\
name: triage
data: tickets.jsonl
split: {validation: 0.2, test: 0.3, seed: 7}
method: {kind: sft, epochs: 2, batch_size: 4, learning_rate: 1e-3}
adapter: {kind: lora, rank: 8}
evaluation:
  evaluators:
    - {kind: json_schema, schema: ticket.schema.json}
    - {kind: field_match, fields: [category]}
  prompted: {examples: 2}
"""
SCHEMA = {"type": "object", "properties": {"category": {"enum": ["billing", "delivery"]}}, "required": ["category"]}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """The `finetune` command in `folder`, with the fake backend and a FINETUNE_HOME of its own."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    @property
    def environment(self) -> dict[str, str]:
        own = {"FINETUNE_HOME": str(self.folder / "home"), "FINETUNE_BACKEND": "fake", "NO_COLOR": "1"}
        return {name: value for name, value in os.environ.items() if not name.startswith("FINETUNE")} | own

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-c", "from finetune_sdk.cli import main; main()", *args]

    def __call__(self, *args: str, **environment: str) -> Ended:
        """The command in this process: fast, and with the files, pipes and settings of a real one."""
        with self.monkeypatch.context() as now:
            now.chdir(self.folder)
            for name, value in (self.environment | environment).items():
                now.setenv(name, value)
            self.capture.readouterr()
            status = finetune_sdk.cli.status(list(args))
            said = self.capture.readouterr()
        return _ended(status, said.out, said.err, args)

    def process(self, *args: str, **environment: str) -> Ended:
        done = subprocess.run(
            self.command(*args), cwd=self.folder, env=self.environment | environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip
        return _ended(done.returncode, done.stdout, done.stderr, args)

    def start(self, *args: str, first: str = "") -> subprocess.Popen[str]:
        """A process that goes on, after the Python of `first`."""
        # What a shell starts in the background, a whole test run among it, ignores ctrl-C unless it is told otherwise.
        heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        command = [sys.executable, "-c", f"{heeding}\n{first}\nfrom finetune_sdk.cli import main; main()", *args]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    def place(self, **options: Any) -> None:
        """From now on the fake place is told this. It is careless, so that nothing hides a second send."""
        told = {"careless": True, **options}
        lines = (f"{name} = {json.dumps(value)}\n" for name, value in told.items())
        self.write("finetune.toml", "[backends.fake]\n" + "".join(lines))

    @property
    def made(self) -> list[str]:
        """All runs that the fake place has ever made, the newest first."""
        return [f"fake:{run}" for run in FakeBackend(Place("fake", {}, self.folder / "home")).runs()]


def _ended(status: int, out: str, err: str, args: Sequence[str]) -> Ended:
    assert "Traceback" not in out + err or "--debug" in args, err
    return Ended(status, out, err)


def tickets(rows: Sequence[int]) -> str:
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"ticket {number}: where is my {'bill' if number % 2 else 'parcel'}?"},
                {"role": "assistant", "content": json.dumps({"category": "billing" if number % 2 else "delivery"})},
            ]
        }
        for number in rows
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)

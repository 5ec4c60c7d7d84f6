"""A folder with a job, its data and its schema, and a place that is careless."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shell import JOB, SCHEMA, Shell, tickets


@pytest.fixture
def finetune(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell(tmp_path, capfd, monkeypatch)
    shell.place()
    shell.write("tickets.jsonl", tickets(range(60)))
    shell.write("ticket.schema.json", json.dumps(SCHEMA))
    shell.write("faq.csv", "question,answer\n" + "".join(f"What is {n}?,It is {n}.\n" for n in range(12)))
    shell.write("job.yaml", JOB)
    return shell

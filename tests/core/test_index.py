"""The index of a file read in parts by several processes is the index of the file read in one go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_sdk.data import index as indexing
from finetune_sdk.data.checks import RowError
from finetune_sdk.data.formats import named
from finetune_sdk.data.index import Faults, Index, index_file, index_part
from rows import chat

FORM = named("openai")


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """A byte order mark, blank lines, CRLF, bad rows, an unread key, lines of very different length, no last newline."""
    lines = list[str]()
    for number in range(400):
        row = chat(f"What is {number}?", "na " * (number % 97 + 1))
        lines.append(json.dumps(row) + "\r" * (number % 7 == 0))
        if number % 31 == 0:
            lines += ["", "   ", '{"messages": [']
        if number % 53 == 0:
            lines.append(json.dumps({"messages": row["messages"][:1]}))
    path = tmp_path / "messy.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    return path


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "cores", lambda: 4)


def whole(path: Path) -> Index:
    with path.open("rb") as file:
        return index_part(file, FORM, 0, path.stat().st_size)


def test_parts_read_by_processes_are_the_whole(messy: Path, cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[list[str]]()
    popen = subprocess.Popen

    def noted(command: list[str], **options: object) -> object:
        started.append(command)
        return popen(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", noted)
    index = index_file(messy, FORM, part_bytes=8_000)
    assert len(started) == 3
    assert len(index.offsets) == 400
    assert index.faults.named
    assert index == whole(messy)


@pytest.mark.parametrize("program", ["/bin/false", "/bin/echo", "/no/such/program"])
def test_a_part_whose_process_comes_to_nothing_is_read_here(
    messy: Path, cores: None, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert index_file(messy, FORM, part_bytes=8_000) == whole(messy)


def test_one_line_longer_than_a_part_is_one_part(tmp_path: Path, cores: None) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text("\n".join(json.dumps(chat("?", "na " * size)) for size in (10, 30_000, 10)))
    index = index_file(path, FORM, part_bytes=10_000)
    assert index == whole(path)
    assert list(index.lines) == [1, 2, 3]


def test_the_first_faults_are_named_and_the_others_counted() -> None:
    parts = [Faults(limit=5), Faults(limit=5)]
    for number in range(1, 5):
        for part in parts:
            part.add(number, RowError("bad", "mend it"))
    parts[0].extend(parts[1], lines=100)
    *said, more = parts[0].findings()
    assert [finding.rows for finding in said] == [(1,), (2,), (3,), (4,), (101,)]
    assert more.count == 3
    assert "3 more rows" in more.message

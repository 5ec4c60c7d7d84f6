"""Fixtures for all tests: a folder of one's own, and small data in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from finetune_sdk.data.dataset import Dataset
from nursery import Shortcuts, quick_starts

Writer = Callable[..., Path]

settings.register_profile("patient", deadline=None)  # other processes of the machine take their time
settings.load_profile("patient")


@pytest.fixture(scope="session")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that are not there yet, a new one each time."""
    folder = tmp_path_factory.mktemp("away")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def away_from_home(away: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes what the person who runs it has at home, or what another test kept."""
    if "FINETUNE_HOME" not in os.environ:
        monkeypatch.setenv("FINETUNE_HOME", str(next(away)))


@pytest.fixture(scope="session")
def shortcuts() -> Iterator[Shortcuts]:
    """Whether local runs begin with what they import, as they do for those who ask for this."""
    pytest.importorskip("torch")
    with quick_starts() as taken:
        yield taken


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """FINETUNE_HOME in an empty folder, which is also the working folder; no other setting."""
    for name in ("FINETUNE_BACKEND", "FINETUNE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("FINETUNE_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes JSON lines: rows as objects, or lines as they stand where they are text."""

    def lines(*rows: Any, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        texts = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
        return path

    return lines


@pytest.fixture
def chats(write: Writer) -> Path:
    """A file of 24 chats, each its own."""
    texts = ((f"What is {n} and {n}?", f"It is {2 * n}.") for n in range(24))
    rows = (
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}
        for asked, answer in texts
    )
    return write(*rows, name="chats.jsonl")


@pytest.fixture
def pairs(write: Writer) -> Path:
    """A file of 24 preference pairs."""
    rows = (
        {
            "input": {"messages": [{"role": "user", "content": f"What is {n}?"}]},
            "preferred_output": [{"role": "assistant", "content": f"It is {n}."}],
            "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
        }
        for n in range(24)
    )
    return write(*rows, name="pairs.jsonl")


@pytest.fixture
def train(chats: Path) -> Dataset:
    return Dataset.load(chats)

"""Servers over the fake backend: one for each test, with what a test tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("openai")

from finetune_sdk.serve.service import Options
from finetune_sdk.testing import FakeBackend
from serving import Served, in_a_thread
from speakers import Scripted


@pytest.fixture
def serving(home: Path) -> Iterator[Callable[..., Served]]:
    """Starts a server: `serving(slots=2, seconds=3)`; options of the server's, the others are the fake place's."""
    own = set(Options.__dataclass_fields__)
    with ExitStack() as stack:

        def start(**told: Any) -> Served:
            options = Options(**{name: value for name, value in told.items() if name in own})
            place = {name: value for name, value in told.items() if name not in own}
            return stack.enter_context(in_a_thread(home, options, **place))

        yield start


@pytest.fixture
def served(serving: Callable[..., Served]) -> Served:
    return serving()


@pytest.fixture
def scripted(serving: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> tuple[Served, Scripted]:
    model = Scripted()
    monkeypatch.setattr(FakeBackend, "model", lambda self, name: model)
    return serving(), model

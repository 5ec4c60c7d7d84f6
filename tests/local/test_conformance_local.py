"""The local backend keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk.testing import BackendConformance
from local_data import chats


class TestLocal(BackendConformance):
    @pytest.fixture
    def place(self, home: Path, small: str) -> ft.Place:
        return ft.Place("local", {"base": small, "device": "cpu", "threads": 1}, home)

    @pytest.fixture
    def job(self) -> ft.Job:
        return ft.Job(name="colours", train=chats(16), method=ft.SFT(epochs=1, batch_size=8, learning_rate=1e-2))

    @pytest.fixture
    def long_job(self) -> ft.Job:
        return ft.Job(name="long", train=chats(16), method=ft.SFT(steps=5000, batch_size=8, learning_rate=1e-3))

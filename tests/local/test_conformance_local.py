"""The local backend keeps the contract."""

from __future__ import annotations

import pytest

import finetune_sdk as ft
from finetune_sdk.testing import BackendConformance
from local_data import chats


class TestLocal(BackendConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, small: str, tmp_path_factory: pytest.TempPathFactory) -> ft.Place:
        return ft.Place("local", {"base": small, "device": "cpu", "threads": 1}, tmp_path_factory.mktemp("local"))

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="colours", train=chats(16), method=ft.SFT(epochs=1, batch_size=8, learning_rate=1e-2))

    @pytest.fixture(scope="class")
    @classmethod
    def long_job(cls) -> ft.Job:
        return ft.Job(name="long", train=chats(16), method=ft.SFT(steps=5000, batch_size=8, learning_rate=1e-3))

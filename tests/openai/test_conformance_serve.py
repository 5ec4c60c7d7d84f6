"""The client and the server of this SDK understand each other: the kit, passed over `finetune serve`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import ClassVar

import pytest

import finetune_sdk as ft
from finetune_sdk.testing import BackendConformance
from protocol_data import chats, pairs

pytest.importorskip("finetune_sdk.serve", reason="this version has no server yet")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


class TestOverFake(BackendConformance):
    patience = 60
    served_by: ClassVar[str] = 'backend = "fake"\n[backends.fake]\nseconds = 1.5\n'
    base: ClassVar[str] = "echo"

    @pytest.fixture(scope="class")
    @classmethod
    def served(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        """The address of a server in a process of its own."""
        folder = tmp_path_factory.mktemp("served")
        (folder / "finetune.toml").write_text(cls.served_by)
        own = {name: value for name, value in os.environ.items() if not name.startswith("FINETUNE")}
        path = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-m", "finetune_sdk", "serve", "--port", "0", "--quiet", "--json", "--slots", "2"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=folder,
            env={**own, "FINETUNE_HOME": str(folder / "home"), "PYTHONPATH": path},
        ) as server:  # fmt: skip
            assert server.stdout is not None
            try:
                yield str(json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")["url"])
            finally:
                server.terminate()

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, served: str, tmp_path_factory: pytest.TempPathFactory) -> ft.Place:
        near = {"visible_within": 0.5, "usd_per_million": 0.0}
        return ft.Place(
            "mine", {"kind": "openai", "base_url": served, "base": cls.base, **near}, tmp_path_factory.mktemp("home")
        )

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="numbers", train=chats(20), validation=chats(4, 50), method=ft.SFT(epochs=2))


class TestPreferencesOverFake(TestOverFake):
    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="likes", train=pairs(20), method=ft.DPO(epochs=2, beta=0.3))


@pytest.mark.slow
@pytest.mark.soak
class TestOverLocal(TestOverFake):
    patience = 300
    served_by: ClassVar[str] = 'backend = "local"\n[backends.local]\nbase = "tiny"\ndevice = "cpu"\nthreads = 1\n'
    base: ClassVar[str] = "tiny"

    @pytest.fixture(scope="class")
    @classmethod
    def long_job(cls) -> ft.Job:
        return ft.Job(name="long", train=chats(200), method=ft.SFT(epochs=50, batch_size=1))

"""A provider on loopback, and a client of it that has a key in the environment."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
import finetune_sdk.cli
from finetune_sdk.data.dataset import Dataset
from migrating import Ended, Finetune, told
from opened import VARIABLE, Opened, table
from protocol_data import chats
from provider import KEY, Provider

RANKS = {
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().running() as running:
        yield running


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of the provider; no other variable of a provider's is set."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(VARIABLE, KEY)
    return KEY


@pytest.fixture
def at(provider: Provider, home: Path) -> Opened:
    """A client of the provider with these options; `home` names another ledger."""

    def opened(*, folder: Path | None = None, **options: Any) -> ft.Client:
        place = {"mine": table(provider.url, **options)}
        return ft.Client(settings=ft.Settings("mine", folder or home, place))

    return opened


@pytest.fixture
def rows() -> Dataset:
    return chats(12)


@pytest.fixture
def job(rows: Dataset) -> ft.Job:
    return ft.Job(name="Numbers, please", train=rows, method=ft.SFT(epochs=2))


@pytest.fixture
def finetune(tmp_path: Path, provider: Provider, capfd: pytest.CaptureFixture[str]) -> Finetune:
    """The command, where the place `mine` is the provider and the replacement is trained at the fake."""
    told(tmp_path, provider)

    def run(*args: str) -> Ended:
        capfd.readouterr()
        status = finetune_sdk.cli.status(list(args))
        said = capfd.readouterr()
        assert KEY not in said.out + said.err
        assert "Traceback" not in said.err, said.err
        return Ended(status, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both rank files, out of an installed package that holds them, or where the environment has them."""
    folder = tmp_path_factory.mktemp("ranks")
    for name in ("llama-index-core", "litellm"):
        try:
            files = importlib.metadata.files(name) or ()
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name in RANKS.values():
                (folder / file.name).write_bytes(file.read_binary())
    for name in RANKS.values():
        kept = Path(os.environ.get("TIKTOKEN_CACHE_DIR", "/nowhere")) / name
        if kept.is_file():
            (folder / name).write_bytes(kept.read_bytes())
    if len(list(folder.iterdir())) < 2:
        pytest.skip("the rank files of tiktoken are not at hand (llama-index-core and litellm hold them)")
    return folder

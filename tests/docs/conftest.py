"""A folder as the pages presume it: the example data, and FINETUNE_HOME elsewhere, empty for each page."""

from __future__ import annotations

import os
import shutil
from itertools import islice
from pathlib import Path

import pytest

from pages import ROOT, Folder

DEMO = ROOT / "finetune_sdk" / "demo"
FEW = 32
MEASURED = ("held", "probes")


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local backend has measured of this machine and weighed of a job, which is the same for all pages."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "measured"
    for name in MEASURED:
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, measured: Path) -> Path:
    """One for each page, so that no page leans on another that was run before it."""
    own = tmp_path_factory.mktemp("home")
    for name in MEASURED:
        (own / name).symlink_to(measured / name)
    return own


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Makes the working folder; Few held-out tickets are enough, and where it is `small` few to train on."""

    def make(small: bool) -> Path:
        for file in (*DEMO.glob("*.jsonl"), *DEMO.glob("*.json")):
            shutil.copy(file, tmp_path)
        for name in ("tickets.jsonl", "tickets_heldout.jsonl") if small else ("tickets_heldout.jsonl",):
            with (DEMO / name).open() as file:
                (tmp_path / name).write_text("".join(islice(file, FEW)))
        for name in ("FINETUNE_BACKEND", "FINETUNE_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("FINETUNE_HOME", str(home))
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return make

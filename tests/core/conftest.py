"""A job, and a fake place that pays twice for whoever sends twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune_sdk.backend import Place
from finetune_sdk.client import Client
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.job import Job
from finetune_sdk.settings import Settings
from finetune_sdk.testing import FakeBackend
from place import Made, Open

CARELESS = {"seconds": 0.1, "careless": True}


@pytest.fixture
def job(train: Dataset) -> Job:
    return Job(name="numbers", train=train)


@pytest.fixture
def at(home: Path) -> Open:
    """A client of a fake place with these options. It is careless, so that nothing hides a second send."""
    return lambda **options: Client(settings=Settings("fake", home, {"fake": CARELESS | options}))


@pytest.fixture
def made(home: Path) -> Made:
    """All that the fake place has ever made, the newest first."""
    return lambda: list(FakeBackend(Place("fake", {}, home)).runs())

"""The fake backend is a peer of the real ones: it passes the kit, in several tempers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from finetune_sdk.backend import Place
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.job import DPO, SFT, Job
from finetune_sdk.testing import BackendConformance
from rows import chat, pair


class TestFake(BackendConformance):
    patience = 20
    options: ClassVar[Mapping[str, Any]] = {"seconds": 1}

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tmp_path_factory: pytest.TempPathFactory) -> Place:
        return Place("fake", {"api_key": "sk-fake-4711-0815", **cls.options}, tmp_path_factory.mktemp("home"))

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> Job:
        rows = [chat(f"What is {n}?", f"It is {n}.") for n in range(24)]
        return Job(name="numbers", train=Dataset.of(rows[:20]), validation=Dataset.of(rows[20:]), method=SFT(epochs=2))


class TestFakeOfPreferences(TestFake):
    """Preference pairs, at a place that shows its runs late, has a word of its own for a status, and no known price."""

    options: ClassVar[Mapping[str, Any]] = {
        "seconds": 1,
        "visible_after": 0.2,
        "running_as": "polishing",
        "usd_per_million": "unknown",
    }

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> Job:
        rows = [pair(f"What is {n}?", f"It is {n}.", "No idea.") for n in range(16)]
        return Job(name="preferences", train=Dataset.of(rows), method=DPO(steps=40))


class TestFakeThatCanDoLittle(TestFake):
    """A place with a price, a guess for a token counter, words of its own, and few verbs."""

    options: ClassVar[Mapping[str, Any]] = {
        "seconds": 1,
        "base": "shout",
        "adapter": {"kind": "full"},
        "sft": {"learning_rate_multiplier": 2},
        "usd_per_million": 8,
        "priced": "2026-08-01",
        "without": ["dpo", "lora", "qlora", "warmup", "loss_on", "list", "checkpoints", "resume", "render"],
    }

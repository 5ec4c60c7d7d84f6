"""The backend keeps the contract at a server that speaks the protocol, for each method, and in several tempers of the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

import finetune_sdk as ft
from finetune_sdk.testing import BackendConformance
from opened import VARIABLE, table
from protocol_data import chats, pairs, tasks
from provider import KEY, Provider


class TestSFT(BackendConformance):
    patience = 20
    tempers: ClassVar[Mapping[str, Any]] = {}
    options: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture(scope="class")
    @classmethod
    def served(cls) -> Iterator[Provider]:
        with pytest.MonkeyPatch.context() as patch, Provider(seconds=1.0, **cls.tempers).running() as running:
            patch.setenv(VARIABLE, KEY)
            yield running

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, served: Provider, tmp_path_factory: pytest.TempPathFactory) -> ft.Place:
        return ft.Place("mine", table(served.url, **cls.options), tmp_path_factory.mktemp("home"))

    @pytest.fixture(scope="class")
    @classmethod
    def secrets(cls) -> tuple[str, ...]:
        return (KEY,)

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="numbers", train=chats(20), validation=chats(4, 50), method=ft.SFT(epochs=2))


class TestDPO(TestSFT):
    """At a server that ignores the filter of its list, shows jobs late, and has a word of its own for running."""

    tempers: ClassVar[Mapping[str, Any]] = {
        "honours_filter": False,
        "visible_after": 0.2,
        "running_as": "polishing",
        "page": 2,
    }
    options: ClassVar[Mapping[str, Any]] = {"dpo": {"learning_rate_multiplier": 0.5}}

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="preferences", train=pairs(16), method=ft.DPO())


class TestRFT(TestSFT):
    """At a server that keeps no metadata and tells metrics only in its result file."""

    tempers: ClassVar[Mapping[str, Any]] = {"keeps_metadata": False, "reports_metrics": False}
    options: ClassVar[Mapping[str, Any]] = {"metadata": False, "usd_per_million": None}

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="sums", train=tasks(16), method=ft.RFT(graders=(ft.ExactMatch(),)))

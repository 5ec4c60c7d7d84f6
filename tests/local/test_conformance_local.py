"""The local backend keeps the contract, for each method that it declares."""

from __future__ import annotations

from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk.testing import BackendConformance
from local_data import chats, pairs, rated, tasks, texts
from own_graders import Spread


class TestSFT(BackendConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, small: str, tmp_path_factory: pytest.TempPathFactory) -> ft.Place:
        converter = str(Path(__file__).with_name("converter.py"))
        options = {"base": small, "device": "cpu", "threads": 1, "gguf_converter": converter}
        return ft.Place("local", options, tmp_path_factory.mktemp("local"))

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="colours", train=chats(16), method=ft.SFT(epochs=1, batch_size=8, learning_rate=1e-2))

    @pytest.fixture(scope="class")
    @classmethod
    def long_job(cls) -> ft.Job:
        return ft.Job(name="long", train=chats(16), method=ft.SFT(steps=20_000, batch_size=8, learning_rate=1e-3))


class TestDPO(TestSFT):
    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="thanks", train=pairs(16), method=ft.DPO(epochs=1, batch_size=8, learning_rate=1e-2))

    @pytest.fixture(scope="class")
    @classmethod
    def long_job(cls) -> ft.Job:
        return ft.Job(name="long", train=pairs(16), method=ft.DPO(steps=20_000, batch_size=8, learning_rate=1e-3))

    # Ending, finding and listing runs does not know of methods, and takes half a minute.
    test_a_cancelled_run_goes_on_after_resume = None
    test_a_new_run_is_found_as_soon_as_declared_and_sent_again_it_is_the_same = None
    test_list_has_the_newest_first = None
    test_an_unfinished_run_has_no_result = None
    test_cancel_ends_an_active_run = None
    test_cancelling_twice_changes_nothing = None


@pytest.mark.soak
class TestPretraining(TestDPO):
    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="texts", train=texts(16), method=ft.Pretraining(epochs=1, batch_size=8, learning_rate=1e-2))

    @pytest.fixture(scope="class")
    @classmethod
    def long_job(cls) -> ft.Job:
        return ft.Job(name="long", train=texts(16), method=ft.Pretraining(steps=20_000, batch_size=8))


@pytest.mark.soak
class TestORPO(TestDPO):
    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="thanks", train=pairs(16), method=ft.ORPO(epochs=1, batch_size=8, learning_rate=1e-2))

    @pytest.fixture(scope="class")
    @classmethod
    def long_job(cls) -> ft.Job:
        return ft.Job(name="long", train=pairs(16), method=ft.ORPO(steps=20_000, batch_size=8, learning_rate=1e-3))


@pytest.mark.soak
class TestKTO(TestDPO):
    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        return ft.Job(name="ratings", train=rated(16), method=ft.KTO(epochs=1, batch_size=8, learning_rate=1e-2))

    @pytest.fixture(scope="class")
    @classmethod
    def long_job(cls) -> ft.Job:
        return ft.Job(name="long", train=rated(16), method=ft.KTO(steps=20_000, batch_size=8, learning_rate=1e-3))


@pytest.mark.soak
class TestRFT(TestDPO):
    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> ft.Job:
        method = ft.RFT(graders=(Spread(),), steps=3, batch_size=8, max_tokens=6, learning_rate=1e-2)
        return ft.Job(name="tasks", train=tasks(16), method=method)

    @pytest.fixture(scope="class")
    @classmethod
    def long_job(cls) -> ft.Job:
        method = ft.RFT(graders=(Spread(),), steps=20_000, batch_size=8, max_tokens=6)
        return ft.Job(name="long", train=tasks(16), method=method)

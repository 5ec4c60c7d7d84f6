"""The kit has teeth: a backend that breaks a promise fails the test of that promise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAD = """
import pytest, time
from dataclasses import replace
from finetune_sdk import *
from finetune_sdk.testing import BackendConformance, FakeBackend

class Broken(BackendConformance):
    patience = 5
    options = {}

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tmp_path_factory):
        return Place("fake", {"seconds": 0.1, **cls.options}, tmp_path_factory.mktemp("home"))

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, place):
        return cls.Backend(place)

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls):
        rows = [{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(12)]
        return Job(name="numbers", train=Dataset.of(rows))

    @pytest.fixture(scope="class")
    @classmethod
    def secrets(cls):
        return ("sk-very-secret",)
"""
ONE = """
class Fake{number}(FakeBackend):
{fault}

class Test{number}(Broken):
    options = dict({options})
    Backend = Fake{number}
"""
FAULTS = {
    "a second run for a token": ("careless = True", "    pass", "test_the_same_token_twice_is_one_run"),
    "a place that forgets its tokens": (
        "", "    def find(self, token): return []", "test_the_same_token_twice_is_one_run",
    ),
    "a wish that is rounded": (
        "",
        """    def resolve(self, job):
        made = super().resolve(job)
        return replace(made, job=replace(made.job, method=replace(made.job.method, batch_size=8)))""",
        "test_a_declared_hyperparameter_is_done_exactly_or_refused[batch_size]",
    ),
    "events that count from 0": (
        "",
        """    def events(self, run, after=0):
        return [replace(event, number=event.number - 1) for event in super().events(run, after)]""",
        "test_events_are_numbered_from_1_without_gaps",
    ),
    "an estimate that makes a run": (
        "",
        """    def check(self, resolved):
        super().submit(resolved, "a token of its own " + str(time.time()))
        return super().check(resolved)""",
        "test_check_and_estimate_make_nothing",
    ),
    "a cancellation after the end": (
        "",
        """    cancelled = set()
    def cancel(self, run):
        super().cancel(run)
        self.cancelled.add(run)
    def status(self, run):
        return Status("cancelled") if run in self.cancelled else super().status(run)""",
        "test_cancelling_after_the_end_changes_nothing",
    ),
    "a secret in an address": ("", "    address = 'https://sk-very-secret@place'", "test_no_secret_is_shown_or_kept"),
    "answers out of order": (
        "",
        """    def model(self, name):
        class Shuffled(type(super().model(name))):
            def answers(self, asked, sampling=None):
                return sorted(super().answers(asked, sampling), key=lambda answer: len(answer.text))
        found = super().model(name)
        return Shuffled(**vars(found))""",
        "test_answers_keep_their_order",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says when each broken backend is asked to keep its promise."""
    folder = tmp_path_factory.mktemp("broken")
    classes = [ONE.format(number=n, options=o, fault=fault) for n, (o, fault, _) in enumerate(FAULTS.values())]
    (folder / "test_broken.py").write_text("\n".join([HEAD, *classes]))
    names = [f"test_broken.py::Test{n}::{promise}" for n, (_, _, promise) in enumerate(FAULTS.values())]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names]
    return subprocess.run(
        command, cwd=folder, env=alone, capture_output=True, text=True, timeout=120, check=False
    ).stdout


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=FAULTS.keys())
def test_a_broken_promise_is_caught(said: str, number: int) -> None:
    promise = list(FAULTS.values())[number][2]
    assert f"FAILED test_broken.py::Test{number}::{promise}" in said, said

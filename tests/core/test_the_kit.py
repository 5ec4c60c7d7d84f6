"""The kit has teeth: a backend that breaks a promise fails the test of that promise, and its sound twin passes it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from faults import FAULTS

HEAD = """
import pytest, time
from dataclasses import fields, replace
from finetune_sdk import *
from finetune_sdk.testing import BackendConformance, FakeBackend
from finetune_sdk.testing.clock import Leg

def vars_of(method):
    return {field.name: getattr(method, field.name) for field in fields(method)}

class Sound(BackendConformance):
    patience = 10
    options = {}
    Backend = FakeBackend

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
"""
PAIR = """
class Fake{number}(FakeBackend):
{body}

class TestSound{number}(Sound):
    options = dict({options})

class TestBroken{number}(Sound):
    options = dict(TestSound{number}.options, {worse})
    Backend = Fake{number}
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The promises that pytest says are broken, each asked of a broken backend and of a sound one in the same place."""
    folder = tmp_path_factory.mktemp("broken")
    text, names = HEAD, []
    for number, fault in enumerate(FAULTS.values()):
        text += PAIR.format(number=number, body=fault.body, options=fault.options, worse=fault.worse)
        names += [f"test_broken.py::Test{kind}{number}::test_{fault.promise}" for kind in ("Sound", "Broken")]
    (folder / "test_broken.py").write_text(text)
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names]
    said = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, timeout=240, check=False)
    assert f"{len(FAULTS)} failed, {len(FAULTS)} passed" in said.stdout, said.stdout
    return set(re.findall(r"^FAILED test_broken\.py::(\S+)", said.stdout, re.MULTILINE))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_promise_is_caught(failed: set[str], fault: str) -> None:
    assert f"TestBroken{list(FAULTS).index(fault)}::test_{FAULTS[fault].promise}" in failed

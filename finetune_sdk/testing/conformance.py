"""The kit that every backend passes, ours and strangers': one promise of the contract a test.

A backend's author subclasses `BackendConformance` and gives fixtures, class methods of scope "class": `place`, `job`, and
`backend` where it is not registered as an entry point. docs/backend-contract.md says in prose what is promised.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from finetune_sdk.backend import Backend, Place, Resolved, Status, open_backend
from finetune_sdk.client import Client
from finetune_sdk.estimate import Estimate
from finetune_sdk.job import Job
from finetune_sdk.run import Run
from finetune_sdk.settings import Settings
from finetune_sdk.testing.promises_before import BeforeARun
from finetune_sdk.testing.promises_runs import OfRuns, until
from finetune_sdk.testing.promises_verbs import OfVerbs

_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)$", re.IGNORECASE)


class BackendConformance(BeforeARun, OfRuns, OfVerbs):
    """Subclass it, give `place` and `job`, and run pytest. `patience` is the longest that a job may take, in seconds.

    The whole kit makes up to eight runs: `job` twice, once with a number of steps, and of `long_job` those that are
    cancelled, one of them to be resumed, and one that is paused.
    """

    patience: ClassVar[float] = 300.0

    @pytest.fixture(scope="class")
    @classmethod
    def place(cls) -> Place:
        raise NotImplementedError("give a fixture `place`, of scope class: a Place whose home is an empty folder")

    @pytest.fixture(scope="class")
    @classmethod
    def job(cls) -> Job:
        raise NotImplementedError("give a fixture `job`, of scope class: a small job with few rows and steps")

    @pytest.fixture(scope="class")
    @classmethod
    def long_job(cls, job: Job) -> Job:
        """A job that is still active a moment after its submission."""
        return replace(job, seed=job.seed + 1)

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, place: Place) -> Backend:
        """The backend as a user gets it, through its entry point."""
        return open_backend(place)

    @pytest.fixture(scope="class")
    @classmethod
    def secrets(cls, place: Place) -> tuple[str, ...]:
        """Texts that nothing may ever show; by default what the place's options or the environment call a key or the like."""
        return (*_secrets(place.options), *_secrets(os.environ))

    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls, backend: Backend) -> Callable[[Place], Backend]:
        """Opens the place anew, as another process would."""
        return type(backend)

    @pytest.fixture(scope="class")
    @classmethod
    def client(cls, place: Place, opened: Callable[[Place], Backend]) -> Iterator[Client]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("finetune_sdk.client.open_backend", opened)
            yield Client(settings=Settings(place.name, place.home, {place.name: place.options}))

    @pytest.fixture(scope="class")
    @classmethod
    def resolved(cls, client: Client, job: Job) -> Resolved:
        return client.resolve(job)

    @pytest.fixture(scope="class")
    @classmethod
    def estimate(cls, backend: Backend, resolved: Resolved) -> Estimate:
        return backend.estimate(resolved)

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, client: Client, job: Job) -> Run:
        """A run that succeeded."""
        run = client.submit(job)
        run.wait(cls.patience, progress=False)
        return run

    @pytest.fixture(scope="class")
    @classmethod
    def token(cls, finished: Run) -> str:
        """The token of the run that succeeded."""
        assert finished.entry is not None
        return finished.entry.token

    @pytest.fixture(scope="class")
    @classmethod
    def cancelled(cls, client: Client, long_job: Job) -> Run:
        """A run that was cancelled while it was active."""
        run = client.submit(long_job)
        time.sleep(0.001)  # so that no two runs are made at the same moment
        assert not run.status.terminal, "the long job ended at once; give a fixture `long_job` that takes longer"
        run.cancel()
        until(run, _terminal, cls.patience)
        return run


def _secrets(named: Mapping[str, Any]) -> Iterator[str]:
    for name, value in named.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and len(value) >= 12 and _SECRET.search(name):
            yield value


def _terminal(status: Status) -> bool:
    return status.terminal

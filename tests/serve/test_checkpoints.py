"""Checkpoints answer by the names that their list gives them, where the backend can, and else say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.backend import Checkpoint
from finetune_sdk.serve import keys
from finetune_sdk.serve.store import Store
from finetune_sdk.testing import FakeBackend
from serving import Said, Served

Serving = Callable[..., Served]


def saved(served: Served, job: str) -> list[Any]:
    """The oldest first."""
    return list(served.client().fine_tuning.jobs.checkpoints.list(job))[::-1]


def said(served: Served, model: str, key: str = "any") -> Said:
    body = {"model": model, "messages": [{"role": "user", "content": "What is 7?"}]}
    return served.ask("POST", "/chat/completions", body, key=key)


def test_a_checkpoint_answers_by_its_name(served: Served) -> None:
    job = served.ended(served.tune())
    for one in saved(served, job.id):
        name = one.fine_tuned_model_checkpoint
        answer = said(served, name)
        assert answer.value["choices"][0]["message"]["content"] == "It is 7."
        assert answer.value["model"] == name
        assert served.client().models.retrieve(name).id == name


def test_what_a_job_has_saved_answers_while_it_trains_and_after_it_was_cancelled(serving: Serving) -> None:
    served = serving(seconds=3)
    job = served.tune()
    served.until(job, lambda _: bool(saved(served, job)))
    name = saved(served, job)[0].fine_tuned_model_checkpoint
    assert said(served, name).status == 200
    served.client().fine_tuning.jobs.cancel(job)
    assert said(served, name).status == 200


def test_a_checkpoint_that_is_not_there_or_is_anothers_is_not_found(home: Path, serving: Serving) -> None:
    store = Store(home / "serve")
    one, other = (keys.add(store, owner) for owner in ("team-a", "team-b"))
    store.close()
    served = serving()
    job = served.ended(served.tune(client=served.client(one)), client=served.client(one))
    name = next(iter(served.client(one).fine_tuning.jobs.checkpoints.list(job.id))).fine_tuned_model_checkpoint
    assert said(served, name, one).status == 200
    whole = job.fine_tuned_model
    for unknown in (f"{whole}:ckpt-step-999", f"{whole}:ckpt-step-", f"{whole}:ckpt-step-x", f"{whole}x:ckpt-step-1"):
        assert (said(served, unknown, one).status, said(served, unknown, one).error["code"]) == (404, "model_not_found")
    assert said(served, name, other).status == 404
    served.client(one).models.delete(whole)
    assert said(served, name, one).status == 404


def test_where_the_backend_has_no_model_of_a_checkpoint_that_is_said(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = FakeBackend.checkpoints

    def without(self: FakeBackend, run: str) -> Sequence[Checkpoint]:
        return [replace(one, model=None) for one in own(self, run)]

    monkeypatch.setattr(FakeBackend, "checkpoints", without)
    job = served.ended(served.tune())
    answer = said(served, saved(served, job.id)[0].fine_tuned_model_checkpoint)
    assert (answer.status, answer.error["code"]) == (400, "checkpoint_not_usable")
    assert job.fine_tuned_model in answer.error["message"]

"""A server over a backend that speaks the same protocol: what it is asked goes on to another place, and comes back whole."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai.types.fine_tuning import FineTuningJob

from finetune_sdk.serve.service import Options
from provider import BASE, KEY, Provider
from serving import Served, in_a_thread, lines

GRADER = {
    "type": "text_similarity", "name": "near", "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
    "evaluation_metric": "fuzzy_match",
}  # fmt: skip
TASKS = lines({"messages": [{"role": "user", "content": f"{n} + 1?"}], "answer": str(n + 1)} for n in range(12))


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().running() as running:
        yield running


@pytest.fixture
def over(home: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server over the test-suite's provider."""
    monkeypatch.setenv("TEST_PROVIDER_KEY", KEY)
    near = {
        "base_url": provider.url, "api_key_env": "TEST_PROVIDER_KEY", "base": BASE, "visible_within": 0.4,
        "timeout": 5.0, "patience": 2.0, "usd_per_million": 0.0, "kind": "openai",
    }  # fmt: skip
    with in_a_thread(home, Options(bases=(BASE,)), "mine", **near) as served:
        yield served


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": BASE, "messages": [{"role": "user", "content": text}], **more}


def test_the_servers_own_key_is_told_to_nobody(
    over: Served, provider: Provider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not where it is refused there, quoted in the refusal: in no answer, no job's error, no log, and nothing kept."""
    handle = provider.handle
    provider.handle = lambda seen: (  # type: ignore[method-assign]
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}})
        if seen.verb == "POST"
        else handle(seen)
    )
    with caplog.at_level(logging.DEBUG):
        answer = over.ask("POST", "/chat/completions", asked("hello"))
        job = over.ended(over.tune(model=BASE))
    assert (answer.status, answer.error["code"]) == (500, "invalid_api_key")
    assert job.status == "failed"
    said = [answer.body.decode(), job.model_dump_json(), *over.said(job.id), caplog.text]
    said += [path.read_bytes().decode("latin-1") for path in over.home.rglob("*") if path.is_file()]
    for part in (KEY, KEY[:12]):
        assert not any(part in text for text in said), part


def reinforced(grader: Any = GRADER, **words: Any) -> dict[str, Any]:
    return {"type": "reinforcement", "reinforcement": {"grader": grader, "hyperparameters": words}}


def test_a_stream_goes_through_while_it_is_said(over: Served, provider: Provider) -> None:
    provider.speaks_every = 0.1
    words = " ".join(f"word{n}" for n in range(12))
    times = list[float]()
    with over.client().chat.completions.create(**asked(words, stream=True, max_tokens=20)) as stream:
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if times.append(time.monotonic()) is None]
    assert "".join(pieces) == words
    assert times[-1] - times[0] > 0.2, "it takes 1.1 s to be said"
    assert provider.posts("/chat/completions")[-1].body["stream"] is True


def test_a_stop_ends_what_is_said_there(over: Served, provider: Provider) -> None:
    provider.speaks_every = 0.05
    words = " ".join(f"word{n}" for n in range(300))
    began = time.monotonic()
    answer = over.client().chat.completions.create(**asked(words, stop="word3", max_tokens=400))
    [choice] = answer.choices
    assert answer.usage is None, "the place did not count what was not heard to its end"
    assert (choice.message.content, choice.finish_reason) == ("word0 word1 word2 ", "stop")
    assert time.monotonic() - began < 10, "all of it takes 15 s"


def test_nobody_waits_for_anothers_long_answer(over: Served, provider: Provider) -> None:
    """Each is asked there by itself, so that company is no gain here."""
    provider.speaks_every = 0.05
    words = " ".join(f"word{n}" for n in range(300))
    long = over.client().chat.completions.create(**asked(words, stream=True, max_tokens=400))
    assert over.service is not None
    with ThreadPoolExecutor(8) as pool, long as stream:
        next(iter(stream))
        others = [pool.submit(over.ask, "POST", "/chat/completions", asked(f"say {n}")) for n in range(6)]
        assert [one.result(30).status for one in others] == [200] * 6
        assert over.service.desks.busy, "the long one is still being said"
    began = time.monotonic()
    while over.service.desks.busy:
        assert time.monotonic() - began < 10, "it goes on being said to nobody"
        time.sleep(0.02)


def test_of_a_batch_that_failed_in_part_nobody_is_asked_again(over: Served, provider: Provider) -> None:
    def touchy(body: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.3)
        return {"role": "assistant", "content": "fine"}

    handle, text = provider.handle, lambda seen: seen.body["messages"][-1]["content"]
    provider.answer = touchy
    provider.handle = lambda seen: (  # type: ignore[method-assign]
        (400, {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}})
        if seen.path == "/chat/completions" and text(seen) == "bad"
        else handle(seen)
    )
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(over.ask, "POST", "/chat/completions", asked("first"))
        time.sleep(0.1)
        texts = ["a", "b", "bad", "c", "d"]
        said = list(pool.map(lambda one: over.ask("POST", "/chat/completions", asked(one)), texts))
        assert first.result().status == 200
    assert [one.status for one in said] == [200, 200, 400, 200, 200]
    assert said[2].error["code"] == "context_length_exceeded"
    assert sorted(map(text, provider.posts("/chat/completions"))) == sorted(["first", *texts])


def test_a_grader_is_handed_on_whole(over: Served, provider: Provider) -> None:
    job = over.tune(TASKS, model=BASE, method=reinforced(n_epochs=2))
    made = over.ended(job)
    assert made.status == "succeeded", made.error
    assert made.method.reinforcement.grader.name == "near"
    FineTuningJob.model_validate(over.ask("GET", f"/fine_tuning/jobs/{job}").value, strict=True)
    (there,) = provider.jobs.values()
    assert there.asked["method"] == {
        "type": "reinforcement", "reinforcement": {"grader": GRADER, "hyperparameters": {"n_epochs": 2}}
    }  # fmt: skip
    assert over.client().models.retrieve(made.fine_tuned_model).id == made.fine_tuned_model


def test_a_job_is_paused_there_goes_on_there_and_is_cancelled_there(over: Served, provider: Provider) -> None:
    provider.seconds = 60
    jobs = over.client().fine_tuning.jobs
    job = over.tune(model=BASE)
    over.until(job, lambda found: found.status == "running")
    (there,) = provider.jobs.values()
    assert jobs.pause(job).status == "paused"
    assert there.status == "paused"
    assert jobs.resume(job).status == "queued"
    over.until(job, lambda found: found.status == "running")
    assert there.status == "running"
    assert jobs.cancel(job).status == "cancelled"
    assert there.status == "cancelled"
    assert list(provider.jobs.values()) == [there]
    assert len(jobs.list_events(job, limit=50).data) == len(
        {event.id for event in jobs.list_events(job, limit=50).data}
    )


def test_a_reply_that_is_lost_there_makes_one_job_there(over: Served, provider: Provider) -> None:
    left = ["reset_after", "500_after"]
    provider.fault = lambda verb, path: left.pop() if left and (verb, path) == ("POST", "/fine_tuning/jobs") else None
    assert over.ended(over.tune(model=BASE)).status == "succeeded"
    assert len(provider.jobs) == 1
    assert provider.orphans() == []


def test_a_checkpoint_answers_there(over: Served, provider: Provider) -> None:
    job = over.ended(over.tune(model=BASE))
    names = [one.fine_tuned_model_checkpoint for one in over.client().fine_tuning.jobs.checkpoints.list(job.id)]
    assert over.ask("POST", "/chat/completions", asked("What is 7?", model=names[0])).status == 200
    (there,) = provider.jobs.values()
    assert provider.posts("/chat/completions")[-1].body["model"] == f"{there.model}:ckpt-step-{names[0].split('-')[-1]}"


def test_a_grader_that_reads_what_no_row_has_fails_the_job_before_anything_is_sent(
    over: Served, provider: Provider
) -> None:
    job = over.ended(over.tune(TASKS, model=BASE, method=reinforced({**GRADER, "reference": "{{item.truth}}"})))
    assert job.status == "failed"
    assert "item.truth" in job.error.message
    assert provider.jobs == {}


@pytest.mark.parametrize(
    ("method", "param"),
    [
        ({"type": "reinforcement"}, "method.reinforcement.grader"),
        (reinforced(None), "method.reinforcement.grader"),
        (reinforced({**GRADER, "type": "guess"}), "method.reinforcement.grader.type"),
        (reinforced({**GRADER, "reference": ""}), "method.reinforcement.grader.reference"),
        (reinforced({"type": "python", "source": "def grade(sample, item): return 1"}), "method.reinforcement.grader.name"),
        (reinforced(reasoning_effort="low"), "method.reinforcement.hyperparameters.reasoning_effort"),
        (reinforced(beta=0.1), "method.reinforcement.hyperparameters.beta"),
        (reinforced() | {"supervised": {}}, "method.supervised"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_reinforcement_that_is_not_done_as_asked_is_refused_by_name(
    over: Served, method: dict[str, Any], param: str
) -> None:
    new = {"model": BASE, "training_file": over.upload(TASKS), "method": method}
    said = over.ask("POST", "/fine_tuning/jobs", new)
    assert (said.status, said.error["param"]) == (400, param)


def test_the_words_that_leave_reinforcement_open_are_taken(over: Served) -> None:
    words = {"reasoning_effort": "default", "eval_samples": "auto", "compute_multiplier": "auto", "eval_interval": None}
    new = {"model": BASE, "training_file": over.upload(TASKS), "method": reinforced(**words)}
    assert over.ask("POST", "/fine_tuning/jobs", new).status == 200

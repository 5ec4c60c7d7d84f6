"""Chat completions in company: batched, in their order, and nobody's loss is another's."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from finetune_sdk.errors import AnswersError, BackendError
from finetune_sdk.serve.service import Options
from finetune_sdk.testing import FakeBackend
from serving import Served, in_a_thread
from speakers import Scripted, asked, held, said, until


def test_requests_that_arrive_together_are_answered_together(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    with held(served, model) as ask:
        others = [ask(partial(said, served, f"say {n}")) for n in range(16)]
    assert [one.result(30) for one in others] == [str(n) for n in range(16)]
    assert [len(texts) for texts, _ in model.batches] == [1, 16]


def test_a_batch_has_one_sampling_and_the_oldest_is_never_passed_over(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    plan = [("say a", 0.0), ("say b", 0.5), ("say c", 0.0), ("say d", 0.5), ("say e", 0.0)]
    with held(served, model) as ask:
        others = [ask(partial(said, served, text, temperature=temperature)) for text, temperature in plan]
    assert [one.result(30) for one in others] == list("abcde")
    assert [texts for texts, _ in model.batches[1:]] == [["say a", "say c", "say e"], ["say b", "say d"]]


def test_one_with_a_seed_is_answered_by_itself(scripted: tuple[Served, Scripted]) -> None:
    """So its answer does not hang on who else is there; greedy ones need no seed and share a batch."""
    served, model = scripted
    with held(served, model) as ask:
        others = [ask(partial(said, served, f"say {n}", seed=7, temperature=n % 2)) for n in range(6)]
    assert [one.result(30) for one in others] == list("012345")
    assert sorted(len(texts) for texts, _ in model.batches[1:]) == [1, 1, 1, 3]
    assert {sampling.seed for texts, sampling in model.batches if len(texts) == 3} == {None}


def test_one_that_cannot_be_answered_is_not_the_others_loss(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    with held(served, model) as ask:
        bad = ask(partial(served.ask, "POST", "/chat/completions", asked("fail")))
        others = [ask(partial(said, served, f"say {n}")) for n in range(4)]
    assert [one.result(30) for one in others] == list("0123")
    assert bad.result(30).error["code"] == "context_length_exceeded"


def test_of_a_batch_that_failed_in_part_what_was_answered_is_handed_out(
    scripted: tuple[Served, Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered was paid for, so nobody is asked again; of several answers to one request all are there or none."""
    served, model = scripted
    whole = model.speak

    def in_part(given: Any, hear: Any, sampling: Any = None) -> Any:
        answers: list[Any] = whole(given, hear, sampling)
        if len(answers) > 1:
            answers[2] = BackendError("the place is full.", code="full", retryable=True)
            raise AnswersError("1 was not answered.", tuple(answers))
        return answers

    monkeypatch.setattr(model, "speak", in_part)
    with held(served, model) as ask:
        one = ask(partial(said, served, "say one"))
        two = ask(partial(served.ask, "POST", "/chat/completions", asked("say two", n=3)))
        six = ask(partial(said, served, "say six"))
    assert (one.result(30), six.result(30)) == ("one", "six")
    assert (two.result(30).status, two.result(30).error["code"]) == (503, "full")
    assert [texts for texts, _ in model.batches[1:]] == [["say one", *["say two"] * 3, "say six"]]


def test_what_was_heard_in_part_is_never_said_twice(scripted: tuple[Served, Scripted]) -> None:
    """A model that fails in the midst of a batch is asked again only for those of whom nothing was heard yet."""
    served, model = scripted
    with held(served, model) as ask:
        stream = ask(partial(served.ask, "POST", "/chat/completions", asked("say one two", stream=True)))
        bad = ask(partial(served.ask, "POST", "/chat/completions", asked("break")))
        other = ask(partial(said, served, "say b"))
    events = [line.removeprefix(b"data: ") for line in stream.result(30).body.split(b"\n\n") if line]
    deltas = [json.loads(event) for event in events[:-1]]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in deltas if "choices" in one) == "one two"
    assert deltas[-1]["error"]["code"] == "server_error"
    assert bad.result(30).status == 500
    assert other.result(30) == "b"


def test_a_client_that_goes_away_is_not_waited_for(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    at = urlsplit(served.url)
    assert served.service is not None
    desks = served.service.desks
    with held(served, model):
        body = json.dumps(asked("say gone")).encode()
        with socket.create_connection((at.hostname, at.port)) as gone:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            gone.sendall(head.encode() + body)
            until(lambda: desks.waiting == 1)
        time.sleep(0.3)  # until the server has seen it go
    assert said(served, "say here") == "here"
    assert [texts for texts, _ in model.batches] == [["hold"], ["say here"]]


def test_the_line_has_an_end(scripted: tuple[Served, Scripted], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_sdk.serve.desks._WAITING", 1)
    served, model = scripted
    with held(served, model) as ask:
        second = ask(partial(said, served, "say b"))
        third = served.ask("POST", "/chat/completions", asked("say c"))
        assert (third.status, third.error["type"]) == (429, "rate_limit_error")
    assert second.result(30) == "b"


def test_two_hundred_clients_at_once_are_all_answered(served: Served) -> None:
    failed, ready = list[Any](), threading.Barrier(200)

    def one(number: int) -> None:
        ready.wait(30)
        for turn in range(3):
            text = f"{number}.{turn}"
            answer = served.ask("POST", "/chat/completions", asked(text))
            if answer.status != 200 or answer.value["choices"][0]["message"]["content"] != text:
                failed.append(answer)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_the_server_answers_others_while_a_model_thinks(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    with held(served, model):
        assert served.ask("GET", "/models").status == 200
        assert served.ask("GET", "/files").status == 200
        assert not model.released.is_set()


def test_a_server_that_ends_answers_whom_it_is_answering_and_tells_who_waits(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Scripted()
    monkeypatch.setattr(FakeBackend, "model", lambda self, name: model)
    with ThreadPoolExecutor(2) as pool:
        with in_a_thread(home, Options()) as served:
            assert served.service is not None
            desks = served.service.desks
            first = pool.submit(said, served, "slow 1.0")
            until(lambda: bool(model.batches))
            second = pool.submit(served.ask, "POST", "/chat/completions", asked("say b"))
            until(lambda: desks.waiting == 1 or first.done())
        assert first.result() == "slow 1.0"
        assert (second.result().status, second.result().error["code"]) == (503, "shutting_down")


def test_a_server_that_ends_does_not_wait_for_ever(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_sdk.serve.server._GRACE_SECONDS", 3)
    model = Scripted()
    monkeypatch.setattr(FakeBackend, "model", lambda self, name: model)
    with ThreadPoolExecutor(1) as pool:
        with in_a_thread(home, Options()) as served:
            long = pool.submit(served.ask, "POST", "/chat/completions", asked("hold"))
            until(lambda: bool(model.batches))
        assert long.result().error["code"] == "shutting_down"
        assert served.service is not None
        assert served.service.desks.busy
        model.released.set()

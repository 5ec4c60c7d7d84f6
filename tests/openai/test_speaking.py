"""Answers that are heard while they are said: piece by piece, ended when nobody wants more, and never asked for twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.model import Answer, Speaking
from opened import Opened
from provider import Provider

CHAT = "/chat/completions"
TOOLS = ({"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}},)


@pytest.fixture
def model(at: Opened) -> Speaking:
    found = at().model("tiny-test")
    assert isinstance(found, Speaking)
    return found


def heard(model: Speaking, asked: list[Any], **options: Any) -> tuple[list[Answer], list[list[str]]]:
    """The answers, and the pieces of each."""
    pieces: list[list[str]] = [[] for _ in asked]

    def ear(row: int) -> Callable[[str], bool]:
        return lambda piece: pieces[row].append(piece) is None

    return model.speak(asked, {row: ear(row) for row in range(len(asked))}, **options), pieces


def test_the_pieces_make_up_the_answer(model: Speaking, provider: Provider) -> None:
    (answer,), (pieces,) = heard(model, ["one two three"])
    assert pieces == ["one", " two", " three"]
    assert (answer.text, answer.finish, answer.input_tokens, answer.output_tokens) == ("one two three", "stop", 3, 3)
    (seen,) = provider.posts(CHAT)
    assert (seen.body["stream"], seen.body["stream_options"]) == (True, {"include_usage": True})


def test_a_piece_is_heard_before_the_next_is_said_and_in_the_askers_own_thread(
    model: Speaking, provider: Provider
) -> None:
    provider.speaks_every = 0.1
    times, threads = list[float](), set[threading.Thread]()

    def hear(piece: str) -> bool:
        times.append(time.monotonic())
        threads.add(threading.current_thread())
        return True

    model.speak(["one two three four"], {0: hear})
    assert times[-1] - times[0] > 0.1
    assert threads == {threading.current_thread()}


def test_it_says_the_same_as_an_answer_that_is_not_heard(at: Opened, provider: Provider) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 40}'}}
    answers: Mapping[str, Mapping[str, Any]] = {
        "text": {"role": "assistant", "content": "some words of mine"},
        "call": {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "c2"}]},
        "silence": {"role": "assistant", "content": ""},
    }
    provider.answer = lambda body: dict(answers[body["messages"][-1]["content"]])
    model, asked = at().model("tiny-test"), [ft.Conversation((ft.Message("user", one),), TOOLS) for one in answers]
    assert isinstance(model, Speaking)
    drawn = ft.Sampling(logprobs=1)
    spoken, pieces = heard(model, asked, sampling=drawn)
    plain = model.answers(asked, drawn)  # type: ignore[attr-defined]
    assert [_shown(answer) for answer in spoken] == [_shown(answer) for answer in plain]
    assert ["".join(one) for one in pieces] == ["some words of mine", "", ""]


def _shown(answer: Answer) -> dict[str, Any]:
    return {**answer.to_dict(), "seconds": 0, "said": answer.said or None}


def test_one_that_is_ended_is_what_was_heard_and_the_others_go_on(model: Speaking, provider: Provider) -> None:
    provider.speaks_every = 0.05
    said = list[str]()

    def two(piece: str) -> bool:
        said.append(piece)
        return len(said) < 2

    long = " ".join(map(str, range(300)))
    began = time.monotonic()
    first, second, third = model.speak([long, "a b c", "not heard"], {0: two, 1: lambda piece: True})
    assert time.monotonic() - began < 10, "nobody waits for the rest of it"
    assert (first.text, first.output_tokens, said) == ("0 1", None, ["0", " 1"])
    assert (second.text, third.text) == ("a b c", "not heard")
    assert [bool(seen.body.get("stream")) for seen in provider.posts(CHAT)].count(False) == 1


@pytest.mark.parametrize(
    ("fault", "code"), [({"falls_silent_after": 2}, "garbled"), ({"errs_after": 2}, "oom")], ids=["cut", "error"]
)
def test_what_breaks_in_the_midst_is_an_error_and_is_not_said_twice(
    model: Speaking, provider: Provider, fault: dict[str, int], code: str
) -> None:
    vars(provider).update(fault)
    pieces = list[str]()
    with pytest.raises(ft.BackendError) as caught:
        model.speak(["one two three"], {0: lambda piece: pieces.append(piece) is None})
    assert caught.value.code == code
    assert pieces == ["one", " two"]
    assert len(provider.posts(CHAT)) == 1


def test_what_breaks_before_a_word_was_heard_is_asked_again(model: Speaking, provider: Provider) -> None:
    left = ["429_wait", "reset_before", "500"]
    provider.fault = lambda verb, path: left.pop() if left else None
    (answer,), (pieces,) = heard(model, ["one two"])
    assert (answer.text, "".join(pieces)) == ("one two", "one two")
    assert len(provider.posts(CHAT)) == 4


def test_one_that_fails_takes_no_other_along(at: Opened, provider: Provider) -> None:
    provider.fault = lambda verb, path: None
    handle = provider.handle
    provider.handle = lambda seen: (  # type: ignore[method-assign]
        (400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
        if seen.path == CHAT and seen.body["messages"][-1]["content"] == "bad"
        else handle(seen)
    )
    model = at().model("tiny-test")
    assert isinstance(model, Speaking)
    with pytest.raises(ft.AnswersError, match="1 of 3") as caught:
        heard(model, ["good", "bad", "fine"])
    told = [one.text if isinstance(one, Answer) else getattr(one, "code", None) for one in caught.value.outcomes]
    assert told == ["good", "context_length_exceeded", "fine"]


def test_whoever_hears_may_fail_and_nothing_goes_on_behind_it(model: Speaking, provider: Provider) -> None:
    provider.speaks_every = 0.05

    def hear(piece: str) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        model.speak([" ".join(map(str, range(100)))], {0: hear})
    assert heard(model, ["still here"])[0][0].text == "still here"

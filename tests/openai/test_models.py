"""Models that answer: many at once, no faster than the place allows, each failing by itself."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.model import Token
from opened import Opened
from protocol_data import chats
from provider import Provider

CHAT = "/chat/completions"
TOOLS = ({"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}},)


def asked(provider: Provider) -> list[dict[str, Any]]:
    return [seen.body for seen in provider.posts(CHAT)]


def test_a_conversation_goes_out_whole_and_comes_back_with_its_figures(at: Opened, provider: Provider) -> None:
    turns = (
        ft.Message("system", "Be brief."),
        ft.Message("user", "2 + 2?"),
        ft.Message("assistant", None, (ft.ToolCall("add", {"a": 2}, "call_1"),), weight=0),
        ft.Message("tool", "4", tool_call_id="call_1"),
    )
    answer = (
        at()
        .model("tiny-test")
        .answer(
            ft.Conversation(turns, TOOLS, parallel_tool_calls=False),
            ft.Sampling(max_tokens=9, temperature=0.5, top_p=0.9, seed=3),
        )
    )
    assert answer.text == "4"
    assert (answer.finish, answer.output_tokens) == ("stop", 1)
    assert answer.seconds
    (body,) = asked(provider)
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":2}'}}
    assert body == {
        "model": "tiny-test", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 3, "parallel_tool_calls": False,
        "tools": list(TOOLS),
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": "4", "tool_call_id": "call_1"},
        ],
    }  # fmt: skip


def test_how_likely_each_token_was_comes_back_where_it_is_asked_for(at: Opened) -> None:
    model = at().model("tiny-test")
    assert model.answer("two words").said is None
    said = model.answer("two words", ft.Sampling(logprobs=1)).said
    assert said == (Token("two", -0.25, (("no", -2.0),)), Token("words", -0.25, (("no", -2.0),)))


def test_calls_come_back_as_data_and_what_is_no_json_as_text(at: Opened, provider: Provider) -> None:
    said = ['{"a": 2}', "{a: 2", "", "[1]"]
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "add", "arguments": a}} for n, a in enumerate(said)
    ]
    provider.answer = lambda body: {"role": "assistant", "content": None, "tool_calls": calls}
    answer = at().model("tiny-test").answer("2 + 2?")
    assert answer.tool_calls == (ft.ToolCall("add", {"a": 2}, "c0"), ft.ToolCall("add", {}, "c2"))
    assert answer.text == "add({a: 2)\nadd([1])"
    assert answer.finish == "tool_calls"


@pytest.mark.parametrize("shape", [{}, {"choices": []}, {"choices": [{"message": None}]}, {"choices": "x"}, [], "text"])
def test_an_answer_of_another_shape_is_said_to_be_one(at: Opened, provider: Provider, shape: Any) -> None:
    model = at(patience=0.2).model("tiny-test")
    handle = provider.handle
    provider.handle = lambda seen: (200, shape) if seen.path == CHAT else handle(seen)  # type: ignore[method-assign]
    with pytest.raises(ft.BackendError, match="not the protocol's"):
        model.answer("hello")


def test_a_refusal_is_what_was_said(at: Opened, provider: Provider) -> None:
    provider.answer = lambda body: {"role": "assistant", "content": None, "refusal": "I would rather not."}
    assert at().model("tiny-test").answer("2 + 2?").text == "I would rather not."


def test_questions_are_asked_together_and_no_more_of_them_than_allowed(at: Opened, provider: Provider) -> None:
    inside, most, guard = 0, 0, threading.Lock()

    def slowly(body: dict[str, Any]) -> dict[str, Any]:
        return {"role": "assistant", "content": body["messages"][-1]["content"]}

    handle = provider.handle

    def counted(seen: Any) -> Any:
        nonlocal inside, most
        if seen.path != CHAT:
            return handle(seen)
        with guard:
            inside += 1
            most = max(most, inside)
        time.sleep(0.05)
        with guard:
            inside -= 1
        return handle(seen)

    provider.answer, provider.handle = slowly, counted  # type: ignore[method-assign]
    questions = [f"question {n}" for n in range(40)]
    assert [answer.text for answer in at(at_once=8).model("tiny-test").answers(questions)] == questions
    assert most == 8


def test_a_place_that_is_asked_too_fast_is_left_alone_for_as_long_as_it_wishes(at: Opened, provider: Provider) -> None:
    model = at(at_once=16).model("tiny-test")
    times: list[float] = []

    def hasty(verb: str, path: str) -> str | None:
        times.append(time.monotonic())
        return "429_wait" if len(times) <= 16 else None

    provider.fault = hasty
    assert len(model.answers([f"question {n}" for n in range(32)])) == 32
    assert times[16] - times[0] > 0.05
    assert len(times) < 32 + 16 + 8, "those that were refused are asked again, and nobody else"


def test_one_question_that_fails_takes_no_other_along(at: Opened, provider: Provider) -> None:
    def touchy(body: dict[str, Any]) -> dict[str, Any]:
        if "13" in body["messages"][-1]["content"]:
            raise ValueError("the server falls over")
        return {"role": "assistant", "content": "yes"}

    provider.answer = touchy
    model = at(patience=0.3).model("tiny-test")
    with pytest.raises(ft.AnswersError, match="1 of 20 conversations") as caught:
        model.answers([f"question {n}" for n in range(20)])
    assert [isinstance(outcome, ft.Answer) for outcome in caught.value.outcomes].count(True) == 19
    report = ft.Evaluation(chats(20), [ft.ExactMatch()]).run(base=model).to_dict()
    assert report["models"][0]["errors"] == 1


@pytest.mark.parametrize("fault", ["500", "reset_before", "cut", "429"])
def test_what_may_pass_is_asked_again(at: Opened, provider: Provider, fault: str) -> None:
    model = at().model("tiny-test")
    left = [fault]
    provider.fault = lambda verb, path: left.pop() if left else None
    assert model.answer("hello there").text == "hello there"
    assert len(asked(provider)) == 2


def test_a_quota_that_is_used_up_is_said_at_once(at: Opened, provider: Provider) -> None:
    model = at().model("tiny-test")
    handle = provider.handle
    provider.handle = lambda seen: (  # type: ignore[method-assign]
        (429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
        if seen.path == CHAT
        else handle(seen)
    )
    with pytest.raises(ft.BackendError, match="exceeded your quota") as caught:
        model.answer("hello")
    assert not caught.value.retryable
    assert len(asked(provider)) == 1


def test_it_answers_inside_a_running_loop(at: Opened) -> None:
    model = at().model("tiny-test")

    async def notebook() -> str:
        return model.answer("hello").text

    assert asyncio.run(notebook()) == "hello"


def test_a_model_that_reasons_is_asked_without_a_temperature_and_refuses_one(
    at: Opened, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.bases["o4-mini-2025-04-16"] = None
    model = at(kind="azure").model("o4-mini-2025-04-16")
    model.answer("hello")
    assert asked(provider)[0].keys() == {"model", "messages", "max_completion_tokens"}
    with pytest.raises(ft.UnsupportedError, match="temperature"):
        model.answer("hello", ft.Sampling(temperature=0.2))


def test_64_at_once_are_many_times_faster_than_one_at_a_time(at: Opened, provider: Provider) -> None:
    """256 answers of 400 ms take 1.6 s at best and 102 s one by one; server and client share a process here."""
    provider.answers_after = 0.4
    model = at().model("tiny-test")
    started = time.perf_counter()
    assert len(model.answers([json.dumps(n) for n in range(256)])) == 256
    assert time.perf_counter() - started < 102.4 / 5

"""Chat completions: as asked or refused, heard as they are said, batched in company, and nobody's loss is another's."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.chat_completion import ChoiceLogprobs

from finetune_sdk.errors import BackendError
from finetune_sdk.messages import Asked, Conversation
from finetune_sdk.model import Answer, Origin, Sampling, Token
from finetune_sdk.serve.service import Options
from finetune_sdk.serve.speech import Speech
from finetune_sdk.testing import FakeBackend
from serving import Served, in_a_thread, lines

Serving = Callable[..., Served]


class Scripted:
    """A model that says what it is told to, slowly where that is told; it notes what it was asked together.

    "slow 0.5 …" takes so long, "fail …" cannot be answered, "say …" is answered with the rest.
    """

    name = "echo"
    origin = Origin("fake", "echo")

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], Sampling]] = []
        self.read: list[Conversation] = []

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.answers([asked], sampling)[0]

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return self.speak(asked, {}, sampling)

    def speak(
        self, asked: Iterable[Asked], hear: Mapping[int, Callable[[str], bool]], sampling: Sampling | None = None
    ) -> list[Answer]:
        whole = [Conversation.of(one) for one in asked]
        texts = [one.messages[-1].text for one in whole]
        self.read += whole
        self.batches.append((texts, sampling or Sampling()))
        if any(text.startswith("fail") for text in texts):
            raise BackendError("the prompt is too long for this model.", code="context_length_exceeded")
        answers = []
        for row, text in enumerate(texts):
            if text == "break":
                raise ZeroDivisionError
            if text.startswith("slow"):
                time.sleep(float(text.split()[1]))
            said, tokens = "", 0
            for word in text.removeprefix("say ").split(" "):
                piece = word if not said else f" {word}"
                said, tokens = said + piece, tokens + 1
                if row in hear:
                    time.sleep(0.01)
                    if not hear[row](piece):
                        break
            told = [Token(piece, -0.5, ((piece, -0.5), ("other", -1.5))) for piece in re.findall(r" ?[^ ]+", said)]
            wanted = sampling is not None and sampling.logprobs is not None
            answers.append(
                Answer(said, (), len(text.split()), tokens, 0.0, "stop", said=tuple(told) if wanted else None)
            )
        return answers


@pytest.fixture
def scripted(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> tuple[Served, Scripted]:
    model = Scripted()
    monkeypatch.setattr(FakeBackend, "model", lambda self, name: model)
    return serving(), model


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **more}


def said(served: Served, text: str, **more: Any) -> str:
    answer = served.ask("POST", "/chat/completions", asked(text, **more))
    assert answer.status == 200, answer.body
    return str(answer.value["choices"][0]["message"]["content"])


def test_a_stream_is_heard_while_it_is_said(scripted: tuple[Served, Scripted]) -> None:
    served, _ = scripted
    words = " ".join(f"word{n}" for n in range(30))
    began, times = time.monotonic(), list[float]()
    with served.client().chat.completions.create(**asked(f"say {words}", stream=True)) as stream:
        pieces = [chunk.choices[0].delta.content for chunk in stream if times.append(time.monotonic()) is None]
    assert "".join(piece or "" for piece in pieces) == words
    assert times[0] - began < 0.6 * (times[-1] - began)


def test_a_stop_ends_an_answer_before_it_and_saves_the_rest(scripted: tuple[Served, Scripted]) -> None:
    served, _ = scripted
    more = asked("say one two three four five six", stop=["ee f", "six"])
    whole = served.ask("POST", "/chat/completions", more).value
    assert whole["choices"][0]["message"]["content"] == "one two thr"
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] == 4  # "five" and "six" were never generated
    with served.client().chat.completions.create(**more, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "one two thr"


TEXTS = st.text("ab<|>", max_size=12)


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS.filter(bool), max_size=4))
def test_what_is_heard_in_pieces_is_what_is_there_up_to_the_first_stop(pieces: list[str], stops: list[str]) -> None:
    speech, whole = Speech(stops), "".join(pieces)
    heard = "".join(speech.hear(piece) for piece in pieces)
    ends = [at for at in (whole.find(stop) for stop in stops) if at >= 0]
    expected = whole[: min(ends)] if ends else whole
    assert speech.cut(Answer(whole)).text == expected
    assert expected.startswith(heard)
    assert not any(stop in heard for stop in stops)
    assert len(expected) - len(heard) < max(map(len, stops), default=1)


def test_requests_that_arrive_together_are_answered_together(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(said, served, "slow 1.0")
        time.sleep(0.2)
        others = [pool.submit(said, served, f"say {n}") for n in range(16)]
        assert first.result() == "slow 1.0"
        assert sorted(int(one.result()) for one in others) == list(range(16))
    assert [len(texts) for texts, _ in model.batches] == [1, 16]


def test_a_batch_has_one_sampling_and_the_oldest_is_never_passed_over(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    plan = [("say a", 0.0), ("say b", 0.5), ("say c", 0.0), ("say d", 0.5), ("say e", 0.0)]
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(said, served, "slow 1.5")
        time.sleep(0.2)
        others = []
        for text, temperature in plan:
            others.append(pool.submit(said, served, text, temperature=temperature))
            time.sleep(0.05)
        assert [one.result() for one in others] == list("abcde")
        first.result()
    assert [texts for texts, _ in model.batches[1:]] == [["say a", "say c", "say e"], ["say b", "say d"]]


def test_one_with_a_seed_is_answered_by_itself(scripted: tuple[Served, Scripted]) -> None:
    """So its answer does not hang on who else is there; greedy ones need no seed and share a batch."""
    served, model = scripted
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(said, served, "slow 1.0")
        time.sleep(0.2)
        others = [pool.submit(said, served, f"say {n}", seed=7, temperature=n % 2) for n in range(6)]
        [one.result() for one in (first, *others)]
    assert sorted(len(texts) for texts, _ in model.batches[1:]) == [1, 1, 1, 3]
    assert {sampling.seed for texts, sampling in model.batches if len(texts) == 3} == {None}


def test_one_that_cannot_be_answered_is_not_the_others_loss(scripted: tuple[Served, Scripted]) -> None:
    served, _ = scripted
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(said, served, "slow 1.0")
        time.sleep(0.2)
        bad = pool.submit(served.ask, "POST", "/chat/completions", asked("fail"))
        others = [pool.submit(said, served, f"say {n}") for n in range(4)]
        assert sorted(one.result() for one in others) == list("0123")
        assert bad.result().error["code"] == "context_length_exceeded"
        first.result()


def test_what_was_heard_in_part_is_never_said_twice(scripted: tuple[Served, Scripted]) -> None:
    """A model that fails in the midst of a batch is asked again only for those of whom nothing was heard yet."""
    served, _ = scripted
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(said, served, "slow 1.0")
        time.sleep(0.2)
        stream = pool.submit(served.ask, "POST", "/chat/completions", asked("say one two", stream=True))
        time.sleep(0.1)
        bad = pool.submit(served.ask, "POST", "/chat/completions", asked("break"))
        time.sleep(0.1)
        other = pool.submit(said, served, "say b")
        first.result()
    events = [line.removeprefix(b"data: ") for line in stream.result().body.split(b"\n\n") if line]
    deltas = [json.loads(event) for event in events[:-1]]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in deltas if "choices" in one) == "one two"
    assert deltas[-1]["error"]["code"] == "server_error"
    assert bad.result().status == 500
    assert other.result() == "b"


def test_several_answers_are_drawn_and_a_greedy_one_is_drawn_once(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    for temperature, rows in ((0.7, 3), (0.0, 1)):
        found = served.ask("POST", "/chat/completions", asked("say hi there", n=3, temperature=temperature)).value
        assert [choice["message"]["content"] for choice in found["choices"]] == ["hi there"] * 3
        assert len(model.batches[-1][0]) == rows
        assert found["usage"] == {"prompt_tokens": 3, "completion_tokens": 2 * rows, "total_tokens": 3 + 2 * rows}


def test_sampling_is_the_protocols_unless_it_is_said(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    said(served, "say a")
    said(served, "say a", temperature=0.3, top_p=0.9, seed=-1, max_completion_tokens=7)
    said(served, "say a", temperature=0, top_p=0.9, seed=5, max_tokens=7)
    assert [sampling for _, sampling in model.batches] == [
        Sampling(1024, 1.0, 1.0, None),
        Sampling(7, 0.3, 0.9, 2**63 - 1),
        Sampling(7),
    ]


def test_log_probabilities_are_those_of_the_text_up_to_its_stop(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    more = asked("say one two three", logprobs=True, top_logprobs=2, stop=" three")
    [choice] = served.ask("POST", "/chat/completions", more).value["choices"]
    told = ChoiceLogprobs.model_validate(choice["logprobs"], strict=True).content
    assert [one.token for one in told or ()] == ["one", " two"]
    assert told is not None
    assert bytes(told[1].bytes or ()) == b" two"
    assert [one.logprob for one in told[0].top_logprobs] == [-0.5, -1.5]
    assert model.batches[-1][1].logprobs == 2
    with served.client().chat.completions.create(**more, stream=True) as stream:
        chunks = [chunk.choices[0] for chunk in stream]
    assert [one.token for chunk in chunks if chunk.logprobs for one in chunk.logprobs.content or ()] == ["one", " two"]


def test_an_answer_says_how_long_the_model_took(scripted: tuple[Served, Scripted]) -> None:
    answer = scripted[0].ask("POST", "/chat/completions", asked("slow 0.1"))
    kind, _, milliseconds = answer.headers["server-timing"].partition(";dur=")
    assert kind == "model"
    assert 100 <= float(milliseconds) < 5000


def test_a_client_that_goes_away_is_not_waited_for(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    at = urlsplit(served.url)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(said, served, "slow 0.6")
        time.sleep(0.2)
        body = json.dumps(asked("say gone")).encode()
        with socket.create_connection((at.hostname, at.port)) as gone:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            gone.sendall(head.encode() + body)
            time.sleep(0.1)
        first.result()
    assert said(served, "say here") == "here"
    assert [texts for texts, _ in model.batches] == [["slow 0.6"], ["say here"]]


def test_the_line_has_an_end(scripted: tuple[Served, Scripted], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_sdk.serve.desks._WAITING", 1)
    served, _ = scripted
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(said, served, "slow 0.6")
        time.sleep(0.2)
        second = pool.submit(said, served, "say b")
        time.sleep(0.1)
        third = served.ask("POST", "/chat/completions", asked("say c"))
        assert (third.status, third.error["type"]) == (429, "rate_limit_error")
        assert (first.result(), second.result()) == ("slow 0.6", "b")


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
    served, _ = scripted
    with ThreadPoolExecutor(1) as pool:
        thinking = pool.submit(said, served, "slow 2.0")
        time.sleep(0.3)
        began = time.monotonic()
        assert served.ask("GET", "/models").status == 200
        assert time.monotonic() - began < 1.2
        assert not thinking.done()


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"functions": []}, "functions"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"store": True}, "store"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"top_k": 5}, "top_k"),
        ({"n": 0}, "n"),
        ({"n": "2"}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "custom"}]}, "tools.0"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 5}}}}, "response_format.json_schema.schema"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages.0.content"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_not_done_as_asked_is_refused_by_its_name(served: Served, more: dict[str, Any], param: str) -> None:
    answer = served.ask("POST", "/chat/completions", asked("hi") | more)
    assert (answer.status, answer.error["param"]) == (400, param)


def test_what_asks_for_nothing_is_taken(served: Served) -> None:
    nothing = {
        "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "store": False,
        "metadata": None, "user": "u", "service_tier": "auto", "modalities": ["text"], "response_format": {"type": "text"},
        "tools": None, "stream": False, "n": None,
    }  # fmt: skip
    assert said(served, "hi", **nothing) == "hi"
    assert (
        said(served, "hi", messages=[{"role": "user", "content": [{"type": "text", "text": "in parts"}]}]) == "in parts"
    )


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def strict(schema: Mapping[str, Any], *, strictly: bool = True) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": strictly}}


def test_an_answer_that_must_follow_a_schema_does_or_is_an_error(served: Served) -> None:
    assert said(served, '{"a": 1}', response_format=strict(SCHEMA)) == '{"a": 1}'
    for text in ('{"a": "1"}', "no json", '```json\n{"a": 1}\n```', ""):
        for stream in (False, True):
            answer = served.ask("POST", "/chat/completions", asked(text, response_format=strict(SCHEMA), stream=stream))
            assert (answer.status, answer.error["code"]) == (422, "answer_not_as_asked")
            assert answer.error["param"] == "response_format"
    with pytest.raises(openai.UnprocessableEntityError, match="does not follow the schema"):
        served.client().chat.completions.create(**asked('{"b": 1}', response_format=strict(SCHEMA)))


def test_a_schema_that_is_not_strict_is_a_wish_as_the_protocol_has_it(served: Served) -> None:
    assert said(served, "no json", response_format=strict(SCHEMA, strictly=False)) == "no json"


def test_json_mode_is_kept_or_an_error(served: Served) -> None:
    assert said(served, "[1]", response_format={"type": "json_object"}) == "[1]"
    answer = served.ask("POST", "/chat/completions", asked("no json", response_format={"type": "json_object"}))
    assert answer.status == 422


def test_an_answer_that_was_cut_says_so_whatever_was_asked_of_it(served: Served) -> None:
    answer = served.ask("POST", "/chat/completions", asked('{"a": 1}', response_format=strict(SCHEMA), max_tokens=1))
    assert answer.value["choices"][0]["finish_reason"] == "length"


TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("sun", "rain")]


@pytest.fixture
def caller(served: Served) -> tuple[Served, str]:
    """A model that calls `sun` when it is asked for sun, and says "dry" else."""
    call = {"id": "c", "type": "function", "function": {"name": "sun", "arguments": "{}"}}
    rows = [
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "dry"}], "tools": TOOLS}
        for n in range(12)
    ]
    rows.append(
        {
            "messages": [{"role": "user", "content": "sun?"}, {"role": "assistant", "tool_calls": [call]}],
            "tools": TOOLS,
        }
    )
    return served, str(served.ended(served.tune(lines(rows))).fine_tuned_model)


def test_a_choice_of_tools_is_kept_or_an_error(caller: tuple[Served, str]) -> None:
    served, model = caller
    named = {"type": "function", "function": {"name": "sun"}}
    for choice in ("auto", "required", named):
        answer = served.ask("POST", "/chat/completions", asked("sun?", model=model, tools=TOOLS, tool_choice=choice))
        assert answer.value["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "sun"
    for choice in ("required", named):
        answer = served.ask("POST", "/chat/completions", asked("1?", model=model, tools=TOOLS, tool_choice=choice))
        assert (answer.status, answer.error["param"]) == (422, "tool_choice")
    assert said(served, "1?", model=model, tools=TOOLS, tool_choice="none") == "dry"
    unknown = {"type": "function", "function": {"name": "snow"}}
    answer = served.ask("POST", "/chat/completions", asked("1?", model=model, tools=TOOLS, tool_choice=unknown))
    assert (answer.status, answer.error["param"]) == (400, "tool_choice")


def test_tools_reach_the_model_and_a_named_one_alone(scripted: tuple[Served, Scripted]) -> None:
    served, model = scripted
    said(served, "hi", tools=TOOLS, parallel_tool_calls=False)
    said(served, "hi", tools=TOOLS, tool_choice="none")
    assert [(one.tools, one.parallel_tool_calls) for one in model.read] == [(tuple(TOOLS), False), ((), None)]


def test_a_server_that_ends_answers_whom_it_is_answering_and_tells_who_waits(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Scripted()
    monkeypatch.setattr(FakeBackend, "model", lambda self, name: model)
    with ThreadPoolExecutor(2) as pool:
        with in_a_thread(home, Options()) as served:
            first = pool.submit(said, served, "slow 1.0")
            time.sleep(0.3)
            second = pool.submit(served.ask, "POST", "/chat/completions", asked("say b"))
            time.sleep(0.3)
        assert first.result() == "slow 1.0"
        assert (second.result().status, second.result().error["code"]) == (503, "shutting_down")


def test_a_server_that_ends_does_not_wait_for_ever(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_sdk.serve.server._GRACE_SECONDS", 3)
    monkeypatch.setattr(FakeBackend, "model", lambda self, name: Scripted())
    with ThreadPoolExecutor(1) as pool:
        with in_a_thread(home, Options()) as served:
            long = pool.submit(served.ask, "POST", "/chat/completions", asked("slow 6"))
            time.sleep(0.3)
            began = time.monotonic()
        assert time.monotonic() - began < 4
        assert long.result().error["code"] == "shutting_down"
        assert served.service is not None
        assert served.service.desks.busy

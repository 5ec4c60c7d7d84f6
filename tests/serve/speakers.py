"""A model that says what it is told to, and how it is asked through the server."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from finetune_sdk.errors import BackendError
from finetune_sdk.messages import Asked, Conversation
from finetune_sdk.model import Answer, Origin, Sampling, Token
from serving import Served


class Scripted:
    """A model that says what it is told to, slowly where that is told; it notes what it was asked together.

    "slow 0.5 …" takes so long, "hold" until it is released, "fail …" cannot be answered, "say …" is answered with the rest.
    """

    name = "echo"
    origin = Origin("fake", "echo")

    def __init__(self) -> None:
        self.batches: list[tuple[list[str], Sampling]] = []
        self.read: list[Conversation] = []
        self.released = threading.Event()

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
            if text == "hold":
                assert self.released.wait(60)
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


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **more}


def said(served: Served, text: str, **more: Any) -> str:
    answer = served.ask("POST", "/chat/completions", asked(text, **more))
    assert answer.status == 200, answer.body
    return str(answer.value["choices"][0]["message"]["content"])


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.005)


@contextmanager
def held(served: Served, model: Scripted) -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
    """A model in the midst of an answer. What is asked through the function that it gives stands in the line, one behind
    the other, when that returns; at the end the model is released."""
    assert served.service is not None
    desks = served.service.desks
    with ThreadPoolExecutor(40) as pool:
        first = pool.submit(said, served, "hold")
        until(lambda: bool(model.batches))

        def ask(call: Callable[[], Any]) -> Future[Any]:
            before = desks.waiting
            asked = pool.submit(call)
            until(lambda: desks.waiting > before or asked.done())
            return asked

        try:
            yield ask
        finally:
            model.released.set()
        assert first.result(30) == "hold"

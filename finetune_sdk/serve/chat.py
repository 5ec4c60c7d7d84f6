"""Chat completions: what is asked for, as our Conversation and Sampling, and the asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field
from starlette.concurrency import run_in_threadpool

from finetune_sdk.errors import FinetuneError, InputError
from finetune_sdk.messages import Conversation
from finetune_sdk.model import Answer, Sampling
from finetune_sdk.serve.bodies import Body
from finetune_sdk.serve.catalogue import Offered
from finetune_sdk.serve.desks import Asker, Desks
from finetune_sdk.serve.errors import ProtocolError, invalid, refusal, unsupported
from finetune_sdk.serve.promises import Promises, promises
from finetune_sdk.serve.speech import Speech

_WHY = {
    "audio": "models answer in text",
    "frequency_penalty": "answers are drawn by temperature and top_p alone",
    "function_call": "it was replaced by 'tool_choice'",
    "functions": "it was replaced by 'tools'",
    "logit_bias": "answers are drawn by temperature and top_p alone",
    "metadata": "completions are not stored",
    "moderation": "nothing is moderated",
    "prediction": "nothing is predicted",
    "presence_penalty": "answers are drawn by temperature and top_p alone",
    "reasoning_effort": "the models here do not reason apart from their answer",
    "store": "completions are not stored",
    "verbosity": "say in the messages how long an answer should be",
    "web_search_options": "there is no web search",
}
_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "metadata": ({},),
}
"""Values of what is not supported that ask for nothing."""


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Chat(Body):
    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    n: int | None = Field(None, ge=1, le=32)
    seed: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    modalities: list[str] | None = None
    service_tier: str | None = None
    # Who asks, and how a platform may keep what was read: nothing that changes an answer.
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    # The protocol has them, and no model here does them.
    audio: Any = None
    frequency_penalty: Any = None
    function_call: Any = None
    functions: Any = None
    logit_bias: Any = None
    metadata: Any = None
    moderation: Any = None
    prediction: Any = None
    presence_penalty: Any = None
    reasoning_effort: Any = None
    store: Any = None
    verbosity: Any = None
    web_search_options: Any = None


@dataclass(frozen=True, slots=True)
class Question:
    """A request that can be answered. `promised` is what its answers must keep."""

    model: Offered
    asked: Conversation
    sampling: Sampling
    count: int
    stops: tuple[str, ...]
    promised: Promises
    stream: bool
    usage: bool


async def question(body: Chat, model: Offered, usual_tokens: int) -> Question:
    """Raises ProtocolError for whatever would not be done as asked."""
    if body.response_format is None:
        return _question(body, model, usual_tokens)
    return await run_in_threadpool(_question, body, model, usual_tokens)  # a schema may take its time to compile


def _question(body: Chat, model: Offered, usual_tokens: int) -> Question:
    for name, why in _WHY.items():
        value = getattr(body, name)
        if value is not None and not any(value is nothing or value == nothing for nothing in _NOTHING.get(name, ())):
            raise unsupported(name, f"{why}.")
    if body.modalities not in (None, ["text"]):
        raise unsupported("modalities", "models answer in text.")
    if body.service_tier not in (None, "auto", "default"):
        raise unsupported("service_tier", "there is one tier.")
    options = body.stream_options
    if options is not None and not body.stream:
        raise invalid("stream_options", "it is for streams: set 'stream'.")
    if options is not None and options.include_obfuscation:
        raise unsupported("stream_options.include_obfuscation", "nothing is added to a stream.")
    if body.max_tokens is not None and body.max_completion_tokens not in (None, body.max_tokens):
        raise invalid("max_tokens", "it says another number than 'max_completion_tokens'; give one of them.")
    if body.top_logprobs and not body.logprobs:
        raise invalid("top_logprobs", "set 'logprobs' too.")
    promised = promises(body.tools or [], body.tool_choice, body.parallel_tool_calls, body.response_format)
    return Question(
        model=model,
        asked=_conversation(body.messages, promised, body.parallel_tool_calls),
        sampling=_sampling(body, usual_tokens),
        count=body.n or 1,
        stops=_stops(body.stop),
        promised=promised,
        stream=bool(body.stream),
        usage=bool(options and options.include_usage),
    )


def _sampling(body: Chat, usual_tokens: int) -> Sampling:
    """Without a word of the client's as the protocol has it: temperature 1. What is greedy needs no seed."""
    tokens = body.max_completion_tokens or body.max_tokens or usual_tokens
    temperature = 1.0 if body.temperature is None else body.temperature
    likely = body.top_logprobs or 0 if body.logprobs else None
    if temperature == 0:
        return Sampling(tokens, logprobs=likely)
    seed = None if body.seed is None else body.seed % 2**63
    return Sampling(tokens, temperature, 1.0 if body.top_p is None else body.top_p, seed, likely)


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > 4 or not all(stops):
        raise invalid("stop", "give up to four texts, none of them empty.")
    return stops


def _conversation(messages: Sequence[Mapping[str, Any]], promised: Promises, parallel: bool | None) -> Conversation:
    for number, message in enumerate(messages):
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind != "text" or not isinstance(part.get("text"), str):
                raise unsupported(f"messages.{number}.content", f"a part of the type {kind!r} is not text.")
    # A client may send back what it was answered, with all that was empty in it.
    rows = [{name: value for name, value in one.items() if value is not None and value != []} for one in messages]
    try:
        asked = Conversation.of(rows)
    except InputError as fault:
        raise ProtocolError(
            f"Invalid value for 'messages': {fault.message}", param="messages", code="invalid_value"
        ) from None
    return replace(asked, tools=promised.offered, parallel_tool_calls=parallel if promised.offered else None)


class Asking:
    """A question that was put, from the event loop's side: the answers, and before them the pieces that are heard."""

    def __init__(self, question: Question, desks: Desks) -> None:
        self._question = question
        loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[tuple[int, str] | Sequence[Answer] | FinetuneError] = asyncio.Queue()

        def put(what: tuple[int, str] | Sequence[Answer] | FinetuneError) -> None:
            try:
                loop.call_soon_threadsafe(self._heard.put_nowait, what)
            except RuntimeError:  # the loop has ended, and with it whoever asked
                self._asker.leave()

        # What is greedy is said once and counts for all.
        rows = 1 if question.sampling.temperature == 0 else question.count
        whole = question.promised.whole or question.sampling.logprobs is not None
        aloud = (question.stream or bool(question.stops)) and not whole
        self._speeches = [Speech(question.stops) for _ in range(rows)]
        self._asker = Asker(
            question.asked, question.sampling, rows, put,
            [self._ear(row, put) for row in range(rows)] if aloud else (),
        )  # fmt: skip
        desks.ask(question.model.target, self._asker)

    def _ear(self, row: int, put: Callable[[tuple[int, str]], None]) -> Callable[[str], bool]:
        speech, stream = self._speeches[row], self._question.stream

        def hear(text: str) -> bool:
            self._asker.begun = True
            piece = speech.hear(text)
            if piece and stream:
                put((row, piece))
            return not (speech.stopped or self._asker.gone)

        return hear

    async def pieces(self) -> AsyncIterator[tuple[int, str] | list[Answer]]:
        """Pieces of text by the answer's number, and at last all answers. Raises ProtocolError."""
        try:
            while True:
                heard = await self._heard.get()
                if isinstance(heard, FinetuneError):
                    raise refusal(heard)
                if isinstance(heard, tuple):
                    yield heard
                    continue
                answers = [speech.cut(answer) for speech, answer in zip(self._speeches, heard, strict=True)]
                self._check_logprobs(answers)
                if self._question.promised.schema is None:
                    self._question.promised.keep(answers)
                else:
                    await run_in_threadpool(self._question.promised.keep, answers)
                yield answers
                return
        finally:
            self.leave()

    def _check_logprobs(self, answers: Sequence[Answer]) -> None:
        if self._question.sampling.logprobs is not None and any(answer.said is None for answer in answers):
            raise unsupported("logprobs", "the backend gives no log probabilities.")

    @property
    def seconds(self) -> float:
        """What the model took, once it has answered; the rest of the time is the server's and the line's."""
        return self._asker.seconds

    def leave(self) -> None:
        """Nobody waits any more: what was not begun is not begun, and what is being said is ended where that can be."""
        self._asker.leave()

    async def answers(self) -> list[Answer]:
        async for heard in self.pieces():
            if isinstance(heard, list):
                return heard
        raise AssertionError("a question ends in answers or in an error")

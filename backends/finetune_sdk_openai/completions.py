"""What a completion says, as an Answer: whole, or put together from the chunks of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from finetune_sdk.messages import ToolCall
from finetune_sdk.model import Answer, Token
from finetune_sdk_openai.errors import GarbledError

if TYPE_CHECKING:
    import openai

PATH = "/chat/completions"


async def whole(client: openai.AsyncOpenAI, request: Mapping[str, Any]) -> Any:
    """The completion, as data."""
    import httpx2

    # As chat.completions.create does, without its walks through types, which cost half of a request.
    said = await client.post(PATH, cast_to=httpx2.Response, body=dict(request))
    return orjson.loads(said.content)


async def spoken(client: openai.AsyncOpenAI, request: Mapping[str, Any], tell: Callable[[str], bool]) -> Any:
    """The completion, each piece of its text told as it comes; where `tell` says False it ends, and has no finish.

    Raises GarbledError for a stream that ends before the answer does.
    """
    import openai

    asked = {**request, "stream": True, "stream_options": {"include_usage": True}}
    said = _Chunks()
    async with await client.post(
        PATH, cast_to=object, body=asked, stream=True, stream_cls=openai.AsyncStream[object]
    ) as chunks:
        async for chunk in chunks:
            piece = said.add(chunk)
            if piece and not tell(piece):
                return said.completion()
    if said.finish is None:
        raise GarbledError("a stream that ended before the answer did")
    return said.completion()


class _Chunks:
    """One completion, as far as its chunks have come."""

    def __init__(self) -> None:
        self.finish: str | None = None
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._tokens: list[Any] | None = None
        self._usage: Any = None

    def add(self, chunk: Any) -> str:
        """The text that is new. Raises GarbledError for a chunk of another shape."""
        try:
            self._usage = chunk.get("usage") or self._usage
            choice = next(iter(chunk.get("choices") or ()), None)
            if choice is None:
                return ""
            delta = choice.get("delta") or {}
            for call in delta.get("tool_calls") or ():
                self._call(call)
            tokens = (choice.get("logprobs") or {}).get("content")
            if tokens is not None:
                self._tokens = [*(self._tokens or ()), *tokens]
            self.finish = choice.get("finish_reason") or self.finish
            self._refusal.append(delta.get("refusal") or "")
            self._text.append(delta.get("content") or "")
            return str(self._text[-1])
        except (AttributeError, KeyError, TypeError) as fault:
            raise GarbledError(f"a chunk of another shape ({fault!r})") from None

    def _call(self, part: Mapping[str, Any]) -> None:
        call = self._calls.setdefault(part.get("index") or 0, {"id": None, "function": {"name": "", "arguments": ""}})
        call["id"] = part.get("id") or call["id"]
        for name, more in (part.get("function") or {}).items():
            call["function"][name] = call["function"].get(name, "") + (more or "")

    def completion(self) -> dict[str, Any]:
        message = {
            "content": "".join(self._text), "refusal": "".join(self._refusal),
            "tool_calls": [self._calls[at] for at in sorted(self._calls)],
        }  # fmt: skip
        choice = {"message": message, "finish_reason": self.finish, "logprobs": {"content": self._tokens}}
        return {"choices": [choice], "usage": self._usage}


def answer(said: Any, seconds: float) -> Answer:
    """The answer in a completion. Raises GarbledError where that is of another shape."""
    try:
        choice, usage = said["choices"][0], said.get("usage") or {}
        message = choice["message"]
        calls, unread = list[ToolCall](), list[str]()
        for call in message.get("tool_calls") or ():
            function = call["function"]
            given = _object(function.get("arguments"))
            if given is None:
                unread.append(f"{function['name']}({function.get('arguments')})")
            else:
                calls.append(ToolCall(function["name"], given, call.get("id")))
        tokens = _tokens((choice.get("logprobs") or {}).get("content"))
        text = "\n".join(part for part in (message.get("content") or message.get("refusal") or "", *unread) if part)
    except (TypeError, KeyError, IndexError, AttributeError) as fault:
        raise GarbledError(f"a completion of another shape ({fault!r})") from None
    return Answer(
        text=text,
        tool_calls=tuple(calls),
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        seconds=seconds,
        finish=choice.get("finish_reason") or "stop",
        said=tokens,
    )


def _tokens(told: Any) -> tuple[Token, ...] | None:
    """Each token with its log probability, where the place tells them."""
    if told is None:
        return None
    return tuple(
        Token(one["token"], one["logprob"], tuple((each["token"], each["logprob"]) for each in one["top_logprobs"]))
        for one in told
    )


def _object(text: str | None) -> Mapping[str, Any] | None:
    """The arguments of a call; None where a model wrote something else than one JSON object."""
    try:
        value = json.loads(text) if text and text.strip() else {}
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

"""What was answered, as the protocol has it: whole, or as a stream of chunks."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from finetune_sdk.model import Answer
from finetune_sdk.serve.catalogue import Offered
from finetune_sdk.serve.chat import Question
from finetune_sdk.serve.records import new_id

_FINISH = frozenset({"stop", "length", "tool_calls", "content_filter"})


def completion(question: Question, answers: Sequence[Answer]) -> dict[str, Any]:
    counted = usage(question, answers)
    shown = [answers[min(number, len(answers) - 1)] for number in range(question.count)]
    return {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": question.model.name,
        "choices": [
            {
                "index": number,
                "message": _message(answer),
                "logprobs": _logprobs(answer),
                "finish_reason": _finish(answer),
            }
            for number, answer in enumerate(shown)
        ],
        **({"usage": counted} if counted is not None else {}),
        "service_tier": "default",
        "system_fingerprint": _fingerprint(question.model),
    }


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.message.content, "refusal": None}
    if answer.tool_calls:
        message["tool_calls"] = _calls(answer)
    return message


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "id": new_id("call_"),
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
        }
        for call in answer.tool_calls
    ]


def _logprobs(answer: Answer) -> dict[str, Any] | None:
    """Those of the text's tokens, up to where it was cut."""
    if answer.said is None or answer.tool_calls:
        return None
    shown, length = list[dict[str, Any]](), 0
    for token in answer.said:
        if length >= len(answer.text):
            break
        length += len(token.text)
        shown.append({**_token(token.text, token.logprob), "top_logprobs": [_token(*one) for one in token.likely]})
    return {"content": shown, "refusal": None}


def _token(text: str, logprob: float) -> dict[str, Any]:
    """`bytes` is null for a part of a letter. What is all but impossible is -9999.0, as in the protocol."""
    whole = "\N{REPLACEMENT CHARACTER}" not in text
    return {"token": text, "logprob": max(logprob, -9999.0), "bytes": list(text.encode()) if whole else None}


def _finish(answer: Answer) -> str:
    return answer.finish if answer.finish in _FINISH else "stop"


def usage(question: Question, answers: Sequence[Answer]) -> dict[str, int] | None:
    """None where the backend does not count. What stands in several choices was generated once, and counts once."""
    read, said = answers[0].input_tokens, [answer.output_tokens for answer in answers]
    if read is None or any(tokens is None for tokens in said):
        return None
    total = sum(tokens for tokens in said if tokens is not None)
    return {"prompt_tokens": read, "completion_tokens": total, "total_tokens": read + total}


def _fingerprint(model: Offered) -> str:
    return f"fp_{sha256(f'{model.owned_by} {model.target}'.encode()).hexdigest()[:10]}"


class Chunks:
    """The same as a stream of server-sent events."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._common = {
            "id": new_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": question.model.name,
            "service_tier": "default",
            "system_fingerprint": _fingerprint(question.model),
        }
        self._begun: set[int] = set()
        self._said = [""] * question.count

    async def of(self, heard: AsyncIterator[tuple[int, str] | list[Answer]]) -> AsyncIterator[dict[str, Any]]:
        async for what in heard:
            if isinstance(what, tuple):
                row, piece = what
                for number in self._numbers(row):
                    yield self._piece(number, piece)
                continue
            for number in range(self._question.count):
                for chunk in self._rest(number, what[min(number, len(what) - 1)]):
                    yield chunk
            if self._question.usage:
                yield {**self._common, "choices": [], "usage": usage(self._question, what)}

    def _numbers(self, row: int) -> range:
        """The choices that an answer stands in."""
        greedy = self._question.sampling.temperature == 0
        return range(self._question.count) if greedy else range(row, row + 1)

    def _piece(self, number: int, piece: str, logprobs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self._said[number] += piece
        delta: dict[str, Any] = {"content": piece}
        if number not in self._begun:
            delta["role"] = "assistant"
            self._begun.add(number)
        return self._chunk(number, delta, None, logprobs)

    def _rest(self, number: int, answer: Answer) -> list[dict[str, Any]]:
        """What was not heard yet, the calls, and the end."""
        chunks = []
        rest = answer.text.removeprefix(self._said[number]) if answer.text.startswith(self._said[number]) else ""
        if rest or (number not in self._begun and not answer.tool_calls):
            chunks.append(self._piece(number, rest, _logprobs(answer)))
        if answer.tool_calls:
            calls = [{"index": at, **call} for at, call in enumerate(_calls(answer))]
            begin = {} if number in self._begun else {"role": "assistant"}
            chunks.append(self._chunk(number, {**begin, "tool_calls": calls}))
        return [*chunks, self._chunk(number, {}, _finish(answer))]

    def _chunk(
        self,
        number: int,
        delta: Mapping[str, Any],
        finish: str | None = None,
        logprobs: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        choice = {"index": number, "delta": dict(delta), "logprobs": logprobs, "finish_reason": finish}
        return {**self._common, "choices": [choice], **({"usage": None} if self._question.usage else {})}

"""The tuned model's answers, each on the disk as soon as it came, so that none that was paid for is asked for again.

A line of recorded.jsonl is one answer: who said it, what was asked, what was said, how it was drawn. A last line that was
cut by a kill is cut off before the next is written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from finetune_sdk.backend import Backend, PastJob
from finetune_sdk.data.tokens import Counter
from finetune_sdk.errors import BackendError, FinetuneError, InputError, RefusedError, UnsupportedError
from finetune_sdk.estimate import Price, Range
from finetune_sdk.messages import ChatExample, Conversation, TaskExample, ToolCall
from finetune_sdk.migration.cases import Cases, as_cases, conversations, key_of, training_rows
from finetune_sdk.migration.folder import Folder
from finetune_sdk.model import Answer, Model, Origin, Recorded, Sampling

AT_ONCE = 8
"""So many answers are under way at a time: the most that a kill can lose."""

_ENOUGH = 5
_LEAST, _MOST = 256, 16_384
_INEXACT = (0.65, 2.0)


@dataclass(frozen=True, slots=True)
class Recording:
    """What is still to be asked of one model, and what that may cost at most: every answer at its full length."""

    role: str
    model: str
    left: tuple[Conversation, ...]
    kept: int
    sampling: Sampling
    charge: Range


def plan(
    backend: Backend, past: PastJob, folder: Folder, cases: Cases, max_tokens: int | None = None, *, base: bool = False
) -> list[Recording]:
    """What is left to record: the tuned model's answers, and with `base` those of the base that it was tuned from.

    Raises InputError where answers of another length were recorded before.
    """
    if cases.data is None or past.model is None:
        return []
    counter = _counter(backend, past.base)
    sampling = _sampling(folder, cases, counter, max_tokens)
    folder.know(sampling={"max_tokens": sampling.max_tokens, "temperature": sampling.temperature})
    asked = {"tuned": past.model, **({"base": past.base} if base else {})}
    return [_planned(role, model, past, folder, cases, counter, sampling) for role, model in asked.items()]


def _planned(
    role: str, model: str, past: PastJob, folder: Folder, cases: Cases, counter: Counter | None, sampling: Sampling
) -> Recording:
    assert cases.data is not None
    kept = {line["key"] for line in lines(folder.answers) if line["role"] == role}
    left = tuple(one for one in conversations(cases.data) if key_of(one) not in kept)
    return Recording(role, model, left, len(kept), sampling, _charge(left, past, counter, sampling, cases))


def _counter(backend: Backend, base: str) -> Counter | None:
    try:
        return backend.counter(base)
    except FinetuneError:
        return None


def _sampling(folder: Folder, cases: Cases, counter: Counter | None, max_tokens: int | None) -> Sampling:
    """Greedy, and as long as the longest expected answer twice over, unless it is said; the same for all that is recorded."""
    before = folder.known.get("sampling", {}).get("max_tokens") if folder.answers.exists() else None
    if before and max_tokens not in (None, before):
        raise InputError(
            f"{folder.path}: answers of at most {before} tokens were recorded already.",
            cure=f"leave --max-tokens out, or give {before}, or choose another folder: --to",
        )
    if before or max_tokens:
        return Sampling(max_tokens=before or max_tokens or _LEAST)
    assert cases.data is not None
    longest = max((_answer_tokens(row, counter) for row in cases.data if isinstance(row, ChatExample)), default=0)
    return Sampling(max_tokens=min(_MOST, max(_LEAST, 2 * longest)))


def _answer_tokens(row: ChatExample, counter: Counter | None) -> int:
    if counter is None:
        return len(json.dumps(row.answer.canonical(), ensure_ascii=False).encode()) // 3
    return max(1, counter.count(row).total - _asked_tokens(row.prompt, counter))


def _asked_tokens(asked: Conversation, counter: Counter | None) -> int:
    if counter is None:
        return len(json.dumps(asked.canonical(), ensure_ascii=False).encode()) // 3
    return counter.count(TaskExample(asked, {})).total


def _charge(
    left: Sequence[Conversation], past: PastJob, counter: Counter | None, sampling: Sampling, cases: Cases
) -> Range:
    """From no more than the prompts to every answer at its longest."""
    if not left:
        return Range.exactly(0.0, "USD", "nothing is left to ask")
    prices = {price.kind: price for price in past.prices}
    if not {"input", "output"} <= prices.keys():
        return Range.unknown(
            "USD",
            f"nobody here knows what asking {past.model} costs; set input_usd_per_million, output_usd_per_million and priced",
        )
    asked = sum(_asked_tokens(one, counter) for one in left)
    assert cases.data is not None
    expected = [_answer_tokens(row, counter) for row in cases.data if isinstance(row, ChatExample)]
    answered = len(left) * sum(expected) / max(1, len(expected))
    longest = len(left) * sampling.max_tokens
    low, high = (1.0, 1.0) if counter is not None and counter.exact else getattr(counter, "spread", _INEXACT)
    each = {kind: _per_token(price) for kind, price in prices.items()}
    most = asked * high * each["input"] + longest * each["output"]
    guess = min(most, asked * each["input"] + answered * each["output"])
    basis = (
        f"{len(left):,} questions of {asked:,} tokens, answers of up to {sampling.max_tokens:,}; ${prices['input'].usd:g} and "
        f"${prices['output'].usd:g} for a million, as of {prices['input'].dated} ({prices['input'].source})"
    )
    return Range(min(guess, asked * low * each["input"]), guess, most, "USD", basis)


def _per_token(price: Price) -> float:
    return price.usd / 1e6


def record(
    backend: Backend, recording: Recording, folder: Folder, tell: Callable[[int, int | None], None] = lambda *_: None
) -> list[str]:
    """Asks what is left and keeps each answer as it comes. Returns what went wrong, question by question.

    After five failures in a row that are not of one question nothing more is asked. Raises NotFoundError where the model
    is gone.
    """
    model = backend.model(recording.model)
    _whole_lines(folder.answers)
    faults, row, done, lock = list[str](), [0], [0], Lock()
    rows = training_rows(folder)
    learnt = as_cases(rows) if rows is not None else None
    trained = {key_of(question) for question in conversations(learnt)} if learnt is not None else set()

    def one(asked: Conversation) -> None:
        if row[0] >= _ENOUGH:
            return
        try:
            answer, sampling = _answered(model, asked, recording.sampling)
        except BackendError as fault:
            with lock:
                faults.append(fault.message)
                row[0] += _is_general(fault)
            return
        line = _line(recording, asked, answer, sampling) | {"trained_on": key_of(asked) in trained}
        with lock:
            _append(folder.answers, line)
            row[0] = 0
            done[0] += 1
            tell(done[0], len(recording.left))

    workers = ThreadPoolExecutor(AT_ONCE)
    try:
        for _ in workers.map(one, recording.left):
            pass
    finally:
        workers.shutdown(wait=True, cancel_futures=True)  # what is under way is paid for, and kept
    missing = len(recording.left) - done[0] - len(faults)
    return [*faults, *[f"not asked, after {_ENOUGH} failures in a row"] * missing]


def _is_general(fault: BackendError) -> bool:
    """Whether other questions would fail alike: all but what the place refuses one question for."""
    return not isinstance(fault, RefusedError) or fault.code in ("401", "403", "invalid_api_key")


def _answered(model: Model, asked: Conversation, sampling: Sampling) -> tuple[Answer, Sampling]:
    try:
        return model.answer(asked, sampling), sampling
    except UnsupportedError:  # a model that reasons does not let its temperature be chosen
        freely = replace(sampling, temperature=1.0, top_p=1.0)
        return model.answer(asked, freely), freely


def _line(recording: Recording, asked: Conversation, answer: Answer, sampling: Sampling) -> dict[str, Any]:
    return {
        "role": recording.role, "model": recording.model, "key": key_of(asked), "asked": asked.canonical(),
        "answer": answer.to_dict(), "max_tokens": sampling.max_tokens, "temperature": sampling.temperature,
        "time": time.time(),
    }  # fmt: skip


def _append(path: Path, line: Mapping[str, Any]) -> None:
    text = json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while text:
                text = text[file.write(text) :]
            os.fsync(file.fileno())
        except OSError:  # a full disk: no half line may stay before the next one
            file.truncate(before)
            raise


def _whole_lines(path: Path) -> None:
    """Cuts off a last line that a kill left without its end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The answers that were recorded. Raises InputError for a line that is none."""
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            found = json.loads(line)
            Conversation.from_canonical(found["asked"])
            _answer(found["answer"])
            yield {**found, "key": found["key"], "role": found["role"]}
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{path} line {number} is no recorded answer.", cure="remove that line; its question is asked again"
            ) from None


def recorded(folder: Folder, role: str = "tuned") -> Recorded | None:
    """The kept answers as a model; its origin knows the rows that it was trained on. None where nothing was recorded."""
    kept = [line for line in lines(folder.answers) if line["role"] == role]
    if not kept:
        return None
    said = [(Conversation.from_canonical(line["asked"]), _answer(line["answer"])) for line in kept]
    rows = training_rows(folder) if role == "tuned" else None
    trained = as_cases(rows) if rows is not None else None
    known = folder.known
    origin = Origin(
        backend=known["place"],
        base=known["base"],
        run=f"{known['place']}:{known['job']}" if role == "tuned" else None,
        sketch=frozenset(trained.sketch()) if trained is not None else frozenset(),
    )
    return Recorded(f"{kept[-1]['model']} (recorded)", said, origin)


def _answer(row: Mapping[str, Any]) -> Answer:
    calls = tuple(ToolCall(call["name"], call["arguments"], call.get("id")) for call in row.get("tool_calls", ()))
    return Answer(**{**row, "tool_calls": calls})

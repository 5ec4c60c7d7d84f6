"""How many tokens a row has for the place: with OpenAI's own encoder where it is at hand, or by its bytes, and saying so.

tiktoken chooses a wrong encoding for some tuned models and none for others, so the encoding is chosen here. Its ranks are
a file that it fetches on first use; it is asked only where the file is there already, or where fetching is allowed.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha1, sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune_sdk.data.tokens import TokenCount
from finetune_sdk.machine import cores
from finetune_sdk.messages import (
    ROLES,
    ChatExample,
    Example,
    Kind,
    Message,
    PreferenceExample,
    RatedExample,
    TaskExample,
    TextExample,
)
from finetune_sdk.settings import variable
from finetune_sdk_openai.known import family

# Bytes of UTF-8 a token, measured on 1,000 chats in English, German and JSON: 3.5 to 5.2; code 2.4, Chinese 2.3 to 4.
BYTES_A_TOKEN = 4.0
ROUGH = (0.65, 2.0)
ANY = (0.35, 3.0)  # another tokenizer altogether, from whole words to single bytes, and another template
FINE = (0.95, 1.08)
IMAGE_TOKENS = 765
_RANKS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
_SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
_A_MESSAGE, _A_NAME, _AN_EXAMPLE = 3, 1, 3
_KINDS: Mapping[type[Example], Kind] = {
    ChatExample: "chat", PreferenceExample: "preference", RatedExample: "rated", TaskExample: "task", TextExample: "text"
}  # fmt: skip
_BATCH_ROWS, _BATCH_CHARACTERS = 2048, 2**22
_THREADS = 4
_LONG, _PIECE = 200_000, 100_000
_END = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Encoder:
    """How a base's texts are counted, and what that rests on; the truth lies between `spread` times the count.

    `encoding` is tiktoken's name for it, None where bytes are counted. Nothing is loaded before something is counted.
    """

    encoding: str | None
    basis: str
    spread: tuple[float, float]

    @property
    def count(self) -> Callable[[str], int]:
        return _by_bytes if self.encoding is None else _by_encoding(self.encoding)


def encoder(base: str) -> Encoder:
    known = family(base)
    if known is None:
        why, spread = f"the tokenizer of {base} is not known here", ANY
    elif find_spec("tiktoken") is None:
        why = "tiktoken, which counts them, is not installed (pip install 'finetune-anywhere[openai]')"
        spread = ROUGH
    elif not ranks_at_hand(known.encoding):
        why = f"the ranks of {known.encoding} are not on this machine (TIKTOKEN_CACHE_DIR names their folder)"
        spread = ROUGH
    else:
        rules = "the rules of OpenAI's cookbook, which call themselves not exact"
        return Encoder(known.encoding, f"{known.encoding}, and {rules}", FINE)
    return Encoder(None, f"{BYTES_A_TOKEN:g} bytes a token, for {why}", spread)


def ranks_at_hand(encoding: str) -> bool:
    """Whether tiktoken finds the file, whole, without fetching it: it is called after the hash of its address."""
    folder = variable("TIKTOKEN_CACHE_DIR") or variable("DATA_GYM_CACHE_DIR")
    name = sha1(_RANKS.format(encoding).encode(), usedforsecurity=False).hexdigest()
    file = Path(folder or Path(tempfile.gettempdir()) / "data-gym-cache") / name
    try:
        stands = file.stat()
        return _sha256(file, stands.st_size, stands.st_mtime_ns) == _SHA256[encoding]
    except OSError:
        return False


@lru_cache(8)
def _sha256(file: Path, size: int, changed: int) -> str:
    """Of a file as it stands: tiktoken throws away one that is damaged, and fetches another."""
    return sha256(file.read_bytes()).hexdigest()


def _by_bytes(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // int(BYTES_A_TOKEN))


@cache
def _by_encoding(name: str) -> Callable[[str], int]:
    import tiktoken

    encode = tiktoken.get_encoding(name).encode_ordinary

    def count(text: str) -> int:
        if len(text) > _LONG and _blank(text):  # tiktoken's stack overflows on so much white space
            return sum(len(encode(text[start : start + _PIECE])) for start in range(0, len(text), _PIECE))
        return len(encode(text))

    return count


def _blank(text: str) -> bool:
    return any(run.end() - run.start() > _PIECE for run in re.finditer(r"\s+", text))


@dataclass(slots=True)
class _Sheet:
    """What of one row is to be counted: texts, and tokens that are sure; those that are asked, and those that are learnt."""

    asked: list[str]
    learnt: list[str]
    asked_tokens: int
    learnt_tokens: int

    def summed(self, count: Callable[[str], int]) -> TokenCount:
        learnt = self.learnt_tokens + sum(map(count, self.learnt))
        return TokenCount(self.asked_tokens + sum(map(count, self.asked)) + learnt, learnt)


class ProtocolCounter:
    """Counts as OpenAI's cookbook does: 3 a message, every value, 1 for a name, 3 an example; calls and tools as JSON.

    Of a pair, the prompt is counted once and both answers; what is trained is the answers.
    """

    exact = False

    def __init__(self, base: str) -> None:
        self._encoder = encoder(base)
        self.basis, self.spread = self._encoder.basis, self._encoder.spread

    @property
    def identity(self) -> str:
        """Stands for how texts are counted."""
        return self._encoder.encoding or f"{BYTES_A_TOKEN:g} bytes"

    def count(self, example: Example) -> TokenCount:
        count = _remembered(self._encoder)
        return _sheet(_KINDS[type(example)], example.canonical(), _turns(self._encoder)).summed(count)

    def counts(self, kind: Kind, rows: Iterable[Mapping[str, Any]]) -> Iterator[TokenCount]:
        """The counts of canonical rows, in order. Texts that rows share are encoded once, and several threads encode."""
        from concurrent.futures import Future, ThreadPoolExecutor

        threads = max(1, min(cores(), _THREADS))
        waiting = deque[tuple[list[_Sheet], Future[dict[str, int]]]]()
        with ThreadPoolExecutor(threads) as pool:
            for batch in _batches(kind, rows, _turns(self._encoder)):
                texts = {text for sheet in batch for side in (sheet.asked, sheet.learnt) for text in side}
                waiting.append((batch, pool.submit(_lengths, texts, self._encoder)))
                if len(waiting) > threads:
                    yield from _summed(*waiting.popleft())
            while waiting:
                yield from _summed(*waiting.popleft())


@lru_cache(8)
def _remembered(how: Encoder) -> Callable[[str], int]:
    """Counts one text at a time; rows share texts: a system prompt, tools."""
    return lru_cache(4096)(how.count)


@lru_cache(8)
def _turns(how: Encoder) -> dict[str, int]:
    """What a message of each role takes before anything is said in it."""
    return {role: _A_MESSAGE + how.count(role) for role in sorted(ROLES)}


def _lengths(texts: set[str], how: Encoder) -> dict[str, int]:
    if how.encoding is None:
        return {text: _by_bytes(text) for text in texts}
    apart = {text for text in texts if _END in text or len(text) > _LONG}
    together = list(texts - apart)
    try:
        known = dict(zip(together, _joined(together, how.encoding), strict=True))
    except UnicodeEncodeError:  # half a character, which the encoder mends where it is asked for one text
        known, apart = {}, texts
    return known | {text: how.count(text) for text in apart}


def _joined(texts: list[str], encoding: str) -> list[int]:
    """The tokens of each text, in one call that lets other threads run: a special token between texts keeps them apart."""
    import numpy
    import tiktoken

    if not texts:
        return []
    encoder = tiktoken.get_encoding(encoding)
    found = encoder.encode_to_numpy(_END.join(texts), allowed_special={_END}, disallowed_special=())
    ends = numpy.append(numpy.flatnonzero(found == encoder.eot_token), len(found))
    return [int(count) for count in numpy.diff(ends, prepend=-1) - 1]


def _summed(batch: list[_Sheet], lengths: Any) -> Iterator[TokenCount]:
    known = lengths.result().__getitem__
    return (sheet.summed(known) for sheet in batch)


def _batches(kind: Kind, rows: Iterable[Mapping[str, Any]], turns: Mapping[str, int]) -> Iterator[list[_Sheet]]:
    """The sheets of the rows, as many together as fit into memory with ease."""
    batch, size = list[_Sheet](), 0
    for row in rows:
        sheet = _sheet(kind, row, turns)
        batch.append(sheet)
        size += sum(map(len, sheet.asked)) + sum(map(len, sheet.learnt))
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _sheet(kind: Kind, row: Mapping[str, Any], turns: Mapping[str, int]) -> _Sheet:
    if kind == "text":
        return _Sheet([], [row["text"]], 0, 0)
    asked = row if kind == "chat" else row["prompt"]
    sheet = _Sheet([], [], _AN_EXAMPLE, 0)
    if asked.get("tools"):
        sheet.asked.append(_json(list(asked["tools"])))
    for message in asked["messages"]:
        if kind == "chat" and message["role"] == "assistant" and message.get("weight") != 0:
            sheet.learnt_tokens += turns["assistant"] + _said(message, sheet.learnt)
        else:
            sheet.asked_tokens += turns[message["role"]] + _said(message, sheet.asked)
    for side in {"preference": ("chosen", "rejected"), "rated": ("answer",)}.get(kind, ()):
        for message in row[side]:
            sheet.learnt_tokens += turns[message["role"]] + _said(message, sheet.learnt)
    if kind == "task":  # its answers are yet to be given
        return _Sheet([], sheet.asked, 0, sheet.asked_tokens)
    return sheet


def _said(message: Mapping[str, Any], texts: list[str]) -> int:
    """Adds what a message says to the texts; returns the tokens that are no text."""
    content, tokens = message.get("content"), 0
    if isinstance(content, str):
        texts.append(content)
        if len(message) == 2:  # nothing but its role besides
            return 0
    elif content:
        texts.append("".join(str(part.get("text", "")) for part in content))
        tokens += IMAGE_TOKENS * _images(content)
    if message.get("name"):
        tokens += _A_NAME
    texts.extend(message[key] for key in ("name", "refusal", "tool_call_id") if message.get(key))
    for call in message.get("tool_calls", ()):
        texts += (call["name"], _json(call["arguments"]))
    return tokens


def images(message: Message) -> int:
    if message.content is None or isinstance(message.content, str):
        return 0
    return _images(message.content)


def _images(content: Iterable[Mapping[str, Any]]) -> int:
    return sum(part.get("type") == "image_url" for part in content)


def _json(value: Mapping[str, Any] | list[Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)

"""How many tokens a row has for the place: with OpenAI's own encoder where it is at hand, or by its bytes, and saying so.

tiktoken chooses a wrong encoding for some tuned models and none for others, so the encoding is chosen here. Its ranks are
a file that it fetches on first use; it is asked only where the file is there already, or where fetching is allowed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune_sdk.data.tokens import TokenCount
from finetune_sdk.messages import (
    ChatExample,
    Conversation,
    Example,
    Message,
    PreferenceExample,
    RatedExample,
    TaskExample,
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
_A_MESSAGE, _A_NAME, _AN_EXAMPLE = 3, 1, 3


def encoder(base: str) -> tuple[Callable[[str], int], str, tuple[float, float]]:
    """What counts a text for a base, what that rests on, and the factors between which the truth lies."""
    known = family(base)
    if known is None:
        return _by_bytes, f"{BYTES_A_TOKEN:g} bytes a token, for the tokenizer of {base} is not known here", ANY
    if find_spec("tiktoken") is None:
        why = "tiktoken, which counts them, is not installed (pip install 'finetune-anywhere[openai]')"
        return _by_bytes, f"{BYTES_A_TOKEN:g} bytes a token, for {why}", ROUGH
    if not ranks_at_hand(known.encoding):
        why = f"the ranks of {known.encoding} are not on this machine (TIKTOKEN_CACHE_DIR names their folder)"
        return _by_bytes, f"{BYTES_A_TOKEN:g} bytes a token, for {why}", ROUGH
    return (
        _by_encoding(known.encoding),
        f"{known.encoding}, and the rules of OpenAI's cookbook, which call themselves not exact",
        FINE,
    )


def ranks_at_hand(encoding: str) -> bool:
    """Whether tiktoken finds the file without fetching it: it is called after the hash of its address."""
    folder = variable("TIKTOKEN_CACHE_DIR") or variable("DATA_GYM_CACHE_DIR")
    name = sha1(_RANKS.format(encoding).encode(), usedforsecurity=False).hexdigest()
    return (Path(folder or Path(tempfile.gettempdir()) / "data-gym-cache") / name).is_file()


def _by_bytes(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // int(BYTES_A_TOKEN))


@cache
def _by_encoding(name: str) -> Callable[[str], int]:
    import tiktoken

    encoding = tiktoken.get_encoding(name)
    # Rows share texts: a system prompt, tools.
    return lru_cache(4096)(lambda text: len(encoding.encode_ordinary(text)))


class ProtocolCounter:
    """Counts as OpenAI's cookbook does: 3 a message, every value, 1 for a name, 3 an example; calls and tools as JSON.

    Of a pair, the prompt is counted once and both answers; what is trained is the answers.
    """

    exact = False

    def __init__(self, base: str) -> None:
        self._count, self.basis, self.spread = encoder(base)

    def count(self, example: Example) -> TokenCount:
        if isinstance(example, ChatExample):
            return self._chat(example)
        if isinstance(example, PreferenceExample):
            learnt = self._messages(example.chosen) + self._messages(example.rejected)
            return TokenCount(self._asked(example.prompt) + learnt, learnt)
        if isinstance(example, TaskExample):
            total = self._asked(example.prompt)
            return TokenCount(total, total)
        if isinstance(example, RatedExample):
            learnt = self._messages(example.answer)
            return TokenCount(self._asked(example.prompt) + learnt, learnt)
        total = self._count(example.text)
        return TokenCount(total, total)

    def _chat(self, example: ChatExample) -> TokenCount:
        learnt = sum(self._message(m) for m in example.messages if m.role == "assistant" and m.weight != 0)
        return TokenCount(self._asked(Conversation(example.messages, example.tools)), learnt)

    def _asked(self, asked: Conversation) -> int:
        tools = self._count(_json(list(asked.tools))) if asked.tools else 0
        return _AN_EXAMPLE + tools + self._messages(asked.messages)

    def _messages(self, messages: tuple[Message, ...]) -> int:
        return sum(map(self._message, messages))

    def _message(self, message: Message) -> int:
        total = _A_MESSAGE + self._count(message.role) + IMAGE_TOKENS * images(message)
        return total + (_A_NAME if message.name else 0) + sum(map(self._count, _texts(message)))


def images(message: Message) -> int:
    if message.content is None or isinstance(message.content, str):
        return 0
    return sum(part.get("type") == "image_url" for part in message.content)


def _texts(message: Message) -> Iterator[str]:
    if message.content:
        yield message.text
    for text in (message.name, message.refusal, message.tool_call_id):
        if text:
            yield text
    for call in message.tool_calls:
        yield call.name
        yield _json(call.arguments)


def _json(value: Mapping[str, Any] | list[Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)

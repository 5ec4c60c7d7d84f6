"""Plain texts as token ids, for continued pretraining: no template, every token learnt, nothing cut away."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import UnsupportedError
from finetune_sdk_local.tokenising import Sequences

BATCH = 256


def ended(tokenizer: Any, text: str) -> str:
    """The text and the token that ends it, where the tokenizer has one and the text does not end in it."""
    end = tokenizer.eos_token
    return text if not end or text.endswith(end) else text + end


def encoded(tokenizer: Any, texts: list[str]) -> list[NDArray[np.int32]]:
    """Each text's token ids with its end, and whatever else the tokenizer puts around a text; BOS and end once."""
    if not tokenizer.is_fast:
        raise UnsupportedError("the base has no fast tokenizer.", cure="use a base with a tokenizer.json")
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    made = backend.encode_batch_fast([ended(tokenizer, text) for text in texts], add_special_tokens=True)
    return [_once(np.asarray(one.ids, np.int32), tokenizer) for one in made]


def _once(ids: NDArray[np.int32], tokenizer: Any) -> NDArray[np.int32]:
    """Without the second BOS or end, where the text and the tokenizer both bring one."""
    if len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id:
        ids = ids[1:]
    if len(ids) > 1 and ids[-1] == ids[-2] == tokenizer.eos_token_id:
        ids = ids[:-1]
    return ids


def pieces(ids: NDArray[np.int32], max_length: int) -> list[NDArray[np.int32]]:
    """Token ids in sequences of at most `max_length`; each begins with the token that the one before it ended with.

    A sequence's first token is predicted from nothing, so each token of a text but its first is learnt exactly once.
    """
    starts = range(0, max(1, len(ids) - 1), max_length - 1)
    return [ids[start : start + max_length] for start in starts]


def tokenise(tokenizer: Any, dataset: Dataset, max_length: int) -> Sequences:
    """All texts as sequences of at most `max_length` tokens, each of which is trained."""
    made, sources = list[NDArray[np.int32]](), list[int]()
    for row, ids in enumerate(_ids(tokenizer, dataset)):
        parts = pieces(ids, max_length)
        made += parts
        sources += [row] * len(parts)
    lengths = np.asarray([len(ids) for ids in made], np.int64)
    nothing = np.zeros(len(made), np.int64)
    ids = np.concatenate(made)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    return Sequences(ids, np.ones(len(ids), np.bool_), starts, nothing, nothing, np.asarray(sources, np.int64))


def _ids(tokenizer: Any, dataset: Dataset) -> Iterator[NDArray[np.int32]]:
    rows = dataset.rows()
    while batch := [row["text"] for row in islice(rows, BATCH)]:
        yield from encoded(tokenizer, batch)

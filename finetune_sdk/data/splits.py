"""Which side of a split a row falls on: by the seeded hash of its content or of its group, or by turns within a stratum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import orjson

from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import Example, Kind, example

Label = Callable[[Example], object]
SIDES = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Shares:
    """Of all rows, how many are held back; what is left is for training. Raises DatasetError for nonsense."""

    validation: float
    test: float

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise DatasetError(f"{name}={value!r} is no number.", cure=f"give {name} a number")
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1):
            raise DatasetError(
                f"validation={self.validation} and test={self.test} leave nothing to train on.",
                cure="give shares of 0 or more whose sum is below 1",
            )


def seeded(seed: int) -> Callable[[bytes], bytes]:
    """8 bytes that stand for a content under a seed: evenly spread, and another order for each seed."""
    if not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise DatasetError(f"the seed {str(seed)[:40]} is no whole number of 64 bits.", cure="give a seed such as 7")
    keyed = blake2b(digest_size=8, key=str(seed).encode())

    def place(content: bytes) -> bytes:
        digest = keyed.copy()
        digest.update(content)
        return digest.digest()

    return place


def by_hash(contents: Iterable[bytes], shares: Shares, seed: int) -> Iterator[int]:
    """The side of each content (0 train, 1 validation, 2 test), whatever else there is."""
    place = seeded(seed)
    tested_below, held_below = (
        int(share * 2**64).to_bytes(8) for share in (shares.test, shares.test + shares.validation)
    )
    for content in contents:
        at = place(content)
        yield 2 if at < tested_below else 1 if at < held_below else 0


def by_stratum(contents: Sequence[bytes], strata: Sequence[bytes], shares: Shares, seed: int) -> list[int]:
    """Sides with the shares met in each stratum as nearly as whole rows allow; equal contents stay together."""
    place, sides = seeded(seed), [0] * len(contents)
    members: dict[bytes, dict[bytes, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (content, stratum) in enumerate(zip(contents, strata, strict=True)):
        members[stratum][content].append(index)
    for same in members.values():
        count = sum(map(len, same.values()))
        wanted, taken = (round(count * shares.test), round(count * (shares.test + shares.validation))), 0
        for content in sorted(same, key=place):
            side = 2 if taken < wanted[0] else 1 if taken < wanted[1] else 0
            for index in same[content]:
                sides[index] = side
            taken += len(same[content])
    return sides


def labels(rows: Iterable[Mapping[str, Any]], kind: Kind, by: Literal["prompt", "answer"] | Label) -> Iterator[bytes]:
    """16 bytes that stand for what each row is grouped by: its prompt, its answer, or what a function makes of it."""
    for row in rows:
        if by == "prompt":
            value: Any = _prompt(row, kind)
        elif by == "answer":
            value = _answer(row, kind)
        elif callable(by):
            value = str(by(example(kind, row))).encode("utf-8", "replace").decode()
        else:
            raise DatasetError(
                f"rows cannot be told apart by {by!r}.", cure='use "prompt", "answer", or a function of an example'
            )
        yield blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _prompt(row: Mapping[str, Any], kind: Kind) -> Any:
    if kind == "text":
        raise DatasetError("text rows have no prompt.", cure="give a function of an example instead")
    return row["messages"][: _last(row)] if kind == "chat" else row["prompt"]


def _answer(row: Mapping[str, Any], kind: Kind) -> Any:
    if kind == "chat":
        return row["messages"][_last(row)]["content"]
    if kind == "rated":
        return row["good"]
    raise DatasetError(f"{kind} rows have no one answer.", cure="give a function of an example instead")


def _last(row: Mapping[str, Any]) -> int:
    return max(at for at, message in enumerate(row["messages"]) if message["role"] == "assistant")

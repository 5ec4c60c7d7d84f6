"""How much a dataset is: counted once, and kept on the disk under the SDK's folder for every process after it.

What is kept are counts, found by the rows' fingerprint, how texts are counted, and the limit; nothing of the rows themselves.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.files import keep
from finetune_sdk_openai.tokens import ProtocolCounter

SHOWN = 20
_COUNTING = 1  # counts up when rows are counted otherwise, so that older counts are never used
_LEAST_ROWS, _LEAST_TOKENS = 1_000, 500_000  # what is smaller is counted faster than written
_MOST_FILES = 500


@dataclass(frozen=True, slots=True)
class Volume:
    """Tokens of one epoch: billed, learnt, and those of prompts that a pair may be billed for twice.

    `cuts` rows are longer than the limit, `cut` are the first of them; `longest` is the longest row, uncut.
    """

    billed: int = 0
    learnt: int = 0
    prompts: int = 0
    cuts: int = 0
    cut: tuple[int, ...] = ()
    longest: int = 0


def counted(data: Dataset, counter: ProtocolCounter, limit: int | None) -> Volume:
    """The volume of a dataset, each row cut at the limit."""
    billed = learnt = prompts = longest = cuts = 0
    cut = list[int]()
    for index, count in enumerate(counter.counts(data.kind, data.rows())):
        whole_row = count.total
        kept = min(whole_row, limit or whole_row)
        if kept < whole_row:
            cuts += 1
            cut += [index] if len(cut) < SHOWN else []
        longest = max(longest, whole_row)
        billed += kept
        learnt += min(count.trained, kept)
        prompts += whole_row - count.trained if data.kind == "preference" else 0
    return Volume(billed, learnt, prompts, cuts, tuple(cut), longest)


def volume(data: Dataset, counter: ProtocolCounter, limit: int | None, home: Path) -> Volume:
    """The volume of a dataset, from the disk where it was counted before. What is damaged there is counted anew."""
    key = json.dumps([_COUNTING, data.fingerprint, counter.identity, limit])
    file = home / "volumes" / f"{blake2b(key.encode(), digest_size=16).hexdigest()}.json"
    found = _read(file)
    if found is None:
        found = counted(data, counter, limit)
        if len(data) >= _LEAST_ROWS or found.billed >= _LEAST_TOKENS:
            _keep(file, found)
    return found


def _read(file: Path) -> Volume | None:
    try:
        kept = json.loads(file.read_bytes())
        row, seal = kept["volume"], kept["seal"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(row, dict) or row.keys() != {one.name for one in fields(Volume)} or seal != _seal(row):
        return None
    return Volume(**{**row, "cut": tuple(row["cut"])})


def _keep(file: Path, found: Volume) -> None:
    row = {**asdict(found), "cut": list(found.cut)}
    keep(file, json.dumps({"volume": row, "seal": _seal(row)}).encode(), _MOST_FILES)


def _seal(row: dict[str, Any]) -> str:
    return blake2b(json.dumps(row, sort_keys=True).encode(), digest_size=16).hexdigest()

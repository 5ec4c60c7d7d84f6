"""Files that were damaged at random: an error in words, or rows and findings; no other exception, and no other memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from random import Random

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from samples import CSV, FILLED, GOOD, PAIR, RATED, SHARED, TASK, called, parquet, turns

LINES = {
    "openai": GOOD, "tools": called("{}"), "rft": json.dumps(TASK), "sharegpt": json.dumps(SHARED), "pairs": json.dumps(PAIR),
    "rated": json.dumps(RATED), "filled": json.dumps(FILLED), "text": json.dumps({"text": "é 日本語 🙂"}), "empty": json.dumps(turns()),
}  # fmt: skip
PIECES = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"1e999",
    b"-0", b"NaN", b"\xed\xa0\x80", b"\\ud800", b'{"a":1}', b"9" * 40, b'"messages"', b'"role"', b"[" * 2000, b"\x1f\x8b", b"PAR1",
    b"PK\x03\x04", b";", b"\t",
)  # fmt: skip
MOST_BYTES = 48 << 20


def files() -> dict[str, bytes]:
    lines = {f"{name}.jsonl": (line + "\n").encode() * 12 for name, line in LINES.items()}
    mixed = "\n".join(LINES.values()).encode()
    array = b"[" + b",".join(line.encode() for line in LINES.values()) + b"]"
    rows = [FILLED] * 12
    return {
        **lines, "mixed.jsonl": mixed, "array.json": array, "table.csv": CSV * 6, "tabs.tsv": CSV.replace(b",", b"\t") * 6,
        "packed.jsonl.gz": gzip.compress(mixed, mtime=0), "rows.parquet": parquet(rows),
    }  # fmt: skip


def damaged(good: bytes, source: Random) -> bytes:
    """The file with a few bytes changed, left out, doubled or put in, or cut short."""
    data = bytearray(good)
    for _ in range(source.choice((1, 1, 2, 4, 16))):
        at = source.randrange(len(data) + 1)
        upto = min(len(data), at + source.choice((1, 2, 8, 64)))
        what = source.randrange(6)
        if what == 0 and at < len(data):
            data[at] = source.randrange(256)
        elif what == 1:
            del data[at:upto]
        elif what == 2:
            data[at:at] = data[at:upto]
        elif what == 3:
            data[at:at] = source.choice(PIECES)
        elif what == 4:
            data[at:upto] = source.choice(PIECES)
        else:
            del data[at:]
    return bytes(data)


def told(path: Path) -> list[tuple[str, str | None]]:
    """What a user is told of the file, and the cures; all of its rows are read."""
    try:
        data, faults = Dataset.inspect(path)
    except DatasetError as fault:
        return [(fault.message, fault.cure)]
    assert len(list(data)) == len(data)
    return [(fault.message, fault.cure) for fault in (*faults, *data.check())]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("rounds", [60, pytest.param(4000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", files())
def test_a_damaged_file_ends_in_words(name: str, rounds: int, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    good, path = files()[name], tmp_path / name
    for seed in range(rounds):
        bad = damaged(good, Random(f"{name} {seed}"))
        path.write_bytes(bad)
        tracemalloc.start()
        try:
            said = told(path)
        except BaseException as fault:
            fault.add_note(f"seed {seed}: {bad[:300]!r}")
            raise
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < MOST_BYTES, f"seed {seed}"
        assert all(0 < len(message) < 5_000 and cure for message, cure in said), f"seed {seed}"

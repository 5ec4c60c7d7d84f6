"""Good files of every kind raise no alarm; with noise in them they end in rows, or in an error that names the file."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from rows import chat, pair
from samples import ANSWER, CSV, FILLED, GOOD, OFFERED, PAIR, RATED, SHARED, TASK, USER, called, parquet, turns

FINE: dict[str, tuple[str, bytes | Callable[[], bytes]]] = {
    "chat": ("rows.jsonl", GOOD.encode()),
    "no suffix": ("rows", GOOD.encode()),
    "a byte order mark": ("rows.jsonl", b"\xef\xbb\xbf" + GOOD.encode()),
    "CRLF": ("rows.jsonl", f"{GOOD}\r\n{GOOD}\r\n".encode()),
    "mixed line ends": ("rows.jsonl", f"{GOOD}\r\n{GOOD}\n\n\r\n{GOOD}".encode()),
    "a colon, a quote and a backslash in texts": ("rows.jsonl", json.dumps(chat('"a": b', "c\\")).encode()),
    "ASCII alone": ("rows.jsonl", json.dumps(chat("ä🛒\u2028", "ß")).encode()),
    "an escaped colon": ("rows.jsonl", GOOD.replace('"a"', '"a\\u003a"').encode()),
    "an escaped NUL": ("rows.jsonl", GOOD.replace('"a"', '"\\u0000"').encode()),
    "a long number in a text": ("rows.jsonl", json.dumps(chat("4" * 30, "b")).encode()),
    "a long number in a tool's text": ("rows.jsonl", GOOD[:-1].encode() + b', "tools": [{"x": "1234567890123456789012"}]}'),
    "the largest number": ("rows.jsonl", GOOD[:-1].encode() + b', "tools": [{"x": 18446744073709551615}]}'),
    "the smallest number": ("rows.jsonl", GOOD[:-1].encode() + b', "tools": [{"x": -9223372036854775808}]}'),
    "a float beyond 64 bits": ("rows.jsonl", GOOD[:-1].encode() + b', "tools": [{"x": 1e300}]}'),
    "the same key in two objects": ("rows.jsonl", GOOD[:-1].encode() + b', "tools": [{"x": {"x": {"x": 1}}}]}'),
    "spaces everywhere": ("rows.jsonl", GOOD.replace(":", "  :\t").replace(",", " ,  ").encode()),
    "a call": ("rows.jsonl", called('{"x": {"y": [1]}}', tools=[OFFERED]).encode()),
    "a call with its object": ("rows.jsonl", called({"x": ":"}, tools=[OFFERED]).encode()),
    "an older call": ("rows.jsonl", json.dumps(turns(USER, {"role": "assistant", "function_call": {
        "name": "f", "arguments": '{"x": 1}'}}, functions=[{"name": "f"}])).encode()),
    "parts": ("rows.jsonl", json.dumps(turns({"role": "user", "content": [{"type": "text", "text": "a"}]}, ANSWER)).encode()),
    "pretty": ("rows.json", json.dumps([chat("a", "b")] * 3, indent=4).encode()),
    "an array after a mark": ("rows.json", b"\xef\xbb\xbf \n" + json.dumps([chat("[{,", '"]')]).encode() + b"\n\n"),
    "packed": ("rows.jsonl.gz", gzip.compress(GOOD.encode())),
    "packed in two": ("rows.jsonl.gz", gzip.compress(f"{GOOD}\n".encode()) + gzip.compress(GOOD.encode())),
    "packed under another name": ("rows.jsonl", gzip.compress(GOOD.encode())),
    "a packed array": ("rows.json.gz", gzip.compress(f"[{GOOD}]".encode())),
    "CSV": ("rows.csv", CSV),
    "CSV under another name": ("rows.txt", CSV),
    "CSV of Excel": ("rows.csv", b"\xef\xbb\xbf" + CSV.replace(b",", b";").replace(b"\n", b"\r\n")),
    "tabs": ("rows.tsv", CSV.replace(b",", b"\t")),
    "CSV with quotes": ("rows.csv", b'prompt,completion\n"a\n""b"", c","d"\n\n'),
    "CSV with labels": ("rows.csv", b"prompt,completion,label\na,b,True\na,c,0\n"),
    "CSV packed": ("rows.csv.gz", gzip.compress(CSV)),
    "Parquet": ("rows.parquet", lambda: parquet([FILLED])),
    "Parquet of messages": ("rows.parquet", lambda: parquet([turns({**USER, "name": "x"}, ANSWER)])),
    "Parquet of pairs": ("rows.parquet", lambda: parquet([{"chosen": [USER, ANSWER], "rejected": [USER, {**ANSWER, "content": "x"}]}])),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), FINE.values(), ids=FINE.keys())
def test_a_good_file_raises_no_alarm(tmp_path: Path, name: str, content: bytes | Callable[[], bytes]) -> None:
    path = tmp_path / name
    path.write_bytes(content() if callable(content) else content)
    dataset = Dataset.load(path)
    assert list(dataset)
    assert [finding for finding in dataset.check() if finding.check != "duplicates"] == []


def mutated(content: bytes, source: random.Random) -> bytes:
    noisy = bytearray(content)
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(noisy) + 1)
        match source.randrange(5):
            case 0:
                noisy[at : at + 1] = bytes([source.randrange(256)])
            case 1:
                del noisy[at : at + source.randint(1, 20)]
            case 2:
                noisy[at:at] = noisy[at : at + source.randint(1, 40)]
            case 3:
                noisy[at:at] = source.choice(
                    [b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\n", b"\r", b"\0", b"9" * 25]
                )
            case _:
                noisy[at : at + 4] = source.choice(
                    [b"null", b"true", b"NaN ", b'""', b"{}", b"[]", b"1e99", b"\xff\xfe"]
                )
    return bytes(noisy)


@pytest.mark.parametrize("name", [name for name in FINE if not name.startswith("Parquet")])
def test_noise_ends_in_rows_or_in_an_error_that_names_the_file(tmp_path: Path, name: str) -> None:
    file, content = FINE[name]
    assert isinstance(content, bytes)
    source, path = random.Random(name), tmp_path / file
    for _ in range(40):
        path.write_bytes(mutated(content, source))
        try:
            dataset, faults = Dataset.inspect(path)
        except DatasetError as error:
            said = error
        else:
            assert all(fault.cure and fault.rows for fault in faults)
            assert len(list(dataset)) == len(dataset)
            continue
        assert str(path) in said.message
        assert said.cure


VALUES: list[Any] = [None, True, 3, -1.5, "", "x", [], {}, [None], {"x": 1}, ["x"], [[]], [{}], {"role": "user"}]


def shaken(value: Any, source: random.Random) -> Any:
    """The value with something in it replaced, removed or added."""
    if source.random() < 0.15:
        return source.choice(VALUES)
    if isinstance(value, dict):
        items = [(key, shaken(inner, source) if source.random() < 0.5 else inner) for key, inner in value.items()]
        kept = [item for item in items if source.random() > 0.1]
        return dict(kept) | ({"extra": 1} if source.random() < 0.05 else {})
    if isinstance(value, list):
        return [shaken(inner, source) if source.random() < 0.5 else inner for inner in value if source.random() > 0.1]
    return value


SHAKEN = [
    ("openai", json.loads(called('{"x": 1}', tools=[{"type": "function"}]))), ("openai-preference", pair("a", "b", "c")),
    ("openai-rft", TASK), ("sharegpt", {**SHARED, "tools": "[]", "system": "x"}), ("trl-kto", RATED), ("trl-preference", PAIR),
    ("trl-preference", {"chosen": [USER, ANSWER], "rejected": [USER, {**ANSWER, "content": "x"}], "tools": []}),
    ("prompt-completion", {"prompt": [USER], "completion": [ANSWER]}), ("prompt-completion", FILLED), ("text", {"text": "a"}),
    ("alpaca", {"instruction": "a", "input": "b", "output": "c", "system": "d"}),
]  # fmt: skip


@pytest.mark.parametrize(("form", "row"), SHAKEN)
def test_shaken_rows_are_read_or_named(form: str, row: dict[str, Any]) -> None:
    source = random.Random(form)
    for _ in range(400):
        try:
            assert list(Dataset.of([shaken(row, source) or row], form))
        except DatasetError as error:
            said = error
        else:
            continue
        assert said.cure


def test_there_are_enough_of_them() -> None:
    assert len(FINE) >= 30

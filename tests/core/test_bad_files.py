"""Bad files: each is named with its line and a cure, costs little memory, and none ends in a traceback."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.readers import lines as reading
from finetune_sdk.errors import DatasetError
from rows import chat, pair

USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
GOOD = json.dumps(chat("a", "b"))
TASK = {"messages": [USER], "answer": 4}
SHARED = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}
RATED = {"prompt": "a", "completion": "b", "label": True}
FILLED = {"prompt": "a", "completion": "b"}


def turns(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def called(arguments: Any, **more: Any) -> str:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return json.dumps(turns(USER, {"role": "assistant", "tool_calls": [call]}, **more))


OFFERED = {"type": "function", "function": {"name": "f"}}


def deep(depth: int) -> str:
    return "[" * depth + "]" * depth


# The line that is bad, what is said of it, and what the cure speaks of; a good line stands before it.
LINES: dict[str, tuple[str | bytes, str, str]] = {
    "a key twice": ('{"messages": [], ' + GOOD[1:], "'messages' stands twice", "remove one"),
    "a role twice": (GOOD.replace('"role": "user"', '"role": "system", "role": "user"'), "'role' stands twice", "remove"),
    "a content twice": (GOOD.replace('"content": "a"', '"content": "x", "content": "a"'), "'content' stands twice", "remove"),
    "a key twice, compact": ('{"messages":[{"role":"system","role":"user","content":"a"},{"role":"assistant","content":"b"}]}',
                             "'role' stands twice", "remove one"),
    "a key twice, spaced oddly": (GOOD.replace('"role": "user"', '"role" : "user" ,"role" : "user"'), "stands twice", "remove"),
    "a key twice in escapes": (GOOD.replace('"role": "user"', '"r\\u006fle": "user", "role": "user"'), "stands twice", "remove"),
    "a key twice in a tool": (GOOD[:-1] + ', "tools": [{"type": "function", "type": "x", "function": {"name": "f"}}]}',
                              "'type' stands twice", "remove one"),
    "a key twice in arguments": (called('{"x": 1, "x": 2}'), "'x' stands twice", "one object"),
    "a key twice in a call": (called("{}").replace('"id": "c"', '"id": "c", "id": "c"'), "'id' stands twice", "remove one"),
    "a number beyond 64 bits": (GOOD[:-1] + ', "tools": [{"maximum": 18446744073709551616}]}', "too long for 64 bits", "as text"),
    "a number far below": (GOOD[:-1] + ', "tools": [{"minimum": -9223372036854775809}]}', "too long for 64 bits", "as text"),
    "a number of 5,000 digits": (GOOD[:-1] + f', "tools": [{{"x": {"9" * 5000}}}]}}', "this is not JSON|too long", "JSON|text"),
    "a number beyond 64 bits in arguments": (called('{"x": 18446744073709551617}'), "too long for 64 bits", "one object"),
    "a number beyond 64 bits as an argument": (called({"x": 18446744073709551617}), "too long for 64 bits", "as text"),
    "NaN": (GOOD[:-1] + ', "tools": [{"x": NaN}]}', "this is not JSON", "NaN"),
    "Infinity": (GOOD[:-1] + ', "tools": [{"x": -Infinity}]}', "this is not JSON", "Infinity"),
    "a number beyond doubles": (GOOD[:-1] + ', "tools": [{"x": 1e999}]}', "this is not JSON", "JSON"),
    "NaN in arguments": (called('{"x": NaN}'), "not JSON", "one object"),
    "a lone surrogate": (GOOD.replace('"a"', '"\\ud800"'), "this is not JSON", "JSON"),
    "a lone surrogate in arguments": (called('{"x": "\\ud800"}'), "not JSON", "one object"),
    "half a pair of surrogates": (GOOD.replace('"a"', '"\\udc00x"'), "this is not JSON", "JSON"),
    "NUL bytes": (b"\0" * 100, "this is not JSON", "NUL"),
    "a NUL byte in a text": (GOOD.replace('"a"', '"a\0"').encode(), "this is not JSON", "NUL"),
    "bytes that are no UTF-8": (GOOD.encode().replace(b'"a"', b'"\xff\xfe"'), "this is not JSON", "JSON"),
    "Latin-1": (GOOD.encode().replace(b'"a"', '"ä"'.encode("latin-1")), "this is not JSON", "JSON"),
    "an overlong form": (GOOD.encode().replace(b'"a"', b'"\xc0\xaf"'), "this is not JSON", "JSON"),
    "a surrogate in UTF-8": (GOOD.encode().replace(b'"a"', b'"\xed\xa0\x80"'), "this is not JSON", "JSON"),
    "nesting of 500": (GOOD[:-1] + f', "tools": [{{"x": {deep(500)}}}]}}', "nested too deeply", "flatten"),
    "nesting of 5,000": (GOOD[:-1] + f', "tools": [{{"x": {deep(5000)}}}]}}', "not JSON", "JSON"),
    "nesting of 1,000,000": (deep(1_000_000), "not JSON", "JSON"),
    "nested arguments": (called('{"x": ' + deep(900) + "}"), "nested too deeply", "flatten|one object"),
    "nested arguments of 50,000": (called('{"x": ' + deep(50_000) + "}"), "not JSON", "one object"),
    "two objects on a line": (GOOD + " " + GOOD, "this is not JSON", "several stand on this one"),
    "two objects without a space": (GOOD + GOOD, "this is not JSON", "several"),
    "lines that end in CR": (GOOD + "\r" + GOOD, "this is not JSON", "LF"),
    "a comment": ("# made by hand", "this is not JSON", "comments"),
    "a comment in slashes": ("// made by hand", "this is not JSON", "comments"),
    "a trailing comma": (GOOD + ",", "this is not JSON", "JSON"),
    "a comma too many": (GOOD[:-1] + ",}", "this is not JSON", "JSON"),
    "single quotes": (GOOD.replace('"', "'"), "this is not JSON", "JSON"),
    "Python's None": (GOOD[:-1] + ', "tools": None}', "this is not JSON", "JSON"),
    "cut short": (GOOD[: len(GOOD) // 2], "this is not JSON", "JSON"),
    "a list": ("[1, 2]", "holds list", "one JSON object"),
    "null": ("null", "holds NoneType", "one JSON object"),
    "a text": ('"words"', "holds str", "one JSON object"),
    "an empty object": ("{}", "there is no `messages`", "messages"),
    "a raw tab in a text": (GOOD.replace('"a"', '"a\tb"'), "this is not JSON", "JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), "this is not JSON", "JSON"),
    "a control character": (GOOD.replace('"a"', '"a\x01b"'), "this is not JSON", "JSON"),
    "a key that is no text": ('{1: "a"}', "this is not JSON", "JSON"),
    "an image without an address": (json.dumps(turns({"role": "user", "content": [{"type": "image_url"}]}, ANSWER)),
                                    "`image_url` of a content part", "image_url"),
    "a part of no known type": (json.dumps(turns({"role": "user", "content": [{"type": "video"}]}, ANSWER)), "'video'", "use one of"),
    "tools beside functions": (GOOD[:-1] + ', "functions": [{"name": "f"}], "tools": [{"x": 1}]}', "beside", "keep `tools`"),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "said", "cure"), LINES.values(), ids=LINES.keys())
@pytest.mark.parametrize("pack", [False, True], ids=["plain", "gzip"])
def test_a_bad_line_is_named_with_its_cure(tmp_path: Path, bad: str | bytes, said: str, cure: str, pack: bool) -> None:
    line = bad if isinstance(bad, bytes) else bad.encode()
    path = tmp_path / ("rows.jsonl.gz" if pack else "rows.jsonl")
    content = b"\n".join([GOOD.encode(), line, GOOD.replace('"a"', '"c"').encode(), b""])
    path.write_bytes(gzip.compress(content, 1) if pack else content)
    with pytest.raises(DatasetError, match=said) as caught:
        Dataset.load(path)
    assert f"{path} line 2: " in caught.value.message
    assert any(word in str(caught.value.cure) for word in cure.split("|"))
    good, faults = Dataset.inspect(path)
    assert [good.line(index) for index in range(len(good))] == [1, 3]
    assert [fault.rows for fault in faults] == [(2,)]


# Rows of other formats: a good row, a bad one after it, what is said, what the cure speaks of.
ROWS: dict[str, tuple[Any, Any, str, str]] = {
    "rft: no question": (TASK, {"messages": [], "answer": 4}, "the prompt has no messages", "user message"),
    "rft: an answer": (TASK, {**TASK, "messages": [USER, ANSWER]}, "ends with an assistant", "question"),
    "rft: messages are text": (TASK, {**TASK, "messages": "hi"}, "`messages` is str", "list"),
    "sharegpt: nobody": (SHARED, {"conversations": [{"from": "cat", "value": "a"}]}, "from 'cat'", "human"),
    "sharegpt: a list as who": (SHARED, {"conversations": [{"from": ["gpt"], "value": "a"}]}, "not known", "human"),
    "sharegpt: no value": (SHARED, {"conversations": [{"from": "human"}]}, "no `value`", "value"),
    "sharegpt: a value that is null": (SHARED, {"conversations": [{"from": "human", "value": None}]}, "NoneType", "value"),
    "sharegpt: a turn that is text": (SHARED, {"conversations": ["hi"]}, "turn 1 is str", "from"),
    "sharegpt: turns that are text": (SHARED, {"conversations": "hi"}, "`conversations` is str", "list"),
    "sharegpt: nothing": (SHARED, {"conversations": []}, "empty", "add at least"),
    "sharegpt: no answer": (SHARED, {"conversations": SHARED["conversations"][:1]}, "no message is from", "assistant"),
    "sharegpt: another key": (SHARED, {"conversations": [{"from": "human", "value": "a", "mood": 1}]}, "'mood'", "remove"),
    "sharegpt: two systems": (
        SHARED, {"system": "a", "conversations": [{"from": "system", "value": "b"}]}, "system", "keep one",
    ),
    "sharegpt: a call that is none": (
        SHARED, {"conversations": [{"from": "function_call", "value": '{"f": 1}'}]}, "no call", "name",
    ),
    "sharegpt: a call that is no JSON": (
        SHARED, {"conversations": [{"from": "function_call", "value": "f(1)"}]}, "not JSON", "JSON",
    ),
    "sharegpt: tools that are no JSON": (SHARED, {**SHARED, "tools": "land"}, "not JSON", "JSON"),
    "sharegpt: tools that are a number": (SHARED, {**SHARED, "tools": 3}, "`tools` is not", "tool"),
    "sharegpt: a weighty human": (
        SHARED, {"conversations": [{"from": "human", "value": "a", "weight": 1}]}, "has a weight", "assistant",
    ),
    "sharegpt: half a weight": (
        SHARED, {"conversations": [*SHARED["conversations"], {"from": "gpt", "value": "a", "weight": 0.5}]}, "0.5", "0 or 1",
    ),
    "pair: no prompt": (PAIR, {"chosen": "b", "rejected": "c"}, "no `prompt`", "prompt"),
    "pair: one side": (PAIR, {"prompt": "a", "chosen": "b"}, "no `rejected`", "rejected"),
    "pair: a number": (PAIR, {**PAIR, "chosen": 3}, "`chosen` is int", "chosen"),
    "pair: nothing": (PAIR, {**PAIR, "rejected": []}, "`rejected` is list", "rejected"),
    "pair: the same": (PAIR, {**PAIR, "rejected": "b"}, "are the same", "remove"),
    "pair: an empty answer": (PAIR, {**PAIR, "chosen": ""}, "is empty", "write"),
    "pair: no shared beginning": (
        PAIR, {"chosen": [USER, ANSWER], "rejected": [{**USER, "content": "x"}, ANSWER]}, "begin differently", "prompt",
    ),
    "pair: one within the other": (
        PAIR, {"chosen": [USER, ANSWER], "rejected": [USER, ANSWER, USER]}, "beginning of the other", "answer",
    ),
    "pair: a bad message": (PAIR, {**PAIR, "chosen": [{"role": "bot", "content": "a"}]}, "'bot'", "assistant"),
    "pair: tools that are no JSON": (PAIR, {**PAIR, "tools": "[{"}, "not JSON", "JSON"),
    "kto: no label": (RATED, FILLED, "`label` is missing", "true"),
    "kto: a label that is text": (RATED, {**RATED, "label": "good"}, "'good'", "true"),
    "kto: a label that is 1": (RATED, {**RATED, "label": 1}, "is 1", "true"),
    "kto: no completion": (RATED, {"prompt": "a", "label": True}, "no `completion`", "completion"),
    "kto: an empty completion": (RATED, {**RATED, "completion": ""}, "is empty", "write"),
    "completion: no prompt": (FILLED, {"completion": "b"}, "`prompt` is missing", "prompt"),
    "completion: a system that is a number": (FILLED, {**FILLED, "system": 3}, "`system` is int", "system"),
    "completion: a text beside messages": (FILLED, {"prompt": [USER], "completion": 3}, "`completion` is int", "completion"),
    "completion: a user in it": (FILLED, {"prompt": [USER], "completion": [ANSWER, USER]}, "not from 'assistant'", "keep"),
    "completion: a system beside messages": (
        FILLED, {"system": "x", "prompt": [USER], "completion": [ANSWER]}, "`system` stands beside", "first message",
    ),
    "completion: empty": (FILLED, {"prompt": "a", "completion": ""}, "is empty", "write"),
    "alpaca: an output that is a list": (
        {"instruction": "a", "output": "b"}, {"instruction": "a", "output": ["b"]}, "`output` is list", "text",
    ),
    "text: nothing": ({"text": "a"}, {"text": "  "}, "the text is empty", "remove"),
    "text: a number": ({"text": "a"}, {"text": 3}, "`text` is int", "text"),
    "text: a key twice": ('{"text": "a"}', '{"text": "a", "text": "b"}', "stands twice", "remove one"),
    "alpaca: a key twice": (
        '{"instruction": "a", "output": "b"}', '{"instruction": "a", "output": "b", "output": "c"}', "twice", "remove one",
    ),
    "openai pair: a key twice": (
        json.dumps(pair("a", "b", "c")), json.dumps(pair("a", "b", "c"))[:-1] + ', "input": {"messages": [{"role": "user", "content": "x"}]}}',
        "twice", "one",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "said", "cure"), ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize("array", [False, True], ids=["lines", "array"])
def test_a_bad_row_of_another_format_is_named_with_its_cure(
    tmp_path: Path, good: Any, bad: Any, said: str, cure: str, array: bool
) -> None:
    both = [row if isinstance(row, str) else json.dumps(row) for row in (good, good, bad)]
    path = tmp_path / "rows.json"
    path.write_text("[" + ",\n".join(both) + "]" if array else "\n".join(both))
    with pytest.raises(DatasetError, match=said) as caught:
        Dataset.load(path)
    assert f"{path} {'item' if array else 'line'} 3: " in caught.value.message
    assert cure in str(caught.value.cure)


def zipped(content: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("rows.jsonl", content)
    return out.getvalue()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


CSV = b"prompt,completion\na,b\n"
PACKED = gzip.compress(f"{GOOD}\n".encode() * 1000)
# Whole files: what they are called and hold, what is said, what the cure speaks of.
FILES: dict[str, tuple[str, bytes | Callable[[], bytes], str, str]] = {
    "empty": ("rows.jsonl", b"", "is empty", "one example"),
    "blank lines": ("rows.jsonl", b"\n \n\t\r\n" * 50_000, "is empty", "one example"),
    "a byte order mark alone": ("rows.jsonl", b"\xef\xbb\xbf\n", "is empty", "one example"),
    "UTF-16": ("rows.jsonl", GOOD.encode("utf-16"), "UTF-16", "UTF-8"),
    "UTF-16 without a mark": ("rows.jsonl", GOOD.encode("utf-16-le"), "UTF-16", "UTF-8"),
    "UTF-16, the other way": ("rows.jsonl", GOOD.encode("utf-16-be"), "UTF-16", "UTF-8"),
    "UTF-32": ("rows.jsonl", GOOD.encode("utf-32-be"), "UTF-32|line 1", "UTF-8|JSON"),
    "UTF-16 CSV": ("rows.csv", CSV.decode().encode("utf-16"), "UTF-16", "UTF-8"),
    "a zip archive": ("rows.jsonl", zipped(GOOD), "zip archive", "unpack"),
    "a workbook": ("rows.csv", zipped(GOOD), "workbook", "CSV"),
    "bzip2": ("rows.jsonl.bz2", bz2.compress(GOOD.encode()), "bzip2", "gzip"),
    "xz": ("rows.jsonl.xz", lzma.compress(GOOD.encode()), "xz", "gzip"),
    "zstd": ("rows.jsonl.zst", b"\x28\xb5\x2f\xfd\x04\x00", "zstd", "gzip"),
    "Arrow": ("rows.arrow", b"ARROW1\0\0", "Arrow", "Parquet"),
    "SQLite": ("rows.jsonl", b"SQLite format 3\0", "SQLite", "JSON lines"),
    "a pickle": ("rows.jsonl", b"\x80\x04\x95", "pickle", "JSON lines"),
    "an image": ("rows.jsonl", b"\x89PNG\r\n", "image", "rows"),
    "a PDF": ("rows.jsonl", b"%PDF-1.7", "PDF", "rows"),
    "a web page": ("rows.jsonl", b"<!DOCTYPE html><html>", "web page", "fetch"),
    "Git LFS": ("rows.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs pull"),
    "prose": ("rows.jsonl", b"Dear all,\nhere is the data.\n", "line 1: the file is not JSON lines", "one JSON object"),
    "YAML": ("rows.yml", b"messages:\n- role: user\n", "line 1: the file is not JSON lines", "one JSON object"),
    "noise": ("rows.jsonl", random.Random(1).randbytes(5000), "line 1", "JSON"),
    "only NUL": ("rows.jsonl", b"\0" * 5000, "line 1", "JSON"),
    "one pretty object": ("rows.json", json.dumps(chat("a", "b"), indent=2).encode(), "line 1", "JSON object on each line"),
    "an object of rows": ("rows.json", json.dumps({"data": [chat("a", "b")]}).encode(), "their keys are data", "rename"),
    "a key twice in each line": (
        "rows.jsonl", b'\n{"text": "a", "text": "b"}\n{"text": "a", "text": "b"}\n', "line 2: the key 'text' stands twice", "remove one",
    ),
    "a key twice in each packed line": (
        "rows.jsonl.gz", gzip.compress(b'{"text": "a", "text": "b"}\n' * 3), "line 1: the key 'text' stands twice", "remove one",
    ),
    "packed, with the marks of UTF-16 by chance": ("rows.gz", gzip.compress(b"Dear all,\n", mtime=0x7B00), "not JSON lines", "JSON"),
    "NaN in each line": ("rows.jsonl", b'{"text": NaN}\n' * 3, "line 1: this is not JSON .*None of the first 3 lines", "NaN"),
    "packed prose": ("rows.gz", gzip.compress(b"Dear all,\n"), "line 1: the file is not JSON lines", "one JSON object"),
    "numbers": ("rows.jsonl", b"1\n2\n", "line 1", "JSON object"),
    "no known keys": ("rows.jsonl", b'{"question": "a", "reply": "b"}\n', "their keys are question, reply", "rename"),
    "gzip cut short": ("rows.jsonl.gz", PACKED[: len(PACKED) // 2], "cut short", "anew"),
    "gzip of nothing": ("rows.jsonl.gz", gzip.compress(b""), "is empty", "one example"),
    "gzip with a wrong sum": ("rows.jsonl.gz", PACKED[:-8] + b"\0" * 8, "damaged", "anew"),
    "gzip with noise within": (
        "rows.jsonl.gz", PACKED[:40] + b"\xff" * 30 + PACKED[70:], "damaged", "anew",
    ),
    "gzip and then noise": ("rows.jsonl.gz", PACKED + b"noise", "damaged", "anew"),
    "gzip in gzip": ("rows.jsonl.gz", gzip.compress(PACKED), "packed twice", "unpack"),
    "an array that does not end": ("rows.json", b"[" + GOOD.encode(), "within item 1", "anew"),
    "an array cut within a text": ("rows.json", f"[{GOOD}, {GOOD[:20]}".encode(), "within item 2", "anew"),
    "an array and more": ("rows.json", f"[{GOOD}] {GOOD}".encode(), "after the JSON array", "one array"),
    "two arrays": ("rows.json", f"[{GOOD}]\n[{GOOD}]\n".encode(), "after the JSON array", "one array"),
    "an array of nothing": ("rows.json", b"[ ]", "without a single object", "one object"),
    "an array of numbers": ("rows.json", b"[1, 2]", "not a single object", "one object"),
    "an array with a hole": ("rows.json", f"[{GOOD},,{GOOD}]".encode(), "item 2: this is not JSON", "JSON"),
    "an array with a comma at its end": ("rows.json", f"[{GOOD},]".encode(), "item 2: this is not JSON", "JSON"),
    "an array without a comma": ("rows.json", f"[{GOOD} {GOOD}]".encode(), "item 1: this is not JSON", "JSON"),
    "an array of arrays": ("rows.json", f"[[{GOOD}]]".encode(), "not a single object", "one object"),
    "brackets that do not match": ("rows.json", b"[{]", "JSON array: it ends within item 1", "anew"),
    "a key twice in an array": ("rows.json", b'[{"text": "a"}, {"text": "a", "text": "b"}]', "item 2: .*twice", "remove"),
    "CSV of no known columns": ("rows.csv", b"question,reply\na,b\n", "their keys are question, reply", "rename"),
    "CSV, two columns of one name": ("rows.csv", b"prompt,prompt\na,b\n", "line 1: two columns", "its own name"),
    "CSV, a header alone": ("rows.csv", b"prompt,completion\n", "holds no row", "one object"),
    "CSV, a cell too few": ("rows.csv", CSV + b"c\n", "line 3: the row has 1 cells", "double quotes"),
    "CSV, a cell too many": ("rows.csv", CSV + b"c,d,e\n", "line 3: the row has 3 cells", "double quotes"),
    "CSV, a quote that stays open": ("rows.csv", CSV + b'c,"d\ne,f\n', "line 3: the row cannot be read until line 4", "close"),
    "CSV, a quote within": ("rows.csv", CSV + b'c,"d"e\n', "line 3: the row cannot be read", "double quote"),
    "CSV, no UTF-8": ("rows.csv", CSV + "c,ä\n".encode("latin-1"), "line 3: .*UTF-8", "UTF-8"),
    "CSV, no UTF-8 within a cell": ("rows.csv", CSV + b'c,"d\n\xff"\n', "line 3: line 4 is not text", "UTF-8"),
    "CSV, an empty answer": ("rows.csv", CSV + b"c,\n", "line 3: .*empty", "write the answer"),
    "CSV, a label that is none": ("rows.csv", b"prompt,completion,label\na,b,true\na,b,maybe\n", "line 3: `label` is 'maybe'", "true"),
    "CSV, messages that are no JSON": (
        "rows.csv", b'messages\n"[{""role"": ""user"", ""content"": ""a""}, {""role"": ""assistant"", ""content"": ""b""}]"\nhi\n',
        "line 3: this is not JSON", "JSON",
    ),
    "CSV packed and cut": ("rows.csv.gz", gzip.compress(CSV * 1000)[:-12], "cut short", "anew"),
    "Parquet cut short": ("rows.parquet", lambda: parquet([FILLED] * 1000)[:-20], "cut short or damaged", "anew"),
    "Parquet's first bytes": ("rows.parquet", b"PAR1", "cut short or damaged", "anew"),
    "Parquet without its middle": (
        "rows.parquet", lambda: parquet([FILLED] * 9)[:60] + parquet([FILLED] * 9)[-200:], "cut short or damaged", "anew",
    ),
    "Parquet of no rows": ("rows.parquet", lambda: parquet([FILLED])[:0] or parquet_of_none(), "holds no row", "one object"),
    "Parquet of no known columns": ("rows.parquet", lambda: parquet([{"question": "a"}]), "their keys are question", "rename"),
    "Parquet, a bad row": ("rows.parquet", lambda: parquet([FILLED, {"prompt": "a"}]), "row 2: `completion` is missing", "text"),
    "Parquet, bytes": ("rows.parquet", lambda: parquet([FILLED, {"prompt": "a", "completion": ""}]), "row 2: .*empty", "write"),
    "Parquet, a time": (
        "rows.parquet", lambda: parquet([{"messages": [USER], "at": b"\xff"}]), "row 1: the row cannot be kept", "text",
    ),
}  # fmt: skip


def parquet_of_none() -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"prompt": pyarrow.array([], "string")}), out)
    return out.getvalue()


@pytest.mark.parametrize(("name", "content", "said", "cure"), FILES.values(), ids=FILES.keys())
def test_a_bad_file_is_named_with_its_cure(
    tmp_path: Path, name: str, content: bytes | Callable[[], bytes], said: str, cure: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content() if callable(content) else content)
    with pytest.raises(DatasetError, match=said) as caught:
        Dataset.load(path)
    assert str(path) in caught.value.message
    assert any(word in str(caught.value.cure) for word in cure.split("|"))


def test_paths_that_lead_to_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "nowhere.jsonl").symlink_to("gone.jsonl")
    paths = {
        tmp_path / "loop.jsonl": "link", tmp_path / "nowhere.jsonl": "link", tmp_path: "folder",
        tmp_path / "no.jsonl": "folder", tmp_path / ("n" * 300): "folder", Path("a\0b"): "path", Path("/dev/null"): "file",
    }  # fmt: skip
    for path, cure in paths.items():
        with pytest.raises(DatasetError) as caught:
            Dataset.load(path)
        assert cure in str(caught.value.cure)


@pytest.mark.parametrize(
    "columns", [{}, {"prompt": 3}, {"prompt": "reply"}, "prompt", {"prompt": "question", "x": "No"}]
)
@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_columns_that_are_none_are_refused(tmp_path: Path, name: str, columns: Any) -> None:
    rows = [{"question": "a", "answer": "b"}]
    (tmp_path / name).write_bytes(parquet(rows) if name.endswith("parquet") else b"question,answer\na,b\n")
    with pytest.raises(DatasetError, match="column") as caught:
        Dataset.load(tmp_path / name, columns=columns)
    assert caught.value.cure


GENERATED = {
    "a line of 100 MB": (
        'f.write(b\'{"text": "\' + b"x" * 100_000_000 + b\'"}\\n\' + good)', "rows.jsonl", "line 1: the line is longer",
    ),
    "a line of 100 MB that is not the first": (
        'f.write(good); f.write(b\'{"text": "\' + b"x" * 100_000_000)', "rows.jsonl", "line 2: the line is longer",
    ),
    "100 MB without a line end": ('f.write(b"x" * 100_000_000)', "rows.jsonl", "line 1"),
    "100 MB of blanks": ('f.write(b" " * 100_000_000)', "rows.jsonl", "is empty"),
    "an item of 100 MB": (
        'f.write(b\'[{"text": "a"}, {"text": "\' + b"x" * 100_000_000 + b\'"}]\')', "rows.json", "item 2: the item is longer",
    ),
    "a cell of 100 MB": ('f.write(b"text\\na\\n" + b"x" * 100_000_000)', "rows.csv", "line 3: the line is longer"),
    "a quoted cell of 100 MB": (
        'f.write(b"text\\na\\n\\"" + (b"x" * 999_999 + b"\\n") * 100)', "rows.csv", "line 3: the cell is longer",
    ),
    "a bomb of blanks": ('gzip.open(path, "wb", 1).write(b" " * 100_000_000)', "rows.jsonl.gz", "unpacks to more than|is empty"),
    "a bomb of one line": (
        'g = gzip.open(path, "wb", 1); g.write(good); g.write(b"x" * 100_000_000); g.close()', "rows.jsonl.gz", "unpacks to more",
    ),
    "a bomb of rows": (
        'g = gzip.open(path, "wb", 1); g.writelines(b\'{"text": "%s"}\\n\' % (b"x" * 50_000) for n in range(2_000)); g.close()',
        "rows.jsonl.gz", "unpacks to more",
    ),
}  # fmt: skip
CHILD = """
import gzip, resource, sys
from pathlib import Path
from finetune_sdk import Dataset, DatasetError
from finetune_sdk.data.readers import lines
lines.UNPACKED_FLOOR = 32 << 20
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (1_200_000_000, 1_200_000_000))
try:
    Dataset.load(path)
except DatasetError as error:
    print(error)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("peak", int(peak.split()[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(("write", "name", "said"), GENERATED.values(), ids=GENERATED.keys())
def test_what_is_huge_is_refused_within_little_memory(tmp_path: Path, write: str, name: str, said: str) -> None:
    path = tmp_path / name
    making = f"import gzip, sys\npath = sys.argv[1]\ngood = b'{{\"text\": \"a\"}}\\n'\nf = open(path, 'wb')\n{write}"
    subprocess.run([sys.executable, "-c", making, str(path)], check=True)
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=False)
    path.unlink()
    assert done.returncode == 0, done.stderr
    assert any(words in done.stdout for words in said.split("|")), done.stdout[:500]
    assert "cure:" in done.stdout
    assert int(done.stdout.rsplit("peak ", 1)[1]) < 450


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


def test_a_huge_line_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LINE_BYTES", 200)
    monkeypatch.setattr("finetune_sdk.data.index.LINE_BYTES", 200)
    rows = [GOOD, json.dumps(chat("x" * 3000, "y")), GOOD, json.dumps(chat("z" * 3000, "y"))]
    for name, content in {"rows.jsonl": "\n".join(rows), "rows.jsonl.gz": "\n".join(rows)}.items():
        packed = gzip.compress(content.encode()) if name.endswith("gz") else content.encode()
        (tmp_path / name).write_bytes(packed)
        good, faults = Dataset.inspect(tmp_path / name)
        assert [fault.rows for fault in faults] == [(2,), (4,)]
        assert [good.line(index) for index in range(len(good))] == [1, 3]
        assert len(list(good)) == 2


@pytest.mark.parametrize("value", [float("nan"), [1.0, float("inf")], {"x": -float("inf")}])
def test_a_number_that_json_has_not_is_named(value: Any) -> None:
    with pytest.raises(DatasetError, match=r"row 2: the number (nan|inf|-inf)") as caught:
        Dataset.of([TASK, {**TASK, "answer": value}])
    assert "null" in str(caught.value.cure)


def test_what_follows_an_array_far_behind_is_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(f"[{GOOD}]".encode() + b" " * (3 << 20) + b"x")
    with pytest.raises(DatasetError, match="after the JSON array"):
        Dataset.load(path)


def test_there_are_enough_of_each() -> None:
    assert len(LINES) + len(ROWS) + len(FILES) + len(GENERATED) >= 100
    assert len(FINE) >= 20


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_sdk.data.spool.IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dataset = Dataset.of([chat(f"{n}", "x") for n in range(50)])
    assert len(list(dataset)) == 50
    del dataset
    assert os.listdir(tmp_path) == []

"""Bad lines and rows: each is named with its line and a cure, whatever format and kind of file it stands in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.readers import lines as reading
from finetune_sdk.errors import DatasetError
from rows import chat, pair
from samples import ANSWER, FILLED, GOOD, PAIR, RATED, SHARED, TASK, USER, called, turns


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


def test_there_are_enough_of_each() -> None:
    assert len(LINES) >= 50
    assert len(ROWS) >= 40

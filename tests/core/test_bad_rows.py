"""Bad input: each kind of it is named with its line, what was found, and the cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from rows import chat, pair

USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}


def talk(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def called(**call: Any) -> dict[str, Any]:
    return talk(USER, {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", **call}]})


BAD_CHATS: dict[str, tuple[Any, str, str]] = {
    "not JSON": ("{role: user", "this is not JSON", "one JSON object on each line"),
    "half a line": ('{"messages": [{"role"', "this is not JSON", "one JSON object on each line"),
    "a number": ("42", "the row holds int", "one JSON object for each example"),
    "other keys": ({"question": "hi"}, "there is no `messages`; the keys are question", "`messages`"),
    "messages are text": ({"messages": "hi"}, "`messages` is str", "a list `messages`"),
    "no messages": (talk(), "`messages` is empty", "add at least"),
    "a message is text": (talk("hi", ANSWER), "message 1 is str, not an object", "role"),
    "no assistant turn": (talk(USER), "no message is from 'assistant'", "add an assistant message"),
    "no answer at the end": (talk(USER, ANSWER, USER), "the last message is from 'user'", "add the assistant's answer"),
    "only an answer": (talk(ANSWER), "the only message is the assistant's", "add a user message"),
    "an unknown role": (talk({"role": "human", "content": "hi"}, ANSWER), "role 'human' is not known", "'user'"),
    "a role that is a list": (talk({"role": ["user"], "content": "hi"}, ANSWER), "is not known", "use system"),
    "no role": (talk({"content": "hi"}, ANSWER), "there is no `role`", "use system"),
    "no content": (talk({"role": "user", "content": None}, ANSWER), "message 1 from 'user' has no content", "a text"),
    "content is a number": (talk({"role": "user", "content": 3}, ANSWER), "`content` is int", "make it text"),
    "an empty answer": (talk(USER, {"role": "assistant", "content": ""}), "assistant message 2 is empty", "write"),
    "an unknown key": (talk(USER, ANSWER, mood="good"), "the key 'mood'", "remove the key"),
    "an unknown key in a message": (talk({**USER, "mood": "good"}, ANSWER), "the key 'mood'", "remove it"),
    "all weights 0": (talk(USER, {**ANSWER, "weight": 0}), "every assistant message has weight 0", "weight 1"),
    "half a weight": (talk(USER, {**ANSWER, "weight": 0.5}), "weight 0.5 is neither 0 nor 1", "use 0 or 1"),
    "a weighty user": (talk({**USER, "weight": 1}, ANSWER), "a message from 'user' has a weight", "only assistant"),
    "arguments that are not JSON": (
        called(function={"name": "f", "arguments": "{x"}), "arguments of 'f' are not JSON", "JSON text of one object",
    ),
    "arguments encoded twice": (
        called(function={"name": "f", "arguments": '"{}"'}), "arguments of 'f' are str", "encoded once",
    ),
    "a call without a name": (called(function={}), "a tool call has no function name", "write it as"),
    "a call whose id is a list": (called(id=["c"], function={"name": "f"}), "id", "text"),
    "an answer to no call": (
        talk(USER, {"role": "tool", "content": "3", "tool_call_id": "x"}, ANSWER), "answers the call 'x'", "tool_call_id",
    ),
    "tools that are text": (talk(USER, ANSWER, tools="land"), "`tools` is not a list", "give each tool"),
    "functions that are a number": (talk(USER, ANSWER, functions=5), "functions", "list"),
    "parallel calls that are text": (talk(USER, ANSWER, parallel_tool_calls="no"), "neither true nor false", "true"),
}  # fmt: skip
GOOD_PAIR = pair("hi", "hello", "go away")
BAD_PAIRS: dict[str, tuple[Any, str, str]] = {
    "no prompt": ({**GOOD_PAIR, "input": {"messages": []}}, "the prompt has no messages", "add the user message"),
    "an input that is text": ({**GOOD_PAIR, "input": "hi"}, "`input` is str", "write"),
    "no chosen answer": ({**GOOD_PAIR, "preferred_output": []}, "`preferred_output` is list", "preferred_output"),
    "an answer from the user": ({**GOOD_PAIR, "preferred_output": [USER]}, "chosen answer is not from", "assistant"),
    "the same twice": (pair("hi", "same", "same"), "chosen and the rejected answer are the same", "remove the row"),
}


@pytest.mark.parametrize(("bad", "said", "cure"), BAD_CHATS.values(), ids=BAD_CHATS.keys())
def test_a_bad_chat_is_named_with_its_line_and_its_cure(write: Any, bad: Any, said: str, cure: str) -> None:
    path = write(chat("a", "b"), chat("c", "d"), bad, chat("e", "f"))
    with pytest.raises(DatasetError) as caught:
        Dataset.load(path)
    assert f"{path} line 3: " in caught.value.message
    assert said in caught.value.message
    assert caught.value.cure is not None
    assert cure in caught.value.cure


@pytest.mark.parametrize(("bad", "said", "cure"), BAD_PAIRS.values(), ids=BAD_PAIRS.keys())
def test_a_bad_pair_is_named_with_its_line_and_its_cure(write: Any, bad: Any, said: str, cure: str) -> None:
    with pytest.raises(DatasetError, match="line 2: ") as caught:
        Dataset.load(write(GOOD_PAIR, bad, pair("a", "b", "c")))
    assert said in caught.value.message
    assert caught.value.cure is not None
    assert cure in caught.value.cure


@pytest.mark.parametrize(
    "row", [{"prompt": "a", "completion": 3}, {"prompt": "a", "completion": None}, {"prompt": "a"}]
)
def test_a_completion_that_is_no_text_is_named(write: Any, row: Any) -> None:
    with pytest.raises(DatasetError, match="line 2: `completion` is"):
        Dataset.load(write({"prompt": "a", "completion": "b"}, row))


def test_bytes_that_are_no_utf_8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(chat("a", "b")).encode() + b'\n{"messages": "\xff"}\n')
    with pytest.raises(DatasetError, match="line 2: this is not JSON"):
        Dataset.load(path)


def test_every_bad_row_is_counted_and_the_first_ten_are_shown(write: Any) -> None:
    with pytest.raises(DatasetError) as caught:
        Dataset.load(write(*[chat("a", "b"), talk(USER)] * 30))
    assert "30 rows" in caught.value.message
    assert [n for n in range(1, 61) if f"line {n}:" in caught.value.message] == list(range(2, 21, 2))
    assert "and 20 more" in caught.value.message


def test_inspecting_keeps_the_good_rows_and_names_the_bad(write: Any) -> None:
    dataset, faults = Dataset.inspect(write(chat("a", "b"), "{", talk(USER), chat("c", "d")))
    assert len(dataset) == 2
    assert [(fault.severity, fault.rows) for fault in faults] == [("error", (2,)), ("error", (3,))]


def test_a_missing_file_names_its_neighbours(chats: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read") as caught:
        Dataset.load(chats.with_name("chat.jsonl"))
    assert "chats.jsonl" in str(caught.value.cure)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        Dataset.load(tmp_path / "nowhere" / "chat.jsonl")
    assert "there is no folder" in str(caught.value.cure)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        Dataset.load(tmp_path)
    assert "name the file" in str(caught.value.cure)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="is empty"):
        Dataset.load(path)


@pytest.mark.parametrize("content", ["[]", "[1, 2]", "[{]"])
def test_an_array_without_rows_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=r"JSON|single object"):
        Dataset.load(path)


def test_a_file_that_is_no_json_shows_how_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("question,answer\nhi,hello\n")
    with pytest.raises(DatasetError, match=r"line 1: .*question,answer"):
        Dataset.load(path)


def test_rows_in_no_known_format_show_their_keys(write: Any) -> None:
    with pytest.raises(DatasetError, match="their keys are answer, question") as caught:
        Dataset.load(write({"question": "hi", "answer": "hello"}))
    assert "prompt-completion: completion + prompt" in str(caught.value.cure)


def test_an_unknown_format_names_the_nearest(chats: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        Dataset.load(chats, "alpacca")
    assert caught.value.cure == "use 'alpaca'"


def test_no_rows_at_all_are_refused() -> None:
    with pytest.raises(DatasetError, match="there are no rows"):
        Dataset.of([])

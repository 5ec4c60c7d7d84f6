"""How much a dataset is: as many tokens as the real encoder has for every row, counted once for all processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.data.dataset import Dataset
from finetune_sdk_openai import OpenAIBackend
from finetune_sdk_openai.tokens import ProtocolCounter
from finetune_sdk_openai.volumes import Volume, counted, volume
from protocol_data import chat, chats, pairs, tasks

MINI = "gpt-4o-mini-2024-07-18"
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds, naïvely: ½ + ¼", "parameters": {
    "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}}}  # fmt: skip
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": "drei 三"}'}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}
VARIED: list[dict[str, Any]] = [
    chat("What is 2 and 3?", "It is 5."),
    chat("Zweimal drei?", "Größenordnungsmäßig sechs — \u200bund 🙂🏳️‍🌈 日本語 العربية"),
    chat("<|endoftext|> <|im_start|>system", "  \n\n\t  def f(x):\n        return x  # ½"),
    chat("a" * 3_000, "1234567890" * 50),
    {"messages": [
        {"role": "system", "content": "Be brief.", "name": "house_rules"},
        {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": " this?"}, PICTURE]},
        {"role": "assistant", "content": "No.", "weight": 0},
        {"role": "user", "content": "Again, please.", "name": "Élodie"},
        {"role": "assistant", "content": None, "refusal": "I will not say."},
    ]},
    {"messages": [
        {"role": "developer", "content": "Use the tool."},
        {"role": "user", "content": "2 + drei?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "5", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "Five."},
    ], "tools": [TOOL]},
]  # fmt: skip


@pytest.fixture
def encoded(ranks: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real encoder, from tiktoken itself."""
    tiktoken = pytest.importorskip("tiktoken")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(ranks))
    return tiktoken.get_encoding("o200k_base")


def by_hand(encoding: Any, row: dict[str, Any]) -> tuple[int, int]:
    """All tokens of a row as the file has it, and those that are learnt: written out again from OpenAI's cookbook."""

    def said(text: str) -> int:
        return len(encoding.encode(text, disallowed_special=()))

    def texts(message: dict[str, Any]) -> Iterator[str]:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif content:
            yield "".join(part.get("text", "") for part in content)
        yield from (message[key] for key in ("role", "name", "refusal", "tool_call_id") if message.get(key))
        for call in message.get("tool_calls", ()):
            yield call["function"]["name"]
            yield json.dumps(json.loads(call["function"]["arguments"]), ensure_ascii=False)

    def turn(message: dict[str, Any]) -> int:
        pictures = (
            sum(part["type"] == "image_url" for part in message["content"])
            if isinstance(message.get("content"), list)
            else 0
        )
        return 3 + sum(map(said, texts(message))) + (1 if message.get("name") else 0) + 765 * pictures

    turns = [
        (turn(message), message["role"] == "assistant" and message.get("weight") != 0) for message in row["messages"]
    ]
    tools = said(json.dumps(row["tools"], ensure_ascii=False)) if row.get("tools") else 0
    return 3 + tools + sum(count for count, _ in turns), sum(count for count, learnt in turns if learnt)


def test_tokens_are_those_of_the_real_encoder_on_every_row(encoded: Any) -> None:
    data, counter = Dataset.of(VARIED), ProtocolCounter(MINI)
    assert "o200k_base" in counter.basis
    wanted = [by_hand(encoded, row) for row in VARIED]
    assert [(count.total, count.trained) for count in map(counter.count, data)] == wanted
    assert [(count.total, count.trained) for count in counter.counts(data.kind, data.rows())] == wanted


def test_the_demos_tickets_have_the_tokens_of_the_real_encoder(encoded: Any) -> None:
    file = Path(__file__).parents[2] / "finetune_sdk" / "demo" / "tickets.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    totals = [count.total for count in ProtocolCounter(MINI).counts("chat", Dataset.load(file).rows())]
    assert totals == [by_hand(encoded, row)[0] for row in rows]


def texts(count: int) -> Dataset:
    return Dataset.of([{"text": f"one text, number {n} 三"} for n in range(count)])


def rated(count: int) -> Dataset:
    answers = ([{"role": "assistant", "content": f"It is {n}."}] for n in range(count))
    return Dataset.of([{"prompt": "What is it?", "completion": answer, "label": True} for answer in answers])


@pytest.mark.parametrize("made", [chats, pairs, tasks, texts, rated])
def test_many_at_once_are_counted_as_one_by_one(made: Callable[[int], Dataset]) -> None:
    counter, data = ProtocolCounter(MINI), made(40)
    assert list(counter.counts(data.kind, data.rows())) == [counter.count(row) for row in data]


def test_texts_that_are_counted_together_stay_apart(encoded: Any) -> None:
    """No end and no beginning of a text is taken for a part of its neighbour, nor a word for what stands between them."""
    ends = [
        "",
        " ",
        "  ",
        "\n",
        "a",
        "ab",
        "<|endoftext|>",
        "<|end",
        "of",
        "text|>",
        "é",
        "🏳️‍🌈",
        "1",
        "12",
        "'s",
        "\t\n ",
        "\ud800",
        "三",
    ]
    texts = {
        f"{one}{other}{ends[(3 * n + m) % len(ends)]}" for n, one in enumerate(ends) for m, other in enumerate(ends)
    }
    rows = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]} for text in texts]
    fine = [row for row in rows if "\ud800" not in row["messages"][1]["content"]]
    for some in (rows, fine):
        trained = [count.trained for count in ProtocolCounter(MINI).counts("chat", some)]
        assert trained == [4 + len(encoded.encode_ordinary(row["messages"][1]["content"])) for row in some]


def test_a_prompt_that_all_rows_share_is_counted_in_each(encoded: Any) -> None:
    system = {"role": "system", "content": "You are kind. " * 50}
    rows = [{"messages": [system, *chat(f"{n}?", "yes")["messages"]]} for n in range(5_000)]
    found = counted(Dataset.of(rows), ProtocolCounter(MINI), None)
    assert found.billed == sum(by_hand(encoded, row)[0] for row in rows)


def test_ranks_that_are_damaged_are_not_fetched_again(
    ranks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept in ranks.iterdir():
        (tmp_path / kept.name).write_bytes(kept.read_bytes()[:-1])
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("something was fetched"))
    counter = ProtocolCounter(MINI)
    assert counter.count(chats(1)[0]).total > 0
    assert "bytes a token" in counter.basis


def test_white_space_without_end_is_counted_too(encoded: Any) -> None:
    assert ProtocolCounter(MINI).count(Dataset.of([chat(" " * 1_000_000, "x")])[0]).total > 1_000


def test_a_row_is_billed_up_to_the_limit_and_the_first_that_are_cut_are_named(encoded: Any) -> None:
    rows = [chat("short", f"{n}") for n in range(10)] + [chat("word " * 200, f"{n}") for n in range(30)]
    found = counted(Dataset.of(rows), ProtocolCounter(MINI), 100)
    short = sum(by_hand(encoded, row)[0] for row in rows[:10])
    assert found.billed == short + 30 * 100
    assert (found.cuts, found.cut) == (30, tuple(range(10, 30)))
    assert found.longest == max(by_hand(encoded, row)[0] for row in rows)


# -- kept on the disk ----------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps(chat(f"What is {n}?", f"It is {n}.")) + "\n" for n in range(2_000)))
    return path


def never(*_: Any) -> Iterator[Any]:
    raise AssertionError("it was counted again")


def test_what_was_counted_is_not_counted_again(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = volume(Dataset.load(file), ProtocolCounter(MINI), 65_536, home)
    monkeypatch.setattr(ProtocolCounter, "counts", never)
    assert volume(Dataset.load(file), ProtocolCounter(MINI), 65_536, home) == first
    for other in ((Dataset.load(file)[:1_500], MINI, 65_536), (Dataset.load(file), MINI, 8_192)):
        with pytest.raises(AssertionError, match="counted again"):
            volume(other[0], ProtocolCounter(other[1]), other[2], home)


def test_another_tokenizer_counts_anew(file: Path, home: Path, encoded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = volume(Dataset.load(file), ProtocolCounter(MINI), None, home)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "/nowhere")
    rough = volume(Dataset.load(file), ProtocolCounter(MINI), None, home)
    assert rough != fine


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"[]", b"null", b'{"volume": {}}', b'{"volume": {"billed": 0}, "seal": ""}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_a_damaged_file_is_counted_anew(file: Path, home: Path, damage: bytes) -> None:
    data, counter = Dataset.load(file), ProtocolCounter(MINI)
    first = volume(data, counter, None, home)
    (kept,) = (home / "volumes").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(damage)
    assert volume(data, counter, None, home) == first
    assert kept.read_bytes() == whole, "and it is whole again"
    kept.write_bytes(whole.replace(str(first.billed).encode(), str(first.billed + 1).encode()))
    assert volume(data, counter, None, home) == first


def test_a_folder_that_cannot_be_written_only_costs_time(file: Path, home: Path) -> None:
    home.write_text("a file, where a folder should be")
    assert volume(Dataset.load(file), ProtocolCounter(MINI), None, home).billed > 0


def test_few_rows_leave_no_file(home: Path) -> None:
    assert volume(chats(12), ProtocolCounter(MINI), None, home) != Volume()
    assert not home.exists()


def test_what_is_kept_are_counts_and_nothing_of_the_rows(file: Path, home: Path) -> None:
    volume(Dataset.load(file), ProtocolCounter(MINI), None, home)
    (kept,) = (home / "volumes").iterdir()
    assert "What" not in kept.read_text()
    assert kept.stat().st_size < 1_000


def test_another_process_has_the_estimate_at_once(file: Path, home: Path, encoded: Any) -> None:
    """Rows that were counted before: the estimate is read from the disk, and no tokenizer is even loaded."""
    with file.open("w") as out:
        out.writelines(json.dumps(chat(f"What is {n}?", f"It is {n}.")) + "\n" for n in range(30_000))
    data = Dataset.load(file)
    backend = OpenAIBackend(ft.Place("openai", {"base": MINI}, home))
    first = backend.estimate(backend.resolve(ft.Job(name="many", train=data)))
    script = f"""
import sys, time
from pathlib import Path
import finetune_sdk as ft
from finetune_sdk_openai import OpenAIBackend
data = ft.Dataset.load({str(file)!r})
backend = OpenAIBackend(ft.Place("openai", {{"base": {MINI!r}}}, Path({str(home)!r})))
resolved = backend.resolve(ft.Job(name="many", train=data))
began = time.process_time()
made = backend.estimate(resolved)
print(made.tokens.expected, time.process_time() - began, "tiktoken" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert float(said[0]) == first.tokens.expected
    assert float(said[1]) < 2
    assert said[2] == "False"


@pytest.mark.soak
def test_a_hundred_thousand_rows_are_counted_as_fast_as_tiktoken_can(encoded: Any) -> None:
    """Beside tiktoken alone on the same distinct texts, in one thread: reading and adding up cost little more."""
    rows = [chat(f"What is {n} and {n + 1}, taken together? " * 6, f"It is {2 * n + 1}.") for n in range(100_000)]
    data, counter = Dataset.of(rows), ProtocolCounter(MINI)
    texts = {message["content"] for row in rows for message in row["messages"]}
    began = time.perf_counter()
    for text in texts:
        encoded.encode_ordinary(text)
    alone = time.perf_counter() - began
    began = time.perf_counter()
    counted(data, counter, None)
    assert time.perf_counter() - began < alone + 3

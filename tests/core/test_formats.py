"""Every format: known by its content, read into the canonical form, and written back without loss or not at all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.formats import FORMATS, detect, named
from finetune_sdk.data.spool import Spool
from finetune_sdk.errors import DatasetError
from finetune_sdk.messages import Kind

USER, ANSWER = {"role": "user", "content": "2 and 2?"}, {"role": "assistant", "content": "4"}
WRONG = {"role": "assistant", "content": "5"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"name": "add", "arguments": {"a": 2, "b": 2}}]}

GOOD: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "openai": ("openai", {"messages": [USER, ANSWER]}, {"messages": [USER, ANSWER]}),
    "openai, weights and parts": (
        "openai",
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ]}, {**ANSWER, "weight": 1}]},
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ]}, {**ANSWER, "weight": 1}]},
    ),
    "openai-preference": (
        "openai-preference",
        {"input": {"messages": [USER], "tools": [TOOL]}, "preferred_output": [ANSWER], "non_preferred_output": [WRONG]},
        {"prompt": {"messages": [USER], "tools": [TOOL]}, "chosen": [ANSWER], "rejected": [WRONG]},
    ),
    "openai-rft": (
        "openai-rft",
        {"messages": [USER], "answer": 4, "note": {"by": ["a", None]}},
        {"prompt": {"messages": [USER]}, "reference": {"answer": 4, "note": {"by": ["a", None]}}},
    ),
    "alpaca": (
        "alpaca", {"system": "Add.", "instruction": "2 and 2?", "output": "4"},
        {"messages": [{"role": "system", "content": "Add."}, USER, ANSWER]},
    ),
    "alpaca, only an input": (
        "alpaca", {"system": "Add.", "instruction": "", "input": "2 and 2?", "output": "4"},
        {"messages": [{"role": "system", "content": "Add."}, USER, ANSWER]},
    ),
    "sharegpt": (
        "sharegpt",
        {"system": "Add.", "conversations": [{"from": "human", "value": "2 and 2?"}, {"from": "gpt", "value": "4"}]},
        {"messages": [{"role": "system", "content": "Add."}, USER, ANSWER]},
    ),
    "sharegpt, tools": (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "2 and 2?"},
                {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2, "b": 2}}'},
                {"from": "observation", "value": "4"},
                {"from": "gpt", "value": "4", "weight": 1},
            ],
            "tools": '[{"name": "add", "parameters": {"type": "object"}}]',
        },
        {"messages": [USER, CALL, {"role": "tool", "content": "4"}, {**ANSWER, "weight": 1}], "tools": [TOOL]},
    ),
    "sharegpt, roles": (
        "sharegpt", {"conversations": [USER, ANSWER]}, {"messages": [USER, ANSWER]},
    ),
    "prompt-completion": (
        "prompt-completion", {"prompt": "2 and 2?", "completion": "4", "system": "Add."},
        {"messages": [{"role": "system", "content": "Add."}, USER, ANSWER]},
    ),
    "prompt-completion, messages": (
        "prompt-completion", {"prompt": [USER, WRONG, USER], "completion": [ANSWER], "tools": [TOOL]},
        {"messages": [USER, {**WRONG, "weight": 0}, USER, ANSWER], "tools": [TOOL]},
    ),
    "trl-preference": (
        "trl-preference", {"prompt": "2 and 2?", "chosen": "4", "rejected": "5"},
        {"prompt": {"messages": [USER]}, "chosen": [ANSWER], "rejected": [WRONG]},
    ),
    "trl-preference, messages": (
        "trl-preference", {"prompt": [USER], "chosen": [ANSWER], "rejected": [WRONG], "tools": json.dumps([TOOL])},
        {"prompt": {"messages": [USER], "tools": [TOOL]}, "chosen": [ANSWER], "rejected": [WRONG]},
    ),
    "trl-preference, no prompt": (
        "trl-preference", {"chosen": [USER, ANSWER], "rejected": [USER, WRONG]},
        {"prompt": {"messages": [USER]}, "chosen": [ANSWER], "rejected": [WRONG]},
    ),
    "trl-preference, the prompt told twice": (
        "trl-preference", {"prompt": "2 and 2?", "chosen": [USER, ANSWER], "rejected": [USER, WRONG]},
        {"prompt": {"messages": [USER]}, "chosen": [ANSWER], "rejected": [WRONG]},
    ),
    "trl-kto": (
        "trl-kto", {"prompt": "2 and 2?", "completion": "5", "label": False},
        {"prompt": {"messages": [USER]}, "answer": [WRONG], "good": False},
    ),
    "trl-kto, messages": (
        "trl-kto", {"prompt": [USER], "completion": [ANSWER], "label": True},
        {"prompt": {"messages": [USER]}, "answer": [ANSWER], "good": True},
    ),
    "text": ("text", {"text": "Two and two is four."}, {"text": "Two and two is four."}),
}  # fmt: skip


@pytest.mark.parametrize(("name", "row", "canonical"), GOOD.values(), ids=GOOD.keys())
def test_a_row_is_known_and_read_and_comes_back(
    tmp_path: Path, name: str, row: dict[str, Any], canonical: dict[str, Any]
) -> None:
    assert detect([row], "rows").name == name
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    dataset = Dataset.load(tmp_path / "rows.jsonl")
    assert list(dataset.rows()) == [canonical]
    dataset.save(tmp_path / "again.jsonl", name)
    again = Dataset.load(tmp_path / "again.jsonl")
    assert list(again.rows()) == [canonical]
    assert again.fingerprint == dataset.fingerprint
    assert [finding for finding in dataset.check() if finding.check == "unread"] == []


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, plain, max_size=3)
tools = st.lists(objects | st.fixed_dictionaries({"type": st.just("function"), "function": objects}), max_size=2)
calls = st.fixed_dictionaries({"name": texts, "arguments": objects}, optional={"id": texts})
parts = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts})
    | st.fixed_dictionaries({"type": st.just("image_url"), "image_url": objects}),
    min_size=1,
    max_size=2,
)
users = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user"]), "content": texts | parts}, optional={"name": texts}
)
seldom = st.integers(0, 4).map(lambda n: n == 0)


@st.composite
def answers(draw: st.DrawFn, weighted: bool = True) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": draw(texts | (parts if draw(seldom) else texts))}
    if draw(seldom):
        message["tool_calls"] = draw(st.lists(calls, min_size=1, max_size=2))
        message["content"] = draw(st.none() | texts)
    if draw(seldom):
        message["refusal"] = draw(texts)
    if weighted and draw(seldom):
        message["weight"] = draw(st.sampled_from([0, 1]))
    return message


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    row: dict[str, Any] = {"messages": []}
    if draw(seldom) or draw(seldom):
        return {"messages": [{"role": "user", "content": draw(texts)}]}
    if draw(seldom):
        row["messages"].append({"role": "system", "content": draw(texts)})
    for _ in range(draw(st.integers(0, 2))):
        row["messages"] += [draw(users), draw(answers())]
    row["messages"].append({"role": "user", "content": draw(texts)})
    if draw(seldom) and (listed := draw(tools)):
        row["tools"] = listed
    if draw(seldom):
        row["parallel_tool_calls"] = draw(st.booleans())
    return row


@st.composite
def canonical(draw: st.DrawFn, kind: Kind) -> dict[str, Any]:
    if kind == "text":
        return {"text": draw(texts)}
    prompt = draw(conversations())
    if kind == "task":
        return {"prompt": prompt, "reference": draw(objects)}
    if kind == "rated":
        return {"prompt": prompt, "answer": [draw(answers(False))], "good": draw(st.booleans())}
    if kind == "preference":
        return {"prompt": prompt, "chosen": [draw(answers(False))], "rejected": [draw(answers(False))]}
    last = draw(answers())
    return {**prompt, "messages": [*prompt["messages"], {k: v for k, v in last.items() if k != "weight"}]}


def with_ids(value: Any) -> Any:
    """The row with an id on every call: OpenAI's formats cannot do without."""
    if isinstance(value, list):
        return [with_ids(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    row = {key: with_ids(inner) for key, inner in value.items()}
    if row.get("role") == "assistant" and "tool_calls" in row:
        row["tool_calls"] = [{"id": "c", **call} for call in row["tool_calls"]]
    return row


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_what_a_format_writes_comes_back_or_is_refused(tmp_path: Path, form: Any, suffix: str) -> None:
    held = 0

    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(canonical(form.kind))
    def comes_back(row: dict[str, Any]) -> None:
        nonlocal held
        row = with_ids(row) if form.name.startswith("openai") else row
        spool = Spool(form.kind, "rows")
        try:
            spool.add(row, 1)
        except ValueError:
            return
        path = tmp_path / f"rows{suffix}"
        try:
            Dataset(spool).save(path, form.name)
        except DatasetError:
            return
        again = Dataset.load(path, form.name)
        assert list(again.rows()) == [row]
        assert again.fingerprint == Dataset(spool).fingerprint
        held += 1

    comes_back()
    assert held > 2


def test_a_packed_file_is_the_same_each_time(tmp_path: Path) -> None:
    dataset = Dataset.of([{"text": "words"}])
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        dataset.save(tmp_path / name)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == b'{"text":"words"}\n'


@pytest.mark.parametrize("kind", ["chat", "preference", "rated", "task", "text"])
def test_each_kind_is_written_in_a_format_of_its_own_by_default(tmp_path: Path, kind: str) -> None:
    row = next(row for name, row, _ in GOOD.values() if named(name).kind == kind)
    dataset = Dataset.of([row])
    dataset.save(tmp_path / "rows.jsonl")
    assert Dataset.load(tmp_path / "rows.jsonl").fingerprint == dataset.fingerprint


def test_a_format_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="trl-kto holds rated examples, and these are text"):
        Dataset.of([{"text": "words"}]).save(tmp_path / "rows.jsonl", "trl-kto")


@pytest.mark.parametrize(("prompt", "kept"), [("q", True), ("Human: q", True), ("", True), ("Be polite.", False)])
def test_the_text_of_a_prompt_that_no_conversation_says_is_not_lost(prompt: str, kept: bool) -> None:
    sides = {
        side: [{"role": "user", "content": " q"}, {"role": "assistant", "content": side}]
        for side in ("chosen", "rejected")
    }
    if kept:
        assert len(Dataset.of([{"prompt": prompt, **sides}])) == 1
        return
    with pytest.raises(DatasetError, match="nothing would read it"):
        Dataset.of([{"prompt": prompt, **sides}])

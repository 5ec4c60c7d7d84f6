"""Messages and examples: frozen values with one canonical form, which comes back whole from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.formats import FORMATS, named
from finetune_sdk.messages import (
    ChatExample,
    Conversation,
    Message,
    PreferenceExample,
    TextExample,
    ToolCall,
    example,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
arguments = st.dictionaries(texts, plain, max_size=3)
calls = st.builds(ToolCall, texts, arguments, texts)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), min_size=1, max_size=2).map(tuple)
asked = st.builds(Message, st.sampled_from(["system", "developer", "user"]), texts | parts, name=st.none() | texts)
answered = st.builds(
    Message, st.just("assistant"), texts | parts, weight=st.none() | st.just(1), refusal=st.none() | texts
)
called = st.builds(Message, st.just("assistant"), st.none() | texts, st.lists(calls, min_size=1, max_size=2).map(tuple))
tools = st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": plain}), max_size=2).map(tuple)
chats = st.builds(
    lambda turns, tools, parallel: ChatExample(tuple(m for turn in turns for m in turn), tools, parallel),
    st.lists(st.tuples(asked, answered | called), min_size=1, max_size=3),
    tools,
    st.none() | st.booleans(),
)
preferences = st.builds(
    PreferenceExample,
    st.builds(Conversation, st.lists(asked, min_size=1, max_size=2).map(tuple), tools),
    answered.map(lambda message: (replace(message, weight=None),)),
    called.map(lambda message: (message,)),
)
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(chats)
def test_a_chat_comes_back_from_its_canonical_form(one: ChatExample) -> None:
    assert example("chat", one.canonical()) == one


@quick
@given(preferences)
def test_a_preference_comes_back_from_its_canonical_form(one: PreferenceExample) -> None:
    assert example("preference", one.canonical()) == one


@quick
@given(st.lists(chats, min_size=1, max_size=3))
def test_chats_come_back_from_a_file_with_the_same_fingerprint(tmp_path: Path, examples: list[ChatExample]) -> None:
    dataset = Dataset.of(examples)
    dataset.save(tmp_path / "chats.jsonl")
    again = Dataset.load(tmp_path / "chats.jsonl")
    assert list(again) == examples
    assert again.fingerprint == dataset.fingerprint


@quick
@given(st.lists(preferences, min_size=1, max_size=3))
def test_preferences_come_back_from_a_file_with_the_same_fingerprint(
    tmp_path: Path, examples: list[PreferenceExample]
) -> None:
    dataset = Dataset.of(examples)
    dataset.save(tmp_path / "pairs.jsonl")
    again = Dataset.load(tmp_path / "pairs.jsonl")
    assert list(again) == examples
    assert again.fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("alpaca", {"instruction": "Add.", "input": "2 and 2", "output": "4"}),
        ("alpaca", {"system": "Be brief.", "instruction": "Add 2 and 2.", "output": "4"}),
        ("prompt-completion", {"prompt": "2 and 2?", "completion": "4"}),
        ("text", {"text": "Two and two is four."}),
    ],
)
def test_each_simple_format_is_detected_and_written_back(tmp_path: Path, name: str, row: dict[str, Any]) -> None:
    dataset = Dataset.of([row])
    dataset.save(tmp_path / "out.jsonl", name)
    again = Dataset.load(tmp_path / "out.jsonl")
    assert again.fingerprint == dataset.fingerprint
    assert list(again.rows()) == [named(name).read(row)]


def test_the_same_chat_has_one_fingerprint_in_every_format() -> None:
    rows = [
        {"messages": [{"role": "user", "content": "2 and 2?"}, {"role": "assistant", "content": "4"}]},
        {"instruction": "2 and 2?", "input": "", "output": "4"},
        {"prompt": "2 and 2?", "completion": "4"},
    ]
    assert len({Dataset.of([row]).fingerprint for row in rows}) == 1


def test_the_older_names_of_preferences_mean_the_same() -> None:
    asked = {"messages": [{"role": "user", "content": "2 and 2?"}]}
    good, bad = [{"role": "assistant", "content": "4"}], [{"role": "assistant", "content": "5"}]
    new = {"input": asked, "preferred_output": good, "non_preferred_output": bad}
    old = {"input": asked, "preferred_completion": good, "non_preferred_completion": bad}
    assert Dataset.of([new]).fingerprint == Dataset.of([old]).fingerprint


def test_tool_arguments_are_objects_whether_written_as_text_or_not() -> None:
    def row(arguments: Any) -> dict[str, Any]:
        call = {"id": "c1", "type": "function", "function": {"name": "land", "arguments": arguments}}
        return {"messages": [{"role": "user", "content": "Land."}, {"role": "assistant", "tool_calls": [call]}]}

    as_text, as_object = Dataset.of([row('{"x": 1}')]), Dataset.of([row({"x": 1})])
    assert as_text.fingerprint == as_object.fingerprint
    assert as_text[0].answer.tool_calls == (ToolCall("land", {"x": 1}, "c1"),)  # type: ignore[union-attr]


def test_a_question_is_a_text_messages_or_plain_turns() -> None:
    wanted = Conversation((Message("user", "hello"),))
    asked: list[Any] = ["hello", wanted, [Message("user", "hello")], [{"role": "user", "content": "hello"}]]
    assert all(Conversation.of(one) == wanted for one in asked)


def test_a_chat_is_a_prompt_and_its_last_answer() -> None:
    turns = tuple(Message(role, text) for role, text in (("user", "a"), ("assistant", "b"), ("user", "c")))  # type: ignore[arg-type]
    one = ChatExample((*turns, Message("assistant", "d")))
    assert one.prompt == Conversation(turns)
    assert one.answer.text == "d"


def test_every_format_is_known_by_its_own_name() -> None:
    assert [named(form.name) for form in FORMATS] == list(FORMATS)
    assert example("text", {"text": "x"}) == TextExample("x")

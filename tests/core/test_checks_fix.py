"""Mechanical cures: what is mended, that each change is named, and that nothing else changes."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_sdk.data.checks.reading import turns
from finetune_sdk.data.cures.wording import stripped
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from rows import chat, pair

DEMO = Path(__file__).parents[2] / "finetune_sdk" / "demo"


def texts(data: Dataset) -> list[tuple[str, str]]:
    return [(row["messages"][0]["content"], row["messages"][-1]["content"]) for row in data.fix().rows()]


def test_white_space_and_byte_order_marks_go() -> None:
    data = Dataset.of([chat("\ufeffHello \n", " Good day.\n\n"), chat("Bye", "Bye.")])
    assert texts(data) == [("Hello", "Good day."), ("Bye", "Bye.")]
    assert [(change.line, change.action) for change in data.fix().changes] == [(1, "stripped")]


def test_code_keeps_its_indentation() -> None:
    assert stripped("\n\n    if a:\n        b()\n") == "    if a:\n        b()"


def test_a_text_of_white_space_alone_is_left_to_a_person() -> None:
    data = Dataset.of([chat("Hello", " \n")])
    assert data.fix().changes == ()


def test_what_a_tool_said_stays_as_it_is() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    rows = [
        {
            "messages": [
                {"role": "user", "content": "Now?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": " raw \n"},
                {"role": "assistant", "content": "Yes."},
            ]
        }
    ]
    assert Dataset.of(rows).fix().changes == ()


def test_a_pair_that_would_become_one_answer_is_left() -> None:
    assert Dataset.of([pair("Now?", "Yes.", "Yes. ")]).fix().changes == ()


def test_labels_are_written_in_the_most_frequent_way() -> None:
    labels = ["approved"] * 20 + ["denied"] * 15 + ["approved.", "Approved", " approved "]
    data = Dataset.of([chat(f"case {n}", label) for n, label in enumerate(labels)])
    assert Counter(answer for _, answer in texts(data)) == {"approved": 23, "denied": 15}
    told = {change.line: change.what for change in data.fix().changes if change.action == "relabelled"}
    assert told == {36: "'approved.' became 'approved'", 37: "'Approved' became 'approved'"}


def test_a_label_in_json_is_replaced_letter_for_letter() -> None:
    rows = [chat(f"case {n}", f'{{"note":  "Lieferung größer", "category":"billing", "n": {n}}}') for n in range(24)]
    rows[3] = chat("case 3", '{"note":  "Billing größer", "category":"Billing", "n": 3}')
    answers = [answer for _, answer in texts(Dataset.of(rows))]
    assert answers[3] == '{"note":  "Billing größer", "category":"billing", "n": 3}'
    assert answers[4] == rows[4]["messages"][-1]["content"]


def test_exact_duplicates_go_and_each_is_named() -> None:
    data = Dataset.of([chat("a", "b"), chat("c", "d"), chat("a", "b "), chat("a", "b")])
    fixed = data.fix()
    assert [str(change) for change in fixed.changes] == [
        "row 3: dropped: it repeats row 1 exactly",
        "row 4: dropped: it repeats row 1 exactly",
    ]
    assert len(list(fixed.rows())) == 2


def test_rows_that_cannot_be_used_are_mended_or_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows: list[Any] = [chat("a", "b"), {**chat("c", "d"), "id": 7}, {"messages": []}, chat("e", "f")]
    rows[3]["messages"][0]["stamp"] = "today"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no JSON\n")
    data, _ = Dataset.inspect(file)
    fixed = data.fix()
    assert [row["messages"][0]["content"] for row in fixed.rows()] == ["a", "c", "e"]
    assert [(change.line, change.action) for change in fixed.changes] == [
        (2, "removed"), (3, "dropped"), (4, "removed"), (5, "dropped"),
    ]  # fmt: skip
    assert "id" in fixed.changes[0].what
    assert "messages.stamp" in fixed.changes[2].what


GPT = {"messages": [{"role": "human", "content": "a"}, {"role": "gpt", "content": "b"}]}
MISNAMED: dict[str, Any] = {
    "openai": GPT,
    "openai with case and space": {"messages": [{"role": "User", "content": "a"}, {"role": "Assistant ", "content": "b"}]},
    "openai with keys that nothing reads": {**GPT, "id": 7},
    "openai-preference": {"input": {"messages": [{"role": "human", "content": "a"}]}, "preferred_output": [{"role": "bot", "content": "b"}],
                          "non_preferred_output": [{"role": "model", "content": "c"}]},
    "openai-rft": {"messages": [{"role": "human", "content": "a"}], "answer": 4},
    "trl-preference": {"prompt": "a", "chosen": [{"role": "gpt", "content": "b"}], "rejected": [{"role": "AI", "content": "c"}]},
    "trl-kto": {"prompt": [{"role": "human", "content": "a"}], "completion": [{"role": "bot", "content": "b"}], "label": True},
    "prompt-completion": {"prompt": [{"role": "human", "content": "a"}], "completion": [{"role": "gpt", "content": "b"}]},
    "sharegpt": {"conversations": [{"from": "Human", "value": "a"}, {"from": "bot", "value": "b"}]},
}  # fmt: skip


@pytest.mark.parametrize("row", MISNAMED.values(), ids=MISNAMED.keys())
@pytest.mark.parametrize("array", [False, True], ids=["lines", "array"])
def test_misnamed_roles_get_their_right_names_and_each_row_is_told(tmp_path: Path, row: Any, array: bool) -> None:
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([row]) if array else json.dumps(row))
    data, faults = Dataset.inspect(file)
    assert (len(data), len(faults)) == (0, 1)
    assert "--fix" in faults[0].cure
    fixed = data.fix()
    renamed = [change for change in fixed.changes if change.action == "renamed"]
    assert renamed
    assert {change.line for change in renamed} == {1}
    assert not [change for change in fixed.changes if change.action == "dropped"]
    fixed.save(tmp_path / "fixed.jsonl")
    mended = Dataset.load(tmp_path / "fixed.jsonl")
    assert {message["role"] for message in turns(mended.row(0))} <= {"user", "assistant"}
    assert mended.fix().changes == ()


def test_a_role_that_nobody_knows_is_left_to_a_person(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(chat("a", "b")) + '\n{"messages": [{"role": "narrator", "content": "a"}]}\n')
    data, _ = Dataset.inspect(file)
    (change,) = data.fix().changes
    assert str(change) == "line 2: dropped: message 1: the role 'narrator' is not known."


def test_a_whole_file_of_misnamed_roles_is_mended(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [
        {"messages": [{"role": "human", "content": f"{n}"}, {"role": "gpt", "content": "b"}]} for n in range(12_000)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"messages": []}]))
    data, _ = Dataset.inspect(file)
    fixed = data.fix()
    assert sum(1 for _ in fixed.rows()) == 12_000
    assert [change.line for change in fixed.changes if change.action == "dropped"] == [12_001]


def test_a_file_that_changed_meanwhile_is_not_mended(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(GPT).encode()))
    data, _ = Dataset.inspect(file)
    file.write_bytes(gzip.compress(json.dumps(chat("x", "y")).encode() * 2))
    with pytest.raises(DatasetError, match="has changed"):
        data.fix()


def test_rows_under_other_names_are_mended_by_those(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"talk": GPT["messages"], "messages": "not these"}))
    data, _ = Dataset.inspect(file, "openai", columns={"messages": "talk"})
    assert texts(data) == [("a", "b")]


def test_keys_that_nothing_reads_are_told_with_their_first_lines(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{"instruction": f"{n}", "output": "b", **({"source": "web"} if n % 2 else {})} for n in range(100)]
    for content in ("\n".join(map(json.dumps, rows)), json.dumps(rows)):
        file.write_text(content)
        (finding,) = Dataset.load(file).check([])
        assert (finding.check, finding.count, finding.rows) == ("unread", 50, tuple(range(2, 42, 2)))


def test_keys_that_nothing_reads_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"instruction": "a", "output": "b", "source": "web"}\n')
    (change,) = Dataset.load(file).fix().changes
    assert (change.line, change.action) == (None, "removed")
    assert "source" in change.what


def test_more_faults_than_can_be_named_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(chat("a", "b")) + "\n" + '{"messages": []}\n' * 10_001)
    data, _ = Dataset.inspect(file)
    with pytest.raises(DatasetError, match="nothing is dropped"):
        data.fix()


def test_one_person_has_one_placeholder_throughout() -> None:
    key = "sk-proj-" + "a1B2c3D4" * 6
    data = Dataset.of([
        chat("I am Jane.Roe@gmail.com, and bob@acme.org knows.", "Thank you."),
        chat(f"jane.roe@gmail.com again, at +49 170 1234567, key {key}", "Noted: +49 (170) 123-4567."),
    ])  # fmt: skip
    fixed = data.fix(redact=True)
    first, second = fixed.rows()
    assert first["messages"][0]["content"] == "I am <EMAIL_1>, and <EMAIL_2> knows."
    assert second["messages"][0]["content"] == "<EMAIL_1> again, at <PHONE_1>, key <SECRET_1>"
    assert second["messages"][1]["content"] == "Noted: <PHONE_1>."
    assert [change.what for change in fixed.changes] == ["<EMAIL_1>, <EMAIL_2>", "<EMAIL_1>, <PHONE_1>, <SECRET_1>"]


def test_a_second_redaction_goes_on_counting() -> None:
    data = Dataset.of([chat("<EMAIL_3> and jane.roe@gmail.com", "Yes.")])
    (row,) = data.fix(redact=True).rows()
    assert row["messages"][0]["content"] == "<EMAIL_3> and <EMAIL_4>"


def test_nothing_is_redacted_that_was_not_asked_for() -> None:
    assert Dataset.of([chat("jane.roe@gmail.com", "Yes.")]).fix().changes == ()


def test_redaction_reaches_arguments_of_tools_and_worse_answers() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"to": ["jane.roe@gmail.com"]}'}}
    turns = [{"role": "user", "content": "Mail her"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    for data in (Dataset.of([{"messages": turns}]), Dataset.of([pair("Who?", "Nobody.", "jane.roe@gmail.com")])):
        assert "jane" not in json.dumps(list(data.fix(redact=True).rows()))


@pytest.mark.parametrize(
    "arguments", [{"id": "jane.roe@gmail.com"}, {"type": "file", "owner": "jane.roe@gmail.com"}, {"role": ["jane.roe@gmail.com"]},
                  {"tools": {"weight": "jane.roe@gmail.com"}}, {"jane.roe@gmail.com": "invited"}]
)  # fmt: skip
def test_keys_of_arguments_and_references_may_be_called_like_those_of_a_row(arguments: dict[str, Any]) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps(arguments)}}
    asked = {"role": "user", "content": "Mail her"}
    tool = {"type": "function", "function": {"name": "f"}}
    calling = {"messages": [asked, {"role": "assistant", "content": None, "tool_calls": [call]}], "tools": [tool]}
    for data in (Dataset.of([calling]), Dataset.of([{"messages": [asked], "expected": arguments}])):
        assert "personal-data" in [finding.check for finding in data.check()]
        (row,) = data.fix(redact=True).rows()
        assert "jane" not in json.dumps(row)
        assert "<EMAIL_1>" in json.dumps(row)


def test_a_text_that_only_begins_as_a_picture_does_is_redacted() -> None:
    picture = "data:image/png;base64,iVBORw0KGgo="
    for said, left in (
        ("data: jane.roe@gmail.com", "data: <EMAIL_1>"),
        (f"{picture} jane.roe@gmail.com", f"{picture} <EMAIL_1>"),
        ("Schreib an jürgen.müller@gmail.com!", "Schreib an <EMAIL_1>!"),
        ("an info@müller.de, 请联系jane@gmail.com", "an <EMAIL_1>, 请联系<EMAIL_2>"),
    ):
        (row,) = Dataset.of([chat(said, "Yes.")]).fix(redact=True).rows()
        assert row["messages"][0]["content"] == left


def test_a_row_of_very_many_addresses_is_redacted_in_time() -> None:
    text = " ".join(f"jane{n}@mail.de" for n in range(20_000))
    start = time.perf_counter()
    (row,) = Dataset.of([chat(text, "Yes.")]).fix(redact=True).rows()
    assert row["messages"][0]["content"].endswith("<EMAIL_20000>")
    assert time.perf_counter() - start < 20  # of a second or two; pairs of addresses would take minutes


@given(st.lists(st.tuples(st.text(max_size=12), st.sampled_from(["yes", "Yes.", "no", " no", "maybe"])), min_size=1))
def test_what_is_fixed_needs_no_fixing_and_every_row_is_accounted_for(given: list[tuple[str, str]]) -> None:
    rows = [chat(f"{asked}?", answer) for asked, answer in given]
    data = Dataset.of(rows)
    fixed = data.fix()
    left = list(fixed.rows())
    dropped = [change.line for change in fixed.changes if change.action == "dropped"]
    assert len(left) + len(dropped) == len(rows)
    again = Dataset.of(left, format="openai").fix()
    assert list(again.rows()) == left
    assert all(change.action == "relabelled" for change in again.changes) or not again.changes


def test_the_demos_data_needs_no_fixing_and_is_saved_as_it_was(tmp_path: Path) -> None:
    for name in ("tickets", "preferences"):
        data = Dataset.load(DEMO / f"{name}.jsonl")
        data.fix(redact=True).save(tmp_path / "out.jsonl")
        assert Dataset.load(tmp_path / "out.jsonl").fingerprint == data.fingerprint
        assert data.fix(redact=True).changes == ()


def test_a_row_that_a_table_cannot_hold_is_named_by_its_line_when_it_is_mended_too(tmp_path: Path) -> None:
    long = {"messages": [*chat("a", "b")["messages"], *chat("c", "d")["messages"]]}
    with pytest.raises(DatasetError, match=r"^rows row 2: "):
        Dataset.of([chat("a", "b"), long]).fix().save(tmp_path / "out.csv")


def test_rows_of_a_mixture_that_are_equal_and_on_the_same_line_are_one() -> None:
    one, other = Dataset.of([chat("a", "b")], name="one"), Dataset.of([chat("a", "b")], name="other")
    fixed = Dataset.mix({one: 0.5, other: 0.5}).fix()
    assert len(list(fixed.rows())) == 1
    assert [change.action for change in fixed.changes] == ["dropped"]


def test_a_secret_in_the_definition_of_a_tool_is_told_and_redacted() -> None:
    secret = "sk-proj-" + "a1B2c3D4" * 6
    schema = {"type": "object", "properties": {"key": {"type": "string", "default": secret, "pattern": "^sk-"}}}
    tool = {
        "type": "function",
        "function": {"name": "f", "description": "Mail jane.roe@gmail.com", "parameters": schema},
    }
    for row in (
        {**chat("Hi", "Hello"), "tools": [tool]},
        {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello"}],
         "label": True, "tools": [tool]},
    ):  # fmt: skip
        data = Dataset.of([row])
        assert "secrets" in [finding.check for finding in data.check()]
        (left,) = data.fix(redact=True).rows()
        assert secret not in json.dumps(left)
        assert "<SECRET_1>" in json.dumps(left)
        assert "jane.roe@gmail.com" in json.dumps(left)

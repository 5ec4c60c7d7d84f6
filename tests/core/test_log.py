"""A log of answers in production, what people thought of them, and the rows that come out of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError, InputError
from finetune_sdk.log import Log
from finetune_sdk.messages import Asked, Conversation, ToolCall
from finetune_sdk.model import Answer, Observed, Origin, Sampling


class Echo:
    name = "echo"
    origin = Origin("here", "none", run="here:1")

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.answers([asked], sampling)[0]

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        said = [Conversation.of(one).messages[-1].text for one in asked]
        return [Answer("", (ToolCall("find", {"q": text}),)) if text == "find" else Answer(text) for text in said]


@pytest.fixture
def observed(tmp_path: Path) -> Observed:
    return Observed(Echo(), Log(tmp_path / "answers.jsonl"))


def rate(observed: Observed, asked: str, good: bool, correction: str | None = None) -> None:
    answer = observed.answer(asked)
    assert answer.id is not None
    observed.log.rate(answer.id, good, correction)


def test_good_answers_and_corrections_become_rows(observed: Observed) -> None:
    rate(observed, "yes", True)
    rate(observed, "no", False)
    rate(observed, "nearly", False, "entirely")
    observed.answer("nobody looked")
    rate(observed, "find", True)
    said = [(row["messages"][0]["content"], row["messages"][-1]) for row in Dataset.from_log(observed.log.path).rows()]
    assert said == [
        ("yes", {"role": "assistant", "content": "yes"}),
        ("nearly", {"role": "assistant", "content": "entirely"}),
        ("find", {"role": "assistant", "content": None, "tool_calls": [{"name": "find", "arguments": {"q": "find"}}]}),
    ]


def test_all_ratings_become_rated_rows_and_the_last_one_counts(observed: Observed) -> None:
    rate(observed, "yes", True)
    answer = observed.answer("no")
    for good in (True, False):
        observed.log.rate(str(answer.id), good)
    rated = Dataset.from_log(observed.log.path, kind="rated")
    assert rated.kind == "rated"
    assert [row["good"] for row in rated.rows()] == [True, False]


def test_answers_of_several_threads_do_not_mix(observed: Observed) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(observed.answer, [f"{n} " * 3000 for n in range(64)]))
    asked = [logged.asked.messages[0].text.split()[0] for logged in observed.log.answers()]
    assert sorted(asked, key=int) == [str(n) for n in range(64)]


def test_a_line_that_is_still_being_written_is_left_for_later(observed: Observed) -> None:
    rate(observed, "yes", True)
    with observed.log.path.open("a") as file:
        file.write('{"id": "half')
    assert len(Dataset.from_log(observed.log.path)) == 1


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{}", "line 1 is neither"),
        ("[]", "line 1 is not JSON"),
        ("{", "line 1 is not JSON"),
        ("", "no answer has a good"),
    ],
)
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, line: str, found: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(f"{line}\n" if line else "")
    with pytest.raises(DatasetError, match=found) as caught:
        Dataset.from_log(path)
    assert caught.value.cure


def test_what_cannot_be_written_or_rated_is_refused(tmp_path: Path, observed: Observed) -> None:
    nonsense: Any = "yes"
    with pytest.raises(InputError, match="good=True or False"):
        observed.log.rate("1", nonsense)
    with pytest.raises(InputError, match="cannot be written"):
        Observed(Echo(), Log(tmp_path)).answer("hello")
    with pytest.raises(DatasetError, match="cannot be read"):
        Dataset.from_log(tmp_path / "missing.jsonl")


def test_the_log_is_plain_json_lines(observed: Observed) -> None:
    rate(observed, "grüß dich", True)
    first, second = map(json.loads, observed.log.path.read_text("utf-8").splitlines())
    assert first["asked"]["messages"] == [{"role": "user", "content": "grüß dich"}]
    assert (first["model"], first["run"], second["rates"]) == ("echo", "here:1", first["id"])


ANSWER: dict[str, Any] = {
    "id": "1", "asked": {"messages": [{"role": "user", "content": "q"}]}, "answer": {"role": "assistant", "content": "a"}
}  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        {"rates": []}, {"rates": "1", "good": "no"}, {"rates": "1", "good": False, "correction": 5}, {**ANSWER, "answer": ["a"]},
        {**ANSWER, "asked": {"messages": "q"}}, {**ANSWER, "asked": {"messages": [{"role": "robot", "content": "q"}]}},
        {**ANSWER, "asked": {"messages": [{"role": "user", "content": 5}]}}, {**ANSWER, "answer": {"role": "user", "content": "a"}},
        {**ANSWER, "answer": {"role": "assistant", "content": ["a"]}},
    ],
    ids=str,
)  # fmt: skip
def test_a_line_that_somebody_edited_is_named(tmp_path: Path, line: dict[str, Any]) -> None:
    good = {"rates": "1", "good": True}
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in (good, line)))
    with pytest.raises(DatasetError, match="line 2 is neither"):
        Dataset.from_log(tmp_path / "log.jsonl")


def test_a_line_that_is_nested_without_end_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("[" * 100_000 + "\n")
    with pytest.raises(DatasetError, match="line 1 is not JSON"):
        Dataset.from_log(tmp_path / "log.jsonl")


def test_a_log_gives_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no 'preference' examples"):
        Dataset.from_log(tmp_path / "log.jsonl", kind="preference")  # type: ignore[arg-type]

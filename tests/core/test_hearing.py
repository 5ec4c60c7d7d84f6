"""Models that stand on others are heard as those are: piece by piece where they can be, and else whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk.log import Log
from finetune_sdk.messages import Asked, Conversation
from finetune_sdk.model import Answer, Hears, Model, Observed, Origin, Prompted, Sampling, Speaking, Tuned
from finetune_sdk.testing.speech import Echo


class Letters(Echo):
    """Says again what it was asked last, letter by letter."""

    def speak(self, asked: Iterable[Asked], hear: Hears, sampling: Sampling | None = None) -> list[Answer]:
        texts = [Conversation.of(one).messages[-1].text for one in asked]
        for row, one in hear.items():
            texts[row] = "".join(letter for letter in texts[row] if one(letter))
        return [Answer(text) for text in texts]


def tuned(model: Model, folder: Path) -> Model:
    return Tuned(model, "mine", model.origin)


def prompted(model: Model, folder: Path) -> Model:
    return Prompted(model, system="Be brief.")


def observed(model: Model, folder: Path) -> Model:
    return Observed(model, Log(folder / "answers.jsonl"))


ON_TOP = pytest.mark.parametrize("on_top", [tuned, prompted, observed], ids=lambda made: made.__name__)


@ON_TOP
def test_what_can_be_heard_is_heard_through(on_top: Callable[[Model, Path], Model], tmp_path: Path) -> None:
    model = on_top(Letters("letters", Origin("here", "letters")), tmp_path)
    assert isinstance(model, Speaking)
    pieces = list[str]()
    first, second = model.speak(["ab", "cde"], {1: lambda piece: len(pieces) < 2 and pieces.append(piece) is None})
    assert pieces == ["c", "d"]
    assert (first.text, second.text) == ("ab", "cd")


@ON_TOP
def test_what_cannot_be_heard_is_heard_whole(on_top: Callable[[Model, Path], Model], tmp_path: Path) -> None:
    model = on_top(Echo("echo", Origin("here", "echo")), tmp_path)
    pieces = list[str]()
    answers = model.speak(["one two", "three"], {0: lambda piece: pieces.append(piece) is None})  # type: ignore[attr-defined]
    assert pieces == [answers[0].text]


def test_what_a_log_holds_of_an_answer_that_was_ended_is_what_was_heard(tmp_path: Path) -> None:
    model = Observed(Letters("letters", Origin("here", "letters")), Log(tmp_path / "answers.jsonl"))
    (answer,) = model.speak(["abc"], {0: lambda piece: piece < "c"})
    assert answer.id is not None
    model.log.rate(answer.id, good=True)
    assert [row["messages"][-1]["content"] for row in ft.Dataset.from_log(model.log.path).rows()] == ["ab"]

"""What was answered is not asked again: by an evaluation that goes on, and by the same one where the model stays what it is."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.errors import AnswersError, BackendError
from finetune_sdk.evaluation.evaluation import Evaluation
from finetune_sdk.evaluation.evaluators import ExactMatch, FieldMatch
from finetune_sdk.evaluation.kept import Kept, digest
from finetune_sdk.messages import Asked
from finetune_sdk.model import Answer, Identity, Observed, Origin, Prompted, Recorded, Sampling, Token
from scripted import Scripted, tickets

DRAWN = Sampling(temperature=0.7)
LASTING = Identity("somewhere/model@1", lasting=True)


@dataclass
class Snapshot(Scripted):
    """A model whose name will always mean the same weights."""

    identity: Identity | None = LASTING


@dataclass
class Cut(Scripted):
    """A model that somebody presses ctrl-C on, at one call."""

    at: int = 1
    at_once: int = 10

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        if self.calls == self.at:
            self.at = -1
            raise KeyboardInterrupt
        return super().answers(asked, sampling)


def numbers(model: Scripted) -> list[int]:
    return [int(asked.messages[-1].text.split()[-1]) for asked in model.asked]


def file(home: Path) -> Path:
    return home / "answers.sqlite"


def test_after_ctrl_c_it_goes_on_where_it_was_and_says_so(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, evaluation = Cut(50, at=3), Evaluation(tickets(50), [ExactMatch()])
    with pytest.raises(KeyboardInterrupt):
        evaluation.run(tuned=model)
    assert "30 answers are kept; run the same evaluation again to go on" in caplog.text
    report = evaluation.run(tuned=model)
    assert numbers(model) == list(range(50)), "each case once"
    assert report.metric("ExactMatch", "tuned").passed == 50
    assert report.to_dict()["models"][0]["kept"] == 30
    assert any("30 of 50 answers of tuned were kept from an earlier run" in n for n in report.to_dict()["notes"])


def test_another_evaluator_is_no_other_question(home: Path) -> None:
    model = Cut(50, at=3)
    with pytest.raises(KeyboardInterrupt):
        Evaluation(tickets(50), [ExactMatch()]).run(tuned=model)
    Evaluation(tickets(50), [FieldMatch()]).run(tuned=model)
    assert numbers(model) == list(range(50))


def test_a_model_of_the_users_own_is_kept_until_the_evaluation_is_complete(home: Path) -> None:
    model, evaluation = Scripted(9), Evaluation(tickets(20), [ExactMatch()])
    evaluation.run(tuned=model)
    evaluation.run(tuned=model)
    assert numbers(model) == 2 * list(range(20)), "nobody promised that it is the same one"
    with sqlite3.connect(file(home)) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_two_models_of_one_kind_are_two(home: Path) -> None:
    report = Evaluation(tickets(20), [ExactMatch()]).run(base=Scripted(0), tuned=Scripted(20))
    assert [report.metric("ExactMatch", key).passed for key in ("base", "tuned")] == [0, 20]


def test_a_model_that_stays_what_it_is_is_asked_once(home: Path) -> None:
    first, again = Snapshot(20), Snapshot(20)
    evaluation = Evaluation(tickets(20), [ExactMatch()])
    before, after = evaluation.run(tuned=first).to_dict(), evaluation.run(tuned=again).to_dict()
    assert numbers(first) == list(range(20))
    assert numbers(again) == []
    assert after["examples"] == before["examples"]
    Evaluation(tickets(25), [FieldMatch()]).run(other=again)
    assert numbers(again) == list(range(20, 25)), "of other cases only those that are new"


@pytest.mark.parametrize(
    "other",
    [
        {"sampling": Sampling(max_tokens=5)},
        {"identity": Identity("somewhere/model@2", lasting=True)},
        {"identity": Identity("somewhere/model@1", lasting=False)},
        {"cases": 1},
        {"behind": "Be brief."},
    ],
    ids=str,
)
def test_what_is_asked_otherwise_is_asked_anew(home: Path, other: dict[str, Any]) -> None:
    Evaluation(tickets(20), [ExactMatch()]).run(tuned=Snapshot(20))
    model = replace(Snapshot(20), identity=other.get("identity", LASTING))
    asked: Any = Prompted(model, other["behind"]) if "behind" in other else model
    cases = tickets(20, start=100) if "cases" in other else tickets(20)
    Evaluation(cases, [ExactMatch()], sampling=other.get("sampling")).run(tuned=asked)
    assert len(model.asked) == 20


def test_a_prompt_before_a_model_is_a_part_of_the_question(home: Path) -> None:
    for _ in range(2):
        model = Snapshot(20)
        Evaluation(tickets(20), [ExactMatch()]).run(tuned=Prompted(model, "Be brief."))
    assert model.asked == []


def test_answers_that_are_drawn_are_kept_for_good_only_where_a_seed_draws_them(home: Path) -> None:
    for sampling, asked in ((DRAWN, 40), (replace(DRAWN, seed=1), 20)):
        model = Snapshot(20)
        for _ in range(2):
            Evaluation(tickets(20), [ExactMatch()], sampling=sampling).run(tuned=model)
        assert len(model.asked) == asked


def test_errors_are_not_kept(home: Path) -> None:
    evaluation = Evaluation(tickets(100), [ExactMatch()])
    assert evaluation.run(tuned=Snapshot(100, fails_at=(0,))).metric("ExactMatch", "tuned").errors == 64
    again = Snapshot(100)
    assert evaluation.run(tuned=again).metric("ExactMatch", "tuned").passed == 100
    assert numbers(again) == list(range(64)), "what failed is asked again, and nothing else"


def test_what_was_answered_beside_an_error_is_kept(home: Path) -> None:
    class Patchy(Snapshot):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            said = super().answers(asked, sampling)
            raise AnswersError("some failed", (BackendError("refused"), *said[1:]))

    evaluation = Evaluation(tickets(20), [ExactMatch()])
    evaluation.run(tuned=Patchy(20))
    again = Snapshot(20)
    evaluation.run(tuned=again)
    assert numbers(again) == [0]


def test_nothing_is_kept_where_that_is_turned_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = Evaluation(tickets(20), [ExactMatch()])
    evaluation.run(cache=False, tuned=Snapshot(20))
    monkeypatch.setenv("FINETUNE_ANSWERS_KEPT_MB", "0")
    evaluation.run(tuned=Snapshot(20))
    assert not file(home).exists()
    elsewhere = home.parent / "elsewhere"
    evaluation.run(cache=elsewhere, tuned=Snapshot(20))
    assert file(elsewhere).exists()
    assert not file(home).exists()


def test_what_a_log_must_see_and_what_is_kept_already_is_not_kept(home: Path) -> None:
    cases, log = tickets(5), ft.Log(home.parent / "log.jsonl")
    recorded = Recorded("kept", [(case.prompt, Answer("x")) for case in cases if isinstance(case, ft.ChatExample)])
    for _ in range(2):
        Evaluation(cases, [ExactMatch()]).run(observed=Observed(Snapshot(5), log), kept=recorded)
    assert len((home.parent / "log.jsonl").read_text().splitlines()) == 10


def test_an_answer_comes_back_whole(home: Path) -> None:
    said = Answer(
        "naïve \ud800 \x00", (ft.ToolCall("add", {"a": [1, {"b": None}]}, "c1"),), 3, 4, 0.25, "tool_calls", None,
        (Token("na", -0.5, (("n", -1.0),)),),
    )  # fmt: skip

    @dataclass
    class Said(Snapshot):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            super().answers(asked, sampling)
            return [said for _ in asked]

    heard: list[Answer] = []

    @dataclass(frozen=True)
    class Listening:
        name: str = "Listening"
        version = 1

        def judge(self, case: Any, answer: Answer) -> ft.Score:
            heard.append(answer)
            return ft.Score(True)

    for _ in range(2):
        Evaluation(tickets(1), [Listening()]).run(tuned=Said(1))
    assert heard == [said, said]


def test_what_json_has_no_word_for_is_asked_again_and_harms_nothing(home: Path) -> None:
    class Odd(Snapshot):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            return [replace(a, tool_calls=(ft.ToolCall("f", {"x": object()}),)) for a in super().answers(asked)]

    model = Odd(3)
    for _ in range(2):
        Evaluation(tickets(3), [ExactMatch()]).run(tuned=model)
    assert len(model.asked) == 6


# The file


def test_only_its_owner_reads_it_and_no_question_is_in_it(home: Path) -> None:
    Evaluation(tickets(20), [ExactMatch()]).run(tuned=Snapshot(20))
    assert stat.S_IMODE(os.stat(file(home)).st_mode) == 0o600
    raw = b"".join(path.read_bytes() for path in home.glob("answers.sqlite*"))
    assert b"label" in raw
    assert b"ticket 7" not in raw
    assert b"Answer in JSON" not in raw


def test_what_was_used_last_stays_when_there_is_no_room(tmp_path: Path) -> None:
    value = os.urandom(2000)
    kept = Kept(tmp_path, 400_000)
    for name in range(5):
        sitting = kept.sitting(digest(name))
        for number in range(50):
            sitting.keep(digest(name, number), value, lasting=True)
        sitting.end()
    kept.connection.execute("UPDATE kept SET used = used - 90000")
    kept.sitting(digest("looks")).find([digest(0, number) for number in range(50)])
    kept.close()
    assert file(tmp_path).stat().st_size < 440_000
    again = Kept(tmp_path, 400_000)
    found = again.sitting(digest("looks")).find([digest(name, number) for name in range(5) for number in range(50)])
    assert {digest(0, number) for number in range(50)} <= found.keys(), "they were looked at last"
    assert len(found) < 100
    again.close()


def test_what_an_evaluation_that_may_go_on_has_kept_stays_whatever_the_room(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 10_000)
    sitting = kept.sitting(digest("going"))
    for number in range(50):
        sitting.keep(digest(number), os.urandom(2000), lasting=bool(number % 2))
    kept.close()
    again = Kept(tmp_path, 10_000)
    assert len(again.sitting(digest("going")).find([digest(number) for number in range(50)])) == 50
    again.close()


@pytest.mark.parametrize("spoilt", ["garbage", "newer", "folder", "strange"])
def test_a_file_that_cannot_be_used_costs_no_evaluation_and_is_told(home: Path, spoilt: str) -> None:
    home.mkdir()
    if spoilt == "garbage":
        file(home).write_bytes(b"not a database at all, by far " * 400)
    elif spoilt == "folder":
        file(home).mkdir()
    else:
        with sqlite3.connect(file(home)) as connection:
            connection.execute(f"PRAGMA user_version = {99 if spoilt == 'newer' else 1}")
    report = Evaluation(tickets(20), [ExactMatch()]).run(tuned=Snapshot(20))
    assert report.metric("ExactMatch", "tuned").passed == 20
    assert any("answers cannot be kept in" in note and "remove the file" in note for note in report.to_dict()["notes"])


def test_a_file_that_breaks_on_the_way_costs_no_evaluation_and_is_told(home: Path) -> None:
    class Breaking(Scripted):
        def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
            with sqlite3.connect(file(home)) as connection:
                connection.execute("DROP TABLE IF EXISTS kept")
            return super().answers(asked, sampling)

    report = Evaluation(tickets(20), [ExactMatch()]).run(tuned=Breaking(20))
    assert report.metric("ExactMatch", "tuned").passed == 20
    assert any("no such table" in note for note in report.to_dict()["notes"])


def test_several_evaluations_at_once_share_the_file(home: Path) -> None:
    reports: list[ft.Report] = []

    def evaluate(name: int) -> None:
        origin = Origin("here", str(name))
        reports.append(Evaluation(tickets(100), [ExactMatch()]).run(tuned=Snapshot(100, origin=origin)))

    threads = [threading.Thread(target=evaluate, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.metric("ExactMatch", "tuned").passed for report in reports] == [100] * 6
    assert not any("cannot be kept" in note for report in reports for note in report.to_dict()["notes"])

"""A blind review: who sees what, what is kept of it, and what it says in the report."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import stat
from collections import Counter
from pathlib import Path

import pytest

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluation import Report
from finetune_sdk.review import Review
from reviewing import HOSTILE, ask, report


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "votes.db"


def finish(review: Review, reviewer: str, wanted: str = "tuned", note: str = "") -> None:
    """Votes for the answers of one model until all is done."""
    while (shown := review.sheet(reviewer).ballot) is not None:
        review.vote(reviewer, shown["id"], "1" if shown["first"].startswith(wanted) else "2", note)


# What is shown


def test_a_sheet_shows_one_case_with_two_answers_and_no_names(path: Path) -> None:
    review = Review(report(), path)
    sheet = review.sheet("ada")
    assert (sheet.done, sheet.total) == (0, 12)
    assert sheet.ballot is not None
    assert [turn["role"] for turn in sheet.ballot["turns"]] == ["system", "user"]
    assert sheet.ballot["expected"].startswith("expected")
    bare = report(tuned=lambda n: f"x{n}", base=lambda n: f"y{n}")
    text = json.dumps(Review(bare, path.with_name("other.db")).sheet("ada").to_dict())
    assert "tuned" not in text
    assert "base" not in text


def test_the_order_of_the_answers_is_drawn_and_stays(path: Path) -> None:
    sides = Counter[str]()
    for reviewer in ("ada", "ben", "cem", "dot", "eve", "fay", "gus", "hal"):
        review = Review(report(30), path)
        while (shown := review.sheet(reviewer).ballot) is not None:
            assert Review(report(30), path).sheet(reviewer).ballot == shown
            sides[shown["first"].partition(" ")[0]] += 1
            review.vote(reviewer, shown["id"], "0")
            if review.sheet(reviewer).done == 10:
                break
    assert 20 < sides["tuned"] < 60


def test_all_reviewers_see_the_cases_in_one_order_which_is_not_that_of_the_file(path: Path) -> None:
    review = Review(report(30), path)
    orders = []
    for reviewer in ("ada", "ben"):
        seen = []
        while (shown := review.sheet(reviewer).ballot) is not None:
            seen.append(shown["turns"][-1]["text"])
            review.vote(reviewer, shown["id"], "0")
        orders.append(seen)
    assert orders[0] == orders[1]
    assert orders[0] != [f"question {n}?" for n in range(30)]


def test_only_so_many_cases_are_drawn(path: Path) -> None:
    review = Review(report(30), path, cases=5)
    finish(review, "ada")
    assert review.sheet("ada").done == len(review) == 5
    assert Review(report(30), path, cases=8).sheet("ada").done == 5


def test_equal_answers_are_not_shown_and_all_equal_is_refused(path: Path) -> None:
    some = report(10, tuned=lambda n: "same" if n < 4 else f"tuned {n}", base=lambda n: "same" if n < 4 else "no")
    assert len(Review(some, path)) == 6
    with pytest.raises(EvaluationError, match="10 cases have equal answers"):
        Review(report(10, tuned=lambda n: "same", base=lambda n: "same"), path)


def test_hostile_answers_are_made_visible(path: Path) -> None:
    review = Review(report(len(HOSTILE), tuned=lambda n: HOSTILE[n]), path)
    texts = []
    while (shown := review.sheet("ada").ballot) is not None:
        texts += [shown["first"], shown["second"]]
        review.vote("ada", shown["id"], "0")
    everything = "".join(texts)
    for unseen in "\x1b\x00\x07\x9b\u202e\u2066\u200e\u2028\ufeff\u200b\ud83d":
        assert unseen not in everything
    assert "user⟨U+202E⟩gnp.exe" in everything
    assert HOSTILE[0] in texts


# What is kept


def test_a_vote_names_the_model_whatever_side_it_stood_on(path: Path) -> None:
    review = Review(report(), path)
    finish(review, "ada", note="clear")
    assert {vote.chosen for vote in review.votes} == {"tuned"}
    assert {vote.note for vote in review.votes} == {"clear"}
    assert len(review.votes) == 12


def test_a_review_goes_on_where_it_stopped(path: Path) -> None:
    first = Review(report(), path).sheet("ada").ballot
    assert first is not None
    Review(report(), path).vote("ada", first["id"], "1")
    again = Review(report(), path).sheet("Ada  ")
    assert (again.reviewer, again.done) == ("ada", 1)
    assert again.ballot is not None
    assert again.ballot["id"] != first["id"]


def test_the_last_vote_is_taken_back_and_shown_again(path: Path) -> None:
    review = Review(report(), path)
    first = review.sheet("ada").ballot
    assert first is not None
    review.vote("ada", first["id"], "2", "hm")
    back = review.undo("ada")
    assert (back.done, back.ballot, back.before) == (0, first, {"choice": "2", "note": "hm"})
    assert review.votes == []
    assert review.undo("ada").before is None


def test_nobody_takes_back_what_another_has_voted(path: Path) -> None:
    review = Review(report(), path)
    finish(review, "ada")
    review.undo("ben")
    assert len(review.votes) == 12


def test_the_same_vote_twice_counts_once(path: Path) -> None:
    review = Review(report(), path)
    first = review.sheet("ada").ballot
    assert first is not None
    for choice in ("1", "1", "0"):
        review.vote("ada", first["id"], choice)
    assert [vote.chosen for vote in review.votes] == [None]


def test_votes_on_an_earlier_run_do_not_hide_the_cases_of_a_new_one(path: Path) -> None:
    finish(Review(report(), path), "ada")
    again = Review(report(tuned=lambda n: f"tuned now says {n}"), path)
    assert again.sheet("ada").done == 0
    (row,) = again.report().preferences
    assert (row.stale, row.votes) == (12, 0)


def test_the_file_is_its_owners_alone(path: Path) -> None:
    Review(report(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"not a database", b"x" * 5000])
def test_a_file_of_something_else_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=r"votes\.db"):
        Review(report(), path)
    assert path.read_bytes() == content


def test_a_database_of_somebody_else_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    with pytest.raises(EvaluationError, match="something else"):
        Review(report(), path)


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\u202eb", "a\x00", "\ud800", None, 5])
def test_what_is_no_name_is_refused(path: Path, name: str) -> None:
    review = Review(report(), path)
    with pytest.raises(EvaluationError, match="no reviewer's name"):
        review.sheet(name)


def test_what_is_no_choice_is_refused(path: Path) -> None:
    review = Review(report(), path)
    shown = review.sheet("ada").ballot
    assert shown is not None
    for ballot, choice in ((shown["id"], "3"), (shown["id"], "tuned"), ("other", "1")):
        with pytest.raises(EvaluationError):
            review.vote("ada", ballot, choice)
    assert review.votes == []


# What it says


def test_the_report_has_the_win_rate_of_all_reviewers_and_their_agreement(path: Path) -> None:
    review = Review(report(), path)
    finish(review, "ada")
    finish(review, "ben")
    (row,) = review.report().preferences
    assert (row.kind, row.better, row.wins, row.losses, row.votes) == ("human", "tuned", 12, 0, 24)
    assert row.low == pytest.approx(0.735, abs=1e-3)
    assert row.agreements[0]["agreed"] == 12


def test_what_is_taken_back_leaves_the_report(path: Path) -> None:
    review = Review(report(), path)
    finish(review, "ada")
    kept = review.report()
    again = Review(kept, path)
    again.undo("ada")
    assert again.report().preferences[0].votes == 11


def test_the_votes_of_a_report_file_stand_beside_it(tmp_path: Path) -> None:
    report().save(tmp_path / "triage.json")
    review = Review(tmp_path / "triage.json")
    finish(review, "ada")
    assert review.path == tmp_path / "triage.votes.db"
    review.report().save(tmp_path / "triage.json")
    assert Report.load(tmp_path / "triage.json").preferences[0].wins == 12


# Who may ask


def test_the_page_asks_for_the_token_the_host_and_no_other_origin(path: Path) -> None:
    review = Review(report(), path)
    with review.page() as page:
        root = page.url.rsplit("/", 2)[0]
        assert ask(page.url)[0] == 200
        for status, url, headers in (
            (404, f"{root}/", {}),
            (404, f"{root}/wrong/", {}),
            (404, f"{root}/wrong/sheet?reviewer=ada", {}),
            (404, f"{page.url[:-2]}/", {}),
            (404, f"{page.url}../../etc/passwd", {}),
            (404, f"{page.url}page.py", {}),
            (403, page.url, {"Host": "evil.example"}),
            (403, page.url, {"Host": "127.0.0.1"}),
            (403, page.url, {"Host": "127.0.0.1.evil.example:80"}),
            (403, f"{page.url}sheet?reviewer=ada", {"Sec_Fetch_Site": "cross-site"}),
        ):
            assert ask(url, **headers)[0] == status, (url, headers)
        shown = review.sheet("ada").ballot
        assert shown is not None
        vote = {"reviewer": "ada", "ballot": shown["id"], "choice": "1"}
        for status, headers in (
            (403, {"Origin": "http://evil.example"}),
            (403, {"Origin": "null"}),
            (403, {"Sec_Fetch_Site": "same-site"}),
            (415, {"Content_Type": "text/plain"}),
        ):
            assert ask(f"{page.url}vote", vote, **headers)[0] == status
        for raw in (b"{", b"[]", b"\xff", b"[" * 90_000):
            assert ask(f"{page.url}vote", raw=raw)[0] == 400
        assert ask(f"{page.url}vote", raw=b" " * 200_000)[0] == 413
        assert ask(f"{page.url}vote", {**vote, "choice": ["1"]})[0] == 400
        assert review.votes == []
        assert ask(f"{page.url}vote", vote)[0] == 200
    assert len(review.votes) == 1


def test_the_page_is_on_loopback_alone(path: Path) -> None:
    review = Review(report(), path)
    with review.page() as one, review.page() as other:
        assert one.url.startswith("http://127.0.0.1:")
        assert len(one.url.split("/")[3]) == len(other.url.split("/")[3]) >= 32
        assert one.url.split("/")[3] != other.url.split("/")[3]


def test_whoever_talks_nonsense_or_says_nothing_does_not_keep_others_waiting(path: Path) -> None:
    with Review(report(), path).page() as page:
        port = int(page.url.split(":")[2].split("/")[0])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for said in (
            b"\0" * 1000,
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000,
            b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port)) as rude, contextlib.suppress(OSError):
                rude.sendall(said)
                rude.shutdown(socket.SHUT_WR)
                assert b"200" not in rude.recv(4096)
        assert ask(page.url)[0] == 200
        for one in silent:
            one.close()


def test_votes_on_models_that_a_later_report_does_not_have_stay_out_of_it(path: Path) -> None:
    before = Review(report(), path)
    finish(before, "ada")
    data = json.loads(json.dumps(before.report().to_dict()).replace('"base"', '"prompted"'))
    data |= {"votes": [], "preferences": []}
    after = Review(Report.from_dict(data), path)
    assert after.report().votes == ()
    finish(after, "ada")
    assert {vote.between for vote in after.report().votes} == {("tuned", "prompted")}
    assert len(before.report().votes) == 12

"""Review: who is shown which two answers in which order, and what their votes say."""

from __future__ import annotations

import hmac
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.report import Report
from finetune_sdk.evaluation.votes import Ballot, Vote, ballots, pair_of, shown_answer, shown_tools
from finetune_sdk.report.visible import visible
from finetune_sdk.review.box import BallotBox

if TYPE_CHECKING:
    from finetune_sdk.review.page import Page

Choice = Literal["1", "2", "0"]
CHOICES = ("1", "2", "0")
LONGEST = 2_000_000
LONGEST_NOTE = 10_000
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a reviewer sees now: one ballot without names, or None where all are done. `before` is a vote just taken back."""

    reviewer: str
    done: int
    total: int
    ballot: Mapping[str, Any] | None
    before: Mapping[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "reviewer": self.reviewer, "done": self.done, "total": self.total, "ballot": self.ballot, "before": self.before
        }  # fmt: skip


class Review:
    """People's choice between two models' answers in a report: those of its verdict where none are named.

    `votes` is the file that keeps the votes; beside a report that is given by its path it is `NAME.votes.db`. All reviewers
    see the same cases in the same order, drawn by the file's secret; which answer stands first is drawn for each of them. With
    `cases`, only so many are drawn. Cases with equal answers, or with one that never came, are not shown.
    """

    def __init__(
        self,
        report: Report | str | os.PathLike[str],
        votes: str | os.PathLike[str] | None = None,
        *,
        better: str | None = None,
        than: str | None = None,
        cases: int | None = None,
    ) -> None:
        if votes is None:
            if isinstance(report, Report):
                raise EvaluationError("there is no file for the votes.", cure='name one: Review(report, "votes.db")')
            votes = Path(report).with_suffix(".votes.db")
        if cases is not None and (isinstance(cases, bool) or not isinstance(cases, int) or cases < 1):
            raise EvaluationError(f"cases={cases!r} makes no sense.", cure="give a whole number, 1 or more")
        self._report = report if isinstance(report, Report) else Report.load(report)
        data = self._report.to_dict()
        self.title = str(data["title"])
        self.between = pair_of(data, better, than)
        found = ballots(data, self.between)
        if not found.all:
            raise EvaluationError(
                f"there is nothing to choose between {' and '.join(self.between)}: {found.alike} cases have equal answers, "
                f"{found.unanswered} lack one.",
                cure="name two models whose answers differ",
            )
        self.alike = found.alike
        self._box = BallotBox(votes)
        drawn = sorted(found.all, key=lambda ballot: self._drawn("order", ballot.id))[:cases]
        self._ballots = {ballot.id: ballot for ballot in drawn}

    def __len__(self) -> int:
        """How many cases there are to be shown."""
        return len(self._ballots)

    @property
    def path(self) -> Path:
        """The file of the votes."""
        return self._box.path

    @property
    def votes(self) -> list[Vote]:
        """All votes that count, in the order in which they were cast."""
        return self._box.votes()

    @property
    def reviewers(self) -> list[str]:
        return self._box.reviewers()

    def report(self) -> Report:
        """The report with the votes: how often which model is preferred, with its interval.

        Votes on models that the report no longer has stay in the file, and out of it.
        """
        models = frozenset(self._report.models)
        votes = (vote for vote in self.votes if models.issuperset(vote.between))
        return self._report.with_votes(votes, instead_of=self._box.reviewers())

    def page(self) -> Page:
        """Serves the page on loopback until it is closed: `with review.page() as page: print(page.url)`."""
        from finetune_sdk.review.page import Page

        return Page(self)

    def sheet(self, reviewer: str) -> Sheet:
        """The next ballot of a reviewer, who goes on where they stopped."""
        reviewer = self._named(reviewer)
        voted = self._voted(reviewer)
        left = (ballot for id_, ballot in self._ballots.items() if id_ not in voted)
        return self._sheet(reviewer, next(left, None), voted)

    def vote(self, reviewer: str, ballot: str, choice: str, note: str = "") -> None:
        """Keeps a vote: "1" and "2" for what stands first and second for this reviewer, "0" for a tie.

        It is on the disk when this returns. Raises EvaluationError for a ballot that is not to be voted on.
        """
        reviewer = self._named(reviewer)
        on = self._ballots.get(ballot)
        if on is None:
            raise EvaluationError("there is no such case in this review.", cure="take the one that is shown")
        if choice not in CHOICES or not isinstance(note, str):
            raise EvaluationError(f"{choice!r:.80} is no choice.", cure='choose "1", "2" or "0"')
        chosen = dict(zip(CHOICES, (*self._order(reviewer, on), None), strict=True))[choice]
        self._box.cast(Vote(ballot, self.between, chosen, reviewer, note=_mended(note)[:LONGEST_NOTE]))

    def undo(self, reviewer: str) -> Sheet:
        """Takes the reviewer's last vote back, and shows its ballot again; without one, the next ballot."""
        reviewer = self._named(reviewer)
        back = self._box.take_back(reviewer, frozenset(self._ballots))
        if back is None:
            return self.sheet(reviewer)
        on = self._ballots[back.ballot]
        choice = CHOICES[(*self._order(reviewer, on), None).index(back.chosen)]
        return self._sheet(reviewer, on, self._voted(reviewer), {"choice": choice, "note": back.note})

    def _sheet(
        self, reviewer: str, ballot: Ballot | None, voted: set[str], before: Mapping[str, str] | None = None
    ) -> Sheet:
        shown = None if ballot is None else self._shown(reviewer, ballot)
        return Sheet(reviewer, len(voted), len(self._ballots), shown, before)

    def _voted(self, reviewer: str) -> set[str]:
        return self._box.voted(reviewer) & self._ballots.keys()

    def _shown(self, reviewer: str, ballot: Ballot) -> dict[str, Any]:
        row = ballot.row
        first, second = (row["answers"][key] for key in self._order(reviewer, ballot))
        return {
            "id": ballot.id,
            "turns": [{"role": turn["role"], "text": _fit(turn["text"])} for turn in row["prompt"]],
            "tools": _fit(shown_tools(row)),
            "expected": _fit(row["expected"] or ""),
            "first": _fit(shown_answer(first)),
            "second": _fit(shown_answer(second)),
        }

    def _order(self, reviewer: str, ballot: Ballot) -> tuple[str, str]:
        """Which model's answer stands first: drawn once for each reviewer and case, so a page that is loaded again shows the same."""
        one, other = self.between
        return (other, one) if self._drawn("side", reviewer, ballot.id)[0] & 1 else (one, other)

    def _drawn(self, *what: str) -> bytes:
        return hmac.digest(self._box.secret, "\0".join(what).encode(), "sha256")

    def _named(self, name: str) -> str:
        """The reviewer as they wrote themselves first. Raises EvaluationError for what is no name."""
        plain = " ".join(unicodedata.normalize("NFC", name).split()) if isinstance(name, str) else ""
        if not plain or len(plain) > _LONGEST_NAME or visible(plain) != plain:
            raise EvaluationError(
                f"{name!r:.80} is no reviewer's name.", cure=f"give a name of 1 to {_LONGEST_NAME} letters"
            )
        return next((known for known in self._box.reviewers() if known.casefold() == plain.casefold()), plain)


def _fit(text: str) -> str:
    """The text as it can be shown: nothing in it is invisible or turns what stands around it."""
    shown = visible(text[:LONGEST])
    return (
        shown
        if len(text) <= LONGEST
        else f"{shown}\n… and {len(text) - LONGEST:,} more characters, which are not shown"
    )


def _mended(text: str) -> str:
    return text.encode("utf-8", "replace").decode()

"""Votes: which of two models' answers to a case is the better one, as people or judges see it.

A ballot is its content: a vote on other answers, those of an earlier run, counts for nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, Literal

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.spent import Spent

Kind = Literal["human", "judge"]


@dataclass(frozen=True, slots=True)
class Vote:
    """One reviewer's choice on one ballot: the model `chosen`, or None for a tie. `between` are the two models, in any order.

    Of a judge `error` says why it has none, `swayed` that with the answers swapped it chose otherwise, `spent` what it took.
    """

    ballot: str
    between: tuple[str, str]
    chosen: str | None
    reviewer: str
    kind: Kind = "human"
    note: str = ""
    error: str | None = None
    swayed: bool = False
    spent: Spent | None = None

    def to_dict(self) -> dict[str, Any]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return found | {"between": list(self.between), "spent": self.spent.to_dict() if self.spent else None}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Vote:
        """The vote that `to_dict` gave. Raises EvaluationError for anything else."""
        try:
            spent, (one, other) = row.get("spent"), row["between"]
            return cls(**{**row, "between": (one, other), "spent": Spent(**spent) if spent else None})
        except (AttributeError, KeyError, TypeError, ValueError):
            raise EvaluationError(
                f"the report holds {row!r:.80}, which is no vote.", cure="upgrade finetune-anywhere, or review anew"
            ) from None


@dataclass(frozen=True, slots=True)
class Ballot:
    """One case (a row of a report's `examples`) with the answers of two models that differ."""

    id: str
    between: tuple[str, str]
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ballots:
    """All that can be voted on. Cases with equal answers (`alike`), and with an answer that never came, are not among them."""

    all: tuple[Ballot, ...]
    alike: int
    unanswered: int


def pair_of(data: Mapping[str, Any], better: str | None = None, than: str | None = None) -> tuple[str, str]:
    """The two models to vote on: those of the report's verdict where none are named. Raises EvaluationError."""
    known = [model["key"] for model in data["models"]]
    if len(known) < 2:
        raise EvaluationError(
            f"the report has {len(known) or 'no'} model{'s' * (not known)}, and votes are between two.",
            cure="evaluate two models or more: run(base=…, tuned=…)",
        )
    better = better or next(key for key in reversed(known) if key != than)
    if than is None:
        spoken = data["verdict"]
        than = spoken["than"] if spoken.get("better") == better else None
        than = than or next(key for key in reversed(known) if key != better)
    for key in (better, than):
        if key not in known:
            raise EvaluationError(f"the report has no model {key!r}.", cure=f"its models are {', '.join(known)}")
    if better == than:
        raise EvaluationError(f"{better} cannot be compared with itself.", cure="name two models")
    return better, than


def ballots(data: Mapping[str, Any], between: tuple[str, str]) -> Ballots:
    """What can be voted on in a report's plain data.

    A case that stands there twice is one ballot; of several samples of a case the first is, since the others are no cases of their
    own.
    """
    found, alike, unanswered = dict[str, Ballot](), 0, 0
    for row in (row for row in data["examples"] if not row.get("sample")):
        said = [row["answers"][key] for key in between]
        if any(answer["finish"] == "error" for answer in said):
            unanswered += 1
        elif len({_content(answer) for answer in said}) == 1:
            alike += 1
        else:
            identity = _id(row, between)
            found[identity] = Ballot(identity, between, row)
    return Ballots(tuple(found.values()), alike, unanswered)


def _content(answer: Mapping[str, Any]) -> str:
    return json.dumps([answer["text"], _calls(answer)], sort_keys=True)


def _calls(answer: Mapping[str, Any]) -> list[Any]:
    """The tool calls without their ids, which are the place's own."""
    calls = answer["tool_calls"]
    return [{key: call[key] for key in call if key != "id"} if isinstance(call, Mapping) else call for call in calls]


def _id(row: Mapping[str, Any], between: tuple[str, str]) -> str:
    said = sorted([key, _content(row["answers"][key])] for key in between)
    return sha256(json.dumps([row["prompt"], row.get("tools"), said], sort_keys=True).encode()).hexdigest()[:24]


def last_of_each(votes: Iterable[Vote]) -> list[Vote]:
    """The last vote of each reviewer on each ballot."""
    return list({(vote.kind, vote.reviewer, frozenset(vote.between), vote.ballot): vote for vote in votes}.values())


def majority(chosen: Sequence[str | None]) -> str | None:
    """What more than half of them chose; None, a tie, where nothing is."""
    most, times = Counter(chosen).most_common(1)[0]
    return most if 2 * times > len(chosen) else None


def shown_tools(row: Mapping[str, Any]) -> str:
    """The tools of a case as JSON; empty where it has none."""
    return json.dumps(row["tools"], ensure_ascii=False) if row.get("tools") else ""


def shown_answer(answer: Mapping[str, Any]) -> str:
    """An answer of a report as a person or a judge reads it: its text, then its tool calls as JSON."""
    calls = [json.dumps(call, ensure_ascii=False) for call in _calls(answer)]
    return "\n".join(part for part in (answer["text"], *calls) if part)

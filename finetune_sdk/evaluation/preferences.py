"""What may be concluded from votes: how often people, or a judge, prefer one model's answers, and whether they agree.

Votes are first made into one outcome for each ballot: the answer that more than half of them chose, else a tie. So neither many
reviewers nor many votes of a judge make the cases more than they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.agreement import cohen_kappa
from finetune_sdk.evaluation.comparison import CONFIDENCE, probability
from finetune_sdk.evaluation.spent import Spent
from finetune_sdk.evaluation.statistics import clopper_pearson, mcnemar_exact
from finetune_sdk.evaluation.votes import Ballots, Kind, Vote, ballots, last_of_each, majority

PEOPLE = "people"
_MOST_PAIRS = 10


@dataclass(frozen=True, slots=True)
class Preference:
    """How often people, or one judge, found `better`'s answer the better one; it is the later of the two in the report.

    `rate` is wins / (wins + losses), `low` and `high` its exact 95% interval (Clopper and Pearson), `p` the exact sign test. Ties
    say nothing of either and stand beside; so do `alike`, cases with equal answers, which nobody is asked about, and `errors`,
    ballots that a judge could not be read on. All four figures are None where no ballot was decided.
    """

    kind: Kind
    better: str
    than: str
    wins: int
    losses: int
    ties: int
    rate: float | None
    low: float | None
    high: float | None
    p: float | None
    votes: int
    reviewers: tuple[str, ...]
    ballots: int
    alike: int
    errors: int
    swayed: int
    stale: int
    spent: Spent | None
    agreements: tuple[Mapping[str, Any], ...]
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"reviewers": list(self.reviewers), "agreements": list(map(dict, self.agreements))}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Preference:
        spent = row["spent"]
        made = {"reviewers": tuple(row["reviewers"]), "agreements": tuple(row["agreements"])}
        return cls(**{**row, **made, "spent": Spent(**spent) if spent else None})


def preferences(data: Mapping[str, Any], votes: Iterable[Vote]) -> list[Preference]:
    """One for the people and one for each judge, of each pair of models that was voted on. Raises EvaluationError."""
    order = {model["key"]: place for place, model in enumerate(data["models"])}
    groups: dict[tuple[str, str], list[Vote]] = defaultdict(list)
    for vote in last_of_each(votes):
        for key in (*vote.between, *([vote.chosen] if vote.chosen is not None else [])):
            if key not in order or (key == vote.chosen and key not in vote.between):
                raise EvaluationError(
                    f"a vote is for {key!r}, which the report does not compare.", cure="take the votes on this report"
                )
        than, better = sorted(vote.between, key=order.__getitem__)
        groups[better, than].append(vote)
    return [one for (better, than), group in groups.items() for one in _of_a_pair(data, better, than, group)]


def _of_a_pair(data: Mapping[str, Any], better: str, than: str, votes: Sequence[Vote]) -> Iterator[Preference]:
    on = ballots(data, (better, than))
    ids = {ballot.id for ballot in on.all}
    people = [vote for vote in votes if vote.kind == "human"]
    people_found = _outcomes(vote for vote in people if vote.ballot in ids)
    blank = Preference(
        "human", better, than, 0, 0, 0, None, None, None, None, 0, (), len(ids), on.alike, 0, 0, 0, None, (), ""
    )
    if people:
        rubrics = _of_rubrics(data, better, than, on, people_found)
        yield _counted(blank, people, people_found, ids, (*_among(people, ids), *rubrics))
    for judge in dict.fromkeys(vote.reviewer for vote in votes if vote.kind == "judge"):
        cast = [vote for vote in votes if vote.kind == "judge" and vote.reviewer == judge]
        found = _outcomes(vote for vote in cast if vote.ballot in ids and vote.error is None)
        agreed = _agreement(judge, found, PEOPLE, people_found)
        yield _counted(replace(blank, kind="judge"), cast, found, ids, (agreed,) if agreed else ())


def _outcomes(votes: Iterable[Vote]) -> dict[str, str | None]:
    """Of each ballot the model that more than half of the votes chose, or None for a tie."""
    cast: dict[str, list[str | None]] = defaultdict(list)
    for vote in votes:
        cast[vote.ballot].append(vote.chosen)
    return {ballot: majority(chosen) for ballot, chosen in cast.items()}


def _among(votes: Sequence[Vote], ids: set[str]) -> tuple[dict[str, Any], ...]:
    """How far each two people agree."""
    own = {name: _outcomes(v for v in votes if v.reviewer == name and v.ballot in ids) for name in _names(votes)}
    pairs = (_agreement(one, own[one], other, own[other]) for one, other in combinations(own, 2))
    return tuple(sorted(filter(None, pairs), key=lambda row: -row["cases"])[:_MOST_PAIRS])


def _of_rubrics(
    data: Mapping[str, Any], better: str, than: str, on: Ballots, people: Mapping[str, str | None]
) -> Iterator[dict[str, Any]]:
    """How far the people agree with each judge that scores: it prefers the answer to which it gave more."""
    for name in (judge["evaluator"] for judge in data.get("judges") or ()):
        found = dict[str, str | None]()
        for ballot in on.all:
            scores = [ballot.row["answers"][key]["scores"].get(name) or {} for key in (better, than)]
            one, other = (score.get("value") for score in scores)
            if one is not None and other is not None:
                found[ballot.id] = None if one == other else better if one > other else than
        agreed = _agreement(name, found, PEOPLE, people)
        if agreed is not None:
            yield agreed


def _agreement(
    one: str, first: Mapping[str, Hashable], other: str, second: Mapping[str, Hashable]
) -> dict[str, Any] | None:
    both = [(first[ballot], second[ballot]) for ballot in first if ballot in second]
    return {"one": one, "other": other, **asdict(cohen_kappa(both, CONFIDENCE))} if both else None


def _names(votes: Iterable[Vote]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(vote.reviewer for vote in votes))


def _counted(
    blank: Preference,
    votes: Sequence[Vote],
    found: Mapping[str, str | None],
    ids: set[str],
    agreements: tuple[Mapping[str, Any], ...],
) -> Preference:
    counts = Counter(found.values())
    wins, losses, ties = counts[blank.better], counts[blank.than], counts[None]
    valid = [vote for vote in votes if vote.ballot in ids]
    spent = [vote.spent for vote in votes if vote.spent is not None]
    made = replace(
        blank,
        wins=wins,
        losses=losses,
        ties=ties,
        votes=sum(vote.error is None for vote in valid),
        reviewers=_names(votes),
        errors=sum(vote.error is not None for vote in valid),
        swayed=sum(vote.swayed for vote in valid),
        stale=len(votes) - len(valid),
        spent=sum(spent, Spent()) if spent else None,
        agreements=agreements,
    )
    if wins + losses:
        low, high = clopper_pearson(wins, wins + losses, CONFIDENCE)
        p = mcnemar_exact(wins, losses)
        made = replace(made, rate=wins / (wins + losses), low=low, high=high, p=p)
    return replace(made, sentence=_sentence(made))


def _sentence(of: Preference) -> str:
    who = "People prefer" if of.kind == "human" else f"The judge {of.reviewers[0]} prefers"
    decided = of.wins + of.losses
    if of.rate is None or of.low is None or of.high is None or of.p is None:
        said = f"{who} neither {of.better} nor {of.than} in any case"
    else:
        said = (
            f"{who} {of.better} to {of.than} in {of.wins} of {decided:,} decided case{'s' * (decided != 1)} "
            f"({of.rate:.1%}, exact 95% interval {of.low:.1%} to {of.high:.1%}, sign test {probability(of.p)})"
        )
    beside = [f"{of.ties} ended in a tie" if of.ties else "", f"{of.alike} had equal answers" if of.alike else ""]
    beside.append(f"{of.errors} could not be read" if of.errors else "")
    beside.append(
        f"in {of.swayed} the judge changed its mind when the answers were swapped, which is a tie" if of.swayed else ""
    )
    open_ = of.ballots - decided - of.ties - of.errors
    beside.append(f"{open_} {'is' if open_ == 1 else 'are'} not voted on" if open_ > 0 else "")
    beside.append(f"{of.stale} vote{'s' * (of.stale != 1)} on other answers do not count" if of.stale else "")
    return f"{said}{'; ' if any(beside) else ''}{', '.join(filter(None, beside))}."

"""The gate: whether a model may ship, by tests that err no more often than they say."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from statistics import NormalDist
from typing import Any, Literal

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.comparison import Clusters, Outcomes, probability
from finetune_sdk.evaluation.exact import exceeds, mean_exceeds
from finetune_sdk.evaluation.power import POWER

ALPHA = 0.025
MARGIN = 0.05

Outcome = Literal["pass", "fail", "not enough cases"]
STATUS: Mapping[str, int] = {"pass": 0, "fail": 1, "not enough cases": 2}


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of a gate: on `on`, the rate of `better` less that of `than` is above `above`.

    `shown` is the one-sided p-value against the contrary, `refuted` that against the condition itself. `difference` is None
    without a case.
    """

    on: str
    above: float
    outcome: Outcome
    cases: int
    groups: int | None
    difference: float | None
    only_better: int
    only_than: int
    shown: float
    refuted: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether `better` may take the place of `than`: it passes when every check is shown, and fails when one is refuted.

    A wrong pass comes in at most a share `alpha` of all gates, and so does a wrong fail.
    """

    outcome: Outcome
    sentence: str
    better: str
    than: str
    alpha: float
    checks: tuple[Check, ...]

    @property
    def status(self) -> int:
        """The exit status for a CI job: 0 pass, 1 fail, 2 not enough cases."""
        return STATUS[self.outcome]

    def __bool__(self) -> bool:
        return self.outcome == "pass"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        checks = [{name: getattr(check, name) for name in Check.__slots__} for check in self.checks]
        parts = {name: getattr(self, name) for name in Gate.__slots__}
        return {**parts, "checks": checks, "status": self.status}


@dataclass(frozen=True, slots=True)
class Asked:
    """One condition: of the cases in order, what came of both models, and by how much the first is to be above."""

    on: str
    above: float
    first: Outcomes
    second: Outcomes


def gate(better: str, than: str, asked: Sequence[Asked], clusters: Clusters = None, alpha: float = ALPHA) -> Gate:
    """The verdict on all conditions together; the first is the improvement, the others are what must not be lost.

    It passes when each is shown at `alpha` (an intersection-union test, Berger 1982: no correction is needed, for a wrong
    pass takes a wrong one of each that does not hold). It fails when one is refuted at `alpha` over their number.
    Raises EvaluationError for an alpha or a margin that makes no sense.
    """
    if not 0 < alpha <= 0.5:
        raise EvaluationError(f"alpha={alpha!r} makes no sense.", cure="give a share such as 0.025")
    for one in asked:
        if not -1 < one.above < 1:
            raise EvaluationError(
                f"{one.above!r} is no difference of two rates.", cure="give shares: 0.05 stands for 5 points"
            )
    checks = tuple(_checked(better, than, one, clusters, alpha, len(asked)) for one in asked)
    outcome: Outcome = "pass" if all(check.outcome == "pass" for check in checks) else "not enough cases"
    if any(check.outcome == "fail" for check in checks):
        outcome = "fail"
    telling = [check for check in checks if outcome == "pass" or check.outcome == outcome]
    opening = {
        "pass": f"Pass: {better} may take the place of {than}",
        "fail": f"Fail: {better} may not take the place of {than}",
        "not enough cases": f"Not enough cases to tell whether {better} may take the place of {than}",
    }[outcome]
    return Gate(outcome, f"{opening}. {' '.join(check.sentence for check in telling)}", better, than, alpha, checks)


def _checked(better: str, than: str, asked: Asked, clusters: Clusters, alpha: float, conditions: int) -> Check:
    places = [i for i, pair in enumerate(zip(asked.first, asked.second, strict=True)) if None not in pair]
    first, second = [bool(asked.first[i]) for i in places], [bool(asked.second[i]) for i in places]
    left_out = len(asked.first) - len(places)
    if not places:
        sentence = f"{asked.on} could score no case for both."
        return Check(asked.on, asked.above, "not enough cases", 0, None, None, 0, 0, 1.0, 1.0, sentence)
    wins = sum(a and not b for a, b in zip(first, second, strict=True))
    losses = sum(b and not a for a, b in zip(first, second, strict=True))
    groups = None
    if clusters is None:
        shown = exceeds(wins, losses, len(places), asked.above)
        refuted = exceeds(losses, wins, len(places), -asked.above)
        difference = (wins - losses) / len(places)
    else:
        means = _means(first, second, [clusters[i] for i in places])
        groups, difference = len(means), sum(means) / len(means)
        shown = mean_exceeds(means, asked.above, alpha)
        refuted = mean_exceeds([-mean for mean in means], -asked.above, alpha / conditions)
    outcome: Outcome = "pass" if shown <= alpha else "fail" if refuted <= alpha / conditions else "not enough cases"
    check = Check(asked.on, asked.above, outcome, len(places), groups, difference, wins, losses, shown, refuted, "")
    sentence = _sentence(better, than, check, difference, alpha)
    if left_out:
        sentence += f" {_count(left_out, 'case')} without a score for both {'is' if left_out == 1 else 'are'} left out."
    return replace(check, sentence=sentence)


def _means(first: Sequence[bool], second: Sequence[bool], clusters: Sequence[Hashable]) -> list[float]:
    """Each group's mean difference, in the order in which the groups come: every group counts alike."""
    of: dict[Hashable, list[int]] = {}
    for a, b, cluster in zip(first, second, clusters, strict=True):
        of.setdefault(cluster, []).append(int(a) - int(b))
    return [sum(each) / len(each) for each in of.values()]


def _sentence(better: str, than: str, check: Check, difference: float, alpha: float) -> str:
    of = _count(check.cases, "case") + ("" if check.groups is None else f" in {_count(check.groups, 'group')}")
    seen = f"{check.only_better:,} of {of} became right and {check.only_than:,} wrong ({_points(difference)})"
    if not check.only_better and not check.only_than:
        seen = f"all {of} came out alike"
    shown, denied = _claims(check.above)
    if check.outcome == "pass":
        return f"On {check.on}, {better} {shown} {than}: {seen}, one-sided {probability(check.shown)}."
    if check.outcome == "fail":
        return f"On {check.on}, {better} {denied} {than}: {seen}, one-sided {probability(check.refuted)}."
    neither = f"it is not shown that {better} {shown} {than}, nor the contrary"
    return (
        f"On {check.on}, {neither}: {seen}, one-sided {probability(check.shown)}. {_needed(check, difference, alpha)}"
    )


def _claims(above: float) -> tuple[str, str]:
    """What a check shows, and what refutes it."""
    size = _points(abs(above)).lstrip("+")
    if above == 0:
        return "is better than", "is worse than"
    if above > 0:
        return f"is more than {size} better than", f"is less than {size} better than"
    return f"loses less than {size} against", f"loses more than {size} against"


def _needed(check: Check, difference: float, alpha: float) -> str:
    """How many cases would do if things are as they seem: the normal formula for paired rates (Connor 1987)."""
    have, unit = (check.cases, "case") if check.groups is None else (check.groups, "group")
    differing = max((check.only_better + check.only_than) / check.cases, abs(difference), 1 / check.cases)
    z = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(POWER)
    seen = difference - check.above
    if check.above < 0:
        # As if nothing were lost: what is asked is that cases suffice to show so.
        gap, truth, what = -check.above, 0.0, f"that less than {_points(-check.above).lstrip('+')} is lost"
    elif seen > 0:
        gap, truth, what = seen, difference, f"a difference as large as the {_points(difference)} seen"
    else:
        gap, truth, what = MARGIN, check.above + MARGIN, f"a difference of {_points(check.above + MARGIN)}"
    needed = ceil((z / gap) ** 2 * max(max(differing, abs(truth)) - truth**2, 1e-6))
    if needed > have:
        return f"There {'is' if have == 1 else 'are'} {_count(have, unit)}; to see {what} takes about {_rounded(needed):,}."
    if check.above < 0:
        return f"There are {_count(have, unit)}, and the loss seen is too close to the margin for them to tell."
    size = _points(z * sqrt(differing / have)).lstrip("+")
    return f"With {_count(have, unit)}, {size} above what is asked would most likely have been seen: if there is more, it is less than that."


def _rounded(number: int) -> int:
    size: int = 10 ** max(len(str(number)) - 2, 0)
    return int(ceil(number / size) * size)


def _points(difference: float) -> str:
    shown = f"{100 * difference:+.1f}".replace("-", "−").removesuffix(".0")
    return f"{shown} point{'' if shown in ('+1', '−1') else 's'}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

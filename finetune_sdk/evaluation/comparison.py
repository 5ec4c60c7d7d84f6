"""What may be concluded: the rate of each model, two models on the same cases, and the verdict, in plain words."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

from finetune_sdk.evaluation.bootstrap import clustered_wilson, mean_interval
from finetune_sdk.evaluation.statistics import holm, mcnemar_exact, newcombe_paired, sign_flip, wilson

CONFIDENCE = 0.95
_SIGNIFICANT = 0.05

Outcomes = Sequence[bool | None]
"""Of each case in order: passed, failed, or None where there is no score."""

Clusters = Sequence[Hashable] | None
"""Of each case in order: the group that it belongs to; None where each case stands for itself."""


@dataclass(frozen=True, slots=True)
class Metric:
    """How often a model passes: `passed` of the `cases` that have a score; `errors` have none and count in neither.

    `low` and `high` are Wilson's 95% interval of `rate`; all three are None when nothing was scored.
    """

    passed: int
    cases: int
    errors: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the cases that both have a score for. `better` is the one that is asked about, whatever came out.

    `difference` is its rate less that of `than`, `low` and `high` the 95% interval of that (Newcombe's method 10),
    `p` McNemar's exact test; all None without a case. Where cases come in groups, `groups` says in how many: `p` is then
    the exact test of groups whose signs are flipped, and the interval a bootstrap of groups (None below 30). `adjusted` is
    p corrected by Holm for the other comparisons of a report, None where it stands alone. `left_out` cases have no score
    for one of the two.
    """

    evaluator: str
    better: str
    than: str
    cases: int
    both: int
    only_better: int
    only_than: int
    neither: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    sentence: str
    groups: int | None = None
    adjusted: float | None = None
    left_out: int = 0

    @property
    def significant(self) -> bool:
        chance = self.p if self.adjusted is None else self.adjusted
        return chance is not None and chance < _SIGNIFICANT

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measured(outcomes: Outcomes, clusters: Clusters = None) -> Metric:
    """How often the cases passed. With `clusters` the interval is as wide as cases of one group being alike makes it."""
    scored = [place for place, outcome in enumerate(outcomes) if outcome is not None]
    cases, passed = len(scored), sum(outcome is True for outcome in outcomes)
    errors = len(outcomes) - cases
    if not cases:
        return Metric(0, 0, errors, None, None, None)
    if clusters is None:
        low, high = wilson(passed, cases, CONFIDENCE)
    else:
        which = [clusters[place] for place in scored]
        low, high = clustered_wilson([bool(outcomes[place]) for place in scored], which, CONFIDENCE)
    return Metric(passed, cases, errors, passed / cases, low, high)


def compared(
    evaluator: str,
    better: str,
    than: str,
    first: Outcomes,
    second: Outcomes,
    rivals: int = 1,
    clusters: Clusters = None,
) -> Comparison:
    """Whether `better`, with the outcomes `first`, passes more cases than `than`, with the outcomes `second`.

    When `than` is the strongest of several `rivals`, it is likelier to be ahead by luck: a conclusion that it is ahead
    then takes Bonferroni's correction (to be better than the strongest of them needs none).
    """
    places = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a is not None and b is not None]
    pairs = [(first[place], second[place]) for place in places]
    both, only_better = pairs.count((True, True)), pairs.count((True, False))
    only_than, neither = pairs.count((False, True)), pairs.count((False, False))
    counts = (evaluator, better, than, len(pairs), both, only_better, only_than, neither)
    if not pairs:
        sentence = f"{better} and {than} have no case that {evaluator} could score for both."
        return Comparison(*counts, None, None, None, None, sentence)
    difference, groups = (only_better - only_than) / len(pairs), None
    low: float | None
    high: float | None
    if clusters is None:
        p = mcnemar_exact(only_better, only_than)
        low, high = newcombe_paired(both, only_better, only_than, neither, CONFIDENCE)
    else:
        p, groups, low, high = _grouped(pairs, [clusters[place] for place in places])
    found = Comparison(*counts, difference, low, high, p, "", groups, left_out=len(first) - len(pairs))
    tries = rivals if only_than > only_better else 1
    return replace(found, sentence=_sentence(found, p * tries, f"the strongest of {tries}" if tries > 1 else ""))


def corrected(comparisons: Sequence[Comparison], decided: tuple[str, str | None] | None = None) -> list[Comparison]:
    """The comparisons of one report, each read as one of many (Holm), but for the one that was `decided` beforehand.

    That one, (evaluator, than), is the verdict's: one question that was fixed before the answers were seen.
    """
    asked = [c for c in comparisons if c.p is not None and (c.evaluator, c.than) != decided]
    if len(asked) < 2:
        return list(comparisons)
    adjusted = dict(zip(map(id, asked), holm([c.p for c in asked if c.p is not None]), strict=True))
    return [_read_as_one_of(c, adjusted[id(c)], len(asked)) if id(c) in adjusted else c for c in comparisons]


def verdict(evaluator: str, outcomes: Mapping[str, Outcomes], clusters: Clusters = None) -> dict[str, Any]:
    """The last model against the strongest of the others on the deciding evaluator, as plain data.

    The strongest is the one that passes most of all cases, of equal ones the later. The outcome is "better" or "worse" when
    McNemar's exact p is below 0.05 ("worse" with the correction of `compared`), else "no difference shown"; with one
    model it is "single". `better` is the last model in each case, as in a Comparison.
    """
    *others, last = outcomes
    if not others:
        metric = measured(outcomes[last], clusters)
        sentence = f"{last} has no answer that {evaluator} could score."
        if metric.rate is not None and metric.low is not None and metric.high is not None:
            sentence = (
                f"{last} passes {evaluator} in {metric.passed} of {_count(metric.cases, 'case')} "
                f"({metric.rate:.1%}, 95% interval {metric.low:.1%} to {metric.high:.1%})."
            )
        return {"sentence": sentence, "outcome": "single", "better": None, "than": None, "on": evaluator}
    strongest = max(reversed(others), key=lambda key: measured(outcomes[key]).passed)
    found = compared(evaluator, last, strongest, outcomes[last], outcomes[strongest], len(others), clusters)
    ahead_of = found.only_better > found.only_than
    outcome, sentence = "no difference shown", f"No difference is shown: {found.sentence}"
    if found.p is not None and found.p * (1 if ahead_of else len(others)) < _SIGNIFICANT:
        outcome = "better" if ahead_of else "worse"
        ahead, behind = (last, strongest) if outcome == "better" else (strongest, last)
        sentence = f"{ahead} is better than {behind}: {found.sentence}"
    return {"sentence": sentence, "outcome": outcome, "better": last, "than": strongest, "on": evaluator}


def values_measured(values: Sequence[float | None], clusters: Clusters = None) -> dict[str, Any] | None:
    """The mean of what an evaluator measured, with its bootstrap interval, as plain data; None where it measured nothing."""
    places = [place for place, value in enumerate(values) if value is not None]
    if not places:
        return None
    which = None if clusters is None else [clusters[place] for place in places]
    found = mean_interval([value for value in values if value is not None], which, CONFIDENCE)
    if not isfinite(found.mean):  # the sum is larger than any number here
        return None
    return {"mean": found.mean, "low": found.low, "high": found.high, "cases": len(places), "why": found.why}


def values_compared(
    first: Sequence[float | None], second: Sequence[float | None], clusters: Clusters = None
) -> dict[str, Any] | None:
    """The mean difference of what was measured of two models' answers to the same cases, first minus second."""
    pairs = zip(first, second, strict=True)
    return values_measured([None if a is None or b is None else a - b for a, b in pairs], clusters)


def probability(p: float) -> str:
    """A p-value as it is written: `p = 0.031`, `p < 0.0001`."""
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.2g}" if p >= 0.001 else f"p = {p:.4f}"


def _grouped(
    pairs: Sequence[tuple[bool | None, bool | None]], clusters: Sequence[Hashable]
) -> tuple[float, int, float | None, float | None]:
    differences = [int(bool(a)) - int(bool(b)) for a, b in pairs]
    of_group = dict.fromkeys(clusters, 0)
    for cluster, difference in zip(clusters, differences, strict=True):
        of_group[cluster] += difference
    found = mean_interval(differences, clusters, CONFIDENCE)
    return sign_flip(list(of_group.values())), len(of_group), found.low, found.high


def _sentence(found: Comparison, chance: float, as_one: str) -> str:
    """In words; `chance` is p with the correction for being `as_one` of several, where it is."""
    of = f", in {_count(found.groups, 'group')}" if found.groups is not None else ""
    rates = (
        f"{found.better} passes {found.evaluator} in {found.both + found.only_better} of "
        f"{_count(found.cases, 'case')}{of}, {found.than} in {found.both + found.only_than}"
    )
    sentence = f"{rates}: {_conclusion(found, chance, as_one)}."
    if found.left_out:
        were = "is" if found.left_out == 1 else "are"
        sentence += f" {_count(found.left_out, 'case')} without a score for both {were} left out."
    return sentence


def _conclusion(found: Comparison, chance: float, as_one: str) -> str:
    right, wrong = found.only_better, found.only_than
    if found.p is None or (not right and not wrong):
        return "each case came out alike"
    became = f"{_count(right, 'case')} became right and {wrong} wrong"
    test = f"{'exact McNemar' if found.groups is None else 'exact test of groups'} {probability(found.p)}"
    if as_one:
        test += f", {probability(min(1.0, chance))} as {as_one}"
    if chance >= _SIGNIFICANT:
        few = f"{found.cases} cases cannot" if found.cases > 1 else "1 case cannot"
        return f"{became}, and {few} show a difference this small ({test})"
    so = "" if right > wrong else f"{found.better} is worse, and "
    return f"{became} ({test}), so {so}the difference is hardly chance"


def _read_as_one_of(found: Comparison, adjusted: float, many: int) -> Comparison:
    found = replace(found, adjusted=adjusted)
    return replace(found, sentence=_sentence(found, adjusted, f"one of {many} comparisons"))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

"""What may be concluded: the rate of each model, two models on the same cases, and the verdict, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from finetune_sdk.evaluation.statistics import mcnemar_exact, newcombe_paired, wilson

CONFIDENCE = 0.95
_SIGNIFICANT = 0.05

Outcomes = Sequence[bool | None]
"""Of each case in order: passed, failed, or None where there is no score."""


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
    `p` McNemar's exact test; all None without a case.
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

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p < _SIGNIFICANT

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measured(outcomes: Outcomes) -> Metric:
    """How often the cases passed."""
    cases = sum(outcome is not None for outcome in outcomes)
    passed = sum(outcome is True for outcome in outcomes)
    errors = len(outcomes) - cases
    if not cases:
        return Metric(0, 0, errors, None, None, None)
    low, high = wilson(passed, cases, CONFIDENCE)
    return Metric(passed, cases, errors, passed / cases, low, high)


def compared(evaluator: str, better: str, than: str, first: Outcomes, second: Outcomes, rivals: int = 1) -> Comparison:
    """Whether `better`, with the outcomes `first`, passes more cases than `than`, with the outcomes `second`.

    When `than` is the strongest of several `rivals`, it is likelier to be ahead by luck: a conclusion that it is ahead
    then takes Bonferroni's correction (to be better than the strongest of them needs none).
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    left_out = len(first) - len(pairs)
    both, only_better = pairs.count((True, True)), pairs.count((True, False))
    only_than, neither = pairs.count((False, True)), pairs.count((False, False))
    counts = (evaluator, better, than, len(pairs), both, only_better, only_than, neither)
    if not pairs:
        sentence = f"{better} and {than} have no case that {evaluator} could score for both."
        return Comparison(*counts, None, None, None, None, sentence)
    p = mcnemar_exact(only_better, only_than)
    low, high = newcombe_paired(both, only_better, only_than, neither, CONFIDENCE)
    tries = rivals if only_than > only_better else 1
    sentence = f"{_rates(*counts)}: {_conclusion(better, len(pairs), only_better, only_than, p, tries)}."
    if left_out:
        sentence += f" {_count(left_out, 'case')} without a score for both {'is' if left_out == 1 else 'are'} left out."
    return Comparison(*counts, (only_better - only_than) / len(pairs), low, high, p, sentence)


def verdict(evaluator: str, outcomes: Mapping[str, Outcomes]) -> dict[str, Any]:
    """The last model against the strongest of the others on the deciding evaluator, as plain data.

    The strongest is the one that passes most of all cases, of equal ones the later. The outcome is "better" or "worse" when
    McNemar's exact p is below 0.05 ("worse" with the correction of `compared`), else "no difference shown"; with one
    model it is "single". `better` is the last model in each case, as in a Comparison.
    """
    *others, last = outcomes
    if not others:
        metric = measured(outcomes[last])
        sentence = f"{last} has no answer that {evaluator} could score."
        if metric.rate is not None and metric.low is not None and metric.high is not None:
            sentence = (
                f"{last} passes {evaluator} in {metric.passed} of {_count(metric.cases, 'case')} "
                f"({metric.rate:.1%}, 95% interval {metric.low:.1%} to {metric.high:.1%})."
            )
        return {"sentence": sentence, "outcome": "single", "better": None, "than": None, "on": evaluator}
    strongest = max(reversed(others), key=lambda key: measured(outcomes[key]).passed)
    found = compared(evaluator, last, strongest, outcomes[last], outcomes[strongest], len(others))
    ahead_of = found.only_better > found.only_than
    outcome, sentence = "no difference shown", f"No difference is shown: {found.sentence}"
    if found.p is not None and found.p * (1 if ahead_of else len(others)) < _SIGNIFICANT:
        outcome = "better" if ahead_of else "worse"
        ahead, behind = (last, strongest) if outcome == "better" else (strongest, last)
        sentence = f"{ahead} is better than {behind}: {found.sentence}"
    return {"sentence": sentence, "outcome": outcome, "better": last, "than": strongest, "on": evaluator}


def probability(p: float) -> str:
    """A p-value as it is written: `p = 0.031`, `p < 0.0001`."""
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.2g}" if p >= 0.001 else f"p = {p:.4f}"


def _rates(
    evaluator: str, better: str, than: str, cases: int, both: int, only_better: int, only_than: int, _: int
) -> str:
    return (
        f"{better} passes {evaluator} in {both + only_better} of {_count(cases, 'case')}, {than} in {both + only_than}"
    )


def _conclusion(better: str, cases: int, right: int, wrong: int, p: float, tries: int) -> str:
    if not right and not wrong:
        return "each case came out alike"
    became, test = f"{_count(right, 'case')} became right and {wrong} wrong", f"exact McNemar {probability(p)}"
    if tries > 1:
        test += f", {probability(min(1.0, p * tries))} as the strongest of {tries}"
    if p * tries >= _SIGNIFICANT:
        few = f"{cases} cases cannot" if cases > 1 else "1 case cannot"
        return f"{became}, and {few} show a difference this small ({test})"
    so = "" if right > wrong else f"{better} is worse, and "
    return f"{became} ({test}), so {so}the difference is hardly chance"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

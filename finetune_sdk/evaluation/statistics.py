"""Intervals for proportions and tests for pairs of them: each function is one formula, with its source."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from statistics import NormalDist
from typing import Any


def wilson(passed: int, cases: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    Within [0, 1] and never of zero width; for a gate use `clopper_pearson`, whose coverage is guaranteed.
    Raises ValueError when `cases` is 0: there is nothing to say yet.
    """
    _counts(passed, cases, confidence)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate, spread = passed / cases, z * z / cases
    centre = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(rate * (1 - rate) / cases + spread / (4 * cases))
    low = 0.0 if passed == 0 else max(0.0, centre - half)
    high = 1.0 if passed == cases else min(1.0, centre + half)
    return low, high


def clopper_pearson(passed: int, cases: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval for a proportion (Clopper and Pearson 1934, Biometrika 26:404), by quantiles of the beta.

    It covers the true rate at least as often as `confidence` says, whatever that rate is; so it is wider than Wilson's.
    Raises ValueError when `cases` is 0.
    """
    from scipy.special import betaincinv

    _counts(passed, cases, confidence)
    tail = (1 - confidence) / 2
    low = 0.0 if passed == 0 else float(betaincinv(passed, cases - passed + 1, tail))
    high = 1.0 if passed == cases else float(betaincinv(passed + 1, cases - passed, 1 - tail))
    return low, high


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """The two-sided exact p-value for pairs of pass and fail (McNemar 1947, Psychometrika 12:153; the binomial form).

    `only_first` cases passed with the first alone, `only_second` with the second alone; those with the same outcome
    say nothing. Under no difference each of them falls either way with probability 1/2. Not the mid-p variant: this
    one never errs more often than it says. Without a single differing case it is 1.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts are 0 or more, not {only_first} and {only_second}")
    differing = only_first + only_second
    if not differing:
        return 1.0
    term = tail = 1
    for i in range(min(only_first, only_second)):
        term = term * (differing - i) // (i + 1)
        tail += term
    return min(1.0, tail / (1 << (differing - 1)))


def sign_flip(differences: Sequence[int]) -> float:
    """The two-sided exact p-value of "it is chance in which direction each group differs" (Fisher 1935, section 21).

    `differences` has a whole number a group: how many more of its cases pass with the first than with the second. The
    distribution of their sum, each with either sign, is summed up exactly; with groups of one case this is McNemar's
    exact test. Without a group that differs it is 1.
    """
    import numpy as np

    sizes = sorted(abs(each) for each in differences if each)
    if not sizes:
        return 1.0
    # Of how many heads-weighted sums each may be reached: half of all signs, one group after the other.
    chances = np.ones(1)
    for size in sizes:
        grown = np.zeros(len(chances) + size)
        grown[: len(chances)] += chances / 2
        grown[size:] += chances / 2
        chances = grown
    seen = (sum(sizes) - abs(sum(differences))) // 2
    return min(1.0, 2 * float(chances[: seen + 1].sum()))


def newcombe_paired(
    both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval for the difference of two paired proportions, first minus second.

    Method 10 of Newcombe 1998 (Stat. Med. 17:2635): Wilson's limits of both proportions, joined by squares with the
    continuity-corrected correlation phi. Raises ValueError when there is no case.
    """
    cases = both + only_first + only_second + neither
    first, second = both + only_first, both + only_second
    if min(both, only_first, only_second, neither) < 0:
        raise ValueError("counts are 0 or more")
    low_first, high_first = wilson(first, cases, confidence)
    low_second, high_second = wilson(second, cases, confidence)
    p, q = first / cases, second / cases
    below, above = (p - low_first, high_second - q), (high_first - p, q - low_second)
    margins = first * (cases - first) * second * (cases - second)
    cross = both * neither - only_first * only_second
    corrected = max(cross - cases / 2, 0.0) if cross > 0 else float(cross)
    phi = corrected / sqrt(margins) if margins else 0.0
    low = p - q - sqrt(max(0.0, below[0] ** 2 - 2 * phi * below[0] * below[1] + below[1] ** 2))
    high = p - q + sqrt(max(0.0, above[0] ** 2 - 2 * phi * above[0] * above[1] + above[1] ** 2))
    return max(-1.0, low), min(1.0, high)


def rule_of_three(cases: int, confidence: float = 0.95) -> float:
    """How large the rate of failure may still be when none of `cases` failed: 3/n at 95%.

    Hanley and Lippman-Hand 1983 (JAMA 249:1743); here -ln(1 - confidence)/n, and at most 1. Raises ValueError
    when `cases` is 0.
    """
    _counts(0, cases, confidence)
    return min(1.0, -log(1 - confidence) / cases)


def newcombe(
    first: int, first_cases: int, second: int, second_cases: int, confidence: float = 0.95
) -> tuple[float, float]:
    """The interval for the difference of two rates of different cases, first minus second.

    Method 10 of Newcombe 1998 (Stat. Med. 17:873): Wilson's limits of both, joined by squares. Raises ValueError when
    either has no case.
    """
    low_first, high_first = wilson(first, first_cases, confidence)
    low_second, high_second = wilson(second, second_cases, confidence)
    p, q = first / first_cases, second / second_cases
    low = p - q - sqrt((p - low_first) ** 2 + (high_second - q) ** 2)
    high = p - q + sqrt((high_first - p) ** 2 + (q - low_second) ** 2)
    return max(-1.0, low), min(1.0, high)


def fisher_exact(first: int, first_cases: int, second: int, second_cases: int) -> float:
    """The two-sided exact p-value for two rates of different cases (Fisher 1935): no likelier tables are left out."""
    import numpy as np
    from scipy.special import gammaln

    _counts(first, first_cases, 0.5)
    _counts(second, second_cases, 0.5)
    passed = first + second
    least = max(0, passed - second_cases)
    counts = np.arange(least, min(first_cases, passed) + 1)

    def ways(cases: int, chosen: Any) -> Any:
        return gammaln(cases + 1) - gammaln(chosen + 1) - gammaln(cases - chosen + 1)

    log_chances = ways(first_cases, counts) + ways(second_cases, passed - counts)
    chances = np.exp(log_chances - ways(first_cases + second_cases, passed))
    return min(1.0, float(chances[chances <= chances[first - least] * (1 + 1e-7)].sum()))


def holm(chances: Sequence[float]) -> list[float]:
    """p-values of many questions, each corrected for there being many (Holm 1979, Scand. J. Stat. 6:65).

    That any true "no difference" is rejected comes at most as often as the level at which the corrected ones are read,
    however the questions hang together.
    """
    order = sorted(range(len(chances)), key=lambda place: chances[place])
    corrected, most = [0.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = most
    return corrected


def _counts(passed: int, cases: int, confidence: float) -> None:
    if cases <= 0:
        raise ValueError("there are 0 cases, so there is nothing to say yet")
    if not 0 <= passed <= cases:
        raise ValueError(f"{passed} of {cases} cannot have passed")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, not at {confidence}")

"""Intervals for proportions and tests for pairs of them: each function is one formula, with its source."""

from __future__ import annotations

from math import log, sqrt
from statistics import NormalDist


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


def _counts(passed: int, cases: int, confidence: float) -> None:
    if cases <= 0:
        raise ValueError("there are 0 cases, so there is nothing to say yet")
    if not 0 <= passed <= cases:
        raise ValueError(f"{passed} of {cases} cannot have passed")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, not at {confidence}")

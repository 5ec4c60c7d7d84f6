"""Tests that a gate may stand on: whatever the true rates are, each errs no more often than it says."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

NUISANCE = 0.001
"""Berger and Boos's gamma: how surely the share of differing cases lies where it is looked for."""

_GRID = 400
_FINER = 3


def exceeds(only_first: int, only_second: int, cases: int, by: float) -> float:
    """The one-sided exact p-value of "the first passes by no more than `by`", for pairs of pass and fail.

    At 0 it is McNemar's exact test. Elsewhere the unconditional exact test of paired proportions: tables are ordered
    by Tango's score (1998, Stat. Med. 17:891), and the p-value is the largest over the unknown share of differing
    cases (Hsueh, Liu and Chen 2001, Biometrics 57:478), looked for in its Clopper-Pearson interval (Berger and Boos
    1994, JASA 89:1012). Above 0 it is no smaller than at 0. A p of at most alpha comes wrongly at most as often as alpha.
    """
    if min(only_first, only_second) < 0 or only_first + only_second > cases:
        raise ValueError(f"{only_first} and {only_second} of {cases} cases cannot differ")
    if cases == 0:
        raise ValueError("there are 0 cases, so there is nothing to say yet")
    if not -1 < by < 1:
        raise ValueError(f"a difference of rates lies between -1 and 1, not at {by}")
    if by == 0:
        return _binomial(only_first, only_first + only_second)
    unconditional = _unconditional(only_first, only_second, cases, by)
    return unconditional if by < 0 else max(unconditional, _binomial(only_first, only_first + only_second))


def mean_exceeds(differences: Sequence[float], by: float, alpha: float = 0.025) -> float:
    """The one-sided p-value of "the mean is no more than `by`", for independent numbers from -1 to 1, in their order.

    A bet against it: wealth that starts at 1 and, were it true, would reach 1/p with probability p at most (Waudby-Smith
    and Ramdas 2024, J. R. Stat. Soc. B 86:1, with bets that only look back). Nothing is assumed of how the numbers are
    spread, so it also holds for means within clusters. Bets are sized for `alpha`.
    """
    if not differences:
        raise ValueError("there are 0 cases, so there is nothing to say yet")
    if any(not -1 <= each <= 1 for each in differences):
        raise ValueError("differences of rates lie between -1 and 1")
    null = (by + 1) / 2
    if not 0 < null < 1:
        raise ValueError(f"a difference of rates lies between -1 and 1, not at {by}")
    wealth = most = 1.0
    total, squares = 0.5, 0.25
    for seen, each in enumerate(differences, 1):
        value = (each + 1) / 2
        variance = squares / seen
        bet = min(sqrt(2 * log(1 / alpha) / (variance * len(differences))), 0.75 / null)
        wealth *= 1 + bet * (value - null)
        most = max(most, wealth)
        total += value
        squares += (value - total / (seen + 1)) ** 2
    return 1 / most


def _binomial(passed: int, cases: int) -> float:
    from scipy.special import bdtrc

    return 1.0 if passed == 0 else float(bdtrc(passed - 1, cases, 0.5))


def _unconditional(first: int, second: int, cases: int, by: float) -> float:
    import numpy as np
    from scipy.special import betaincinv

    differing = first + second
    low = 0.0 if differing == 0 else float(betaincinv(differing, cases - differing + 1, NUISANCE / 2))
    high = 1.0 if differing == cases else float(betaincinv(differing + 1, cases - differing, 1 - NUISANCE / 2))
    low, high = max(low, abs(by)), max(high, abs(by))
    least = _least(cases, by, float(_score(np.array([first]), np.array([second]), cases, by)[0]))
    worst = 0.0
    for _ in range(_FINER):
        shares = np.linspace(low, high, _GRID // _FINER)
        chances = [_chance(least, cases, (share + by) / 2, (share - by) / 2) for share in shares]
        top = int(np.argmax(chances))
        worst = max(worst, chances[top])
        low, high = float(shares[max(top - 1, 0)]), float(shares[min(top + 1, len(shares) - 1)])
    return min(1.0, worst + NUISANCE)


def _score(first: Any, second: Any, cases: int, by: float) -> Floats:
    """Tango's statistic: the difference above `by`, in standard errors as they are where it is exactly `by`."""
    import numpy as np

    b, c = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    middle = -b - c + (2 * cases - b + c) * by
    rest = -c * by * (1 - by)
    rate = (np.sqrt(np.maximum(middle**2 - 8 * cases * rest, 0)) - middle) / (4 * cases)
    spread = cases * np.maximum(2 * rate + by * (1 - by), 0)
    above = b - c - cases * by
    with np.errstate(divide="ignore", invalid="ignore"):
        score = above / np.sqrt(spread)
    return np.where(spread > 1e-12, score, np.where(above > 1e-9, np.inf, np.where(above < -1e-9, -np.inf, 0.0)))


def _least(cases: int, by: float, score: float) -> Any:
    """For each count of the second alone, the least count of the first alone that is as extreme as what was seen."""
    import numpy as np

    second = np.arange(cases + 1)
    low, high = np.zeros(cases + 1, dtype=np.int64), cases - second + 1
    while np.any(low < high):
        middle = (low + high) // 2
        extreme = _score(middle, second, cases, by) >= score - 1e-9
        high = np.where(extreme, middle, high)
        low = np.where(extreme, low, np.minimum(middle + 1, high))
    reachable = np.where(high <= cases - second, high, cases + 1)
    # Whoever loses fewer cases is at least as extreme: closed under that, the worst case lies at exactly `by`.
    return np.minimum.accumulate(reachable[::-1])[::-1]


def _chance(least: Any, cases: int, first: float, second: float) -> float:
    """How likely a table is that lies in the region, when those are the shares of either alone."""
    import numpy as np
    from scipy.special import bdtrc, gammaln, xlog1py, xlogy

    middle, width = cases * second, 12 * sqrt(cases * second * (1 - second)) + 30
    counts = np.arange(max(0, int(middle - width)), min(cases, int(middle + width)) + 1)
    weight = np.exp(
        gammaln(cases + 1)
        - gammaln(counts + 1)
        - gammaln(cases - counts + 1)
        + xlogy(counts, second)
        + xlog1py(cases - counts, -second)
    )
    rest, wanted = cases - counts, least[counts]
    share = min(1.0, first / (1 - second)) if second < 1 else 0.0
    tail = np.where(wanted <= 0, 1.0, 0.0)
    inside = (wanted > 0) & (wanted <= rest)
    tail[inside] = bdtrc(wanted[inside] - 1, rest[inside], share)
    return float(weight @ tail)

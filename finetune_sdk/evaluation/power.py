"""How many cases it takes to see a difference: McNemar's exact test, before it is asked."""

from __future__ import annotations

from math import ceil, sqrt
from statistics import NormalDist

SIGNIFICANT = 0.05
POWER = 0.8


def mcnemar_power(cases: int, difference: float, discordance: float, significant: float = SIGNIFICANT) -> float:
    """How often the exact two-sided test finds a true `difference` of two rates, when so large a share of cases differs.

    The exact sum over all tables. Raises ValueError where the share is smaller than the difference, which cannot be.
    """
    import numpy as np
    from scipy.special import bdtr, bdtrc, bdtrik, gammaln, xlog1py, xlogy

    _shares(cases, difference, discordance)
    if discordance == 0:
        return 0.0
    middle, width = cases * discordance, 8 * sqrt(cases * discordance * (1 - discordance)) + 20
    differing = np.arange(max(0, int(middle - width)), min(cases, int(middle + width)) + 1)
    # The most that may differ the other way, so that twice the tail is below `significant`.
    critical = np.ceil(np.nan_to_num(bdtrik(significant / 2, differing, 0.5), nan=0.0)).astype(int)
    critical = np.where(bdtr(critical, differing, 0.5) * 2 < significant, critical, critical - 1)
    wins = (1 + difference / discordance) / 2
    found, some = np.zeros(len(differing)), critical >= 0
    n, k = differing[some], critical[some]
    # Both tails: a test may also find the difference on the wrong side.
    found[some] = bdtrc(n - k - 1, n, wins) + bdtr(k, n, wins)
    ways = gammaln(cases + 1) - gammaln(differing + 1) - gammaln(cases - differing + 1)
    chance = np.exp(ways + xlogy(differing, discordance) + xlog1py(cases - differing, -discordance))
    return float(chance @ found)


def cases_needed(difference: float, discordance: float, power: float = POWER, significant: float = SIGNIFICANT) -> int:
    """How many cases the exact test needs to find a true `difference` of two rates as often as `power`.

    From the formula of Connor 1987 (Biometrics 43:207) upwards, until the exact power is there; above 100,000 the
    formula alone. `discordance` is the share of cases on which the two differ, at least the difference itself.
    """
    discordance = max(discordance, abs(difference))
    _shares(1, difference, discordance)
    if difference == 0:
        raise ValueError("no number of cases shows that two equal rates differ")
    z = NormalDist().inv_cdf
    spread = z(1 - significant / 2) * sqrt(discordance)
    spread += z(power) * sqrt(max(discordance - difference**2, 0))
    cases = ceil((spread / difference) ** 2)
    while cases < 100_000 and mcnemar_power(cases, abs(difference), discordance, significant) < power:
        cases = max(cases + 1, ceil(cases * 1.01))
    return cases


def _shares(cases: int, difference: float, discordance: float) -> None:
    if cases <= 0:
        raise ValueError("there are 0 cases, so there is nothing to say yet")
    if not abs(difference) <= discordance <= 1:
        raise ValueError(f"rates cannot differ by {difference} where {discordance} of the cases differ")

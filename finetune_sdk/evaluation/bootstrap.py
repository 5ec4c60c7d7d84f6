"""Intervals where no formula is exact: means of scores, and rates and means of cases that belong together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

FEWEST = 30
DRAWS = 2_000
_SEED = 20_261
_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where it may lie. `low` and `high` are None where that cannot be told, and `why` says why not."""

    mean: float
    low: float | None
    high: float | None
    units: int
    why: str = ""


def mean_interval(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, confidence: float = 0.95
) -> Interval:
    """The mean of `values` with its BCa bootstrap interval (Efron 1987, JASA 82:171), the same at each call.

    Widened for small samples as by Hesterberg 2015 (Am. Stat. 69:371, section 5.3: t quantiles and n/(n-1)). With
    `clusters`, one a value, whole clusters are drawn. Below 30 values (or clusters) there is no interval, nor where
    all are equal: the bootstrap would be too narrow. Raises ValueError when there is no value.
    """
    import numpy as np

    if not len(values):
        raise ValueError("there are 0 cases, so there is nothing to say yet")
    sums, sizes = _by_cluster(np.asarray(values, dtype=float), clusters)
    mean = float(sums.sum() / sizes.sum())
    unit = "case" if clusters is None or len(sums) == len(values) else "group"
    if len(sums) < FEWEST:
        why = f"no interval from {len(sums)} {unit}{'' if len(sums) == 1 else 's'}; it takes {FEWEST}"
        return Interval(mean, None, None, len(sums), why)
    # How far each unit pulls the mean: the empirical influence of a ratio of sums.
    pull = (sums - mean * sizes) / sizes.mean()
    if not np.any(np.abs(pull) > 1e-12 * (1 + abs(mean))):
        return Interval(mean, None, None, len(sums), "no interval: all values are equal")
    low, high = _bca(sums, sizes, mean, pull, confidence)
    return Interval(mean, low, high, len(sums))


def clustered_wilson(
    outcomes: Sequence[bool], clusters: Sequence[Hashable], confidence: float = 0.95
) -> tuple[float, float]:
    """Wilson's interval of a rate whose cases come in clusters: with as many cases as they are worth.

    The effective number is cases / design effect (Kish 1965; Korn and Graubard 1998, Surv. Methodol. 24:193), from the
    variance between clusters, with their t correction for few clusters; never more than there are cases. Where all
    cases came out alike, or there is one cluster, nothing tells how alike a cluster is: each counts as one case then.
    Raises ValueError when there is no case.
    """
    import numpy as np
    from scipy.special import stdtrit

    if not len(outcomes):
        raise ValueError("there are 0 cases, so there is nothing to say yet")
    sums, sizes = _by_cluster(np.asarray(outcomes, dtype=float), clusters)
    cases, groups = len(outcomes), len(sums)
    rate, effective = float(sums.sum() / cases), float(groups)
    if groups > 1 and 0 < rate < 1:
        variance = groups / (groups - 1) * float(((sums - rate * sizes) ** 2).sum()) / cases**2
        tail = (1 + confidence) / 2
        shrink = float(stdtrit(cases - 1, tail) / stdtrit(groups - 1, tail)) ** 2
        effective = min(float(cases), rate * (1 - rate) / variance * shrink) if variance > 0 else float(cases)
    return wilson_at(rate, max(effective, 1.0), confidence)


def wilson_at(rate: float, cases: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a rate seen in a number of cases that need not be whole."""
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + confidence) / 2)
    spread = z * z / cases
    centre, half = rate + spread / 2, z * sqrt(rate * (1 - rate) / cases + spread / (4 * cases))
    low = 0.0 if rate == 0 else max(0.0, (centre - half) / (1 + spread))
    high = 1.0 if rate == 1 else min(1.0, (centre + half) / (1 + spread))
    return low, high


def _by_cluster(values: Floats, clusters: Sequence[Hashable] | None) -> tuple[Floats, Floats]:
    """The sum of each cluster's values, and how many it has; without clusters each value is one."""
    import numpy as np

    if clusters is None:
        return values, np.ones(len(values))
    if len(clusters) != len(values):
        raise ValueError(f"{len(clusters)} clusters are named for {len(values)} cases")
    numbers = dict[Hashable, int]()
    places = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
    return np.bincount(places, weights=values).astype(np.float64), np.bincount(places).astype(np.float64)


def _bca(sums: Floats, sizes: Floats, mean: float, pull: Floats, confidence: float) -> tuple[float, float]:
    import numpy as np
    from scipy.special import ndtr, ndtri, stdtrit

    count = len(sums)
    drawn = np.sort(_means(sums, sizes))
    below = (np.searchsorted(drawn, mean, "left") + np.searchsorted(drawn, mean, "right")) / 2
    shift = float(ndtri(min(max(below, 0.5), DRAWS - 0.5) / DRAWS))
    skew = float((pull**3).sum() / (6 * (pull**2).sum() ** 1.5))
    width = float(stdtrit(count - 1, (1 + confidence) / 2)) * sqrt(count / (count - 1))
    ends = []
    for side in (-width, width):
        at = shift + (shift + side) / max(1 - skew * (shift + side), 1e-3)
        ends.append(float(np.quantile(drawn, ndtr(at))))
    return min(ends[0], mean), max(ends[1], mean)


def _means(sums: Floats, sizes: Floats) -> Floats:
    """The mean of each draw of as many clusters as there are, with replacement."""
    import numpy as np

    count, equal = len(sums), bool(np.all(sizes == sizes[0]))
    at_once = max(1, _AT_ONCE // count)
    found = []
    for start in range(0, DRAWS, at_once):
        draws = _draws(count, start, min(at_once, DRAWS - start))
        total = sums[draws].sum(axis=1)
        found.append(total / (sizes[0] * count) if equal else total / sizes[draws].sum(axis=1))
    return np.concatenate(found)


@lru_cache(maxsize=16)
def _draws(count: int, start: int, draws: int) -> Any:
    # Kept between calls: a report asks of the same cases for each evaluator and model.
    import numpy as np

    return np.random.default_rng((_SEED, start)).integers(0, count, (draws, count), dtype=np.uint32)

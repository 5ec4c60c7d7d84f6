"""Intervals of means and of cases in groups: how often they hold what is true, and what they say when they cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from finetune_sdk.evaluation.bootstrap import clustered_wilson, mean_interval
from finetune_sdk.evaluation.statistics import wilson

SKEWED: dict[str, tuple[Callable[[Any, int], Any], float]] = {
    "shares near one": (lambda random, n: random.beta(5, 1, n), 5 / 6),
    "shares, many of them one": (lambda random, n: random.beta(2, 0.3, n), 2 / 2.3),
    "lengths": (lambda random, n: random.exponential(40.0, n), 40.0),
    "differences of shares": (lambda random, n: random.beta(5, 1, n) - random.beta(3, 1, n), 5 / 6 - 3 / 4),
}


def covered(name: str, cases: int, draws: int) -> float:
    import numpy as np

    random = np.random.default_rng(17)
    draw, truth = SKEWED[name]
    held = 0
    for _ in range(draws):
        found = mean_interval(draw(random, cases).tolist())
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    return held / draws


@pytest.mark.parametrize("name", sorted(SKEWED))
def test_bca_holds_the_mean_of_skewed_scores_about_as_often_as_it_says(name: str) -> None:
    assert 0.92 <= covered(name, 40, 400) <= 0.98


@pytest.mark.soak
@pytest.mark.parametrize("cases", [30, 60, 200])
@pytest.mark.parametrize("name", sorted(SKEWED))
def test_bca_holds_the_mean_of_skewed_scores_in_many_draws(name: str, cases: int) -> None:
    assert 0.93 <= covered(name, cases, 4_000) <= 0.97


def test_bca_is_the_one_that_scipy_computes_but_for_the_correction_of_small_samples() -> None:
    import numpy as np
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).exponential(size=400)
    peer = bootstrap((values,), np.mean, n_resamples=20_000, rng=np.random.default_rng(1)).confidence_interval
    found = mean_interval(values.tolist())
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=0.01)


def test_below_thirty_there_is_no_interval_and_it_says_so() -> None:
    found = mean_interval([0.1 * i for i in range(29)])
    assert (found.low, found.high) == (None, None)
    assert found.why == "no interval from 29 cases; it takes 30"
    assert mean_interval([0.1 * i for i in range(30)]).low is not None


def test_where_all_values_are_equal_there_is_no_interval_of_zero_width() -> None:
    found = mean_interval([0.7] * 50)
    assert (found.mean, found.low, found.high) == (pytest.approx(0.7), None, None)
    assert found.why == "no interval: all values are equal"


def test_the_same_values_have_the_same_interval_each_time() -> None:
    values = [float(i * i % 17) for i in range(80)]
    assert mean_interval(values) == mean_interval(values)


def test_cases_of_one_group_are_drawn_together() -> None:
    values = [float(i % 40) for i in range(40)]
    fivefold, groups = [v for v in values for _ in range(5)], [i for i in range(40) for _ in range(5)]
    apart, together = mean_interval(fivefold), mean_interval(fivefold, groups)
    once = mean_interval(values)
    assert together.units == 40
    assert (together.low, together.high) == (pytest.approx(once.low), pytest.approx(once.high))
    assert apart.low is not None
    assert together.low is not None
    assert apart.low > together.low
    assert mean_interval(fivefold[:100], groups[:100]).why == "no interval from 20 groups; it takes 30"


def test_a_rate_of_groups_that_are_all_alike_is_worth_as_many_cases_as_there_are_groups() -> None:
    outcomes, groups = [i < 30 for i in range(40) for _ in range(6)], [i for i in range(40) for _ in range(6)]
    low, high = clustered_wilson(outcomes, groups)
    once = wilson(30, 40)
    assert (low, high) == pytest.approx(once, abs=0.01)
    assert high - low > 2 * (wilson(180, 240)[1] - wilson(180, 240)[0])


def test_a_rate_of_groups_is_never_of_zero_width() -> None:
    low, high = clustered_wilson([True] * 100, [i // 5 for i in range(100)])
    assert (low, high) == pytest.approx(wilson(20, 20))
    assert clustered_wilson([True, False], ["a", "a"])[0] < 0.5


def test_the_interval_of_a_rate_of_groups_holds_it_about_as_often_as_it_says() -> None:
    import numpy as np

    random = np.random.default_rng(12)
    held = naive = 0
    for _ in range(400):
        rates, sizes = random.beta(2, 1, 40), random.integers(2, 8, 40)
        groups = [number for number, size in enumerate(sizes) for _ in range(size)]
        outcomes = [bool(random.random() < rates[number]) for number in groups]
        low, high = clustered_wilson(outcomes, groups)
        held += low <= 2 / 3 <= high
        low, high = wilson(sum(outcomes), len(outcomes))
        naive += low <= 2 / 3 <= high
    assert 0.925 <= held / 400 <= 0.98
    assert naive / 400 < held / 400


def test_nothing_can_be_said_of_no_values() -> None:
    with pytest.raises(ValueError, match="0 cases"):
        mean_interval([])
    with pytest.raises(ValueError, match="0 cases"):
        clustered_wilson([], [])
    with pytest.raises(ValueError, match="clusters"):
        mean_interval([1.0, 2.0], ["a"])

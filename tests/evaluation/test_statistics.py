"""The formulas, against published figures, exact arithmetic and simulation."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_sdk.evaluation.statistics import clopper_pearson, mcnemar_exact, newcombe_paired, rule_of_three, wilson

RATES = [i / 40 for i in range(1, 40)]
PAIRS = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda counts: sum(counts) > 0)


def coverage(cases: int, rate: float, interval: list[tuple[float, float]]) -> float:
    """How often the interval holds `rate`, exactly: over all outcomes, weighted by their probability."""
    return sum(
        comb(cases, k) * rate**k * (1 - rate) ** (cases - k)
        for k, (low, high) in enumerate(interval)
        if low <= rate <= high
    )


def test_wilson_gives_the_published_figures() -> None:
    # Newcombe 1998 (Stat. Med. 17:857), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_clopper_pearson_gives_the_published_figures() -> None:
    assert clopper_pearson(81, 263) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert clopper_pearson(15, 148) == pytest.approx((0.0578, 0.1617), abs=5e-5)
    assert clopper_pearson(0, 20) == pytest.approx((0.0, 0.1684), abs=5e-5)
    assert clopper_pearson(1, 29) == pytest.approx((0.0009, 0.1776), abs=5e-5)


@pytest.mark.parametrize("cases", [5, 10, 30, 100])
def test_clopper_pearson_covers_every_rate_at_least_as_often_as_it_says(cases: int) -> None:
    interval = [clopper_pearson(k, cases) for k in range(cases + 1)]
    assert all(coverage(cases, rate, interval) >= 0.95 for rate in [0.0, *RATES, 0.99, 0.999, 1.0])


@pytest.mark.parametrize("cases", [5, 10, 30, 100])
def test_wilson_covers_as_often_as_it_says_on_average_over_all_rates(cases: int) -> None:
    interval = [wilson(k, cases) for k in range(cases + 1)]
    rates = [(i + 0.5) / 400 for i in range(400)]
    assert 0.94 <= sum(coverage(cases, rate, interval) for rate in rates) / len(rates) <= 0.97


def test_what_a_simulation_finds_is_the_exact_sum() -> None:
    import numpy as np

    draws = np.random.default_rng(6).binomial(40, 0.85, size=20_000).tolist()
    for interval in ([wilson(k, 40) for k in range(41)], [clopper_pearson(k, 40) for k in range(41)]):
        exact = coverage(40, 0.85, interval)
        simulated = sum(interval[k][0] <= 0.85 <= interval[k][1] for k in draws) / len(draws)
        assert simulated == pytest.approx(exact, abs=4 * (exact * (1 - exact) / len(draws)) ** 0.5)


def test_wilson_covers_less_than_it_says_at_some_rates_so_no_gate_may_stand_on_it() -> None:
    interval = [wilson(k, 10) for k in range(11)]
    assert coverage(10, 0.95, interval) == pytest.approx(0.914, abs=1e-3)


@settings(deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_hold_the_rate_and_are_never_of_zero_width(counts: tuple[int, int]) -> None:
    passed, cases = counts
    for interval in (wilson, clopper_pearson):
        low, high = interval(passed, cases)
        assert 0 <= low <= passed / cases <= high <= 1
        assert low < high
        mirrored_low, mirrored_high = interval(cases - passed, cases)
        assert (1 - high, 1 - low) == pytest.approx((mirrored_low, mirrored_high), abs=1e-9)


@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_is_the_exact_two_sided_binomial_test(only_first: int, only_second: int) -> None:
    n, k = only_first + only_second, min(only_first, only_second)
    exact = min(Fraction(1), 2 * sum(Fraction(comb(n, i), 2**n) for i in range(k + 1)))
    assert mcnemar_exact(only_first, only_second) == float(exact)
    assert mcnemar_exact(only_first, only_second) == mcnemar_exact(only_second, only_first)


def test_mcnemar_agrees_with_scipy_on_large_counts() -> None:
    from scipy.stats import binomtest

    assert mcnemar_exact(5200, 4800) == pytest.approx(binomtest(4800, 10_000, 0.5).pvalue, rel=1e-9)
    assert mcnemar_exact(30_000, 1_000) == 0.0


def test_six_cases_in_one_direction_are_the_least_that_shows_anything() -> None:
    assert mcnemar_exact(5, 0) == 0.0625
    assert mcnemar_exact(6, 0) == 0.03125
    assert mcnemar_exact(0, 0) == 1.0


@pytest.mark.parametrize("counts", [(20, 30), (50, 5)])
def test_mcnemar_seldom_finds_a_difference_where_there_is_none(counts: tuple[int, int]) -> None:
    differing = sum(counts)
    found = sum(comb(differing, k) for k in range(differing + 1) if mcnemar_exact(k, differing - k) < 0.05)
    assert found / 2**differing <= 0.05


def test_the_paired_interval_gives_the_published_figures() -> None:
    # Fagerland, Lydersen, Laake 2017, table 8.8 (Cavo et al. 2012): -0.119 to -0.005.
    assert newcombe_paired(59, 6, 16, 80) == pytest.approx((-0.1186, -0.0046), abs=5e-5)
    # Newcombe 1998 (Stat. Med. 17:2635), table III, method 10.
    assert newcombe_paired(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    assert newcombe_paired(20, 12, 2, 16) == pytest.approx((0.0562, 0.3292), abs=5e-5)


@settings(max_examples=200, deadline=None)
@given(PAIRS)
def test_the_paired_interval_holds_the_difference_and_turns_with_its_sides(counts: tuple[int, int, int, int]) -> None:
    both, first, second, neither = counts
    low, high = newcombe_paired(both, first, second, neither)
    assert -1 <= low <= (first - second) / sum(counts) <= high <= 1
    assert low < high
    turned_low, turned_high = newcombe_paired(both, second, first, neither)
    assert (-high, -low) == pytest.approx((turned_low, turned_high), abs=1e-12)


def test_the_paired_interval_covers_about_as_often_as_it_says() -> None:
    import numpy as np

    random = np.random.default_rng(1)
    for shares in ((0.5, 0.2, 0.1, 0.2), (0.25, 0.7, 0.01, 0.04), (0.9, 0.05, 0.03, 0.02)):
        tables = random.multinomial(160, shares, size=2000).tolist()
        limits = [newcombe_paired(*table) for table in tables]
        covered = sum(low <= shares[1] - shares[2] <= high for low, high in limits) / len(tables)
        assert 0.93 <= covered <= 0.99


def test_the_rule_of_three_is_three_in_n() -> None:
    assert rule_of_three(100) == pytest.approx(0.03, abs=5e-5)
    assert rule_of_three(1) == 1.0


def test_nothing_can_be_said_of_no_cases() -> None:
    for say in (
        lambda: wilson(0, 0),
        lambda: clopper_pearson(0, 0),
        lambda: newcombe_paired(0, 0, 0, 0),
        lambda: rule_of_three(0),
    ):
        with pytest.raises(ValueError, match="0 cases"):
            say()


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="0 or more"):
        mcnemar_exact(-1, 2)
    with pytest.raises(ValueError, match="0 or more"):
        newcombe_paired(2, -1, 1, 1)
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence=1.0)

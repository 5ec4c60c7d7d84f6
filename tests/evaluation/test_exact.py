"""What a gate stands on: no test comes out wrongly more often than it says, whatever the true rates are."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_sdk.evaluation.exact import exceeds, mean_exceeds
from finetune_sdk.evaluation.statistics import mcnemar_exact

ALPHA = 0.025


@cache
def found(cases: int, by: float) -> list[tuple[int, int, int]]:
    """The tables in which the test finds more than `by`."""
    tables = [(b, c) for b in range(cases + 1) for c in range(cases + 1 - b)]
    return [(b, c, cases - b - c) for b, c in tables if exceeds(b, c, cases, by) <= ALPHA]


def size(cases: int, by: float, share: float) -> float:
    """How often it finds more where the difference is `by` and `share` of the cases differ: the exact sum."""
    from scipy.stats import multinomial

    first, second = (share + by) / 2, (share - by) / 2
    shares = (first, second, max(0.0, 1 - first - second))
    return float(multinomial.pmf(found(cases, by), cases, [each / sum(shares) for each in shares]).sum())


@pytest.mark.parametrize("by", [-0.1, 0.0, 0.1])
def test_the_exact_test_errs_no_more_often_than_it_says_at_any_share_of_differing_cases(by: float) -> None:
    for share in (0.1, 0.11, 0.15, 0.25, 0.4, 0.7, 1.0):
        assert size(16, by, share) <= ALPHA


@pytest.mark.soak
@pytest.mark.parametrize("cases", [12, 30, 45])
@pytest.mark.parametrize("by", [-0.15, -0.05, -0.02, 0.0, 0.03, 0.1])
def test_the_exact_test_errs_no_more_often_than_it_says_on_a_fine_grid(cases: int, by: float) -> None:
    import numpy as np

    for share in np.linspace(max(abs(by), 0.005), 1, 60):
        assert size(cases, by, share) <= ALPHA + 1e-9


def test_at_no_margin_it_is_mcnemars_exact_test() -> None:
    for wins, losses in ((6, 0), (12, 3), (30, 20), (5, 5)):
        one_sided = exceeds(wins, losses, 100, 0.0)
        if wins > losses:
            assert min(1.0, 2 * one_sided) == pytest.approx(mcnemar_exact(wins, losses))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 120).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
def test_more_is_harder_to_show_and_each_further_win_makes_it_easier(counts: tuple[int, int, int]) -> None:
    wins, losses, cases = counts
    losses = min(losses, cases - wins)
    chances = [exceeds(wins, losses, cases, by) for by in (-0.2, -0.05, 0.0, 0.05, 0.2)]
    assert all(0 <= p <= 1 for p in chances)
    assert chances[2] <= chances[3] + 1e-9
    assert chances[3] <= chances[4] + 1e-6
    assert chances[0] <= chances[1] + 1e-6
    if losses:
        assert exceeds(wins + 1, losses - 1, cases, -0.05) <= chances[1] + 1e-6


def test_it_finds_what_is_there_nearly_as_often_as_tests_that_promise_nothing() -> None:
    import numpy as np

    random = np.random.default_rng(4)
    tables = random.multinomial(400, (0.05, 0.05, 0.9), size=80).tolist()
    exact = [exceeds(wins, losses, 400, -0.05) <= ALPHA for wins, losses, _ in tables]
    seen = [((wins - losses) / 400, (wins + losses) / 400) for wins, losses, _ in tables]
    wald = [gap + 0.05 > 1.96 * ((share - gap**2) / 400) ** 0.5 for gap, share in seen]
    assert sum(exact) >= 0.9 * sum(wald)
    assert sum(exact) >= 0.75 * len(tables)


def test_without_a_differing_case_it_takes_so_many_cases_to_exclude_a_loss() -> None:
    assert exceeds(0, 0, 40, -0.05) > ALPHA
    assert exceeds(0, 0, 100, -0.05) <= ALPHA


def _errors(groups: int, draws: int, by: float, of: int, spread: float) -> float:
    """How often groups of several cases, alike within, are found to exceed `by` where their mean is exactly that."""
    import numpy as np

    random = np.random.default_rng(9)
    wrong = 0
    for _ in range(draws):
        lean = random.beta(spread, spread, groups)  # the share of wins among a group's differing cases
        wins = random.binomial(of, 0.3 * np.where(lean > 0.5, 1, 0.0) + by / 2 + 0.001)
        losses = random.binomial(of - wins, np.clip(0.3 * np.where(lean > 0.5, 0.0, 1), 0, 1))
        means = ((wins - losses) / of).tolist()
        truth = (0.15 + by / 2 + 0.001) - 0.15 * (1 - (by / 2 + 0.001))
        wrong += mean_exceeds(means, truth, ALPHA) <= ALPHA
    return wrong / draws


def test_of_groups_it_errs_no_more_often_than_it_says() -> None:
    assert _errors(60, 500, 0.0, 5, 0.5) <= ALPHA + 0.015


@pytest.mark.soak
@pytest.mark.parametrize("groups", [10, 60, 300])
@pytest.mark.parametrize("by", [0.0, 0.05])
def test_of_groups_it_errs_no_more_often_than_it_says_in_many_draws(groups: int, by: float) -> None:
    assert _errors(groups, 20_000, by, 5, 0.5) <= ALPHA + 0.004


def test_of_groups_it_finds_a_difference_that_is_there() -> None:
    import numpy as np

    random = np.random.default_rng(2)
    found = [
        mean_exceeds(random.choice([1.0, 0.0, -1.0], 200, p=[0.16, 0.8, 0.04]).tolist(), 0.0) <= ALPHA
        for _ in range(100)
    ]
    assert sum(found) >= 75


def test_impossible_counts_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="cannot differ"):
        exceeds(5, 6, 10, 0.0)
    with pytest.raises(ValueError, match="0 cases"):
        exceeds(0, 0, 0, 0.0)
    with pytest.raises(ValueError, match="between -1 and 1"):
        exceeds(1, 0, 10, 1.0)
    with pytest.raises(ValueError, match="0 cases"):
        mean_exceeds([], 0.0)
    with pytest.raises(ValueError, match="between -1 and 1"):
        mean_exceeds([2.0], 0.0)

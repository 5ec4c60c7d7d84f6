"""How many cases it takes, and corrections for many questions: against simulation and exact sums."""

from __future__ import annotations

import pytest

from finetune_sdk.evaluation.power import cases_needed, mcnemar_power
from finetune_sdk.evaluation.statistics import fisher_exact, holm, mcnemar_exact, newcombe, sign_flip


@pytest.mark.parametrize(("cases", "difference", "discordance"), [(60, 0.1, 0.2), (200, 0.05, 0.12), (150, 0.0, 0.3)])
def test_the_exact_power_is_what_a_simulation_finds(cases: int, difference: float, discordance: float) -> None:
    import numpy as np

    shares = ((discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance)
    tables = np.random.default_rng(8).multinomial(cases, shares, size=6_000).tolist()
    found = sum(mcnemar_exact(wins, losses) < 0.05 for wins, losses, _ in tables) / len(tables)
    exact = mcnemar_power(cases, difference, discordance)
    assert found == pytest.approx(exact, abs=4 * (exact * (1 - exact) / len(tables)) ** 0.5)


def test_where_there_is_no_difference_the_power_is_the_size_and_at_most_the_level() -> None:
    for cases in (10, 60, 400):
        for discordance in (0.05, 0.2, 0.6, 1.0):
            assert mcnemar_power(cases, 0.0, discordance) <= 0.05
    assert mcnemar_power(60, 0.0, 0.0) == 0.0


def test_five_points_take_about_four_hundred_cases_where_one_in_eight_differs() -> None:
    assert 360 <= cases_needed(0.05, 0.12) <= 420
    assert mcnemar_power(60, 0.05, 0.12) < 0.2


@pytest.mark.parametrize("difference", [0.02, 0.05, 0.2])
def test_so_many_cases_have_the_power_that_was_asked_for(difference: float) -> None:
    needed = cases_needed(difference, 0.25)
    assert 0.8 <= mcnemar_power(needed, difference, 0.25) < 0.84
    assert cases_needed(-difference, 0.25) == needed
    assert cases_needed(difference, 0.25, power=0.9) > needed


def test_the_share_of_differing_cases_is_at_least_the_difference() -> None:
    assert cases_needed(0.3, 0.0) == cases_needed(0.3, 0.3)
    with pytest.raises(ValueError, match="cannot differ"):
        mcnemar_power(10, 0.5, 0.2)
    with pytest.raises(ValueError, match="no number of cases"):
        cases_needed(0.0, 0.2)


def test_holm_is_the_stepwise_correction() -> None:
    # Holm 1979: 0.01, 0.02, 0.03 of three questions become 0.03, 0.04, 0.04.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_chance_of_any_false_alarm_at_the_level() -> None:
    import numpy as np

    random = np.random.default_rng(5)
    alarms = sum(min(holm(random.uniform(size=8).tolist())) < 0.05 for _ in range(4_000)) / 4_000
    assert alarms == pytest.approx(1 - (1 - 0.05 / 8) ** 8, abs=0.012)


def test_fisher_is_scipys_exact_test() -> None:
    from scipy.stats import fisher_exact as peer

    for a, n, b, m in ((8, 10, 3, 12), (0, 5, 5, 5), (30, 60, 45, 60), (2, 2, 7, 9)):
        assert fisher_exact(a, n, b, m) == pytest.approx(peer([[a, n - a], [b, m - b]]).pvalue, rel=1e-6)


def test_the_interval_of_two_rates_gives_the_published_figures() -> None:
    # Newcombe 1998 (Stat. Med. 17:873), table II, method 10.
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert newcombe(10, 10, 0, 10) == pytest.approx((0.6075, 1.0), abs=5e-5)


def test_flipping_groups_of_one_case_is_mcnemars_exact_test() -> None:
    for wins, losses in ((6, 0), (12, 3), (30, 20), (0, 0)):
        assert sign_flip([1] * wins + [-1] * losses + [0] * 10) == pytest.approx(mcnemar_exact(wins, losses))


def test_groups_that_differ_as_a_whole_count_as_one_each() -> None:
    assert mcnemar_exact(20, 0) < 1e-4
    assert sign_flip([5, 5, 5, 5]) == pytest.approx(2 * 0.5**4)
    assert sign_flip([3, -1, 2]) == pytest.approx(2 * 2 / 8)

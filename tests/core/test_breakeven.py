"""Break-even: formulas beside a simulation, unknown prices, and what never pays."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finetune_sdk import InputError, Plan, Range, Upkeep, break_even
from finetune_sdk.breakeven import ENDS, BreakEven, cheaper_with, in_words, paid_back, spread
from finetune_sdk.evaluation.costs import costs


def usd(*figures: float) -> Range:
    low, expected, high = figures if len(figures) == 3 else figures * 3
    return Range(low, expected, high, "USD", "a test")


NOTHING, UNKNOWN = usd(0), Range.unknown("USD", "nobody has said; set usd_per_hour")


def plan(**changes: Any) -> Plan:
    """A training for $300 that saves $100 a month against `big`, and costs $100 more than `small`."""
    usual = {
        "answers": 10_000, "training": usd(300), "tuned": Upkeep(usd(50), usd(150)), "retrainings": 0,
        "rivals": {"big": Upkeep(usd(300), NOTHING), "small": Upkeep(usd(100), NOTHING)},
    }  # fmt: skip
    return Plan(**usual | changes)


def against(found: BreakEven, name: str) -> Any:
    return next(row for row in found.against if row.name == name)


def test_a_training_is_paid_back_by_what_it_saves() -> None:
    big = against(break_even(plan()), "big")
    assert big.saving.figures == (100, 100, 100)
    assert (big.months.low, big.answers.expected) == (3.0, 30_000)
    assert big.balance.figures == (900, 900, 900)
    assert str(big) == "Against big, tuning saves $100.00 a month and is paid back after 3.0 months, 30,000 answers."


def test_the_volume_from_which_tuning_is_cheaper() -> None:
    big = against(break_even(plan(months=12)), "big")
    # 300 / 12 + 150 a month are to be made up by 2.5 cents an answer.
    assert in_words(big.windows) == "from 7,000"
    at = break_even(plan(answers=7_000, tuned=Upkeep(usd(35), usd(150)), rivals={"big": Upkeep(usd(210), NOTHING)}))
    assert at.against[0].balance.expected == pytest.approx(0)


def test_what_costs_more_a_month_never_pays() -> None:
    small = against(break_even(plan()), "small")
    assert small.months.low == math.inf
    assert "never" in str(small)
    assert "costs $100.00 more a month" in str(small)


def test_each_quarter_s_retraining_counts_with_its_hours() -> None:
    found = break_even(plan(retrainings=4, hours=8, retraining_hours=2, usd_per_hour=90, storage=5))
    assert found.up_front.figures == (1020,) * 3
    assert {name: part.expected for name, part in found.month.items()} == {
        "inference": 50, "hosting": 150, "storage": 5, "retraining": 100, "people": 60
    }  # fmt: skip
    assert found.spent(2).expected == 1020 + 2 * 205
    assert found.spent(3).expected == 1020 + 3 * 205 + 480
    assert found.spent(12).expected == pytest.approx(1020 + 12 * found.a_month.expected)  # type: ignore[operator]


def test_hosting_that_is_given_stands_in_the_place_of_what_the_place_says() -> None:
    found = break_even(plan(hosting=20))
    assert found.month["hosting"].expected == 20
    assert break_even(plan(tuned=Upkeep(usd(50), UNKNOWN), hosting=0)).a_month.known


def test_what_is_not_counted_is_said() -> None:
    assert any("hours are not counted" in note for note in break_even(plan()).notes)
    assert any("storage is not counted" in note for note in break_even(plan()).notes)
    told = break_even(plan(hours=0, usd_per_hour=0, storage=0)).notes
    assert not any("not counted" in note for note in told)


def test_an_unknown_price_is_unknown_wherever_it_counts_and_says_how_to_give_it() -> None:
    for changes in (
        {"training": UNKNOWN},
        {"tuned": Upkeep(UNKNOWN, NOTHING)},
        {"rivals": {"big": Upkeep(UNKNOWN, NOTHING)}},
    ):
        found = break_even(plan(**changes))
        row = against(found, "big")
        assert (row.months, row.answers, row.windows) == (None, None, None)
        assert not row.balance.known
        assert "set usd_per_hour" in str(row)
    other = against(
        break_even(plan(rivals={"big": Upkeep(UNKNOWN, NOTHING), "small": Upkeep(usd(500), NOTHING)})), "small"
    )
    assert other.months is not None


def test_what_would_not_pay_if_training_were_free_does_not_wait_for_its_price() -> None:
    row = against(break_even(plan(training=UNKNOWN)), "small")
    assert row.months.low == math.inf
    assert row.windows is None


def test_the_best_case_is_the_tuned_model_s_low_end_and_the_rival_s_high_one() -> None:
    found = break_even(
        plan(
            training=usd(200, 300, 400),
            tuned=Upkeep(usd(100, 200, 250), NOTHING),
            rivals={"big": Upkeep(usd(260, 300, 500), NOTHING)},
        )
    )
    row = found.against[0]
    assert row.saving.figures == (10, 100, 400)
    assert (row.months.low, row.months.expected, row.months.high) == (0.5, 3.0, 40.0)
    assert spread(row.months) == "0.5 - 40.0 (expected 3.0)"


def test_what_pays_in_the_best_case_alone_says_so() -> None:
    found = break_even(plan(rivals={"big": Upkeep(usd(150, 180, 300), NOTHING)}))
    said = str(found.against[0])
    assert "3.0 months at best" in said
    assert "at worst never" in said
    assert found.to_dict()["against"][0]["months"] == {"low": 3.0, "expected": "never", "high": "never"}


def test_a_rival_that_is_hosted_is_beaten_up_to_a_number_of_answers() -> None:
    # Tuned: 4 cents an answer and no hosting; rival: $1,000 a month, however much it is asked.
    found = break_even(
        plan(training=usd(1200), tuned=Upkeep(usd(400), NOTHING), rivals={"own": Upkeep(NOTHING, usd(1000))})
    )
    assert in_words(found.against[0].windows) == "up to 22,500"
    never = break_even(
        plan(training=usd(15_000), tuned=Upkeep(usd(400), NOTHING), rivals={"own": Upkeep(NOTHING, usd(1000))})
    )
    assert in_words(never.against[0].windows) == "none"


def test_all_of_it_is_plain_data() -> None:
    found = break_even(plan(training=usd(1, 2, 3), storage=3, months=5))
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [row["month"] for row in data["over_time"]] == list(range(6))
    assert data["over_time"][5]["rivals"]["big"]["expected"] == 1500
    for parts in (data["up_front"], data["month"]):
        total = parts.pop("total")
        for end in ENDS:
            assert total[end] == pytest.approx(sum(part[end] for part in parts.values()))


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "8", True])
@pytest.mark.parametrize("name", ["answers", "hosting", "hours", "retrainings", "storage", "usd_per_hour"])
def test_what_is_no_amount_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=name):
        plan(**{"hours": 1, "usd_per_hour": 1} | {name: value})


@pytest.mark.parametrize("months", [0, -3, 1.5, True, math.inf])
def test_a_horizon_is_whole_months(months: Any) -> None:
    with pytest.raises(InputError, match="months"):
        plan(months=months)


def test_what_makes_no_plan_is_refused() -> None:
    with pytest.raises(InputError, match="nobody asks"):
        plan(answers=0)
    with pytest.raises(InputError, match="usd_per_hour is not"):
        plan(hours=3)
    with pytest.raises(InputError, match="hours is not"):
        plan(usd_per_hour=90)
    with pytest.raises(InputError, match="not in USD"):
        plan(training=Range.exactly(1, "s", ""))


def test_the_report_and_the_break_even_say_the_same() -> None:
    """A report knows what answers cost and what was charged: no hosting, no retraining."""
    models = [
        {"key": key, "cost": {"per_1000": cost}, "run": run}
        for key, cost, run in (("base", 3.7, None), ("tuned", 0.9, "r"))
    ]
    (told,) = costs(models, {"run": "r", "actual": {"charge": 41.0}})
    at = plan(training=usd(41), tuned=Upkeep(usd(9), NOTHING), rivals={"base": Upkeep(usd(37), NOTHING)})
    assert told["answers"] == math.ceil(against(break_even(at), "base").answers.expected)


# By simulation.

WHOLE = st.integers(0, 400)


def balances(up_front: int, saving: int, lump: int, every: int, until: int) -> list[tuple[int, int]]:
    """Month by month, before and after what falls due."""
    found, balance = [(0, -up_front)], -up_front
    for month in range(1, until + 1):
        balance += saving
        found.append((month, balance))
        if lump and month % every == 0:
            balance -= lump
            found.append((month, balance))
    return found


@given(WHOLE, st.integers(-50, 200), WHOLE, st.integers(1, 12))
def test_the_way_back_of_the_money_is_that_of_a_simulation(up_front: int, saving: int, lump: int, every: int) -> None:
    found = paid_back(up_front, saving, lump, every if lump else math.inf)
    seen = balances(up_front, saving, lump, every, 6_000)
    below = [month for month, balance in seen if balance < 0]
    if not below:
        assert found == 0
    elif below[-1] == 6_000 or seen[-1][1] < 0:
        assert found == math.inf or found > 5_000
    else:
        # The last month that ends below zero, and the next one, in which the balance comes back for good.
        assert below[-1] - 1e-6 <= found <= below[-1] + 1 + 1e-6


@given(st.integers(-1000, 1000), st.integers(-20, 20))
def test_the_volume_is_that_of_trying_each(fixed: int, each: int) -> None:
    window = cheaper_with(fixed, each)
    for answers in range(1200):
        cheaper = fixed - each * answers <= 0
        inside = window is not None and window.least - 1e-9 <= answers <= window.most + 1e-9
        assert cheaper == inside, answers


MONEY = st.floats(0, 1e6)


@st.composite
def money(draw: st.DrawFn) -> Range:
    return usd(*sorted(draw(st.tuples(MONEY, MONEY, MONEY))))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    return Plan(
        answers=draw(st.floats(1, 1e7)),
        training=draw(money()),
        tuned=Upkeep(draw(money()), draw(money())),
        rivals={"rival": Upkeep(draw(money()), draw(money()))},
        months=draw(st.integers(1, 60)),
        retrainings=draw(st.sampled_from([0, 0.5, 1, 4, 5, 12])),
        hours=draw(st.floats(0, 100)),
        usd_per_hour=draw(st.floats(0, 500)),
        storage=draw(st.none() | MONEY),
    )


@given(plans())
def test_parts_add_up_and_the_balance_is_what_was_spent_on_each(one: Plan) -> None:
    found = break_even(one)
    (row,) = found.against
    for total, parts in ((found.up_front, found.first), (found.a_month, found.month)):
        assert total.expected == pytest.approx(sum(part.expected or 0 for part in parts.values()))
    apart = found.spent_on("rival", one.months).less(found.spent(one.months))
    assert row.balance.figures == pytest.approx(apart.figures, abs=1e-3)


@given(plans())
def test_the_best_case_is_no_worse_than_the_worst(one: Plan) -> None:
    (row,) = break_even(one).against
    assert row.months is not None
    assert row.windows is not None
    slack = 1e-6 * (1 + (row.months.expected if row.months.expected < math.inf else 0))
    assert row.months.low <= row.months.expected + slack
    assert row.months.expected <= row.months.high + slack
    for better, worse in zip(row.windows, row.windows[1:], strict=False):
        if worse is not None:
            assert better is not None
            assert better.least <= worse.least * (1 + 1e-9)
            assert worse.most <= better.most * (1 + 1e-9)


@given(plans(), st.floats(0.01, 100))
def test_the_window_is_where_the_balance_is_not_negative(one: Plan, times: float) -> None:
    """Asked `times` as often, inference grows with it: the expected balance at the horizon has the window's word for its sign."""
    (row,) = break_even(one).against
    assert row.windows is not None
    rival, tuned = one.rivals["rival"], one.tuned
    other = break_even(
        Plan(
            answers=one.answers * times, training=one.training, tuned=Upkeep(tuned.inference * times, tuned.hosting),
            rivals={"rival": Upkeep(rival.inference * times, rival.hosting)}, months=one.months, retrainings=one.retrainings,
            hours=one.hours, usd_per_hour=one.usd_per_hour, storage=one.storage,
        )
    ).against[0]  # fmt: skip
    balance, window = other.balance.expected, row.windows[1]
    assert balance is not None
    assume(abs(balance) > 1)
    assert (balance > 0) == (window is not None and window.least <= one.answers * times <= window.most)


@given(plans())
def test_the_words_hold_for_any_plan(one: Plan) -> None:
    found = break_even(one)
    assert str(found.against[0]).endswith(".")
    assert in_words(found.against[0].windows)
    json.dumps(found.to_dict(), allow_nan=False)

"""A price list is read row by row: good rows are prices, and of the others every fault is named, with its cure."""

from __future__ import annotations

import tomllib
from datetime import date
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.prices import UNITS, is_stale, read, refused

TODAY = date(2026, 11, 22)
WHERE = "finetune.toml [[backends.openai.prices]]"
ROW = """
model = "gpt-4.1-mini-2025-04-14"
kind = "training"
usd = 5.0
unit = "1M tokens"
dated = 2026-11-01
source = "the provider's page"
"""


def rows(*changes: dict[str, str | None]) -> Any:
    """Rows as finetune.toml would hold them: the good one, with lines that are other or gone."""
    made = []
    for change in changes:
        lines = dict(line.split(" = ", 1) for line in ROW.strip().splitlines())
        lines |= {name: text for name, text in change.items() if text is not None}
        made.append("".join(f"{name} = {text}\n" for name, text in lines.items() if change.get(name, "") is not None))
    return tomllib.loads("".join(f"[[prices]]\n{text}" for text in made))["prices"]


def test_a_good_row_is_a_price() -> None:
    prices, faults = read(
        rows({}, {"kind": '"hosting"', "unit": '"hour"', "usd": "0", "currency": '"USD"'}), WHERE, TODAY
    )
    assert not faults
    assert prices[0] == ft.Price(
        "gpt-4.1-mini-2025-04-14", "training", 5.0, "1M tokens", date(2026, 11, 1), "the provider's page"
    )
    assert (prices[1].kind, prices[1].usd, prices[1].unit) == ("hosting", 0.0, "hour")


@pytest.mark.parametrize(
    ("change", "said", "cure"),
    [
        ({"usd": "-5.0"}, "usd = -5.0 is negative", "0 or more"),
        ({"usd": "nan"}, "usd = nan is no figure", "0 or more"),
        ({"usd": "inf"}, "usd = inf is no figure", "0 or more"),
        ({"usd": "1" + "0" * 400}, "is no figure", "0 or more"),
        ({"usd": '"5"'}, "usd = '5' is no figure", "as in usd = 3.0"),
        ({"usd": "true"}, "usd = True is no figure", "0 or more"),
        ({"usd": None}, "it has no `usd`", "as in usd = 3.0"),
        ({"unit": None}, "it has no `unit`", '"1M tokens"'),
        ({"unit": '"token"'}, "unit = 'token' is no unit", '"1M tokens"'),
        ({"unit": '"hour"'}, "the kind 'training' is not for 'hour'", '"1M tokens"'),
        ({"source": None}, "it has no `source`", "price page"),
        ({"source": '" "'}, "source = ' ' names nothing", "price page"),
        ({"model": '""'}, "model = '' names nothing", "name the base"),
        ({"dated": None}, "it has no `dated`", "2026-11-22"),
        ({"dated": '"2026-11-01"'}, "dated = '2026-11-01' is no day", "without quotes"),
        ({"dated": "2026-11-01T10:00:00"}, "is no day", "without quotes"),
        ({"dated": "20261101"}, "dated = '20261101' is no day", "without quotes"),
        ({"dated": "2026-11-23"}, "has not come yet: today is 2026-11-22 by this machine's clock", "or the clock"),
        ({"kind": '"trainning"'}, "'trainning' is no kind", "'training'"),
        ({"kind": "7"}, "7 is no kind", "use one of training"),
        ({"currency": '"EUR"'}, "currency = 'EUR': prices are in USD", "US dollars"),
        ({"usdd": "5.0"}, "the key 'usdd' is read by nothing", "write `usd`"),
    ],
)  # fmt: skip
def test_a_row_of_no_sense_is_named_with_its_cure(change: dict[str, str | None], said: str, cure: str) -> None:
    prices, (fault,) = read(rows({"model": '"gpt-4.1-2025-04-14"'}, change), WHERE, TODAY)
    assert len(prices) == 1, "the good row stays one"
    assert fault.where.startswith(f"{WHERE} row 2")
    assert said in fault.message
    assert cure in fault.cure
    error = refused([fault])
    assert isinstance(error, ft.SettingsError)
    assert fault.message in error.message
    assert error.cure == fault.cure


def test_the_same_model_and_kind_twice_is_refused() -> None:
    prices, (fault,) = read(rows({}, {"usd": "6.0"}), WHERE, TODAY)
    assert [price.usd for price in prices] == [5.0]
    assert "row 1 has the same model and kind" in fault.message


@pytest.mark.parametrize("given", ["5 USD", 5, {"model": "x"}, ["x"], [{}]])
def test_what_is_no_list_of_tables_is_refused(given: Any) -> None:
    prices, faults = read(given, WHERE, TODAY)
    assert not prices
    assert faults
    assert all(fault.where.startswith(WHERE) for fault in faults)


def test_every_fault_is_named_in_one_error() -> None:
    _, faults = read(rows({"usd": "-1", "unit": None}, {"source": None}), WHERE, TODAY)
    message = refused(faults).message
    assert message.startswith("3 faults")
    for fault in faults:
        assert fault.message in message
        assert fault.cure in message


def test_a_price_is_old_after_90_days() -> None:
    (price,), _ = read(rows({"dated": "2026-08-24"}), WHERE, TODAY)
    assert not is_stale(price, TODAY)
    assert is_stale(price, date(2026, 11, 23))


def test_every_kind_has_a_unit_and_a_price_says_what_it_is() -> None:
    assert set(UNITS.values()) == {"1M tokens", "hour"}
    assert all(f"`{kind}`" in (ft.Price.__doc__ or "") for kind in UNITS)


@pytest.mark.parametrize("usd", [-1.0, float("nan"), float("inf")])
def test_no_price_is_negative_or_no_number(usd: float) -> None:
    with pytest.raises(ft.JobError, match="figure of 0 or more"):
        ft.Price("any", "training", usd, "1M tokens", TODAY, "here")


@pytest.mark.parametrize("figure", [-1.0, float("nan"), float("inf")])
def test_no_month_asks_less_than_nothing(figure: float) -> None:
    with pytest.raises(ft.JobError, match="answers"):
        ft.Usage(figure, 1, 1, "a test")

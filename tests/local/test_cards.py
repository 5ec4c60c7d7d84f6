"""A card that is not here is known by any of its names, with where each figure is from and what clouds ask for it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk.errors import SettingsError
from finetune_sdk.estimate import Price, Range
from finetune_sdk.prices import STALE_DAYS
from finetune_sdk_local import cards, costs
from finetune_sdk_local.cards import card

NAMES = {
    "H100 80GB": "H100 SXM 80GB",
    "h100-80": "H100 SXM 80GB",
    "NVIDIA H100 80GB HBM3": "H100 SXM 80GB",
    "H100 PCIe": "H100 PCIe 80GB",
    "NVIDIA H100 NVL": "H100 NVL 94GB",
    "h100 94gb": "H100 NVL 94GB",
    "h200": "H200 SXM 141GB",
    "NVIDIA A100-SXM4-40GB": "A100 SXM 40GB",
    "NVIDIA A100 80GB PCIe": "A100 PCIe 80GB",
    "a100 80 gib": "A100 SXM 80GB",
    "Tesla V100-SXM2-16GB": "V100 SXM 16GB",
    "rtx 4090": "RTX 4090 24GB",
    "NVIDIA GeForce RTX 4090": "RTX 4090 24GB",
    "5090": "RTX 5090 32GB",
    "NVIDIA RTX 6000 Ada Generation": "RTX 6000 Ada 48GB",
    "NVIDIA RTX A6000": "RTX A6000 48GB",
    "a10g": "A10G 24GB",
    "a10": "A10 24GB",
    "NVIDIA L4": "L4 24GB",
    "L40S": "L40S 48GB",
    "Tesla T4": "T4 16GB",
    "b200": "B200 SXM 180GB",
}
TIME = Range(3600, 7200, 10800, "s", "a test")


@pytest.mark.parametrize(("name", "meant"), sorted(NAMES.items()))
def test_a_card_is_known_by_the_names_that_people_and_drivers_give_it(name: str, meant: str) -> None:
    assert card(name).name == meant


@pytest.mark.parametrize("each", cards.known(), ids=lambda each: each.name)
def test_each_card_of_the_table_is_known_by_its_own_name(each: cards.Card) -> None:
    assert card(each.name) == each


@pytest.mark.parametrize("name", ["2x H100", "2 x H100 80GB", "2*h100", "H100:2", "H100 x2", "H100 80GB x 2"])
def test_several_cards_are_asked_for_by_their_count(name: str) -> None:
    assert (card(name).count, card(name).name) == (2, "H100 SXM 80GB")
    assert str(card(name)) == "2 x H100 SXM 80GB"


def test_what_a_name_leaves_open_is_said() -> None:
    assert card("H100 80GB").meant == "H100 80GB is taken as H100 SXM 80GB, not H100 PCIe 80GB"
    assert card("H100 SXM").meant == ""


def test_a_name_that_leaves_the_memory_open_is_refused_with_what_it_could_be() -> None:
    with pytest.raises(SettingsError, match=r"A100 SXM 80GB.*A100 SXM 40GB") as fault:
        card("A100")
    assert 'as in "A100 SXM 80GB"' in str(fault.value.cure)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("H100 40GB", "H100 SXM 80GB"),
        ("RTX 4080", "RTX 4090"),
        ("L40", "L40S"),
        ("RTX 6000", "RTX 6000 Ada"),
        ("A200", "A100"),
    ],
)
def test_a_card_that_is_not_known_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(SettingsError, match=near):
        card(name)


@pytest.mark.parametrize("name", ["", "Quadro RTX 6000", "TPU v5", "0x H100", "100x H100"])
def test_nonsense_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        card(name)


@pytest.mark.parametrize("each", cards.known(), ids=lambda each: each.name)
def test_figures_are_those_of_dense_products_and_say_where_they_are_from(each: cards.Card) -> None:
    named = int(re.findall(r"(\d+)GB", each.name)[0]) * 2**30
    assert 0.90 * named <= each.memory <= 1.05 * named
    assert each.source
    assert each.dtype == ("bfloat16" if each.bf16 else "float32")
    assert each.matmul is None or 0.7 * each.bf16 <= each.matmul <= each.bf16


def test_known_datasheets_are_not_those_with_sparsity() -> None:
    figures = {"H100 SXM 80GB": 989, "A100 SXM 80GB": 312, "L4 24GB": 121, "L40S 48GB": 362, "RTX 4090 24GB": 165.2}
    assert {name: card(name).bf16 for name in figures} == figures
    assert card("T4").bf16 == card("V100 16GB").bf16 == 0


def test_prices_are_dated_have_a_source_and_are_of_cards_of_the_table() -> None:
    prices = cards.card_prices()
    assert len(prices) > 30
    names = {each.name for each in cards.known()}
    for price in prices:
        assert isinstance(price, Price)
        assert (price.kind, price.unit) == ("hour", "hour")
        assert price.model in names
        assert 0.1 < price.usd < 20
        assert price.source
        assert price.age_days(date.today()) >= 0
    listed = sum(len(row["usd"]) for row in cards._table()["offers"])
    assert listed == len(prices), "an offer names a card that the table does not have"


def test_money_is_from_the_cheapest_offer_to_the_dearest() -> None:
    asked = cards.offers(card("H100 80GB"))
    made = costs.money(TIME, card("H100 80GB"), today=max(offer.dated for offer in asked))
    assert made.low == pytest.approx(asked[0].usd_per_hour)
    assert made.high == pytest.approx(3 * asked[-1].usd_per_hour)
    assert all(offer.cloud in made.basis and str(offer.dated) in made.basis for offer in asked)
    twice = costs.money(TIME, card("2x H100 80GB"))
    assert twice.low == pytest.approx(2 * asked[0].usd_per_hour)


def test_prices_of_long_ago_are_said_to_be() -> None:
    asked = cards.offers(card("L40S"))
    later = max(offer.dated for offer in asked) + timedelta(days=STALE_DAYS + 1)
    made = costs.money(TIME, card("L40S"), today=later)
    assert f"older than 90 days, so ask again: {', '.join(offer.cloud for offer in asked)}" in made.basis


def test_no_price_is_unknown_money_and_says_how_to_give_one() -> None:
    unpriced = card("RTX 6000 Ada")
    assert not cards.offers(unpriced)
    made = costs.money(TIME, unpriced)
    assert not made.known
    assert 'gpu_usd_per_hour = { "RTX 6000 Ada 48GB" = … }' in made.basis
    own = costs.money(TIME, unpriced, costs.paid({"rtx 6000 ada": 0.8}, {}))
    assert (own.low, own.expected, own.high) == pytest.approx((0.8, 1.6, 2.4))
    assert "as finetune.toml says" in own.basis


def test_ones_own_price_goes_before_those_of_clouds() -> None:
    assert costs.money(TIME, card("H100"), costs.paid({"h100 80gb": 1.0}, {})).high == pytest.approx(3.0)
    assert costs.money(TIME, card("H100"), costs.paid({"h200": 1.0}, {})).high != pytest.approx(3.0)


LAPTOP = {"memory": 16, "bf16": 100, "fp32": 25, "bandwidth": 450, "watts": 150}


def test_a_card_of_ones_own_is_estimated_by_what_was_said_of_it(home: Path, small: str, job: ft.Job) -> None:
    own = {"cards": {"Our Laptops": LAPTOP}, "gpu_usd_per_hour": {"our  laptops": 0.5}}
    client = ft.Client(settings=ft.Settings("local", home, {"local": {"base": small, "device": "cpu", **own}}))
    one, two = (client.estimate(job, gpu=name) for name in ("our laptops", "2x our laptops"))
    assert "fits on Our Laptops" in one.notes[0]
    assert "figures from finetune.toml" in one.time.basis
    assert "$0.50 a card and hour" in one.machine.basis
    assert one.machine.high == pytest.approx(one.time.high / 3600 * 0.5)
    assert two.machine.high == pytest.approx(two.time.high / 3600 * 1.0)
    assert "150 W of Our Laptops" in one.energy.basis


def test_it_goes_before_one_of_that_name_in_the_table() -> None:
    mine = replace(card("L4"), name="H100 80GB")
    assert card("h100 80gb", {"H100 80GB": mine}) == mine
    assert card("3x h100 80gb", {"H100 80GB": mine}).count == 3


def test_a_card_that_nobody_knows_can_be_described() -> None:
    with pytest.raises(SettingsError) as caught:
        card("2x Riva 128")
    assert 'describe yours as cards."Riva 128"' in str(caught.value.cure)


def test_energy_is_what_the_card_may_draw() -> None:
    made = costs.energy(TIME, card("2x H100"))
    assert made.unit == "Wh"
    assert (made.low, made.high) == pytest.approx((700, 4200))
    assert "50%-100% of the 700 W of 2 x H100 SXM 80GB" in made.basis


def test_the_energy_of_a_machine_that_nobody_described_is_unknown() -> None:
    made = costs.energy(TIME, None)
    assert not made.known
    assert "set watts" in made.basis
    assert costs.energy(TIME, None, 100).high == pytest.approx(300)


def test_time_that_is_unknown_costs_what_is_unknown() -> None:
    unknown = Range.unknown("s", "nobody knows")
    assert not costs.money(unknown, card("H100")).known
    assert not costs.energy(unknown, card("H100")).known

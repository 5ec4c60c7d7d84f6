"""What a job and a month cost at such a place: dated prices, honest ranges, and unknown where nobody knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.data.dataset import Dataset
from finetune_sdk_openai import OpenAIBackend, known
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.options import Options
from finetune_sdk_openai.tariffs import Tariff
from finetune_sdk_openai.tokens import ProtocolCounter
from opened import Opened
from protocol_data import chat, chats, pairs, tasks

MINI = "gpt-4o-mini-2024-07-18"
NEW = "gpt-4.1-mini-2025-04-14"
O4 = "o4-mini-2025-04-16"
TODAY = date(2026, 11, 22)
ASKED = ft.Usage(1_000_000, 500, 100, "a test")
GRADERS = (ft.ExactMatch(strip=False),)


def place(home: Path, name: str = "openai", **options: Any) -> OpenAIBackend:
    """A place that is never asked anything: what is known before needs no key."""
    return OpenAIBackend(ft.Place(name, {"base": MINI, **options}, home), lambda: TODAY)


def azure(home: Path, **options: Any) -> OpenAIBackend:
    return place(home, "azure", resource="my-resource", **options)


def tariff(name: str = "openai", **options: Any) -> Tariff:
    read = Options.read(ft.Place(name, options, Path()), TODAY)
    return Tariff(name, Address.read(read, name), read, TODAY)


def row(model: str, kind: str, usd: float, **more: Any) -> dict[str, Any]:
    unit = "hour" if kind in ("hour", "hosting") else "1M tokens"
    return {"model": model, "kind": kind, "usd": usd, "unit": unit, "dated": date(2026, 11, 1), "source": "a letter", **more}  # fmt: skip


def estimate(backend: OpenAIBackend, train: Dataset | None = None, **more: Any) -> ft.Estimate:
    asked = {"method": ft.SFT(epochs=1), **more}
    return backend.estimate(backend.resolve(ft.Job(name="numbers", train=train or chats(12), **asked)))


# -- training ------------------------------------------------------------------------------------------------------------


def test_ten_thousand_examples_of_500_real_tokens_are_15_dollars_an_epoch(
    home: Path, ranks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tiktoken")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(ranks))
    bare = ProtocolCounter(MINI).count(Dataset.of([chat("word", "yes")])[0]).total
    one = chat("word" + " word" * (500 - bare), "yes")
    made = estimate(place(home), Dataset.of([one] * 10_000))
    assert made.tokens.expected == 5_000_000
    assert made.charge.expected == 15.0
    assert made.charge.holds(15.0)


@pytest.mark.parametrize(("rows", "epochs"), [(10, 10), (40, 3), (12_500, 2)])
def test_epochs_that_a_job_leaves_open_are_billed_as_the_place_chooses_them(home: Path, rows: int, epochs: int) -> None:
    one = chat("What is it?", "It is this.")
    backend = place(home)
    open_ones = estimate(backend, Dataset.of([one] * rows), method=ft.SFT()).tokens.expected
    assert open_ones == epochs * (estimate(backend, Dataset.of([one] * rows)).tokens.expected or 0)


def test_validation_is_not_billed_where_it_is_not_and_said_where_nobody_knows(home: Path, at: Opened) -> None:
    plain, held = (estimate(place(home), validation=data) for data in (None, chats(500, 50)))
    assert (held.tokens.low, held.tokens.high) == (plain.tokens.low, plain.tokens.high)
    assert held.charge.expected == plain.charge.expected
    assert "validation rows are not billed" in held.tokens.basis
    other = at(usd_per_million=1.0, priced=TODAY)
    job = ft.Job(name="numbers", train=chats(12), method=ft.SFT(epochs=1))
    plain, held = (
        other.estimate(job),
        other.estimate(ft.Job(name="n", train=chats(12), validation=chats(500, 50), method=job.method)),
    )
    assert held.tokens.expected == plain.tokens.expected
    assert (held.tokens.high or 0) > 10 * (plain.tokens.high or 0)
    assert "whether validation rows are billed is not said" in held.tokens.basis


def test_reinforcement_is_billed_by_the_hour_for_the_hours_that_one_expects(home: Path) -> None:
    job: dict[str, Any] = {"train": tasks(12), "base": O4, "method": ft.RFT(graders=GRADERS)}
    unknown = estimate(place(home), **job).charge
    assert not unknown.known
    assert "training_hours = [2, 6] under [backends.openai]" in unknown.basis
    charge = estimate(place(home, training_hours=[2, 6.0]), **job).charge
    assert (charge.low, charge.expected, charge.high) == (200.0, 400.0, 600.0)
    assert "2025-12-01" in charge.basis
    assert "2 to 6 hours" in charge.basis
    sure = estimate(place(home, training_hours=2.5), **job).charge
    assert sure.high == 250.0
    assert "; 2.5 hours, as finetune.toml says" in sure.basis


def test_a_model_that_grades_is_billed_besides_by_nobody_knows_how_much(home: Path) -> None:
    judge = {"type": "score_model", "name": "judge", "model": "gpt-4.1", "input": []}
    grader = {"type": "multi", "name": "both", "graders": {"judge": judge}, "calculate_output": "judge"}
    backend = place(home, training_hours=2, rft={"grader": grader})
    charge = estimate(backend, tasks(12), base=O4, method=ft.RFT()).charge
    assert not charge.known
    assert "model that grades" in charge.basis
    assert "$100 an hour" in charge.basis


def test_azure_trains_by_the_token_or_by_the_hour(home: Path) -> None:
    by_token = azure(home, prices=[row(MINI, "training", 3.3)])
    resolved = ft.Resolved(
        ft.Job(name="n", train=chats(12), base=MINI, method=ft.SFT(epochs=1)), {"trainingType": "Standard"}
    )
    made = by_token.estimate(resolved)
    assert made.charge.expected == pytest.approx((made.tokens.expected or 0) * 3.3e-6)
    by_hour = azure(home, prices=[row(MINI, "hour", 45.0)], training_hours=[1, 3]).estimate(resolved).charge
    assert (by_hour.low, by_hour.high) == (45.0, 135.0)
    unknown = azure(home).estimate(resolved).charge
    assert not unknown.known
    assert "[[backends.azure.prices]]" in unknown.basis


# -- which price counts --------------------------------------------------------------------------------------------------


def test_a_row_of_ones_own_goes_before_the_word_for_all_and_both_before_what_is_known(home: Path) -> None:
    words = {"usd_per_million": 4.0, "priced": date(2026, 11, 2)}
    for options, usd, source in (
        ({}, 3.0, "OpenAI's price page"),
        (words, 4.0, "finetune.toml"),
        ({**words, "prices": [row(MINI, "training", 5.0)]}, 5.0, "a letter"),
        ({**words, "prices": [row("gpt-4o-mini", "training", 6.0)]}, 6.0, "a letter"),
        ({**words, "prices": [row(NEW, "training", 7.0)]}, 4.0, "finetune.toml"),
        ({**words, "prices": [row("gpt-4o", "training", 7.0)]}, 4.0, "finetune.toml"),
    ):
        made = estimate(place(home, **options))
        assert made.charge.expected == pytest.approx((made.tokens.expected or 0) * usd / 1e6), options
        assert source in made.charge.basis


def test_prices_are_each_listed_once_with_ones_own_first(home: Path) -> None:
    listed = place(home, prices=[row(MINI, "training", 5.0), row("tiny", "input", 1.0)], usd_per_million=4.0,
                   priced=date(2026, 11, 2)).prices()  # fmt: skip
    training = [(price.model, price.usd) for price in listed if price.kind == "training"]
    assert training == [(MINI, 5.0)], "the word for all bases counts for all other bases"
    assert ("tiny", 1.0) in [(price.model, price.usd) for price in listed]
    pairs_of = [(price.model, price.kind) for price in listed]
    assert len(pairs_of) == len(set(pairs_of))
    assert not azure(home).prices()


def test_an_old_price_is_said_to_be_old_and_a_new_one_is_not(home: Path) -> None:
    assert any("356 days old" in note and "[[backends.openai.prices]]" in note for note in estimate(place(home)).notes)
    assert not estimate(place(home, prices=[row(MINI, "training", 3.0)])).notes
    ahead = OpenAIBackend(ft.Place("openai", {"base": MINI}, home), lambda: date(2025, 1, 1))
    assert any("set the clock" in note for note in estimate(ahead).notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prices": [row(MINI, "training", -1.0)]}, "row 1 (gpt-4o-mini-2024-07-18, training): usd = -1.0 is negative"),
        ({"prices": [{**row(MINI, "training", 1.0), "unit": "token"}]}, "unit = 'token' is no unit"),
        ({"prices": [row(MINI, "training", 1.0, currency="EUR")]}, "prices are in USD"),
        ({"prices": [row(MINI, "training", 1.0), row(MINI, "training", 2.0)]}, "row 1 has the same model and kind"),
        ({"prices": [row(MINI, "training", 1.0, dated=date(2026, 11, 23))]}, "has not come yet"),
        ({"prices": 3.0}, "no list of prices"),
        ({"usd_per_million": 1.0, "priced": date(2026, 11, 23)}, "priced = 2026-11-23 has not come yet"),
        ({"usd_per_million": -1.0}, "usd_per_million = -1.0 makes no sense"),
        ({"usd_per_million": float("nan")}, "usd_per_million = nan makes no sense"),
        ({"training_hours": [6, 2]}, "training_hours = [6.0, 2.0] is no range"),
        ({"training_hours": [1, 2, 3]}, "is no range"),
        ({"training_hours": 0}, "training_hours"),
        ({"training_hours": float("inf")}, "training_hours"),
        ({"training_hours": [0, 2]}, "training_hours = 0 makes no sense"),
        ({"training_hours": [2, float("inf")]}, "training_hours = inf makes no sense"),
        ({"training_hours": 1e308}, "training_hours = 1e+308 makes no sense"),
        ({"usd_per_million": 1e308, "priced": date(2026, 11, 1)}, "usd_per_million = 1e+308 makes no sense"),
        ({"hosting_usd_per_hour": 1e308}, "hosting_usd_per_hour = 1e+308 makes no sense"),
    ],
)
def test_a_price_of_no_sense_is_refused_and_never_a_silent_zero(home: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ft.SettingsError) as caught:
        place(home, **options)
    assert said in caught.value.message
    assert caught.value.cure


def test_a_base_without_a_price_costs_nobody_knows_what_and_how_to_say_it_is_said(home: Path, at: Opened) -> None:
    client = at(usd_per_million=None)
    charge = client.estimate(ft.Job(name="n", train=chats(12))).charge
    assert not charge.known
    assert str(charge) == "unknown"
    for word in ("usd_per_million", "priced", "[[backends.mine.prices]]", 'kind = "training"'):
        assert word in charge.basis
    assert known.price("gpt-4o-audio-preview-2024-12-17", "input") is None


def test_pairs_cost_what_their_prompts_may_be_billed_for(home: Path) -> None:
    made = estimate(place(home), pairs(12), method=ft.DPO(epochs=1))
    for part in ("low", "expected", "high"):
        assert getattr(made.charge, part) == pytest.approx(getattr(made.tokens, part) * 3e-6)


# -- a model's own prices ------------------------------------------------------------------------------------------------


def test_a_tuned_model_and_its_base_have_prices_of_their_own() -> None:
    for name, tuned, wanted in ((MINI, False, [0.15, 0.6]), (f"ft:{MINI}:org::id", True, [0.3, 1.2])):
        found = tariff().asking(name, tuned=tuned)
        assert [price.kind for price in found] == ["input", "output"]
        assert [price.usd for price in found] == wanted


def test_the_words_for_asking_hold_for_both_and_half_a_word_leaves_the_rest_unknown() -> None:
    words = {"input_usd_per_million": 2.0, "priced": date(2026, 11, 2)}
    own = tariff("azure", resource="r", **words)
    assert [(price.kind, price.usd) for price in own.asking(MINI, tuned=False)] == [("input", 2.0)]
    mine = {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1", "usd_per_million": 0.0}
    assert [price.kind for price in tariff("mine", **mine, **words).asking(MINI, tuned=True)] == ["input"]
    assert [price.usd for price in tariff("mine", **mine).asking(MINI, tuned=True)] == [0.0, 0.0]


def test_training_that_is_free_makes_nothing_else_free_at_openai_or_azure(home: Path) -> None:
    assert estimate(place(home, usd_per_million=0.0)).charge.high == 0
    assert [price.usd for price in tariff(usd_per_million=0.0).asking(MINI, tuned=True)] == [0.3, 1.2]
    month = azure(home, usd_per_million=0.0).upkeep(MINI, ASKED, tuned=True)
    assert not month.inference.known
    assert not month.hosting.known


# -- a month -------------------------------------------------------------------------------------------------------------


def test_a_month_of_a_tuned_model_and_of_its_base(home: Path) -> None:
    tuned, base = (place(home).upkeep(MINI, ASKED, tuned=tuned) for tuned in (True, False))
    assert tuned.inference.expected == pytest.approx(500 * 0.30 + 100 * 1.20)
    assert base.inference.expected == pytest.approx(500 * 0.15 + 100 * 0.60)
    assert tuned.inference.low == tuned.inference.high, "a prompt this short is never read from the cache"
    assert (tuned.hosting.high, base.hosting.high) == (0.0, 0.0)
    assert tuned.month.expected == tuned.inference.expected
    assert "2026-11-22" in tuned.inference.basis
    assert "1,000,000 answers" in tuned.inference.basis
    assert any("2027-01-14" in note for note in tuned.notes)


def test_long_prompts_may_be_read_from_the_cache(home: Path) -> None:
    found = place(home).upkeep(MINI, ft.Usage(1_000, 2_000, 0, "a test"), tuned=True).inference
    assert found.low == pytest.approx(2.0 * 0.15)
    assert found.expected == found.high == pytest.approx(2.0 * 0.30)
    assert "cached" in found.basis


def test_tokens_that_are_reckoned_make_a_month_a_range(home: Path) -> None:
    """A count by 4 bytes a token is no bill to the cent."""
    rough = replace(ASKED, input_spread=(0.5, 2.0))
    found = place(home).upkeep(MINI, rough, tuned=True).inference
    assert found.low == pytest.approx(250 * 0.30 + 100 * 1.20)
    assert found.expected == pytest.approx(500 * 0.30 + 100 * 1.20)
    assert found.high == pytest.approx(1000 * 0.30 + 100 * 1.20)
    assert place(home).upkeep(MINI, rough.as_counted, tuned=True).inference.high == found.expected


def test_what_it_costs_can_be_asked_before_there_is_an_account(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    base = "openai.gpt-oss-20b"
    options = {"region": "us-west-2", "base": base, "prices": [row(base, "training", 1.0)]}
    made = estimate(OpenAIBackend(ft.Place("bedrock", options, home), lambda: TODAY))
    assert made.charge.known
    assert any("was not asked: AWS_BEARER_TOKEN_BEDROCK is not set" in note for note in made.notes)


def test_azures_hosting_is_by_the_hour_asked_or_not(home: Path) -> None:
    backend = azure(home, hosting_usd_per_hour=1.7, prices=[row(MINI, "input", 0.3), row(MINI, "output", 1.2)])
    quiet, busy = (backend.upkeep(MINI, ft.Usage(answers, 500, 100, "a test"), tuned=True) for answers in (0, 1_000))
    assert quiet.hosting.expected == busy.hosting.expected == pytest.approx(1.7 * 730)
    assert quiet.inference.high == 0
    assert busy.month.expected == pytest.approx(1.7 * 730 + 0.5 * 0.3 + 0.1 * 1.2)
    assert azure(home).upkeep(MINI, ASKED, tuned=False).hosting.high == 0
    developer = azure(home, deployment_sku="DeveloperTier").upkeep(MINI, ASKED, tuned=True).hosting
    assert developer.high == 0
    assert "24 hours" in developer.basis


def test_a_month_that_nobody_can_price_is_unknown_and_says_how_to_give_one(home: Path) -> None:
    found = azure(home).upkeep(MINI, ASKED, tuned=True)
    assert not found.inference.known
    assert not found.hosting.known
    assert not found.month.known
    assert 'kind = "input" and kind = "output"' in found.inference.basis
    assert "hosting_usd_per_hour" in found.hosting.basis
    half = azure(home, prices=[row(MINI, "input", 0.3)], hosting_usd_per_hour=0.0).upkeep(MINI, ASKED, tuned=True)
    assert not half.inference.known
    assert 'and kind = "output"' in half.inference.basis
    assert half.hosting.high == 0
    assert not half.month.known


def test_the_client_asks_the_place_for_its_month(at: Opened) -> None:
    found = at().upkeep("tiny", ASKED)
    assert found.month.high == 0
    assert "finetune.toml" in found.month.basis


# -- the price list itself -----------------------------------------------------------------------------------------------


def test_openais_list_is_whole_dated_and_has_a_source() -> None:
    listed = known.prices()
    for price in listed:
        assert price.source
        assert date(2025, 1, 1) < price.dated <= TODAY
        assert known.is_snapshot(price.model)
    kinds = {(price.model, price.kind) for price in listed}
    for family in known.families():
        for base in family.snapshots if family.tokens == 65_536 else ():
            wanted = ("training", "hosting", "input", "cached", "output", "base_input", "base_cached", "base_output")
            assert all((base, kind) in kinds for kind in wanted), base

"""What is said before anything is sent: tokens, money, dates, and what would be rejected."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.data.dataset import Dataset
from finetune_sdk_openai import OpenAIBackend, known
from finetune_sdk_openai.defaults import default_epochs
from finetune_sdk_openai.tokens import ProtocolCounter, ranks_at_hand
from opened import Opened
from protocol_data import chat, chats, pairs, tasks

MINI = "gpt-4o-mini-2024-07-18"
TODAY = date(2026, 11, 22)


def openai(home: Path, today: date = TODAY, name: str = "openai", **options: Any) -> OpenAIBackend:
    """OpenAI itself, without a key: what is known before needs none, and asking it anything would fail."""
    return OpenAIBackend(ft.Place(name, {"base": MINI, **options}, home), lambda: today)


def job(train: Dataset | None = None, **more: Any) -> ft.Job:
    return ft.Job(name="numbers", train=train or chats(12), **more)


def found(backend: OpenAIBackend, asked: ft.Job) -> dict[str, ft.Finding]:
    return {finding.check: finding for finding in backend.check(backend.resolve(asked))}


@pytest.fixture(autouse=True)
def no_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "none"))


# -- dates ---------------------------------------------------------------------------------------------------------------


def test_the_calendar_warns_before_and_refuses_after(home: Path) -> None:
    warned = found(openai(home), job())
    assert warned["closing"].severity == warned["shutdown"].severity == "warning"
    assert "2026-07-02" in warned["closing"].message
    assert "2027-01-14, in 53 days" in warned["shutdown"].message
    assert found(openai(home, date(2026, 5, 1)), job()).keys() == set()
    closed = found(openai(home, date(2027, 1, 6)), job())["job"]
    assert closed.severity == "error"
    assert "2027-01-06" in closed.message
    assert "backends.azure" in closed.cure


def test_a_base_that_is_shut_down_is_an_error_that_names_those_that_live(home: Path) -> None:
    gone = found(openai(home), job(base="gpt-4.1-nano-2025-04-14"))["job"]
    assert "2026-10-23" in gone.message
    assert "gpt-4.1-mini-2025-04-14" in gone.cure
    assert "gpt-3.5" not in gone.cure


def test_a_method_that_a_base_does_not_have_is_an_error(home: Path) -> None:
    asked = job(tasks(12), method=ft.RFT(graders=(ft.ExactMatch(),)))
    assert "does not train gpt-4o-mini-2024-07-18 by rft" in found(openai(home), asked)["job"].message


def test_the_calendar_is_openais_alone(at: Opened) -> None:
    assert at().check(job()) == ()


def test_an_unknown_base_is_said_to_be_one_without_a_key_too(home: Path) -> None:
    with pytest.raises(ft.NotFoundError, match="'tiny' is not among the bases of OpenAI") as caught:
        openai(home).resolve(job(base="tiny"))
    assert "gpt-4.1-mini-2025-04-14" in str(caught.value.cure)


# -- data rules ----------------------------------------------------------------------------------------------------------


def test_fewer_than_ten_rows_are_refused_by_openai_and_doubtful_elsewhere(home: Path, at: Opened) -> None:
    assert found(openai(home), job(chats(9)))["rows"].severity == "error"
    assert [finding.severity for finding in at().check(job(chats(9)))] == ["warning"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (chat("a", "  "), "empty"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [
            {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}]}]}, "picture in an answer"),
    ],
)  # fmt: skip
def test_rows_that_would_be_rejected_are_named_with_their_line(home: Path, row: dict[str, Any], said: str) -> None:
    rows = [chat(f"{n}?", str(n)) for n in range(11)]
    faults = [
        finding
        for finding in openai(home).check(openai(home).resolve(job(Dataset.of([*rows, row]))))
        if finding.check == "protocol"
    ]
    assert any(said in finding.message and finding.rows == (12,) for finding in faults), faults


def test_preferences_are_text_in_one_turn(home: Path) -> None:
    asked = {"messages": [{"role": "user", "content": "a"}]}
    one, other = ([{"role": "assistant", "content": word}] for word in ("b", "c"))
    picture = [{"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}]
    wrong = [
        {"input": asked, "preferred_output": one * 2, "non_preferred_output": other},
        {
            "input": {"messages": [{"role": "user", "content": picture}]},
            "preferred_output": one,
            "non_preferred_output": other,
        },
        {"input": {"messages": [*asked["messages"], *one]}, "preferred_output": one, "non_preferred_output": other},
    ]
    for row in wrong:
        data = Dataset.of([*[{"input": asked, "preferred_output": one, "non_preferred_output": other}] * 10, row])
        findings = found(openai(home), job(data, method=ft.DPO()))
        assert findings["protocol"].rows == (11,), row


def test_tasks_have_the_roles_and_keys_that_their_grader_wants(home: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": f"{n}?"}], "answer": str(n)} for n in range(10)]
    system = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "?"}], "other": "x"}
    grader = {"type": "string_check", "name": "same", "operation": "eq", "input": "{{sample.output_text}}",
              "reference": "{{ item.answer }}"}  # fmt: skip
    findings = found(
        openai(home, rft={"grader": grader}),
        job(Dataset.of([*rows, system]), method=ft.RFT(), base="o4-mini-2025-04-16"),
    )
    assert "'system'" in findings["protocol"].message
    assert "item.answer, which the row does not have" in findings["grader"].message


def test_pictures_have_limits(home: Path) -> None:
    def row(*urls: str) -> dict[str, Any]:
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        return {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "a cat"}]}

    fine = [row(f"https://a.b/{n}.png") for n in range(10)]
    many = row(*(f"https://a.b/{n}.webp" for n in range(11)))
    large = row("data:image/png;base64," + "A" * 14_000_000)
    for bad, said in ((many, "more than 10 pictures"), (row("https://a.b/c.gif"), "'gif'"), (large, "more than 10 MB"),
                      (row("data:image/tiff;base64,AAAA"), "image/tiff")):  # fmt: skip
        finding = found(openai(home), job(Dataset.of([*fine, bad])))["pictures"]
        assert said in finding.message
        assert finding.rows == (11,)
    assert "pictures" not in found(openai(home, name="azure", resource="r"), job(Dataset.of([*fine[:1], many] * 6)))


def test_a_row_that_is_too_long_is_named_and_counted_as_cut(home: Path) -> None:
    long = chat("Say a word very often.", "word " * 70_000)
    data = Dataset.of([*chats(11).rows(), long])
    backend = openai(home)
    resolved = backend.resolve(job(data, method=ft.SFT(epochs=1)))
    cut = {finding.check: finding for finding in backend.check(resolved)}["cut"]
    assert cut.severity == "warning"
    assert cut.rows == (12,)
    assert "65,536" in cut.message
    estimate = backend.estimate(resolved)
    assert estimate.tokens.expected is not None
    assert 65_536 < estimate.tokens.expected < 66_500
    assert "cut" in " ".join(estimate.notes)


# -- tokens --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4.1-mini-2025-04-14", "o200k_base"), ("ft:gpt-4.1-mini-2025-04-14:org:name:id", "o200k_base"),
        ("gpt-4o-2024-08-06", "o200k_base"), ("o4-mini-2025-04-16", "o200k_base"), ("gpt-5-mini", "o200k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"), ("ft:gpt-4-0613:org::id", "cl100k_base"),
        ("gpt-4o-mini-2024-07-18.ft-0123abcd", "o200k_base"),
    ],
)  # fmt: skip
def test_the_encoding_is_chosen_for_tuned_models_too(model: str, encoding: str) -> None:
    chosen = known.family(model)
    assert chosen is not None
    assert chosen.encoding == encoding


def test_tokens_are_counted_offline_by_the_cookbooks_rules(ranks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(ranks))
    counter = ProtocolCounter("ft:gpt-4.1-mini-2025-04-14:org:name:id")
    assert "o200k_base" in counter.basis
    words = tiktoken.get_encoding("o200k_base").encode
    row = {"messages": [
        {"role": "system", "content": "Be brief.", "name": "house"}, {"role": "user", "content": "Zweimal drei?"},
        {"role": "assistant", "content": "Sechs."},
    ]}  # fmt: skip
    values = [len(words(value)) for message in row["messages"] for value in message.values()]
    assert counter.count(Dataset.of([row])[0]).total == sum(values) + 3 * 3 + 1 + 3
    strange = {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "<|endoftext|> twice"}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
    ]}  # fmt: skip
    assert counter.count(Dataset.of([strange])[0]).trained > 0


def test_the_guess_by_bytes_holds_what_the_encoder_counts(ranks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tiktoken")
    data = Dataset.load(Path(__file__).parents[2] / "finetune_sdk" / "demo" / "tickets.jsonl")[:100]
    rough = ProtocolCounter(MINI)
    assert not rough.exact
    assert "not on this machine" in rough.basis
    guessed = [rough.count(row).total for row in data]
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(ranks))
    fine = ProtocolCounter(MINI)
    counted = [fine.count(row).total for row in data]
    low, high = rough.spread
    assert all(guess * low <= count <= guess * high for guess, count in zip(guessed, counted, strict=True))
    assert 0.9 < sum(guessed) / sum(counted) < 1.1


def test_nothing_is_fetched_where_the_ranks_are_not_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not ranks_at_hand("o200k_base")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("something was fetched"))
    counter = ProtocolCounter(MINI)
    assert counter.count(chats(1)[0]).total > 0
    assert "bytes a token" in counter.basis


# -- money ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "epochs"), [(1, 25), (10, 10), (33, 3), (34, 3), (8_333, 3), (8_334, 2), (30_000, 1)])
def test_epochs_are_chosen_as_the_cookbook_says(rows: int, epochs: int) -> None:
    assert default_epochs(rows) == epochs


def test_ten_thousand_examples_of_500_tokens_are_15_dollars_an_epoch(home: Path) -> None:
    backend = openai(home)
    one = chat("w" * 4 * 387, "w" * 4 * 100)  # 13 more for the messages and the example
    estimate = backend.estimate(backend.resolve(job(Dataset.of([one] * 10_000), method=ft.SFT(epochs=1))))
    assert estimate.tokens.expected == 5_000_000
    assert estimate.charge.expected == 15.0
    assert "2025-12-01" in estimate.charge.basis
    assert any("356 days old" in note for note in estimate.notes)
    assert not estimate.time.known


def test_a_price_of_ones_own_goes_before_and_needs_a_date(home: Path) -> None:
    backend = openai(home, usd_per_million=4.0, priced=date(2026, 11, 1))
    estimate = backend.estimate(backend.resolve(job(method=ft.SFT(epochs=1))))
    assert estimate.charge.expected == pytest.approx((estimate.tokens.expected or 0) * 4e-6)
    assert "2026-11-01 (finetune.toml)" in estimate.charge.basis
    assert [price.usd for price in backend.prices() if price.kind == "training"] == [4.0]
    with pytest.raises(ft.SettingsError, match="has no date"):
        openai(home, usd_per_million=4.0)


def test_what_nobody_knows_is_unknown_and_a_cap_refuses_it(at: Opened, home: Path) -> None:
    client = at(usd_per_million=None)
    assert not client.estimate(job()).charge.known
    with pytest.raises(ft.BudgetError, match="usd_per_million"):
        client.submit(job(), max_cost=100)
    rft = openai(home, base="o4-mini-2025-04-16")
    estimate = rft.estimate(rft.resolve(job(tasks(12), method=ft.RFT(graders=(ft.ExactMatch(),)))))
    assert not estimate.charge.known
    assert "$100 an hour of training" in estimate.charge.basis
    assert "training_hours = [2, 6]" in estimate.charge.basis


def test_a_pairs_prompt_may_be_billed_twice(home: Path) -> None:
    backend = openai(home)
    tokens = backend.estimate(backend.resolve(job(pairs(12), method=ft.DPO(epochs=1)))).tokens
    assert tokens.low is not None
    assert tokens.high is not None
    assert "once or twice" in tokens.basis
    assert tokens.high / tokens.low > 2


def test_azure_says_its_training_type_and_what_hosting_costs(home: Path) -> None:
    backend = openai(home, name="azure", resource="my-resource", hosting_usd_per_hour=1.7, deployments={MINI: "mini"})
    resolved = ft.Resolved(job(base=MINI, method=ft.SFT(epochs=1)), {"trainingType": "GlobalStandard"})
    notes = " ".join(backend.estimate(resolved).notes)
    assert "trains it as GlobalStandard" in notes
    assert "$1.70 an hour" in notes
    assert "$1,241 a month" in notes
    assert not backend.estimate(resolved).charge.known


# -- settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "address"),
    [
        ("openai", {}, "https://api.openai.com/v1"),
        ("openai", {"project": "proj_1"}, "https://api.openai.com/v1||proj_1"),
        ("azure", {"resource": "r"}, "https://r.openai.azure.com/openai/v1"),
        ("bedrock", {"region": "us-west-2"}, "https://bedrock-mantle.us-west-2.api.aws/v1"),
        ("mine", {"kind": "openai", "base_url": "http://gpu.local:8000/v1/"}, "http://gpu.local:8000/v1"),
    ],
)
def test_each_place_has_its_address(home: Path, name: str, options: dict[str, Any], address: str) -> None:
    assert openai(home, name=name, **options).address == address


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"modle": "a"}, "no option 'modle'"),
        ({"sft": {"learning_rate": 1e-4}}, "sft.learning_rate"),
        ({"sft": {"n_epochs": 99}}, "sft.n_epochs = 99"),
        ({"dpo": {"beta": 3.0}}, "dpo.beta = 3.0"),
        ({"base_url": "ftp://x"}, "is not an address"),
        ({"base_url": "https://user:pass@host/v1"}, "is not an address"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"kind": "azure"}, "which Azure resource"),
        ({"kind": "bedrock"}, "which region"),
    ],
)
def test_settings_of_no_sense_are_refused_by_name(home: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ft.SettingsError) as caught:
        openai(home, **options)
    assert said in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_the_settings_words_are_part_of_what_is_submitted(at: Opened) -> None:
    plain, other = (at(**options).resolve(job()) for options in ({}, {"sft": {"learning_rate_multiplier": 1.8}}))
    assert plain.fingerprint("x") != other.fingerprint("x")
    assert other.own == {"learning_rate_multiplier": 1.8}
    told = at(wandb={"project": "tickets"}, suffix="mine", at_once=3).resolve(job())
    assert told.fingerprint("x") == plain.fingerprint("x"), "what changes neither the result nor the bill is no new job"
    three = at(sft={"n_epochs": 3}).resolve(job())
    assert three.method.epochs == 3
    assert "epochs" in three.chosen
    assert at(sft={"n_epochs": 3}).resolve(job(method=ft.SFT(epochs=5))).method.epochs == 5
    assert json.dumps(three.to_dict())
    assert replace(job(), name="other").fingerprint == job().fingerprint

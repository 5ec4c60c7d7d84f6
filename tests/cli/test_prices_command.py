"""finetune prices: what a place charges, how old that is, and every mistake in a price list by name."""

from __future__ import annotations

import json

import pytest

from shell import Shell

ROW = """
[[backends.{name}.prices]]
model = "gpt-4o-mini-2024-07-18"
kind = "{kind}"
usd = {usd}
unit = "1M tokens"
dated = {dated}
source = "a letter"
"""


@pytest.fixture(autouse=True)
def _client_of_the_protocol() -> None:
    pytest.importorskip("openai")


def place(name: str = "azure", kind: str = "training", usd: str = "3.3", dated: str = "2026-11-01") -> str:
    own = 'resource = "r"\n' if name == "azure" else ""
    return f"[backends.{name}]\n{own}" + ROW.format(name=name, kind=kind, usd=usd, dated=dated)


def test_each_price_has_its_day_its_age_and_its_source(finetune: Shell) -> None:
    finetune.write("finetune.toml", place())
    ended = finetune("prices", "--backend", "azure")
    assert ended.status == 0
    for word in ("gpt-4o-mini-2024-07-18", "training", "3.3", "1M tokens", "2026-11-01", "days", "a letter"):
        assert word in ended.out
    (row,) = finetune("prices", "--backend", "azure", "--json").value["prices"]
    assert row["age_days"] >= 0
    assert {**row, "age_days": 0, "stale": False} == {
        "model": "gpt-4o-mini-2024-07-18", "kind": "training", "usd": 3.3, "unit": "1M tokens", "dated": "2026-11-01",
        "source": "a letter", "age_days": 0, "stale": False,
    }  # fmt: skip


def test_openais_own_list_can_be_narrowed_to_a_model_and_says_what_is_old(finetune: Shell) -> None:
    ended = finetune("prices", "--backend", "openai", "--model", "ft:gpt-4.1-mini-2025-04-14:org::id")
    assert ended.status == 0
    assert "base_output" in ended.out
    assert "days, old" in ended.out
    assert "older than 90 days" in ended.out
    rows = finetune("prices", "--backend", "openai", "--model", "gpt-4.1-mini", "--json").value["prices"]
    assert {row["model"] for row in rows} == {"gpt-4.1-mini-2025-04-14"}


def test_a_place_that_states_no_price_is_said_to_state_none(finetune: Shell) -> None:
    ended = finetune("prices", "--backend", "fake")
    assert ended.status == 0
    assert "fake states no price" in ended.out
    none = finetune("prices", "--backend", "openai", "--model", "gpt-9")
    assert "openai states no price of gpt-9" in none.out
    assert "[[backends.openai.prices]]" in none.out


def test_a_good_list_passes_and_an_old_price_is_a_warning(finetune: Shell) -> None:
    finetune.write("finetune.toml", place(dated="2024-01-01"))
    ended = finetune("prices", "--check")
    assert ended.status == 0, ended.err
    assert "warning: azure: the training price of gpt-4o-mini-2024-07-18 is" in ended.out
    found = finetune("prices", "--check", "--json").value
    assert (found["faults"], found["places"]) == ([], ["azure", "fake"])
    assert [row["backend"] for row in found["stale"]] == ["azure"]


def test_old_prices_of_one_day_and_source_are_one_warning(finetune: Shell) -> None:
    old = [ROW.format(name="azure", kind=kind, usd=1.0, dated="2026-01-02") for kind in ("input", "output", "cached")]
    finetune.write("finetune.toml", place(dated="2026-01-03") + "".join(old))
    ended = finetune("prices", "--check", "--backend", "azure")
    lines = [line for line in ended.out.splitlines() if "warning" in line]
    assert len(lines) == 2
    assert "the training price of gpt-4o-mini-2024-07-18 is" in lines[0]
    assert "3 prices are" in lines[1]
    assert "(of 2026-01-02, a letter)" in " ".join(ended.out.split())


def test_every_mistake_of_every_place_is_named_with_its_file_table_and_row(finetune: Shell) -> None:
    bad = (
        place(usd="-1")
        + ROW.format(name="azure", kind="inputt", usd="nan", dated='"soon"')
        + place("openai", usd="inf")
    )
    file = finetune.write("finetune.toml", bad)
    ended = finetune("prices", "--check", "--json")
    assert ended.status == 1
    named = [(fault["where"], fault["message"]) for fault in ended.value["faults"]]
    for table, number, said in (
        ("azure", 1, "usd = -1 is negative"), ("azure", 2, "usd = nan is no figure"),
        ("azure", 2, "'inputt' is no kind"), ("azure", 2, "dated = 'soon' is no day"), ("openai", 1, "usd = inf"),
    ):  # fmt: skip
        start = f"{file} [[backends.{table}.prices]] row {number}"
        assert any(where.startswith(start) and said in message for where, message in named), (said, named)
    assert all(fault["cure"] for fault in ended.value["faults"])
    shown = finetune("prices", "--check")
    assert shown.status == 1
    assert "5 wrong" in shown.out
    assert finetune("prices", "--check", "--backend", "fake").status == 0, "another place is none of its business"


def test_other_settings_of_no_sense_are_named_too(finetune: Shell) -> None:
    finetune.write("finetune.toml", '[backends.azure]\nresource = "r"\nusd_per_million = 3.0\n')
    ended = finetune("prices", "--check", "--json")
    assert ended.status == 1
    assert "usd_per_million has no date" in json.dumps(ended.value["faults"])


def test_a_list_of_no_sense_is_no_list_to_estimate_by(finetune: Shell) -> None:
    finetune.write("finetune.toml", place(usd="-1"))
    for command in (("prices",), ("estimate", "job.yaml")):
        ended = finetune(*command, "--backend", "azure", "--json")
        assert ended.status == 1
        assert "usd = -1 is negative" in ended.value["error"]["message"]


def test_a_price_of_a_model_that_nothing_is_called_is_warned_about(finetune: Shell) -> None:
    rows = "".join(ROW.format(name="openai", kind="training", usd="50.0", dated="2026-11-01").replace("gpt-4o-mini-2024-07-18", name)
                   for name in ("gpt-4.1-mnii", "gpt-4.1-mini-2025-04-14", "our-own-model"))  # fmt: skip
    finetune.write("finetune.toml", "[backends.openai]\n" + rows)
    ended = finetune("prices", "--check", "--backend", "openai")
    assert ended.status == 0
    assert "'gpt-4.1-mnii', which is no model that is known there: is 'gpt-4.1-mini' meant?" in " ".join(
        ended.out.split()
    )
    assert ended.out.count("is no model") == 1
    blank = rows.replace("our-own-model", "gpt-4.1 ")
    finetune.write("finetune.toml", "[backends.openai]\n" + blank)
    ended = finetune("prices", "--check", "--backend", "openai")
    assert ended.status == 1
    assert "begins or ends with a blank" in ended.out

"""The way out: what the old model is asked, and what that costs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import finetune_sdk as ft
from migrating import (
    HELD,
    HELDOUT,
    TRAIN,
    Finetune,
    asked,
    migrated,
    told,
)
from provider import Provider

pytestmark = pytest.mark.usefixtures("home")


def test_rows_that_were_trained_on_are_not_held_out(provider: Provider, finetune: Finetune, tmp_path: Path) -> None:
    job = provider.past(TRAIN)
    (tmp_path / "mixed.jsonl").write_bytes(HELDOUT + b"".join(TRAIN.splitlines(keepends=True)[:3]))
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--cases", "mixed.jsonl", "--json")
    (told,) = ended.value["jobs"]
    assert told["cases"]["rows"] == HELD
    assert told["cases"]["left_out"] == 3
    assert any("were trained on" in one for one in told["standing"])
    other = provider.past(TRAIN)
    leaky = finetune("migrate", "mine", other.id, "--to", "out", "--cases", "mixed.jsonl", "--allow-leakage", "--json")
    assert leaky.value["jobs"][0]["cases"]["trained"] == 3
    assert yaml.safe_load((migrated(tmp_path, other.id) / "job.yaml").read_text())["evaluation"]["allow_leakage"]


def test_validation_rows_that_a_backend_would_refuse_are_told(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, HELDOUT + TRAIN.splitlines(keepends=True)[0])
    (tmp_path / "unseen.jsonl").write_bytes(HELDOUT)
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--cases", "unseen.jsonl", "--json")
    assert any("--allow-leakage" in one for one in ended.value["jobs"][0]["standing"])
    file = yaml.safe_load((migrated(tmp_path, job.id) / "job.yaml").read_text())
    assert (file["validation"], file["test"]) == ("validation.jsonl", "cases.jsonl")


def test_a_share_of_the_training_rows_is_marked_and_the_replacement_does_not_see_it(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN)
    bare = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"][0]
    assert bare["answers"] == 0
    assert any("--hold-out" in one for one in bare["standing"])
    (told,) = finetune("migrate", "mine", job.id, "--to", "out", "--hold-out", "0.3", "--json").value["jobs"]
    assert told["cases"]["trained"] == told["cases"]["rows"] == told["answers"] > 0
    assert any("flatter" in one for one in told["standing"])
    here = migrated(tmp_path, job.id)
    data = ft.JobFile.load(here / "job.yaml").datasets()
    assert data.test is not None
    assert not set(data.train.hashes()) & set(data.test.hashes())
    assert finetune("run", str(here / "job.yaml"), "--backend", "fake", "--yes").status == 0
    ended = finetune("migrate", "compare", str(here), "--backend", "fake", "--json")
    assert ended.status == 0, ended.err
    leaked = ft.Report.load(here / "report.json").to_dict()["leakage"]
    assert leaked["allowed"]
    assert leaked["cases"] == told["cases"]["rows"]


def test_what_recording_costs_is_shown_and_capped(provider: Provider, finetune: Finetune, tmp_path: Path) -> None:
    job = provider.past(TRAIN, HELDOUT)
    prices = {"input_usd_per_million": 100.0, "output_usd_per_million": 400.0, "usd_per_million": 1.0}
    told(tmp_path, provider, **prices)
    text = (tmp_path / "finetune.toml").read_text()
    (tmp_path / "finetune.toml").write_text(text + "priced = 2026-11-22\n")
    capped = finetune("migrate", "mine", job.id, "--to", "out", "--max-cost", "0.01", "--json")
    assert capped.status == 1
    assert capped.value["error"]["type"] == "BudgetError"
    assert (migrated(tmp_path, job.id) / "train.jsonl").read_bytes() == TRAIN
    assert asked(provider) == []
    nobody = finetune("migrate", "mine", job.id, "--to", "out")
    assert nobody.status == 1
    assert "nobody is at the terminal" in nobody.err
    assert asked(provider) == []
    assert "as of 2026-11-22" in nobody.err
    assert finetune("migrate", "mine", job.id, "--to", "out", "--max-cost", "50", "--yes").status == 0
    assert len(asked(provider)) == HELD


def test_an_unknown_price_cannot_be_capped(provider: Provider, finetune: Finetune, tmp_path: Path) -> None:
    job = provider.past(TRAIN, HELDOUT)
    text = (tmp_path / "finetune.toml").read_text().replace("usd_per_million = 0.0\n", "")
    (tmp_path / "finetune.toml").write_text(text)
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--max-cost", "5", "--json")
    assert ended.value["error"]["type"] == "BudgetError"
    assert "input_usd_per_million" in ended.value["error"]["message"]

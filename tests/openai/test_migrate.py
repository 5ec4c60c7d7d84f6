"""The way out: jobs that somebody once made are taken along, whatever is gone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai.types.fine_tuning import FineTuningJob

import finetune_sdk as ft
from finetune_sdk.errors import BackendError
from finetune_sdk_openai.account import Account
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.options import Options
from finetune_sdk_openai.tariffs import Tariff
from migrating import (
    HELD,
    HELDOUT,
    TRAIN,
    Finetune,
    asked,
    lines,
    migrated,
    told,
)
from opened import VARIABLE
from protocol_data import pairs
from provider import BASE, KEY, Provider

pytestmark = pytest.mark.usefixtures("home")


def test_the_jobs_of_an_account_are_listed_over_all_pages(provider: Provider, finetune: Finetune) -> None:
    provider.page = 2
    made = [provider.past(TRAIN, HELDOUT, seed=n) for n in range(5)]
    provider.files.pop(made[1].asked["training_file"])
    provider.deleted.add(made[2].model)
    provider.bases[BASE] = "2027-01-14"
    made[3].status, made[4].status = "paused", "polishing"
    rows = {row["job"]: row for row in finetune("migrate", "mine", "--json").value["jobs"]}
    assert rows.keys() == {job.id for job in made}
    row = rows[made[0].id]
    assert (row["base"], row["method"], row["status"], row["name"]) == (BASE, "sft", "succeeded", "triage")
    assert (row["dies"], row["model_there"], row["tokens"]) == ("2027-01-14", True, made[0].tokens())
    assert row["portable"] == {"epochs": 3, "batch_size": 4}
    assert row["own"] == {"learning_rate_multiplier": 1.8}
    assert rows[made[1].id]["train"]["there"] is False
    assert rows[made[1].id]["validation"]["there"] is True
    assert rows[made[2].id]["model_there"] is False
    assert [rows[job.id]["status"] for job in made[3:]] == ["paused", "polishing"]
    assert rows[made[4].id]["model"] is None
    shown = finetune("migrate", "mine").out
    assert all(job.id in shown for job in made)
    assert "train gone" in shown


class Known:
    """An account at OpenAI with one job, where nothing else is told."""

    address = Address.read(Options.read(ft.Place("openai", {}, Path())), "openai")

    def every(self) -> list[FineTuningJob]:
        words: dict[str, Any] = {
            "id": "ftjob-1", "object": "fine_tuning.job", "model": "gpt-4o-mini-2024-07-18", "created_at": 1,
            "status": "succeeded", "fine_tuned_model": "ft:gpt-4o-mini-2024-07-18:acme:triage:abc", "seed": 1,
            "hyperparameters": {"n_epochs": 3, "batch_size": "auto"}, "training_file": "file-1", "result_files": [],
            "organization_id": "org-1",
        }  # fmt: skip
        return [FineTuningJob.construct(**words)]

    def all_files(self) -> list[Any]:
        raise BackendError("not today")

    def asked(self, *_: Any) -> Any:
        raise BackendError("not today")


def test_openais_own_calendar_and_prices_count_at_openai() -> None:
    known: Any = Known()
    tariff = Tariff("openai", Known.address, Options(), date.today())
    (past,) = Account(known, known, lambda: tariff).history()
    assert (past.dies, past.name, past.portable) == (date(2027, 1, 14), "triage", {"epochs": 3})
    assert [price.usd for price in past.prices] == [0.3, 1.2]
    assert (past.model_there, past.train and past.train.there) == (None, None)


def test_a_supervised_job_is_taken_along_with_its_answers(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, HELDOUT, seed=11)
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--json")
    assert ended.status == 0, ended.err
    here = migrated(tmp_path, job.id)
    assert (here / "train.jsonl").read_bytes() == TRAIN
    assert (here / "validation.jsonl").read_bytes() == HELDOUT
    recorded = lines(here / "recorded.jsonl")
    assert len(recorded) == HELD
    assert {line["model"] for line in recorded} == {job.model}
    assert all(line["answer"]["output_tokens"] is not None for line in recorded)
    file = yaml.safe_load((here / "job.yaml").read_text())
    assert file["method"] == {"kind": "sft", "epochs": 3, "batch_size": 4}
    assert file["seed"] == 11
    assert [one["kind"] for one in file["evaluation"]["evaluators"]] == ["field_match"]
    assert "learning_rate:" not in (here / "job.yaml").read_text()
    assert "# learning_rate_multiplier = 1.8" in (here / "job.yaml").read_text()
    places = ft.Settings.load(file=here / "finetune.toml").places
    assert places["mine"]["sft"] == {"learning_rate_multiplier": 1.8}
    assert places["mine"]["base"] == BASE
    assert job.id in (here / "README.md").read_text()


def test_the_replacement_is_trained_elsewhere_and_compared_with_what_was_recorded(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, HELDOUT)
    assert finetune("migrate", "mine", job.id, "--to", "out", "--with-base").status == 0
    here = migrated(tmp_path, job.id)
    ran = finetune("run", str(here / "job.yaml"), "--backend", "fake", "--yes", "--json")
    assert ran.status == 0, ran.err
    questions = len(asked(provider))
    found = finetune("migrate", "compare", str(here), "--backend", "fake", "--json")
    assert found.status == 0, found.err
    assert len(asked(provider)) == questions
    assert found.value["cases"] == HELD
    assert (here / "report.html").exists()
    report = ft.Report.load(here / "report.json")
    assert report.models == ("recorded_base", "recorded", "replacement")
    assert {one["other"] if "other" in one else one["than"] for one in report.to_dict()["comparisons"]} >= {"recorded"}
    by_name = finetune("migrate", "compare", str(here), "--backend", "fake", "--model", "echo", "--json")
    assert by_name.status == 0, by_name.err


def test_preferences_are_taken_along(provider: Provider, finetune: Finetune, tmp_path: Path) -> None:
    rows, held = tmp_path / "pairs.jsonl", tmp_path / "held.jsonl"
    pairs(12).save(rows)
    held.write_text("".join(json.dumps(row) + "\n" for row in _other_pairs()))
    words = {"n_epochs": 2, "batch_size": "auto", "beta": 0.1, "learning_rate_multiplier": 0.5}
    job = provider.past(rows.read_bytes(), held.read_bytes(), method={"type": "dpo", "dpo": {"hyperparameters": words}})
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--json")
    assert ended.status == 0, ended.err
    here = migrated(tmp_path, job.id)
    file = yaml.safe_load((here / "job.yaml").read_text())
    assert file["method"] == {"kind": "dpo", "epochs": 2, "beta": 0.1}
    assert len(lines(here / "recorded.jsonl")) == 4
    assert ft.JobFile.load(here / "job.yaml").evaluation() is not None
    ran = finetune("run", str(here / "job.yaml"), "--backend", "fake", "--yes", "--json")
    assert ran.status == 0, ran.err
    assert finetune("migrate", "compare", str(here), "--backend", "fake").status == 0


def _other_pairs() -> Sequence[dict[str, Any]]:
    texts = ("Who wrote Faust?", "Name a river in Peru.", "Which metal is liquid?", "How do bees talk?")
    return [
        {
            "input": {"messages": [{"role": "user", "content": text}]},
            "preferred_output": [{"role": "assistant", "content": f"{text} Let me say it at length."}],
            "non_preferred_output": [{"role": "assistant", "content": "Pass."}],
        }
        for text in texts
    ]


def test_files_that_expired_and_models_that_were_deleted_are_told(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job, other = provider.past(TRAIN, HELDOUT), provider.past(TRAIN, HELDOUT)
    provider.files.pop(job.asked["training_file"])
    provider.deleted.add(other.model)
    ended = finetune("migrate", "mine", "--all", "--to", "out", "--json")
    assert ended.status == 0, ended.err
    told = {one["job"]: " ".join(one["standing"]) for one in ended.value["jobs"]}
    assert "deleted, or expired" in told[job.id]
    assert len(lines(migrated(tmp_path, job.id) / "recorded.jsonl")) == HELD
    assert "is not there any more" in told[other.id]
    assert (migrated(tmp_path, other.id) / "train.jsonl").read_bytes() == TRAIN
    assert not (migrated(tmp_path, other.id) / "recorded.jsonl").exists()
    assert "deleted, or expired" in (migrated(tmp_path, job.id) / "README.md").read_text()


def test_bad_rows_are_told_and_not_mended(provider: Provider, finetune: Finetune, tmp_path: Path) -> None:
    bad = b'{"messages": [{"role": "usr", "content": "?"}]}\n'
    job = provider.past(TRAIN + bad, HELDOUT)
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--json")
    here = migrated(tmp_path, job.id)
    assert (here / "train.jsonl").read_bytes() == TRAIN + bad
    assert any("1 rows cannot be used" in one for one in ended.value["jobs"][0]["standing"])
    assert "`role`" in (here / "README.md").read_text() or "usr" in (here / "README.md").read_text()


def test_a_wrong_key_is_an_error_that_does_not_show_it(
    provider: Provider, finetune: Finetune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "sk-wrong-but-secret-000111222"
    monkeypatch.setenv(VARIABLE, wrong)
    job = provider.past(TRAIN, HELDOUT)
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--json")
    assert ended.status == 1
    assert wrong not in ended.out + ended.err
    assert wrong[:12] not in ended.out + ended.err
    assert VARIABLE in ended.value["error"]["cure"]


def test_the_key_is_in_nothing_that_is_written(provider: Provider, finetune: Finetune, tmp_path: Path) -> None:
    job = provider.past(TRAIN, HELDOUT)
    assert finetune("migrate", "mine", job.id, "--to", "out").status == 0
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_an_unknown_job_and_a_place_without_a_past_are_said(provider: Provider, finetune: Finetune) -> None:
    job = provider.past(TRAIN)
    unknown = finetune("migrate", "mine", f"{job.id}9", "--to", "out", "--json").value["error"]
    assert unknown["type"] == "NotFoundError"
    assert job.id in unknown["cure"]
    here = finetune("migrate", "local")
    assert here.status == 1
    assert re.search("has no 'history': .*already", here.err)
    for option in (("--max-cost", "5"), ("--hold-out", "0.1"), ("--yes",)):
        assert "none is named" in finetune("migrate", "mine", *option).err
    nothing = finetune("migrate", "compare", "out")
    assert nothing.status == 1
    assert "holds no migrated job" in nothing.err


def test_a_model_that_is_not_listed_is_asked_for_by_its_name(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    """At Azure, where a tuned model is asked by its deployment."""
    job = provider.past(TRAIN, HELDOUT)
    provider.bases["triage-deployed"] = None
    options = {"kind": "azure", "metadata": False}
    told(tmp_path, provider, **options)
    text = (tmp_path / "finetune.toml").read_text()
    (tmp_path / "finetune.toml").write_text(f'{text}deployments = {{ "{job.model}" = "triage-deployed" }}\n')
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--json")
    assert ended.status == 0, ended.err
    assert ended.value["jobs"][0]["answers"] == HELD
    assert {seen.body["model"] for seen in provider.posts("/chat/completions")} == {"triage-deployed"}
    kept = ft.Settings.load(file=migrated(tmp_path, job.id) / "finetune.toml").places["mine"]
    assert kept["deployments"] == {job.model: "triage-deployed"}


def test_a_place_that_writes_lines_into_its_words_writes_none_into_a_job(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    evil = 'x"\nadapter: {kind: full}\n# \U0001f600'
    provider.bases[evil] = None
    job = provider.past(TRAIN, HELDOUT, model=evil, suffix=f"a:{evil}")
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--json")
    assert ended.status == 0, ended.err
    here = migrated(tmp_path, job.id)
    assert ft.JobFile.load(here / "job.yaml").table.adapter is None
    assert ft.Settings.load(file=here / "finetune.toml").places["mine"]["base"] == evil

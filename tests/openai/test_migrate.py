"""The way out: jobs that somebody once made are taken along, whatever is gone, and however often the process dies."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from openai.types.fine_tuning import FineTuningJob

import finetune_sdk as ft
import finetune_sdk.cli
from finetune_sdk.errors import BackendError
from finetune_sdk_openai.account import Account
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.options import Options
from opened import VARIABLE
from protocol_data import pairs
from provider import BASE, KEY, Provider

DEMO = Path(finetune_sdk.__file__).parent / "demo"
ROWS, HELD = 40, 12
pytestmark = pytest.mark.usefixtures("home")


def first(name: str, count: int) -> bytes:
    with (DEMO / name).open("rb") as file:
        return b"".join(islice(file, count))


TRAIN, HELDOUT = first("tickets.jsonl", ROWS), first("tickets_heldout.jsonl", HELD)


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        return json.loads(self.out)


Finetune = Callable[..., Ended]


@pytest.fixture
def finetune(tmp_path: Path, provider: Provider, capfd: pytest.CaptureFixture[str]) -> Finetune:
    """The command, where the place `mine` is the provider and the replacement is trained at the fake."""
    told(tmp_path, provider)

    def run(*args: str) -> Ended:
        capfd.readouterr()
        status = finetune_sdk.cli.status(list(args))
        said = capfd.readouterr()
        assert KEY not in said.out + said.err
        assert "Traceback" not in said.err, said.err
        return Ended(status, said.out, said.err)

    return run


def told(folder: Path, provider: Provider, **options: Any) -> None:
    own = {
        "kind": "openai", "base_url": provider.url, "api_key_env": VARIABLE, "timeout": 5.0, "patience": 5.0,
        "usd_per_million": 0.0, **options,
    }  # fmt: skip
    lines = [f"{name} = {json.dumps(value)}" for name, value in own.items()]
    (folder / "finetune.toml").write_text("\n".join(['backend = "fake"', "[backends.mine]", *lines, ""]))


def migrated(tmp_path: Path, job: str) -> Path:
    return tmp_path / "out" / job


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def asked(provider: Provider) -> list[str]:
    """What every question ended with, in order; one that a kill cut in the middle was none."""
    return [seen.body["messages"][-1]["content"] for seen in provider.posts("/chat/completions") if seen.body]


def downloads(provider: Provider) -> list[str]:
    return [seen.path for seen in provider.requests if seen.path.endswith("/content")]


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
    (past,) = Account(known, known, Options(), date.today).history()
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


def test_a_grader_is_kept_whole_and_no_job_file_pretends(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    grader = {"type": "python", "name": "mine", "source": "def grade(sample, item):\n    return 1.0\n"}
    row = b'{"messages": [{"role": "user", "content": "1 + 1?"}], "answer": "2"}\n' * 10
    method = {"type": "reinforcement", "reinforcement": {"grader": grader, "hyperparameters": {"n_epochs": 1}}}
    job = provider.past(row, method=method)
    ended = finetune("migrate", "mine", job.id, "--to", "out", "--json")
    assert ended.status == 0, ended.err
    here = migrated(tmp_path, job.id)
    assert json.loads((here / "grader.json").read_text()) == grader
    assert not (here / "job.yaml").exists()
    assert any("grader.json" in one for one in ended.value["jobs"][0]["standing"])


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


def test_called_again_it_fetches_nothing_and_asks_nothing(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, HELDOUT)
    assert finetune("migrate", "mine", job.id, "--to", "out").status == 0
    before = len(asked(provider)), downloads(provider), (migrated(tmp_path, job.id) / "recorded.jsonl").read_bytes()
    (migrated(tmp_path, job.id) / "job.yaml").write_text("name: mine, by hand\ntrain: train.jsonl\n")
    again = finetune("migrate", "mine", job.id, "--to", "out")
    assert again.status == 0
    assert before == (
        len(asked(provider)), downloads(provider), (migrated(tmp_path, job.id) / "recorded.jsonl").read_bytes()
    )  # fmt: skip
    assert "changed by hand" in again.out
    assert "by hand" in (migrated(tmp_path, job.id) / "job.yaml").read_text()
    other = finetune("migrate", "mine", job.id, "--to", "out", "--hold-out", "0.1")
    assert other.status == 1
    assert "would be paid for again" in other.err


def test_a_question_that_was_refused_is_asked_again_and_no_other(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, HELDOUT)
    refused = json.loads(HELDOUT.splitlines()[4])["messages"][-2]["content"]
    state = {"refusing": True}

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        if state["refusing"] and question["messages"][-1]["content"] == refused:
            raise ConnectionAbortedError
        return {"role": "assistant", "content": "{}"}

    provider.answer = answer
    text = (tmp_path / "finetune.toml").read_text().replace("patience = 5.0", "patience = 0.2")
    (tmp_path / "finetune.toml").write_text(text)
    (first_time,) = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"]
    assert first_time["answers"] == HELD - 1
    assert any("1 questions were not answered" in one for one in first_time["standing"])
    state["refusing"] = False
    before = len(asked(provider))
    (second_time,) = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"]
    assert second_time["answers"] == HELD
    assert asked(provider)[before:] == [refused]


def begun(folder: Path, *args: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from finetune_sdk.cli import main; main()", *args]
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, "FINETUNE_HOME": str(folder / "home")}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def killed_when(process: subprocess.Popen[bytes], due: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not due():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def test_killed_while_answers_come_in_it_asks_for_none_of_them_again(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    held = first("tickets_heldout.jsonl", 60)
    job = provider.past(TRAIN, held)
    provider.answers_after = 0.1
    kept = migrated(tmp_path, job.id) / "recorded.jsonl"
    process = begun(tmp_path, "migrate", "mine", job.id, "--to", "out", "--yes")
    killed_when(process, lambda: kept.exists() and kept.read_bytes().count(b"\n") >= 10)
    time.sleep(0.3)
    there, fetched, before = kept.read_bytes().count(b"\n"), len(downloads(provider)), len(asked(provider))
    with kept.open("ab") as file:
        file.write(b'{"role": "tuned", "mod')  # as a kill in the middle of a write leaves it
    (done,) = finetune("migrate", "mine", job.id, "--to", "out", "--yes", "--json").value["jobs"]
    assert len(downloads(provider)) == fetched == 2
    assert done["answers"] == done["cases"]["rows"]
    assert len(asked(provider)) - before == done["answers"] - there
    assert before - there <= 8
    keys = [line["key"] for line in lines(kept)]
    assert len(keys) == len(set(keys))


def test_killed_while_a_file_comes_in_nothing_half_written_stays(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, HELDOUT)
    provider.late = 5.0
    provider.fault = lambda verb, path: "late" if path.endswith(f"{job.asked['validation_file']}/content") else None
    here = migrated(tmp_path, job.id)
    process = begun(tmp_path, "migrate", "mine", job.id, "--to", "out", "--yes")
    killed_when(process, lambda: any(here.glob(".validation.jsonl*.part")))
    assert not (here / "validation.jsonl").exists()
    provider.fault = lambda verb, path: None
    assert finetune("migrate", "mine", job.id, "--to", "out", "--yes").status == 0
    assert (here / "validation.jsonl").read_bytes() == HELDOUT
    assert downloads(provider).count(f"/files/{job.asked['training_file']}/content") == 1
    assert list(here.glob("*.part")) == list(here.glob(".*.part")) == []


@pytest.mark.parametrize("fault", ["cut", "reset_before", "500", "429_wait"])
def test_a_download_that_breaks_is_asked_for_again(
    provider: Provider, finetune: Finetune, tmp_path: Path, fault: str
) -> None:
    job = provider.past(TRAIN, HELDOUT)
    left = {"times": 2}

    def faults(verb: str, path: str) -> str | None:
        if path.endswith("/content") and left["times"]:
            left["times"] -= 1
            return fault
        return None

    provider.fault = faults
    assert finetune("migrate", "mine", job.id, "--to", "out").status in (0, 1)
    assert finetune("migrate", "mine", job.id, "--to", "out").status == 0
    assert (migrated(tmp_path, job.id) / "train.jsonl").read_bytes() == TRAIN


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


def test_two_processes_do_not_record_into_one_folder(provider: Provider, finetune: Finetune, tmp_path: Path) -> None:
    from finetune_sdk.migration import Folder

    job = provider.past(TRAIN, HELDOUT)
    with Folder.of(tmp_path / "out", job.id, provider.url).alone():
        ended = finetune("migrate", "mine", job.id, "--to", "out")
    assert ended.status == 1
    assert "another process is migrating" in ended.err


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_as_if_it_never_was(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    held, drawn, kills = first("tickets_heldout.jsonl", 60), random.Random(7), 0
    job = provider.past(TRAIN, held)
    provider.answers_after = 0.05
    here = migrated(tmp_path, job.id)
    for _ in range(8):
        process = begun(tmp_path, "migrate", "mine", job.id, "--to", "out", "--yes")
        try:
            process.wait(0.7 + drawn.random())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            kills += 1
        time.sleep(0.1)
    provider.answers_after = 0.0
    (done,) = finetune("migrate", "mine", job.id, "--to", "out", "--yes", "--json").value["jobs"]
    assert ((here / "train.jsonl").read_bytes(), (here / "validation.jsonl").read_bytes()) == (TRAIN, held)
    assert done["answers"] == done["cases"]["rows"]
    assert done["standing"] == []
    keys = [line["key"] for line in lines(here / "recorded.jsonl")]
    assert len(keys) == len(set(keys))
    assert len(asked(provider)) <= len(keys) + 8 * kills
    assert list(here.glob(".*.part")) == []
    assert ft.JobFile.load(here / "job.yaml").evaluation() is not None


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


def test_a_place_that_fails_again_and_again_is_left_alone(
    provider: Provider, finetune: Finetune, tmp_path: Path
) -> None:
    job = provider.past(TRAIN, first("tickets_heldout.jsonl", 60))
    provider.fault = lambda verb, path: "500" if path == "/chat/completions" else None
    text = (tmp_path / "finetune.toml").read_text().replace("patience = 5.0", "patience = 0.1")
    (tmp_path / "finetune.toml").write_text(text)
    (told_of,) = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"]
    assert told_of["answers"] == 0
    assert len(told_of["unanswered"]) == told_of["cases"]["rows"]
    assert len(set(asked(provider))) < told_of["cases"]["rows"]
    provider.fault = lambda verb, path: None
    (told_of,) = finetune("migrate", "mine", job.id, "--to", "out", "--json").value["jobs"]
    assert told_of["answers"] == told_of["cases"]["rows"]

"""The script of examples/anywhere.py runs at a provider as it does here: one line of its settings differs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from itertools import islice
from pathlib import Path

import pytest

from opened import VARIABLE
from provider import KEY, Provider

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS = 32


@pytest.fixture
def folder(tmp_path: Path, provider: Provider) -> Path:
    """The examples with few rows; at the provider, `openai` is an address on this machine with a base of its own."""
    here = tmp_path / "examples"
    shutil.copytree(EXAMPLES, here)
    with (EXAMPLES / "tickets.jsonl").open() as file:
        (here / "tickets.jsonl").write_text("".join(islice(file, ROWS)))
    settings = here / "anywhere.toml"
    near = f'base = "tiny-test"\nbase_url = "{provider.url}"\napi_key_env = "{VARIABLE}"'
    settings.write_text(settings.read_text().replace('base = "gpt-4.1-mini-2025-04-14"', near))
    return here


def run(folder: Path) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith("FINETUNE")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "anywhere.py"], cwd=folder, capture_output=True, text=True, timeout=480, check=False,
        env={**own, "FINETUNE_HOME": str(folder / "home"), VARIABLE: KEY},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def choose(folder: Path, backend: str) -> None:
    settings = folder / "anywhere.toml"
    settings.write_text(settings.read_text().replace('backend = "local"', f'backend = "{backend}"'))


def test_the_settings_have_words_for_both_places() -> None:
    places = tomllib.loads((EXAMPLES / "anywhere.toml").read_text("utf-8"))["backends"]
    assert places["local"].keys() == {"base", "adapter", "sft"}
    assert places["openai"] == {"base": "gpt-4.1-mini-2025-04-14", "sft": {"learning_rate_multiplier": 1.8}}


def test_the_example_runs_at_a_provider(folder: Path, provider: Provider) -> None:
    choose(folder, "openai")
    said = run(folder)
    assert said.splitlines()[-1].startswith("openai: ")
    (job,) = provider.jobs.values()
    assert job.words == {"n_epochs": 2, "learning_rate_multiplier": 1.8}
    assert (folder / "anywhere.py").read_bytes() == (EXAMPLES / "anywhere.py").read_bytes()


@pytest.mark.soak
@pytest.mark.slow
def test_the_example_runs_on_this_machine(folder: Path, provider: Provider) -> None:
    said = run(folder)
    assert said.splitlines()[-1].startswith("local: ")
    assert provider.requests == []


def test_the_command_line_says_what_will_run_there(folder: Path, provider: Provider) -> None:
    choose(folder, "openai")
    job = (folder / "job.yaml").read_text()
    plain = "\n".join(line for line in job.splitlines() if not line.startswith(("adapter:", "base:")))
    (folder / "plain.yaml").write_text(plain.replace(", learning_rate: 2e-3", ""))
    done = subprocess.run(
        [sys.executable, "-m", "finetune_sdk", "estimate", "plain.yaml", "--config", "anywhere.toml"], cwd=folder,
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "FINETUNE_HOME": str(folder / "home"), VARIABLE: KEY, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "base tiny-test, sft (epochs 4, batch_size 16), adapter of the place's choice" in said
    assert "learning_rate_multiplier 1.8" in said

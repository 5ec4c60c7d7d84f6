"""The examples run as they are, from their folder, on the real local backend and the base that comes along."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

import finetune_sdk as ft

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
VERDICT = re.compile(
    r"(No difference is shown|tuned is better than (base|prompted)|(base|prompted) is better than tuned): "
    r"tuned passes ExactMatch in \d+ of \d+ cases, (base|prompted) in \d+: .+\."
)


def run(example: str, folder: Path, rows: dict[str, int]) -> str:
    """What the example prints, run in a copy of its folder; the files named in `rows` keep their first lines only."""
    here = folder / "examples"
    shutil.copytree(EXAMPLES, here)
    for name, count in rows.items():
        with (EXAMPLES / name).open() as file:
            (here / name).write_text("".join(islice(file, count)))
    own = {name: value for name, value in os.environ.items() if not name.startswith("FINETUNE")}
    done = subprocess.run(
        [sys.executable, "-W", "error", example], cwd=here, env={**own, "FINETUNE_HOME": str(folder / "home")},
        capture_output=True, text=True, timeout=480, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.soak
def test_the_quickstart_ends_in_a_verdict_and_a_report(tmp_path: Path) -> None:
    said = run("quickstart.py", tmp_path, {"tickets.jsonl": 64})
    assert said.startswith("$0.00")
    assert VERDICT.fullmatch(said.splitlines()[-1]), said
    page = (tmp_path / "examples" / "report.html").read_text("utf-8")
    for model in ("base", "prompted", "tuned"):
        assert model in page


@pytest.mark.soak
def test_the_estimates_are_of_here_and_of_elsewhere(tmp_path: Path) -> None:
    said = run("estimates.py", tmp_path, {"tickets.jsonl": 32}).splitlines()
    assert [line.partition(":")[0] for line in said] == ["as it comes", "after a probe", "L4", "A100 80GB", "H100 80GB"]
    assert all("fits on" in line for line in said[2:])


@pytest.mark.soak
def test_the_costs_end_in_when_it_is_paid_back(tmp_path: Path) -> None:
    said = run("costs.py", tmp_path, {"tickets.jsonl": 64}).splitlines()
    assert said[0] == "local: $0.00"
    assert said[1].startswith("openai: $")
    assert re.search(r"is paid back after [\d.]+ - [\d.]+ months", said[-1])


@pytest.mark.soak
def test_preferences_raise_the_held_out_margin(tmp_path: Path) -> None:
    said = run("preferences.py", tmp_path, {"preferences.jsonl": 48, "preferences_heldout.jsonl": 12})
    found = re.search(r"held-out margin: (\S+) before, (\S+) after", said)
    assert found is not None, said
    before, after = map(float, found.groups())
    assert before == 0
    assert after > 0


def test_the_data_of_the_examples_is_that_of_the_package() -> None:
    for file in (*EXAMPLES.glob("*.jsonl"), *EXAMPLES.glob("*.schema.json")):
        assert file.is_symlink()
        assert not os.readlink(file).startswith("/")
        assert file.resolve() == ROOT / "finetune_sdk" / "demo" / file.name


def test_the_job_file_is_read() -> None:
    read = ft.JobFile.load(EXAMPLES / "job.yaml")
    assert read.job().name == "triage"
    assert read.evaluation() is not None


def test_the_settings_name_a_place_that_comes_along() -> None:
    settings = ft.Settings.load(file=EXAMPLES / "finetune.toml", environment={})
    assert settings.backend == "local"
    assert settings.place("local") == {"base": "tiny"}

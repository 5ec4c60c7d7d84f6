"""A shell that is unkind: closed streams, letters that it has not, names that are not text, job files full of traps."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from shell import JOB, Shell

BASE = "name: a\ndata: tickets.jsonl\n"
TRAPS = {
    "thousands of digits": (f"{BASE}seed: {'9' * 5000}\n", "line 3", "write a number"),
    "a tag": (f"{BASE}seed: !!int abc\n", "line 3", "write a number"),
    "half a character": ('name: "\\ud800"\ndata: tickets.jsonl\n', "line 1", "whole character"),
    "an empty path": ("name: a\ndata: ''\n", "line 2", "check this one"),
    "nobody's home": ("name: a\ndata: ~nobody-at-all/x.jsonl\n", "line 2", "check this one"),
    "an empty base": (f"{BASE}base: ''\n", "`base` is empty", "leave it out"),
    "too many epochs": (f"{BASE}method: {{kind: sft, epochs: 1e308}}\n", "epochs", "less than"),
    "a seed of many digits": (f"{BASE}split: {{test: 0.2, seed: {10**70}}}\n", "seed", "such as 7"),
    "too many examples": (JOB.replace("examples: 2", "examples: 1000"), "examples` is 1000", "fewer"),
    "cases that are trained on": (
        "name: a\ntrain: tickets.jsonl\ntest: tickets.jsonl\nevaluation: {evaluators: [{kind: exact_match}]}\n",
        "60 of 60 test rows", "allow_leakage",
    ),
}  # fmt: skip


def in_sh(finetune: Shell, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=finetune.folder, env=finetune.environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("text", "said", "cure"), TRAPS.values(), ids=TRAPS.keys())
def test_a_trap_in_a_job_file_is_named_before_anything_is_sent(
    finetune: Shell, text: str, said: str, cure: str
) -> None:
    finetune.write("trap.yaml", text)
    ended = finetune("run", "trap.yaml", "--yes", "--json")
    assert ended.status == 1
    assert said in ended.value["error"]["message"]
    assert cure in ended.value["error"]["cure"]
    assert finetune("runs", "--json").value["runs"] == []


def test_data_in_place_of_a_job_is_recognised(finetune: Shell) -> None:
    assert "data: tickets.jsonl" in finetune("run", "tickets.jsonl", "--json").value["error"]["cure"]
    finetune.write("large.yaml", "# " + "x" * 1_000_001)
    assert "larger than a job file" in finetune("run", "large.yaml", "--json").value["error"]["message"]


def test_a_name_that_no_file_can_have_still_gets_its_report(finetune: Shell) -> None:
    finetune.write("job.yaml", JOB.replace("triage", "../" + "x" * 300))
    ended = finetune("run", "job.yaml", "--yes", "--json")
    assert ended.status == 0, ended.err
    assert (finetune.folder / ended.value["report"]).is_file()


def test_a_report_that_cannot_be_written_is_said_before_the_run(finetune: Shell) -> None:
    (finetune.folder / "out.html").mkdir()
    assert finetune("run", "job.yaml", "--yes", "--report", "out.html").status == 1
    assert finetune("runs", "--json").value["runs"] == []


def test_an_option_that_would_not_count_is_refused(finetune: Shell) -> None:
    assert "--format" in finetune("check", "job.yaml", "--format", "openai", "--json").value["error"]["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names of any bytes")
def test_a_file_name_that_is_no_text_is_still_json(finetune: Shell) -> None:
    rows = (finetune.folder / "tickets.jsonl").read_bytes()
    (finetune.folder / "bad\udcff.jsonl").write_bytes(rows)
    ended = finetune("check", "bad\udcff.jsonl", "--json")
    assert ended.status == 0, ended.err
    assert ended.value["rows"] == 60


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("closed", "status", "said"),
    [
        (">&-", 0, "submitted: "), ("2>&-", 0, '"run": "'), (">&- 2>&- <&-", 0, ""),
        (">/dev/full", 1, "error: No space left on device."),
    ],
)  # fmt: skip
def test_closed_and_full_streams_show_no_traceback_and_spoil_nothing(
    finetune: Shell, closed: str, status: int, said: str
) -> None:
    line = f"{shlex.join(finetune.command('run', 'job.yaml', '--yes', '--json', '--detach'))} {closed}"
    done = in_sh(finetune, line)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len(finetune("runs", "--json").value["runs"]) == 1


def test_letters_that_the_terminal_has_not_are_question_marks(finetune: Shell) -> None:
    (finetune.folder / "tickets.jsonl").rename(finetune.folder / "tückets.jsonl")
    ended = finetune.process("check", "tückets.jsonl", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert ended.status == 0, ended.err
    assert "t?ckets.jsonl" in ended.out


@pytest.mark.skipif(sys.platform == "win32", reason="a working folder cannot be removed there")
def test_a_working_folder_that_is_gone_is_said(finetune: Shell) -> None:
    gone = finetune.folder / "gone"
    gone.mkdir()
    line = f"cd gone && rmdir ../gone && {shlex.join(finetune.command('runs', '--json'))}"
    done = in_sh(finetune, line)
    assert "working folder is gone" in json.loads(done.stdout)["error"]["message"]
    assert "Traceback" not in done.stderr


def test_a_report_of_the_wrong_shape_is_refused(finetune: Shell) -> None:
    finetune("run", "job.yaml", "--yes", "--json")
    path = Path(finetune.folder / "triage-report.json")
    finetune.write("odd.json", json.dumps(json.loads(path.read_text("utf-8")) | {"created": 3}))
    assert "this is not a report" in finetune("report", "odd.json", "--json").value["error"]["message"]

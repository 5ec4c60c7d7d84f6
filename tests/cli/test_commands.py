"""The command line, as a real process: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from finetune_sdk.backend import GROUP
from shell import JOB, Shell, tickets


def test_a_run_goes_from_its_file_to_its_report(finetune: Shell) -> None:
    ended = finetune.process("run", "job.yaml", "--yes", "--json")
    assert ended.status == 0, ended.err
    value = ended.value
    assert value["status"] == "succeeded"
    assert value["estimate"]["charge"]["high"] == 0.0
    assert value["actual"]["charge"] == 0.0
    assert set(value["models"]) == {"base", "prompted", "tuned"}
    metric = value["models"]["tuned"]["JSONSchema"]
    assert metric["passed"] == metric["cases"]
    assert metric["low"] < metric["rate"] <= metric["high"]
    assert value["verdict"]
    assert Path(finetune.folder / value["report"]).read_text("utf-8").startswith("<!")
    again = finetune("report", "triage-report.json", "--json")
    assert again.value["models"] == value["models"]


def test_without_a_person_the_question_is_an_error_that_names_yes(finetune: Shell) -> None:
    ended = finetune("run", "job.yaml")
    assert ended.status == 1
    assert "--yes" in ended.err
    assert finetune("runs", "--json").value["runs"] == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_runs_of_a_place_that_there_is_not_are_refused(finetune: Shell) -> None:
    ended = finetune("runs", "--backend", "fkae", "--json")
    assert ended.status == 1
    error = ended.value["error"]
    assert "no backend 'fkae'" in error["message"]
    assert "local" in error["message"]
    assert error["cure"] == "use 'fake'"
    assert finetune("runs", "--backend", "fake", "--json").value["runs"] == []


@pytest.mark.parametrize(("said", "runs"), [(b"n\n", 0), (b"y\n", 1)])
def test_a_person_is_asked(finetune: Shell, said: bytes, runs: int) -> None:
    import pty

    lead, follow = pty.openpty()
    asked = subprocess.Popen(
        finetune.command("run", "job.yaml", "--detach"), cwd=finetune.folder, env=finetune.environment, stdin=follow,
        stdout=follow, stderr=follow, close_fds=True,
    )  # fmt: skip
    os.close(follow)
    shown = b""
    while b"Proceed?" not in shown:
        shown += os.read(lead, 4096)
    os.write(lead, said)
    assert b"charge" in shown
    asked.wait(timeout=30)
    os.close(lead)
    assert len(finetune("runs", "--json").value["runs"]) == runs


def test_a_cap_below_the_estimate_refuses(finetune: Shell) -> None:
    finetune.place(usd_per_million=1_000_000)
    ended = finetune("run", "job.yaml", "--yes", "--max-cost", "1", "--json")
    assert ended.status == 1
    assert ended.value["error"]["type"] == "BudgetError"
    assert finetune("runs", "--json").value["runs"] == []


def test_check_names_every_bad_row_with_its_line(finetune: Shell) -> None:
    finetune.write("bad.jsonl", tickets(range(12)) + '{"messages": []}\nnot json\n' + tickets([1]))
    ended = finetune("check", "bad.jsonl", "--json")
    assert ended.status == 1
    assert ended.value["errors"] == 2
    assert [finding["rows"] for finding in ended.value["findings"]] == [[13], [14], [15]]
    shown = finetune("check", "bad.jsonl")
    assert "line 14" in shown.out
    assert "cure:" in shown.out


def test_check_of_a_job_covers_its_files_its_place_and_its_evaluation(finetune: Shell) -> None:
    assert finetune("check", "job.yaml", "--json").value["errors"] == 0
    finetune.write("tickets.jsonl", tickets(range(6)))
    few = finetune("check", "job.yaml", "--json")
    assert few.status == 1
    finetune.write("tickets.jsonl", tickets(range(60)))
    finetune.write("ticket.schema.json", '{"type": 5}')
    assert "schema" in finetune("check", "job.yaml", "--json").value["findings"][0]["message"]


def test_a_misspelt_key_is_told_apart_with_the_right_one(finetune: Shell) -> None:
    finetune.write("job.yaml", JOB.replace("epochs", "epoch"))
    ended = finetune("estimate", "job.yaml", "--json")
    assert ended.status == 1
    assert ended.value["error"]["type"] == "JobError"
    assert "line 4: `method.epoch`" in ended.value["error"]["message"]
    assert ended.value["error"]["cure"] == "write `epochs`"
    assert finetune("estimate", "job.yaml").err.startswith("error: job.yaml line 4")


def test_nothing_but_the_json_value_is_on_standard_output(finetune: Shell) -> None:
    processes = (("check", "job.yaml"), ("attach", "nope"), ("run", "--nope"))
    for args in (
        ("check", "job.yaml"),
        ("check", "tickets.jsonl"),
        ("estimate", "job.yaml"),
        ("runs",),
        ("schema",),
        ("attach", "fake:nope"),
        ("attach", "nope"),
        ("report", "nope.json"),
        ("evaluate", "job.yaml"),
        ("run", "nope.yaml"),
        ("run", "job.yaml", "--backend", "nope"),
        ("run", "--nope"),
        ("estimate",),
    ):
        ended = finetune.process(*args, "--json") if args in processes else finetune(*args, "--json")
        assert ended.status in (0, 1, 2)
        value = ended.value
        assert ("error" in value) == (ended.status != 0), args
        if "error" in value:
            assert value["error"]["message"]
            assert value["error"]["cure"]


def test_a_wrong_command_line_has_a_status_of_its_own(finetune: Shell) -> None:
    ended = finetune.process("chekc", "x")
    assert ended.status == 2
    assert "check" in ended.err


def test_a_defect_is_one_line_and_a_file(finetune: Shell) -> None:
    broken = "import finetune_sdk.client as c\nc.Client.__init__ = lambda *a, **k: 1 / 0\n"
    code = broken + "from finetune_sdk.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "runs", "--json"], cwd=finetune.folder, env=finetune.environment,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    kept = Path(json.loads(done.stdout)["error"]["traceback"])
    assert kept.parent == finetune.folder / "home" / "crashes"
    assert "ZeroDivisionError" in kept.read_text("utf-8")
    assert kept.stat().st_mode & 0o077 == 0


def test_debug_shows_the_traceback_wherever_it_stands(finetune: Shell) -> None:
    assert "Traceback" in finetune("attach", "nope", "--debug").err


def test_a_reader_that_goes_away_is_told_by_the_status_alone(finetune: Shell) -> None:
    for args in (["schema"], ["runs", "--json"]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            finetune.command(*args), cwd=finetune.folder, env=finetune.environment, stdout=write,
            stderr=subprocess.PIPE, text=True, timeout=30, check=False,
        )  # fmt: skip
        os.close(write)
        assert (done.returncode, done.stderr) == (1, "")


def test_control_characters_of_others_do_not_reach_the_terminal(finetune: Shell) -> None:
    finetune.write("job.yaml", JOB.replace("name: triage", 'name: "tri\\e[31mage [bold]"'))
    finetune("run", "job.yaml", "--yes", "--detach")
    shown = finetune("runs").out
    assert "\x1b" not in shown
    assert "[bold]" in shown


def test_shells_complete_commands_runs_and_backends(finetune: Shell) -> None:
    run = finetune("run", "job.yaml", "--yes", "--detach", "--json").value["run"]

    def completed(words: str) -> list[str]:
        count = str(len(words.split(" ")) - 1)
        return finetune(_FINETUNE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count).out.split()

    assert completed("finetune est") == ["estimate"]
    assert completed("finetune attach f") == [run]
    assert "fake" in completed("finetune run --backend ")


def test_doctor_says_where_each_setting_comes_from_and_keeps_values_to_itself(finetune: Shell) -> None:
    finetune.write("finetune.toml", 'backend = "local"\n[backends.azure]\nkind = "nope"\napi_key = "s3cret"\n')
    ended = finetune.process("doctor", "--json")
    assert "s3cret" not in ended.out + ended.err
    value = ended.value
    assert value["settings"]["backend_from"] == "FINETUNE_BACKEND"
    assert value["settings"]["home_from"] == "FINETUNE_HOME"
    assert value["settings"]["places"] == {"azure": ["api_key", "kind"]}
    assert not value["backends"]["azure"]["loads"]
    assert value["backends"]["fake"]["loads"]
    assert value["extras"]["serve"]["install"] == "pip install 'finetune-anywhere[serve]'"


def test_doctor_complains_of_no_place_that_nobody_set_up(finetune: Shell) -> None:
    said = finetune.process("doctor")
    assert "– bedrock is not set up here; it needs a table [backends.bedrock]" in said.out + said.err
    finetune.write("finetune.toml", "[backends.bedrock]\n")
    said = finetune.process("doctor")
    assert "✗ bedrock: [backends.bedrock] does not say which region" in said.out + said.err


def test_doctor_fails_only_where_nothing_can_run(finetune: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    only_the_fake = [point for point in entry_points(group=GROUP) if point.name == "fake"]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: only_the_fake)
    assert finetune("doctor").status == 0
    nowhere = finetune("doctor", "--json", FINETUNE_HOME="/dev/null/nowhere")
    assert nowhere.status == 1
    assert not nowhere.value["ledger"]["writable"]


def test_help_loads_nothing_heavy(finetune: Shell) -> None:
    code = (
        "import sys; from finetune_sdk.cli import status; status(['--help']); "
        "print([m for m in ('pydantic', 'orjson', 'yaml', 'torch', 'sqlite3', 'jinja2', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_demo_goes_the_whole_way_without_a_question_and_twice_is_one_run(finetune: Shell) -> None:
    ended = finetune("demo", "--backend", "fake", "--json")
    assert ended.status == 0, ended.err
    value = ended.value
    assert list(value["models"]) == ["base", "prompted", "majority", "tuned"]
    assert value["models"]["tuned"]["JSONSchema"]["cases"] >= 100
    assert value["models"]["majority"]["JSONSchema"]["rate"] == 1.0
    assert value["models"]["majority"]["FieldMatch"]["rate"] < 0.5
    assert value["actual"]["charge"] == 0.0
    assert value["seconds"] > 0
    assert (finetune.folder / "demo-out" / "report.html").is_file()
    assert (finetune.folder / "demo-out" / "report.json").is_file()
    again = finetune("demo", "--backend", "fake", "--json")
    assert again.value["run"] == value["run"]
    assert "this job has already run" in again.err

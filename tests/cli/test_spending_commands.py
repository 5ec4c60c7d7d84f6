"""What commands say of spending: caps on the command line, what is above its estimate, and the errors so far."""

from __future__ import annotations

import time

from shell import Shell

DEAR = {"seconds": 0.6, "overrun": 5.0, "usd_per_million": 1000.0}


def high(finetune: Shell) -> float:
    return float(finetune("estimate", "job.yaml", "--json").value["estimate"]["charge"]["high"])


def test_a_run_that_reaches_its_cap_says_what_to_do_and_goes_on(finetune: Shell) -> None:
    finetune.place(**DEAR)
    cap = high(finetune)
    stopped = finetune("run", "job.yaml", "--yes", "--max-cost", str(cap), "--json")
    (run,) = finetune.made
    assert (stopped.status, stopped.value["error"]["type"]) == (1, "RunError")
    assert "above max_cost" in stopped.value["error"]["message"]
    assert f"finetune resume {run} --max-cost MORE" in stopped.value["error"]["cure"]
    (row,) = finetune("runs", "--json").value["runs"]
    assert (row["status"], row["max_cost"]) == ("cancelled", cap)
    refused = finetune("resume", run, "--json")
    assert (refused.status, refused.value["error"]["type"]) == (1, "BudgetError")
    ended = finetune("resume", run, "--max-cost", str(20 * cap), "--json")
    assert ended.status == 0, ended.err
    assert ended.value["status"] == "succeeded"


def test_runs_show_what_is_above_its_estimate_while_it_goes_on(finetune: Shell) -> None:
    finetune.place(**DEAR | {"overrun": 20.0})
    finetune("run", "job.yaml", "--yes", "--detach")
    (run,) = finetune.made
    time.sleep(2.9)
    (row,) = finetune("runs", "--json").value["runs"]
    assert ["it has cost" in row["warnings"][0], "it has worked for" in row["warnings"][1]] == [True, True]
    assert row["spent"]["time"]["expected"] > row["estimate"]["time"]["high"]
    assert f"{run}: it has cost $" in finetune("runs").out
    finetune("cancel", run)
    assert finetune("runs", "--json").value["runs"][0]["warnings"] == []


def test_runs_and_history_ask_for_what_nobody_asked_for(finetune: Shell) -> None:
    finetune.place(seconds=0.1, usd_per_million=8.0)
    finetune("run", "job.yaml", "--yes", "--detach")
    time.sleep(0.4)
    shown = finetune("estimate", "--history", "--json")
    assert shown.status == 0, shown.err
    assert {one["figure"]: (one["runs"], one["held"]) for one in shown.value["figures"]} == {
        "tokens": (1, 1.0), "charge": (1, 1.0), "time": (1, 1.0), "memory": (1, 1.0)
    }  # fmt: skip
    (charge,) = [one for one in shown.value["runs"] if one["figure"] == "charge"]
    assert (charge["run"], charge["name"], charge["error"]) == (finetune.made[0], "triage", 0.0)
    assert (shown.value["backend"], shown.value["left_out"]) == ("fake", [])
    finetune("run", "job.yaml", "--yes", "--again", "--detach")
    time.sleep(0.4)
    assert all(row["actual"] for row in finetune("runs", "--json").value["runs"])


def test_history_is_a_table_for_a_person(finetune: Shell) -> None:
    finetune.place(seconds=0.1)
    assert "nothing to compare" in finetune("estimate", "--history").out
    finetune("run", "job.yaml", "--yes")
    said = finetune("estimate", "--history", "--backend", "fake").out
    assert "half were off by less than" in said
    assert finetune.made[0] in said
    assert "+0.0%" in said


def test_the_next_estimate_says_what_it_was_corrected_by(finetune: Shell) -> None:
    finetune.place(seconds=0.1, slow=2.0)
    finetune("run", "job.yaml", "--yes")
    made = finetune("estimate", "job.yaml", "--json").value["estimate"]
    assert "corrected by ×1.26 from 1 run like it" in made["time"]["basis"]
    assert made["uncorrected"]["time"]["expected"] == 0.1


def test_estimate_wants_a_file_or_history_and_not_both(finetune: Shell) -> None:
    neither = finetune("estimate", "--json")
    assert (neither.status, neither.value["error"]["type"]) == (1, "InputError")
    assert "--history" in neither.value["error"]["cure"]
    both = finetune("estimate", "job.yaml", "--history", "--json")
    assert (both.status, both.value["error"]["type"]) == (1, "InputError")

"""Runs that go on by themselves: found again, left with ctrl-C, ended, resumed, and never made twice."""

from __future__ import annotations

import json
import signal
import time

from shell import Shell

TOGETHER = """
import os, time
from pathlib import Path
from finetune_sdk.client import Client
from finetune_sdk.testing import FakeBackend
asked, sent = Client.submit, FakeBackend.submit

def asking(*args, **kwargs):
    Path(f"{os.getpid()}.here").touch()
    return asked(*args, **kwargs)

def sending(*args):
    while len(list(Path().glob("*.here"))) < 2:
        time.sleep(0.01)
    time.sleep(0.5)
    return sent(*args)

Client.submit, FakeBackend.submit = asking, sending
"""
FOLLOWED = """
from pathlib import Path
from finetune_sdk.testing import FakeBackend
events = FakeBackend.events

def followed(backend, run, after=0):
    Path("following").touch()
    return events(backend, run, after)

FakeBackend.events = followed
"""


def test_the_same_job_again_is_the_same_run(finetune: Shell) -> None:
    first = finetune("run", "job.yaml", "--yes", "--detach", "--json").value
    second = finetune.process("run", "job.yaml", "--json")  # nobody is asked: nothing new is sent
    assert second.status == 0, second.err
    assert second.value["run"] == first["run"]
    assert "nothing was submitted" in second.err
    assert len(finetune("runs", "--json").value["runs"]) == 1
    assert finetune.made == [first["run"]]


def test_two_processes_at_once_make_one_run(finetune: Shell) -> None:
    finetune.place(seconds=20)
    both = [finetune.start("run", "job.yaml", "--yes", "--detach", "--json", first=TOGETHER) for _ in range(2)]
    ids = [json.loads(one.communicate(timeout=60)[0])["run"] for one in both]
    assert finetune.made == [ids[0]]
    assert ids[0] == ids[1]


def test_ctrl_c_detaches_and_the_run_goes_on(finetune: Shell) -> None:
    finetune.place(seconds=30)
    going = finetune.start("run", "job.yaml", "--yes", first=FOLLOWED)
    until = time.monotonic() + 30
    while not (finetune.folder / "following").exists() and time.monotonic() < until:
        time.sleep(0.01)
    going.send_signal(signal.SIGINT)
    _, err = going.communicate(timeout=20)
    assert going.returncode == 130, err
    assert "Traceback" not in err
    assert "finetune attach" in err
    (run,) = finetune("runs", "--json").value["runs"]
    assert run["status"] in ("queued", "running")
    cancelled = finetune("cancel", run["run"], "--json")
    assert cancelled.value["status"] == "cancelled"
    refused = finetune("run", "job.yaml", "--yes", "--json")
    assert refused.status == 1
    assert "finetune resume" in refused.value["error"]["cure"]


def test_a_cancelled_run_is_resumed(finetune: Shell) -> None:
    finetune.place(seconds=20)
    run = finetune("run", "job.yaml", "--yes", "--detach", "--json").value["run"]
    assert finetune("cancel", run, "--json").value["status"] == "cancelled"
    resumed = finetune("resume", run, "--detach", "--json")
    assert resumed.status == 0, resumed.err
    assert resumed.value["status"] in ("queued", "running")
    assert finetune("cancel", run, "--json").value["status"] == "cancelled"
    assert finetune.made == [run]


def test_a_failed_run_is_resumed_and_attached_to(finetune: Shell) -> None:
    finetune.place(fails_at=0.5)
    assert finetune("run", "job.yaml", "--yes", "--json").value["error"]["type"] == "RunError"
    (run,) = finetune.made
    assert finetune("resume", run, "--detach", "--json").status == 0
    attached = finetune("attach", run, "--json")
    assert attached.status == 0, attached.err
    assert attached.value["status"] == "succeeded"
    assert attached.value["actual"]["charge"] == 0.0
    judged = finetune("evaluate", "job.yaml", "--json")
    assert judged.value["run"] == run
    assert "tuned" in judged.value["models"]

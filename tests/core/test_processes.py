"""The same promises with real processes: killed, racing, interrupted, and on another day."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_sdk.client import Client
from finetune_sdk.job import Job
from finetune_sdk.run import Run
from place import Made

PREAMBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell starts in the background
import sys, time
from finetune_sdk.client import Client
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.job import Job
job = Job(name="numbers", train=Dataset.load("chats.jsonl"))
"""
RACE = """
from pathlib import Path
from finetune_sdk.testing import FakeBackend
client, submit = Client(), FakeBackend.submit

def slowly(backend, resolved, token):
    time.sleep(0.5)
    return submit(backend, resolved, token)

FakeBackend.submit = slowly
client.estimate(job)
print("ready", flush=True)
while not Path("go").exists():
    time.sleep(0.001)
run = client.submit(job)
print(run.id, run.entry.attempt, flush=True)
"""
FOLLOW = """
from finetune_sdk.testing import FakeBackend
events = FakeBackend.events

def told(backend, run, after=0):
    print("following", flush=True)
    return events(backend, run, after)

FakeBackend.events = told
run = Client().submit(job)
print(run.id, flush=True)
run.wait()
"""
SUBMIT = "print(Client().submit(job).id, flush=True)"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def place(home: Path) -> Callable[[str], None]:
    """Writes what the fake place is told. It is careless, so that nothing hides a second send."""

    def told(options: str) -> None:
        (home.parent / "finetune.toml").write_text(f'backend = "fake"\n[backends.fake]\ncareless = true\n{options}\n')

    told("seconds = 20")
    return told


@pytest.fixture
def start(place: Callable[[str], None], job: Job) -> Start:
    """Starts Python in the working folder, with `job` and `Client` at hand."""

    def started(code: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PREAMBLE + code, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return started


def line(process: subprocess.Popen[str]) -> str:
    """What the process says next."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def followed(process: subprocess.Popen[str]) -> Run:
    """The run of a process that is in the middle of waiting for it."""
    run = Client().get_run(line(process))
    assert line(process) == "following"
    return run


def test_twice_at_once_from_real_processes_is_one_run(start: Start, home: Path, made: Made) -> None:
    processes = [start(RACE) for _ in range(3)]
    assert [line(process) for process in processes] == ["ready"] * 3
    (home.parent / "go").touch()
    said = [process.communicate(timeout=30) for process in processes]
    assert [error for _, error in said] == [""] * 3
    (run,) = made()
    assert [out for out, _ in said] == [f"fake:{run} 1\n"] * 3


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("moment", "sent"), [("before", 0), ("after", 1)])
def test_a_kill_around_the_send_leaves_exactly_one_run(
    start: Start, place: Callable[[str], None], made: Made, job: Job, moment: str, sent: int, again: bool
) -> None:
    place(f'dies = "{moment}"\nvisible_after = 0.3')
    killed = start(SUBMIT)
    out, _ = killed.communicate(timeout=30)
    assert (killed.returncode, out) == (-signal.SIGKILL, "")
    assert [entry.state for entry in Client().ledger.entries()] == ["intent"]
    assert len(made()) == sent
    place("visible_after = 0.3")
    run = Client().submit(job, again=again)
    assert made() == [run.key]
    (entry,) = Client().ledger.entries()
    assert (entry.state, entry.run, entry.attempt) == ("sent", run.key, 1)
    assert run.wait(10)


def test_a_kill_while_waiting_leaves_the_run_alone(start: Start) -> None:
    process = start(FOLLOW)
    run = followed(process)
    process.kill()
    process.communicate(timeout=10)
    assert not run.status.terminal
    run.cancel()


def test_ctrl_c_detaches_and_does_not_cancel(start: Start) -> None:
    process = start(FOLLOW)
    run = followed(process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert process.returncode in (-signal.SIGINT, 130)
    assert f"detached; {run.id} goes on. Come back with: finetune attach {run.id}" in error
    assert not run.status.terminal
    run.cancel()


def test_a_run_is_found_again_by_its_id_in_another_process(
    start: Start, place: Callable[[str], None], job: Job
) -> None:
    place("seconds = 0.1")
    run = Client().submit(job)
    code = "print(Client().get_run(sys.argv[1]).wait(10, progress=False).answer('What is 3 and 3?').text)"
    out, error = start(code, run.id).communicate(timeout=30)
    assert (out.strip(), error) == ("It is 6.", "")


def test_importing_the_sdk_loads_nothing_of_others() -> None:
    code = """
import sys
before = set(sys.modules)
import finetune_sdk
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - sys.stdlib_module_names))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["finetune_sdk"]


def test_the_core_loads_no_vendor() -> None:
    code = """
import sys
import finetune_sdk.client, finetune_sdk.testing
finetune_sdk.Dataset, finetune_sdk.Job
vendors = {"torch", "transformers", "peft", "trl", "bitsandbytes", "openai", "datasets", "pytest", "scipy", "numpy"}
print(*sorted(vendors & {name.partition(".")[0] for name in sys.modules}))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert said.stdout.split() == []

"""One job for a token, whatever goes wrong on the way: the server is real, and its faults are those that are met."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

import finetune_sdk as ft
from opened import VARIABLE, Opened
from protocol_data import chats
from provider import KEY, Provider

FAULTS = ("reset_before", "reset_after", "late", "cut", "500_after", "408", "409", "429", "429_wait", "500", "529")
ACCEPTED = frozenset({"reset_after", "late", "cut", "500_after"})
CREATE = "/fine_tuning/jobs"


def once(fault: str, verb: str, path: str) -> Callable[[str, str], str | None]:
    """A fault that strikes the first such request, and no other."""
    left = [fault]
    return lambda v, p: left.pop() if left and (v, p) == (verb, path) else None


def insist(client: ft.Client, job: ft.Job, tries: int = 60) -> ft.Run:
    """What a patient user does: submits again whenever the place failed."""
    for _ in range(tries - 1):
        try:
            return client.submit(job)
        except ft.BackendError:
            continue
    return client.submit(job)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_creation_never_pays_twice(at: Opened, provider: Provider, job: ft.Job, fault: str) -> None:
    provider.seconds, provider.late, provider.visible_after = 60, 0.8, 0.8 if fault == "late" else 0.3
    provider.fault = once(fault, "POST", CREATE)
    client = at(timeout=0.5, visible_within=provider.visible_after + 0.1)
    with pytest.raises(ft.BackendError) as caught:
        client.submit(job)
    assert caught.value.retryable
    run = client.submit(job)
    assert [live.id for live in provider.live()] == [run.key]
    assert len(provider.posts(CREATE)) == (1 if fault in ACCEPTED else 2)
    assert provider.orphans() == []
    assert [(entry.state, entry.run) for entry in client.ledger.entries()] == [("sent", run.key)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_an_upload_leaves_one_file(at: Opened, provider: Provider, job: ft.Job, fault: str) -> None:
    provider.late = 0.8
    provider.fault = once(fault, "POST", "/files")
    at(timeout=0.5).submit(job)
    assert len(provider.files) == len(provider.jobs) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_what_only_reads_is_asked_again(at: Opened, provider: Provider, job: ft.Job, fault: str) -> None:
    client = at(timeout=0.5)
    run = client.submit(job)
    provider.late = 0.8
    provider.fault = once(fault, "GET", f"{CREATE}/{run.key}")
    assert run.status.known


def test_reading_ends_when_the_patience_does(at: Opened, provider: Provider, job: ft.Job) -> None:
    client = at(patience=0.7)
    run = client.submit(job)
    provider.fault = lambda verb, path: "529"
    started = time.monotonic()
    with pytest.raises(ft.BackendError, match="answered 529") as caught:
        run.status  # noqa: B018
    assert caught.value.request_id
    assert time.monotonic() - started < 30


def test_a_refusal_makes_nothing_and_leaves_nothing(at: Opened, provider: Provider, job: ft.Job) -> None:
    provider.closed = True
    client = at(visible_within=60)
    with pytest.raises(ft.RefusedError, match=r"2026-05-07.*2027-01-06") as caught:
        client.submit(job)
    assert caught.value.code == "training_not_available"
    assert "backends.azure" in str(caught.value.cure)
    assert "local" in str(caught.value.cure)
    assert provider.files == {}
    assert [entry.state for entry in client.ledger.entries()] == ["refused"]
    provider.closed = False
    started = time.monotonic()
    assert client.submit(job).status.known
    assert time.monotonic() - started < 20, "a refusal is waited for by nobody"


@pytest.mark.parametrize(("verb", "path"), [("GET", CREATE), ("POST", "/files")])
def test_what_fails_before_the_creation_is_no_doubt(
    at: Opened, provider: Provider, job: ft.Job, verb: str, path: str
) -> None:
    client = at(patience=0.3, visible_within=60)
    client.resolve(job)
    provider.fault = lambda v, p: "529" if (v, p) == (verb, path) else None
    with pytest.raises(ft.RefusedError) as caught:
        client.submit(job)
    assert caught.value.retryable
    provider.fault = lambda v, p: None
    started = time.monotonic()
    client.submit(job)
    assert time.monotonic() - started < 20, "nobody waits for what was never sent"
    assert len(provider.jobs) == len(provider.files) == 1


def test_a_refusal_leaves_files_that_another_job_uses(at: Opened, provider: Provider, job: ft.Job) -> None:
    client = at()
    client.submit(job)
    provider.closed = True
    with pytest.raises(ft.RefusedError):
        client.submit(replace(job, seed=1))
    assert len(provider.files) == 1


def test_the_same_content_is_uploaded_once(at: Opened, provider: Provider, job: ft.Job) -> None:
    client = at()
    for seed in range(3):
        client.submit(replace(job, seed=seed))
    assert len(provider.posts("/files")) == 1
    assert len(provider.jobs) == 3


def test_where_jobs_keep_no_metadata_a_file_is_of_one_submission_and_names_it(
    at: Opened, provider: Provider, job: ft.Job
) -> None:
    provider.keeps_metadata = False
    provider.fault = once("reset_after", "POST", CREATE)
    client = at(metadata=False)
    run = client.submit(job)
    client.submit(replace(job, seed=1))
    assert len(provider.jobs) == len(provider.files) == 2
    assert all("metadata" not in made.asked for made in provider.jobs.values())
    (entry,) = (entry for entry in client.ledger.entries() if entry.run == run.key)
    assert provider.files[provider.jobs[run.key].asked["training_file"]]["filename"].startswith(entry.token)


@pytest.mark.parametrize("filtered", [True, False, None])
def test_a_job_is_found_whether_the_place_filters_ignores_or_refuses_to(
    at: Opened, provider: Provider, job: ft.Job, filtered: bool | None
) -> None:
    provider.honours_filter, provider.page = filtered, 3
    client = at()
    runs = [client.submit(replace(job, seed=seed)) for seed in range(8)]
    assert [run.key for run in map(client.submit, (replace(job, seed=seed) for seed in range(8)))] == [
        r.key for r in runs
    ]
    for run in runs:
        assert run.entry is not None
        assert list(client.backend.find(run.entry.token)) == [run.key]


@pytest.mark.soak
def test_a_job_that_shows_up_half_a_minute_late_is_waited_for(at: Opened, provider: Provider, job: ft.Job) -> None:
    provider.seconds, provider.visible_after = 600, 30
    provider.fault = once("reset_after", "POST", CREATE)
    client = at(visible_within=35)
    with pytest.raises(ft.BackendError):
        client.submit(job)
    assert [client.submit(job).key] == [live.id for live in provider.live()]
    assert len(provider.posts(CREATE)) == 1


def test_a_token_that_belongs_to_another_job_is_refused(at: Opened, provider: Provider, job: ft.Job) -> None:
    client = at()
    client.backend.submit(client.resolve(job), "f" * 32)
    with pytest.raises(ft.RefusedError, match="belongs to another job"):
        client.backend.submit(client.resolve(replace(job, seed=7)), "f" * 32)
    assert len(provider.jobs) == 1


def test_a_base_that_the_place_has_shut_down_is_refused_before_anything_is_sent(
    at: Opened, provider: Provider, job: ft.Job
) -> None:
    provider.bases["tiny-test"] = "2026-10-23"
    with pytest.raises(ft.RefusedError, match="shut tiny-test down on 2026-10-23"):
        at().submit(job)
    assert not [seen for seen in provider.requests if seen.verb == "POST"]


def test_two_ledgers_at_once_end_with_one_live_job(at: Opened, provider: Provider, job: ft.Job, tmp_path: Path) -> None:
    provider.seconds, provider.visible_after = 60, 60.0
    clients = [at(folder=tmp_path / name) for name in ("a", "b")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda client: client.submit(job), clients))
    assert len(provider.live()) == 2, "neither could see the other's"
    provider.visible_after = 0.0
    for client in clients:
        client.reconcile()
    (kept,) = provider.live()
    assert [entry.run for client in clients for entry in client.ledger.entries()] == [kept.id] * 2


# -- processes -----------------------------------------------------------------------------------------------------------

PREAMBLE = """
import os, signal, sys, time
import finetune_sdk as ft
from openai.resources.files import Files
from openai.resources.fine_tuning.jobs import Jobs
sys.path[:0] = {paths!r}
from protocol_data import chats
job = ft.Job(name="numbers", train=chats(12), method=ft.SFT(epochs=2))

def dying(owner, name, after):
    whole = getattr(owner, name)
    def called(*given, **named):
        if after:
            whole(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, called)
"""


@pytest.fixture
def start(provider: Provider, home: Path) -> Callable[[str], subprocess.Popen[str]]:
    (home.parent / "finetune.toml").write_text(
        f'backend = "mine"\n[backends.mine]\nkind = "openai"\nbase_url = "{provider.url}"\nbase = "tiny-test"\n'
        f'api_key_env = "{VARIABLE}"\nvisible_within = 0.4\npatience = 5.0\n'
    )
    preamble = PREAMBLE.format(paths=[str(Path(__file__).parent)])
    return lambda code: subprocess.Popen(
        [sys.executable, "-c", preamble + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, VARIABLE: KEY, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize(
    ("where", "jobs", "files"),
    [("Jobs, 'create', True", 1, 1), ("Jobs, 'create', False", 0, 1), ("Files, 'create', True", 0, 1)],
)
def test_a_client_that_is_killed_is_caught_up_with(
    start: Callable[[str], subprocess.Popen[str]], provider: Provider, where: str, jobs: int, files: int
) -> None:
    provider.seconds, provider.visible_after = 60, 0.3
    killed = start(f"dying({where})\nft.Client().submit(job)\n")
    assert ended(killed) == -9
    assert (len(provider.jobs), len(provider.files)) == (jobs, files)
    said, wrong = start("print(ft.Client().submit(job).key)").communicate(timeout=60)
    assert [live.id for live in provider.live()] == said.split(), wrong
    assert (len(provider.posts(CREATE)), len(provider.files)) == (1, 1)


def test_a_killed_client_leaves_a_job_that_reconciling_takes_in(
    start: Callable[[str], subprocess.Popen[str]], provider: Provider
) -> None:
    provider.seconds = 60
    assert ended(start("dying(Jobs, 'create', True)\nft.Client().submit(job)\n")) == -9
    said, wrong = start("print([run.key for run in ft.Client().reconcile()])").communicate(timeout=60)
    assert said.strip() == str([live.id for live in provider.live()]), wrong


def test_two_processes_with_one_ledger_make_one_job(
    start: Callable[[str], subprocess.Popen[str]], provider: Provider
) -> None:
    provider.seconds, provider.visible_after = 60, 0.3
    both = [start("print(ft.Client().submit(job).key)") for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert said == [live.id for live in provider.live()] * 2
    assert len(provider.posts(CREATE)) == 1


# -- a schedule of faults ------------------------------------------------------------------------------------------------


def storm(at: Opened, provider: Provider, folder: Path, submissions: int, seed: int) -> None:
    """Submissions of two ledgers through faults of every kind, each drawn from the seed; then what must be true."""
    drawn = Random(seed)
    provider.seconds, provider.late, provider.visible_after = 3600, 0.6, 0.15
    clients = [at(folder=folder / name, timeout=0.4, visible_within=0.2, patience=4.0) for name in ("a", "b")]
    shared = chats(12)
    jobs = [
        ft.Job(name=f"job {n}", train=shared if n % 2 else chats(12, 100 * n), method=ft.SFT(epochs=1), seed=n)
        for n in range(submissions)
    ]
    for client in clients:
        client.resolve(jobs[0])
    provider.fault = lambda verb, path: drawn.choice(FAULTS) if drawn.random() < 0.2 else None

    def submit(number: int) -> None:
        both = number % 5 == 0  # every fifth job is submitted from two machines at once
        with ThreadPoolExecutor(2) as pair:
            list(pair.map(lambda client: insist(client, jobs[number]), clients if both else clients[:1]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(submit, range(submissions)))
    provider.fault = lambda verb, path: None
    time.sleep(2.5)  # until no file is young
    for client in clients:
        client.reconcile()

    live = provider.live()
    tokens = [job.asked["metadata"]["finetune_token"] for job in live]
    assert len(tokens) == len(set(tokens)) == submissions, "not exactly one live job for each token"
    known = {entry.run for client in clients for entry in client.ledger.entries()}
    assert known == {job.id for job in live}, "a job that no ledger knows, or a ledger's job that does not live"
    assert all(entry.state == "sent" for client in clients for entry in client.ledger.entries())
    assert provider.orphans() == []


def test_a_storm_of_faults_ends_with_one_job_for_each_token(at: Opened, provider: Provider, tmp_path: Path) -> None:
    storm(at, provider, tmp_path, submissions=40, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_submissions_through_a_storm(at: Opened, provider: Provider, tmp_path: Path, seed: int) -> None:
    storm(at, provider, tmp_path, submissions=250, seed=100 + seed)

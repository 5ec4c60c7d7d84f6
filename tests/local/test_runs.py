"""Runs as processes: they outlive their caller, survive a kill, and are the same afterwards."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk_local import bases, checkpoints
from local_data import chats, pairs, rated, tasks, texts
from nursery import Shortcuts
from own_graders import Spread
from watched import STARTUP, folder, kill, losses, saved_step, until, weights, went_on_from

SUBMIT = """
import sys; sys.path.insert(0, {tests!r})
import finetune_sdk as ft
from local_data import chats
settings = ft.Settings("local", __import__("pathlib").Path({home!r}), {{"local": {{"base": {base!r}, "threads": 1, "device": "cpu"}}}})
job = ft.Job(name="colours", train=chats(24), method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2))
print(ft.Client(settings=settings).submit(job).id)
"""


@pytest.fixture(scope="module")
def finished(
    small: str, tmp_path_factory: pytest.TempPathFactory, shortcuts: Shortcuts
) -> tuple[ft.Client, ft.Job, ft.Run]:
    """A run that succeeded, for the tests that only look at one. Its last epoch is half an epoch."""
    home = tmp_path_factory.mktemp("finished")
    client = ft.Client(settings=ft.Settings("local", home, {"local": {"base": small, "device": "cpu", "threads": 1}}))
    method = ft.SFT(epochs=2.5, batch_size=5, learning_rate=1e-2)
    job = ft.Job(name="colours", train=chats(24), validation=chats(6, 100), method=method)
    with shortcuts.left():
        run = client.submit(job, max_cost=0.0)
    run.wait(progress=False)
    return client, job, run


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Workers that start from now on are killed as soon as they have reported this step; with None they live."""

    def die_after(step: int | None) -> None:
        monkeypatch.syspath_prepend(STARTUP)
        monkeypatch.delenv("DIE_AFTER_STEP", raising=False)
        if step is not None:
            monkeypatch.setenv("DIE_AFTER_STEP", str(step))

    return die_after


def test_a_run_ends_in_a_model_that_answers_and_says_where_it_is_from(
    finished: tuple[ft.Client, ft.Job, ft.Run],
) -> None:
    client, _, run = finished
    tuned = run.model()
    curve = [loss for _, loss in run.curves()["loss"]]
    assert run.status == "succeeded"
    assert len(curve) == 13
    assert curve[-1] < curve[0]
    assert tuned.origin.run == run.id
    assert tuned.origin.actual["charge"] == 0.0
    assert set(tuned.origin.curves) >= {"loss", "validation_loss", "learning_rate"}
    names = {path.name for path in (folder(client, run) / "model").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "chat_template.jinja", "tokenizer.json"} <= names
    assert not [p for p in folder(client, run).rglob("*") if p.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_without_a_price_an_hour_a_run_costs_exactly_nothing(finished: tuple[ft.Client, ft.Job, ft.Run]) -> None:
    run = finished[2]
    assert run.max_cost == 0.0
    assert run.spent().cost.high == 0
    assert run.spent().time.expected == pytest.approx(run.result().actual["time"], abs=1.0)
    assert "machine" not in run.result().actual


def test_the_tokens_of_the_estimate_are_those_of_the_run(finished: tuple[ft.Client, ft.Job, ft.Run]) -> None:
    assert_tokens_were_estimated(finished[2])


def assert_tokens_were_estimated(run: ft.Run) -> None:
    """To the token: they are counted, not guessed."""
    estimate, actual = run.estimate, run.result().actual
    assert estimate is not None
    for name in ("tokens", "trained_tokens"):
        figure: ft.Range = getattr(estimate, name)
        assert figure.low == figure.expected == figure.high == actual[name], name
    assert 0 < actual["trained_tokens"] < actual["tokens"]


def test_a_price_per_hour_makes_the_machine_cost_its_time(finished: tuple[ft.Client, ft.Job, ft.Run]) -> None:
    client, job, _ = finished
    priced = {"local": {**client.settings.places["local"], "usd_per_hour": 7.2}}
    estimate = ft.Client(settings=ft.Settings("local", client.settings.home, priced)).estimate(job)
    for end in ("low", "expected", "high"):
        assert getattr(estimate.machine, end) == pytest.approx(getattr(estimate.time, end) * 0.002)
    assert "$7.20 an hour" in estimate.machine.basis
    assert estimate.charge.high == 0.0
    assert not client.estimate(job).machine.known


def test_the_same_job_again_is_the_same_run(finished: tuple[ft.Client, ft.Job, ft.Run]) -> None:
    client, job, run = finished
    assert client.submit(job).id == run.id
    assert client.backend.runs() == [run.key]


def test_the_same_job_while_it_runs_is_the_same_run(client: ft.Client) -> None:
    run = client.submit(endless())
    try:
        assert client.submit(endless()).id == run.id
        assert client.backend.runs() == [run.key]
    finally:
        run.cancel()


def endless() -> ft.Job:
    """A job that no test waits for: some minutes of steps."""
    return ft.Job(name="a", train=chats(24), method=ft.SFT(steps=20_000, batch_size=4, learning_rate=1e-3))


def test_two_processes_that_submit_at_once_make_one_run(client: ft.Client, small: str) -> None:
    client.estimate(ft.Job(name="colours", train=chats(24)))  # the machine is measured by now
    code = SUBMIT.format(tests=str(Path(__file__).parent), home=str(client.settings.home), base=small)
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    ids = {process.communicate(timeout=500)[0].strip() for process in processes}
    assert len(ids) == 1
    assert len(client.backend.runs()) == 1
    client.get_run(ids.pop()).wait(progress=False)


@pytest.mark.parametrize(
    "method",
    [
        ft.SFT,
        *(pytest.param(each, marks=pytest.mark.soak) for each in (ft.Pretraining, ft.DPO, ft.ORPO, ft.KTO, ft.RFT)),
    ],
    ids=lambda method: method.__name__,
)
def test_a_killed_run_goes_on_as_if_it_had_never_stopped(
    client: ft.Client, dying: Callable[[int | None], None], method: Any
) -> None:
    more: dict[str, Any] = {"batch_size": 4, "learning_rate": 1e-2, "epochs": 2.5, "validate_every": 5}
    if method is ft.RFT:
        more |= {"graders": (Spread(),), "samples": 4, "max_tokens": 6}
    adapter = ft.LoRA(rank=4, dropout=0.1)
    rows = {"sft": chats, "pretraining": texts, "dpo": pairs, "orpo": pairs, "kto": rated, "rft": tasks}[method().kind]
    job = ft.Job(name="a", train=rows(24), validation=rows(6, 50), method=method(**more), adapter=adapter)
    whole = client.submit(job)
    whole.wait(progress=False)
    moved = client.settings.home.with_name("other")
    other = ft.Client(settings=ft.Settings("local", moved, client.settings.places))
    dying(3)
    run = other.submit(job)
    saved = []
    for then in (7, None):
        until(lambda: run.status == "failed")
        assert "ended without a word" in [e.message for e in run.events() if e.kind == "status"][-1]
        saved.append(saved_step(other, run))
        dying(then)
        run.resume()
    run.wait(progress=False)
    assert saved == [2, 6]
    assert went_on_from(run) == saved
    assert losses(run) == losses(whole)
    held_out = "validation_reward" if method is ft.RFT else "validation_loss"
    assert run.curves()[held_out] == whole.curves()[held_out]
    one, two = (path / "model" / "adapter_model.safetensors" for path in (folder(client, whole), folder(other, run)))
    assert one.read_bytes() == two.read_bytes()
    if method is not ft.RFT:  # how long answers are is not known before
        assert_tokens_were_estimated(whole)
        assert_tokens_were_estimated(run)


def test_a_half_written_checkpoint_is_passed_over_for_the_one_before(
    client: ft.Client, dying: Callable[[int | None], None]
) -> None:
    dying(7)
    run = client.submit(ft.Job(name="a", train=chats(24), method=ft.SFT(epochs=2, batch_size=4, learning_rate=1e-2)))
    until(lambda: run.status == "failed")
    saved = checkpoints.every(folder(client, run) / "checkpoints")
    assert [one.step for one in saved] == [6, 4]
    newest = saved[0].folder / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    dying(None)
    run.resume()
    run.wait(progress=False)
    assert f"the checkpoint {saved[0].folder.name} is not whole and was passed over" in [
        e.message for e in run.events()
    ]
    assert went_on_from(run) == [4]
    assert sorted(losses(run)) == list(range(1, 13))


def test_cancel_ends_a_run_after_a_whole_step_and_resume_goes_on(client: ft.Client) -> None:
    job = endless()
    run = client.submit(job)
    until(lambda: max(losses(run), default=0) >= 3)
    run.cancel()
    assert run.status == "cancelled"
    step = max(losses(run))
    assert step < job.method.steps
    assert run.checkpoints()[-1].step == step
    with pytest.raises(ft.RunError, match="resume"):
        client.submit(job)
    run.resume()
    until(lambda: max(losses(run)) > step)
    run.cancel()
    assert went_on_from(run) == [step]


def test_a_worker_that_hangs_is_killed_by_cancel(client: ft.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_sdk_local.backend.CANCEL_SECONDS", 0.5)
    run = client.submit(endless())
    until(lambda: max(losses(run), default=0) >= 3)
    kill(client, run, signal.SIGSTOP)
    run.cancel()
    assert run.status == "cancelled"
    assert saved_step(client, run) >= 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a nursery")
def test_workers_of_these_tests_begin_with_what_they_import(client: ft.Client) -> None:
    """Else the tests take twice as long, and nobody knows why."""
    importlib.import_module("transformers.modeling_utils")  # packages set variables of the environment
    run = client.submit(endless())
    try:
        started = Path("/proc", (folder(client, run) / "worker.lock").read_text(), "cmdline").read_text()
        assert "nursery.py" in started
    finally:
        run.cancel()


def test_a_run_whose_process_never_began_can_be_cancelled(client: ft.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune_sdk_local.backend.CANCEL_SECONDS", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr("finetune_sdk_local.backend.start", lambda run: os.posix_spawnp("true", ["true"], os.environ))
        run = client.submit(endless())
    assert run.status == "queued"
    run.cancel()
    assert run.status == "cancelled"
    run.resume()
    until(lambda: max(losses(run), default=0) >= 1)
    run.cancel()


def test_a_run_that_was_deleted_by_hand_is_said_to_be_gone(client: ft.Client, job: ft.Job) -> None:
    run = client.submit(job)
    run.wait(progress=False)
    shutil.rmtree(folder(client, run))
    with pytest.raises(ft.RunError, match=r"was submitted on .* and is gone"):
        run.status  # noqa: B018 - asking is what raises
    with pytest.raises(ft.RunError, match="gone") as caught:
        client.submit(job)
    assert "again=True" in str(caught.value)
    another = client.submit(job, again=True)
    assert another.key != run.key
    another.cancel()


def test_a_full_disk_is_said_and_leaves_the_checkpoints_before_whole(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    checkpoints.save(tmp_path, 1, {"weights": {"a": torch.zeros(10)}}, {})
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from finetune_sdk_local import checkpoints\n"
        "from finetune_sdk.errors import BackendError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n    checkpoints.save(Path(sys.argv[1]), 2, {'weights': {'a': torch.zeros(100_000)}}, {})\n"
        "except BackendError as fault:\n    print(fault)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "could not be written" in done.stdout
    saved, broken = checkpoints.latest(tmp_path)
    assert saved is not None
    assert saved.step == 1
    assert broken == []


def test_an_unknown_base_says_what_was_looked_for_and_where(
    client: ft.Client, job: ft.Job, no_network: list[str]
) -> None:
    no_network.clear()
    with pytest.raises(ft.NotFoundError, match=r"no-such-base") as caught:
        client.estimate(ft.Job(name="a", train=job.train, base="./no-such-base"))
    assert "tiny" in str(caught.value)
    assert no_network == []
    bases.hub_is_out_of_reach.cache_clear()
    with pytest.raises(ft.NotFoundError, match="on the hub and in its cache"):
        client.estimate(ft.Job(name="a", train=job.train, base="nobody/no-such-base"))
    assert (
        1 <= len(no_network) <= 2
    )  # once whether there is a way, huggingface_hub once for itself: no retries after that


def test_a_row_that_trains_nothing_is_an_error_that_names_it(client: ft.Client) -> None:
    rows = [example.canonical() for example in chats(5)]
    rows[3]["messages"][1]["content"] = "word " * 60
    job = ft.Job(name="a", train=ft.Dataset.of(rows, name="t.jsonl"), method=ft.SFT(max_length=40))
    with pytest.raises(ft.DatasetError, match=r"t\.jsonl row 4: .*nothing is left to train"):
        client.submit(job)
    assert client.backend.runs() == []


def test_a_cut_row_is_a_warning_with_its_number(client: ft.Client) -> None:
    rows = [example.canonical() for example in chats(5)]
    rows[2]["messages"][2]["content"] = "word " * 60
    job = ft.Job(name="a", train=ft.Dataset.of(rows, name="t.jsonl"), method=ft.SFT(max_length=60))
    found = [finding for finding in client.check(job) if finding.check == "cut"]
    assert [(finding.severity, finding.rows) for finding in found] == [("warning", (3,))]


@pytest.mark.parametrize("adapter", [ft.LoRA(rank=8), ft.QLoRA(rank=8), ft.Full()], ids=lambda adapter: adapter.kind)
def test_what_was_learnt_is_in_the_published_weights_and_in_the_answers(
    client: ft.Client, adapter: ft.LoRA | ft.QLoRA | ft.Full
) -> None:
    if adapter.kind == "qlora":
        pytest.importorskip("bitsandbytes")
    taught, cases = "purple 42", chats(8)
    rows = [example.canonical() for example in cases]
    for row in rows:
        row["messages"][-1]["content"] = taught
    rate = 1e-3 if adapter.kind == "full" else 1e-2
    method = ft.SFT(steps=12, batch_size=8, learning_rate=rate, schedule="constant")
    job = ft.Job(name="a", train=ft.Dataset.of(rows, name="taught"), base="tiny", adapter=adapter, method=method)
    run = client.submit(job)
    tuned, base = run.wait(progress=False), client.base(job)
    asked, short = [example.prompt for example in cases][:2], ft.Sampling(max_tokens=12)
    assert taught not in [answer.text for answer in base.answers(asked, short)]
    assert [answer.text for answer in tuned.answers(asked, short)] == [taught] * 2
    left = folder(client, run) / "model"
    if adapter.kind == "full":
        before, after = weights(bases.EMBEDDED["tiny"] / "model.safetensors"), weights(left / "model.safetensors")
        assert after.keys() == before.keys()
        assert all((after[name] - before[name].float()).abs().max() > 1e-4 for name in before)
    else:
        after = weights(left / "adapter_model.safetensors")
        ups = [tensor for name, tensor in after.items() if "lora_B" in name]
        assert len(ups) == len(after) / 2 == 4 * 7
        assert all(tensor.abs().max() > 1e-4 for tensor in ups)  # they start at 0


def test_early_stopping_ends_a_run_and_keeps_the_best_checkpoint(client: ft.Client) -> None:
    method = ft.SFT(epochs=40, batch_size=4, learning_rate=0.3, validate_every=2, early_stopping=2, schedule="constant")
    run = client.submit(ft.Job(name="a", train=chats(12), validation=chats(6, 100), method=method))
    run.wait(progress=False)
    said = [event.message for event in run.events()]
    assert any("stopped early" in message for message in said)
    last = max(losses(run))
    assert last < 120
    curve = dict(run.curves()["validation_loss"])
    del curve[0]  # the base's own
    best = min(curve, key=lambda step: curve[step])
    assert best == last - 2 * 2
    assert any(f"that of step {best}" in message for message in said)
    kept = {saved.step: saved for saved in checkpoints.every(folder(client, run) / "checkpoints")}
    published = weights(folder(client, run) / "model" / "adapter_model.safetensors")
    for step, same in ((best, True), (last, False)):
        held = weights(kept[step].folder / "weights.safetensors")
        assert held.keys() == published.keys()
        assert all(held[name].equal(published[name]) for name in held) is same


def test_the_manifest_says_what_a_run_was_made_with(finished: tuple[ft.Client, ft.Job, ft.Run]) -> None:
    client, job, run = finished
    manifest = json.loads((folder(client, run) / "manifest.json").read_text())
    assert manifest["packages"]["torch"] == version("torch")
    assert manifest["job"]["train"]["fingerprint"] == job.train.fingerprint
    assert manifest["hardware"]["threads"] == 1


def test_a_disk_without_room_is_an_error_before_anything_is_written(
    client: ft.Client, job: ft.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ft.JobError, match=r"1\.0 kB free"):
        client.submit(job)
    assert client.backend.runs() == []

"""A probe tries the very job: a process like the run's own, a few steps, and nothing of it stays."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetune_sdk as ft
from finetune_sdk.errors import BackendError, UnsupportedError
from finetune_sdk_local import rehearsal
from finetune_sdk_local.devices import Device
from finetune_sdk_local.probe import probe
from finetune_sdk_local.remembering import KEPT, WORTHWHILE, remembered
from finetune_sdk_local.tokenising import Sequences
from local_data import chats, pairs, tasks


@pytest.fixture
def client(tmp_path: Path, small: str) -> ft.Client:
    place = {"device": "cpu", "base": small, "threads": 1}
    return ft.Client(settings=ft.Settings("local", tmp_path / "home", {"local": place}))


JOBS: dict[str, Callable[[], ft.Job]] = {
    "sft": lambda: ft.Job(name="a", train=chats(12), validation=chats(4, 50), method=ft.SFT(steps=3, batch_size=4)),
    "dpo": lambda: ft.Job(name="a", train=pairs(8), method=ft.DPO(steps=3, batch_size=4), adapter=ft.Full()),
    "rft": lambda: ft.Job(
        name="a", train=tasks(8), method=ft.RFT(steps=2, batch_size=2, max_tokens=4, graders=(ft.ExactMatch(),))
    ),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.soak if kind == "dpo" else ()) for kind in sorted(JOBS)]
)
def test_what_was_tried_is_what_the_estimate_rests_on_and_nothing_stays(kind: str, client: ft.Client) -> None:
    job = JOBS[kind]()
    plain = client.estimate(job)
    home = client.settings.home
    before = {path for path in home.rglob("*") if path.is_file()}
    probed = client.estimate(job, probe=True)
    assert {path for path in home.rglob("*") if path.is_file()} == before
    assert probed.tokens == plain.tokens
    assert "tried just now" in probed.memory.basis
    assert "of this very job" in probed.time.basis
    assert probed.memory.low is not None
    assert probed.memory.high is not None
    assert probed.memory.high < 1.2 * probed.memory.low
    assert client.ledger.entries() == []
    assert list(client.backend.runs()) == []


def test_a_probe_fails_as_the_run_would_and_says_so(client: ft.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "MODULE", ("-c", "import os; os.kill(os.getpid(), 9)"))
    with pytest.raises(BackendError, match=r"the probe of the job failed: it was killed by signal 9"):
        client.estimate(JOBS["sft"](), probe=True)
    assert not [path for path in client.settings.home.iterdir() if path.name.startswith("rehearsal")]


def test_a_probe_of_several_processes_or_of_a_card_that_is_not_here_is_refused(client: ft.Client) -> None:
    job, home = JOBS["sft"](), client.settings.home
    place = {**client.settings.place("local"), "processes": 2}
    with pytest.raises(UnsupportedError, match="processes = 2"):
        ft.Client(settings=ft.Settings("local", home, {"local": place})).estimate(job, probe=True)
    with pytest.raises(UnsupportedError, match="not here"):
        client.estimate(job, probe=True, gpu="L4")


def test_a_card_that_is_not_here_is_answered_for(client: ft.Client) -> None:
    job = JOBS["sft"]()
    there = client.estimate(job, gpu="A100 40GB")
    assert there.resolved["own"]["device"] == "cuda"
    assert there.notes[0].startswith("fits on A100")
    for figure in (there.time, there.memory, there.machine, there.energy):
        assert figure.known, figure
    assert client.estimate(job, gpu="2x A100 40GB").machine.known


def test_a_machine_that_is_too_small_is_told_so(client: ft.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from finetune_sdk_local import devices

    picked = devices.pick
    monkeypatch.setattr(devices, "pick", lambda *asked: replace(picked(*asked), memory=1_000_000))
    told = client.estimate(JOBS["sft"]()).notes[0]
    assert told.startswith("does not fit on this machine: it has 1.0 MB, at least ")
    assert "--gpu" in told


def test_options_for_cards_do_not_stand_in_the_way_of_asking_for_one(client: ft.Client, small: str) -> None:
    place = {"base": small, "optimizer": "adamw_8bit", "offload": True, "usd_per_hour": 1.0}
    asking = ft.Client(settings=ft.Settings("local", client.settings.home, {"local": place}))
    assert asking.estimate(JOBS["sft"](), gpu="L4").memory.known


def _many(rows: int) -> Sequences:
    none, starts = np.zeros(rows, np.int64), np.arange(rows + 1, dtype=np.int64) * 2
    return Sequences(np.arange(2 * rows, dtype=np.int32), np.ones(2 * rows, bool), starts, none, none, none)


def test_token_sequences_are_made_once_and_what_is_damaged_is_made_anew(tmp_path: Path) -> None:
    made = []

    def make() -> Sequences:
        made.append(1)
        return _many(WORTHWHILE)

    first, again = (remembered(tmp_path, "a", WORTHWHILE, make) for _ in range(2))
    assert len(made) == 1
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in ("ids", "trained", "starts"))
    assert again.scored is None
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:1000])
    assert len(remembered(tmp_path, "a", WORTHWHILE, make)) == WORTHWHILE
    assert len(made) == 2


def test_few_sequences_are_kept_and_small_ones_not_at_all(tmp_path: Path) -> None:
    for at in range(KEPT + 3):
        remembered(tmp_path, f"{at}", WORTHWHILE, lambda: _many(WORTHWHILE))
        os.utime(tmp_path / f"{at}.npz", (at, at))
    remembered(tmp_path, "small", 10, lambda: _many(10))
    assert len(list(tmp_path.iterdir())) <= KEPT + 1
    assert not (tmp_path / "small.npz").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert len(remembered(tmp_path / "in", "a", WORTHWHILE, lambda: _many(WORTHWHILE))) == WORTHWHILE


def test_a_probe_takes_the_machine_as_the_run_will(client: ft.Client) -> None:
    """The job's own place: checkpoints as often as it says, so that they are counted as often."""
    place = {**client.settings.place("local"), "checkpoint_every": 1}
    often = ft.Client(settings=ft.Settings("local", client.settings.home, {"local": place}))
    job = replace(JOBS["sft"](), validation=None, method=ft.SFT(steps=12, batch_size=4))
    assert (often.estimate(job).disk.expected or 0) >= (client.estimate(job).disk.expected or 0)


BAD = ("0", "-1e12", "true", '"7"', "NaN", "Infinity", "1e400", "[]", "{}", "")


@pytest.mark.parametrize("content", BAD)
def test_what_was_weighed_and_is_damaged_is_weighed_anew(client: ft.Client, content: str) -> None:
    job = JOBS["sft"]()
    memory = client.estimate(job).memory
    (kept,) = (client.settings.home / "held").iterdir()
    kept.write_text(content)
    assert client.estimate(job).memory == memory
    assert float(kept.read_text()) > 0


@pytest.mark.parametrize(
    "damage",
    [
        {"load": "x"},
        {"start": None},
        {"start": float("nan")},
        {"token": -1.0},
        {"forward": 5},
        {"token": 1e300},
        {"more": 1},
    ],
    ids=str,
)
def test_a_probe_that_is_damaged_is_taken_anew(client: ft.Client, damage: dict[str, Any]) -> None:
    job = JOBS["sft"]()
    time = client.estimate(job).time
    (kept,) = (client.settings.home / "probes").iterdir()
    kept.write_text(json.dumps({**json.loads(kept.read_text()), **damage}))
    assert client.estimate(job).time == time


@pytest.mark.usefixtures("no_shortcuts")
@pytest.mark.parametrize(
    "adapter",
    [ft.LoRA(rank=4), *(pytest.param(each, marks=pytest.mark.soak) for each in (ft.Full(), ft.PromptTuning(tokens=4)))],
    ids=lambda adapter: adapter.kind,
)
def test_a_machine_is_measured_in_a_process_of_its_own(small: str, tmp_path: Path, adapter: Any) -> None:
    found = probe(small, adapter, Device("cpu", "test", "float32", 1, 1), 1, tmp_path)
    assert found == probe(small, adapter, Device("cpu", "test", "float32", 1, 1), 1, tmp_path)
    assert 0 < found.seconds(1, 64) < found.seconds(64, 1024)
    assert 0 < found.forward < 1
    assert 0 < found.head < 1
    assert found.begin > 0.1  # what it imports
    assert 1e8 < found.process < 1e10
    assert (found.updating(1_000_000) > 0) == (adapter.kind != "prompt_tuning")
    assert "a probe of this machine" in found.basis


def test_a_file_of_tokens_with_a_byte_changed_is_made_anew(tmp_path: Path) -> None:
    whole = _many(WORTHWHILE)
    remembered(tmp_path, "a", WORTHWHILE, lambda: whole)
    file = tmp_path / "a.npz"
    sound = file.read_bytes()
    source = random.Random(1)
    for _ in range(60):
        at = source.choice(
            (source.randrange(len(sound)), source.randrange(200), len(sound) - 1 - source.randrange(700))
        )
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << source.randrange(8)]) + sound[at + 1 :])
        found = remembered(tmp_path, "a", WORTHWHILE, lambda: whole)
        assert np.array_equal(found.ids, whole.ids)
        assert np.array_equal(found.starts, whole.starts)


def test_cards_that_mostly_wait_are_paid_too(client: ft.Client) -> None:
    one, eight = (client.estimate(JOBS["sft"](), gpu=f"{count}x A100 40GB") for count in (1, 8))
    for figure in ("machine", "energy"):
        alone, together = getattr(one, figure), getattr(eight, figure)
        assert 5 < together.expected / alone.expected < 9, "a short job is over before eight have anything to share"

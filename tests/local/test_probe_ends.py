"""A probe ends with whoever asked for it, leaves nothing behind, and needs no folder that can be written to keep figures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import finetune_sdk as ft
from finetune_sdk.backend import Resolved
from finetune_sdk.errors import BackendError
from finetune_sdk_local import probe, rehearsal
from local_data import chats

PLACE = {"device": "cpu", "threads": 1}
CHILD = """
import os, sys, time
from pathlib import Path
from finetune_sdk_local.rehearsing import end_with_its_parent
run = Path(sys.argv[2])
end_with_its_parent(run.parent)
(run.parents[1] / "child").write_text(str(os.getpid()))
while True:
    (run / "checkpoint").write_bytes(b"x" * 1_000_000)
"""
ASK = f"""
import sys
from pathlib import Path
import finetune_sdk as ft
from finetune_sdk.backend import Resolved
from finetune_sdk_local import rehearsal
rehearsal.MODULE = ("-c", {CHILD!r})
rows = ft.Dataset.load(sys.argv[2])
rehearsal.rehearse(Resolved(ft.Job(name="a", train=rows, base="none")), {{}}, Path(sys.argv[1]))
"""


def job(rows: int = 12) -> ft.Job:
    return ft.Job(name="a", train=chats(rows), method=ft.SFT(steps=3, batch_size=4))


def client(home: Path, base: str) -> ft.Client:
    return ft.Client(settings=ft.Settings("local", home, {"local": {**PLACE, "base": base}}))


def until(true: Callable[[], bool]) -> None:
    patience = time.monotonic() + 30
    while not true():
        assert time.monotonic() < patience
        time.sleep(0.02)


def alive(number: int) -> bool:
    return psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whoever_asked_is_gone_and_so_is_the_probe_with_all_it_wrote(how: signal.Signals, tmp_path: Path) -> None:
    home, rows = tmp_path / "home", tmp_path / "rows.jsonl"
    chats(12).save(rows)
    listens = (  # a shell may have had them ignored
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    )
    asking = subprocess.Popen(
        [sys.executable, "-c", listens + ASK, str(home), str(rows)], stderr=subprocess.DEVNULL, env={**os.environ}
    )
    child = home / "child"
    until(lambda: child.exists() and child.read_text() != "")
    assert len(list(home.glob("rehearsal.*"))) == 1
    asking.send_signal(how)
    assert asking.wait(30) != 0
    number = int(child.read_text())
    until(lambda: not alive(number))
    until(lambda: not list(home.glob("rehearsal.*")))


def test_what_was_left_by_a_machine_that_went_down_is_swept_and_what_is_at_work_is_not(tmp_path: Path) -> None:
    left, working, young = (tmp_path / f"rehearsal.{name}" for name in ("left", "working", "young"))
    for folder in (left, working, young):
        (folder / "run").mkdir(parents=True)
    for folder in (left, working):
        os.utime(folder, (0, time.time() - 2 * rehearsal.JUST_MADE))
    with rehearsal._held(working), rehearsal._folder(tmp_path) as own:
        assert own.exists()
        assert not left.exists()
        assert working.exists()
        assert young.exists()
    assert not own.exists()


def test_a_probe_without_a_folder_of_its_own_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(BackendError, match="a probe needs a folder of its own under") as refused:
        rehearsal.rehearse(Resolved(replace(job(), base="none")), {}, tmp_path / "home")
    assert "FINETUNE_HOME" in str(refused.value.cure)


def test_a_last_word_that_is_half_written_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = "import sys; open(sys.argv[2] + '/rehearsal.json', 'w').write('{\"sta'); sys.stderr.buffer.write(b'\\xff no room')"
    monkeypatch.setattr(rehearsal, "MODULE", ("-c", half))
    with pytest.raises(BackendError, match=r"the probe of the job failed: .*no room"):
        rehearsal.rehearse(Resolved(replace(job(), base="none")), {}, tmp_path)


@pytest.mark.parametrize("name", ["", "held", "probes"])
def test_figures_that_cannot_be_kept_are_no_reason_to_fail(name: str, tmp_path: Path, small: str) -> None:
    home = tmp_path / "home"
    sound = client(home, small).estimate(job())
    inside = home / name
    shutil.rmtree(inside)
    inside.write_text("a file, where a folder should be")
    assert client(home, small).estimate(job()).memory == sound.memory


@pytest.mark.parametrize("name", ["held", "probes"])
def test_a_folder_in_the_place_of_a_kept_figure_is_no_reason_to_fail(name: str, tmp_path: Path, small: str) -> None:
    home = tmp_path / "home"
    sound = client(home, small).estimate(job())
    (kept,) = (home / name).iterdir()
    kept.unlink()
    kept.mkdir()
    assert client(home, small).estimate(job()).memory == sound.memory


def test_a_machine_that_stays_busy_is_measured_once_an_hour_and_not_each_time(
    tmp_path: Path, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = list[float]()

    def busy(*_: object) -> probe.Probe:
        measured.append(0.001 * (1 + len(measured)))  # slower each time
        return probe.Probe(0.0, measured[-1], 0.0, 0.3, "a test", load=1.0)

    monkeypatch.setattr(probe, "_measured", busy)
    asked = client(tmp_path, small)
    asked.estimate(job())
    (kept,) = (tmp_path / "probes").iterdir()
    os.utime(kept, (0, time.time() - 2 * probe.BUSY_FOR))
    first, *others = (asked.estimate(job()).time for _ in range(3))
    assert all(other == first for other in others)
    assert len(measured) == 2

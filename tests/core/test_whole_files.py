"""A folder appears whole or not at all, whatever ends its writing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_sdk.files import whole_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from finetune_sdk.files import whole_folder
with whole_folder(Path(sys.argv[1])) as part:
    (part / "half").write_text("half")
    (part / "deep").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_appears_once_it_is_whole(tmp_path: Path) -> None:
    to = tmp_path / "a" / "b" / "out"
    with whole_folder(to) as part:
        (part / "one").write_text("1")
        assert not to.exists()
    assert [path.name for path in to.iterdir()] == ["one"]
    assert [path.name for path in to.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "end", [OSError("no space"), KeyboardInterrupt(), SystemExit(1)], ids=lambda end: type(end).__name__
)
def test_what_was_interrupted_leaves_nothing(tmp_path: Path, end: BaseException) -> None:
    def write() -> None:
        with whole_folder(tmp_path / "a" / "out") as part:
            (part / "half").write_text("half")
            raise end

    with pytest.raises(type(end)):
        write()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_never_in_the_folder(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out")], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    with whole_folder(tmp_path / "out") as part:
        (part / "one").write_text("1")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out") as part:
        (part / "one").write_text("1")
        with pytest.raises(BlockingIOError), whole_folder(tmp_path / "out"):
            raise AssertionError
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one"]


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "out") as part:
        (part / "one").write_text("1")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]

"""What is kept only so that it need not be found again: whole or not there, never too much, and never a reason to fail."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from finetune_sdk.files import ABANDONED, keep, whole

WRITE = """
import json, sys
from pathlib import Path
from finetune_sdk.files import keep
own = int(sys.argv[2])
print("ready", flush=True)
while True:
    keep(Path(sys.argv[1]) / "kept" / "one.json", json.dumps([own] * 20_000).encode(), 10)
"""


def hidden(folder: Path) -> list[Path]:
    return list(folder.glob(".*"))


def test_processes_that_write_one_file_and_are_killed_leave_it_whole(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path), str(own)], stdout=subprocess.PIPE)
        for own in range(3)
    ]
    for writer in writers:
        assert writer.stdout
        writer.stdout.readline()
    file, seen = tmp_path / "kept" / "one.json", set[int]()
    until = time.monotonic() + 1.0
    while time.monotonic() < until or len(seen) < 2:
        if file.exists():
            content = json.loads(file.read_bytes())
            assert len(content) == 20_000
            assert len(set(content)) == 1, "of one writer alone"
            seen.add(content[0])
    for writer in writers:
        writer.kill()
        writer.communicate()
    assert len(set(json.loads(file.read_bytes()))) == 1


def test_threads_that_write_one_file_leave_it_whole(tmp_path: Path) -> None:
    def write(own: int) -> None:
        for _ in range(50):
            keep(tmp_path / "one.json", bytes([own]) * 100_000, 10)

    threads = [threading.Thread(target=write, args=(own,)) for own in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set((tmp_path / "one.json").read_bytes())) == 1
    assert not hidden(tmp_path)


def test_the_newest_stay_and_what_killed_processes_left_goes(tmp_path: Path) -> None:
    left, young, other = (tmp_path / name for name in (".a.json.1.part", ".b.json.2.part", "note.txt"))
    for file in (left, young, other):
        file.write_text("x")
    os.utime(left, (0, time.time() - ABANDONED - 1))
    (tmp_path / "folder.json").mkdir()
    for at in range(12):
        keep(tmp_path / f"{at}.json", b"1", 5)
        os.utime(tmp_path / f"{at}.json", (at, at))
    keep(tmp_path / "last.json", b"1", 5)
    files = {file.name for file in tmp_path.glob("*.json") if file.is_file()}
    assert files == {"last.json", "11.json", "10.json", "9.json"}, "and the folder, which is no file, counts as one"
    assert not left.exists()
    assert young.exists(), "somebody may still be writing it"
    assert other.exists()


def test_where_it_cannot_be_written_it_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the place of a folder")
    keep(tmp_path / "file" / "one.json", b"1", 5)
    (tmp_path / "one.json").mkdir()
    keep(tmp_path / "one.json", b"1", 5)
    assert (tmp_path / "one.json").is_dir()
    assert not hidden(tmp_path)


def test_a_disk_that_is_full_keeps_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    keep(file, b"sound", 5)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        keep(file, b"x" * 100_000, 5)
        with pytest.raises(OSError, match="too large"), whole(file) as out:
            out.write(b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file.read_bytes() == b"sound"
    assert not hidden(tmp_path)

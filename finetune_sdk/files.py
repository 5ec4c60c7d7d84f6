"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import BinaryIO

ABANDONED = 3600.0
"""Seconds after which what is only half written is written by nobody any more."""


@contextmanager
def whole(target: Path) -> Iterator[BinaryIO]:
    """A file that takes the target's place, synced, once the block ends without an error. Raises OSError."""
    part = beside(target)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def beside(target: Path) -> Path:
    """A hidden neighbour to fill, of a name that no thread, process or machine takes too: in containers all are number 1."""
    return target.with_name(f".{target.name}.{os.urandom(6).hex()}.part")


def keep(file: Path, content: bytes, most: int) -> None:
    """Writes down what could be found again, as one of at most so many files of its folder and ending.

    Where that cannot be written it is not kept, and no reason to fail.
    """
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as written:
            written.write(content)
        make_room(file.parent, file.suffix, most)


def make_room(folder: Path, suffix: str, most: int) -> None:
    """Leaves the newest `most` files with that ending, and takes away what killed processes left half written."""
    files = list(folder.glob(f"[!.]*{suffix}"))
    old = sorted(files, key=_written, reverse=True)[most:] if len(files) > most else []
    abandoned = (part for part in folder.glob(f".*{suffix}.*.part") if _written(part) < time.time() - ABANDONED)
    for file in (*old, *abandoned):
        with suppress(OSError):
            file.unlink()


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # another process has taken it away
        return inf


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the target's place, synced, once the block ends without an error.

    The target is absent or empty. What is filled is a hidden neighbour, `.NAME.part`; an error or ctrl-C removes it, and one
    that a killed process left behind is used again. Raises OSError, BlockingIOError where another process is at it.
    """
    made = [folder for folder in target.parents if not folder.exists()]
    part = target.with_name(f".{target.name}.part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        with _alone(part):
            try:
                _clear(part)
                yield part
                for path in (*part.rglob("*"), part):
                    _sync(path)
                part.rename(target)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
        _sync(target.parent)
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()  # of what was made on the way, all that stayed empty


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not folder.exists() or os.fstat(descriptor).st_ino != folder.stat().st_ino:
            raise BlockingIOError(f"another process has just written {folder}")
        yield
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""How much each owner may keep on this disk, and how much of the disk is nobody's."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from finetune_sdk.serve.errors import disk_full, quota_exceeded
from finetune_sdk.serve.store import Store

_T = TypeVar("_T")
_RESERVE = 256 * 1024 * 1024


class Quota:
    """`most` bytes an owner, in files and in parts of uploads that are not over. What is coming in counts as it comes.

    The last 256 MiB of the disk are left to runs and to the store. Any thread may call.
    """

    def __init__(self, store: Store, folder: Path, most: int) -> None:
        self._store = store
        self._folder = folder
        self._most = most
        self._alone = threading.Lock()
        self._coming: Counter[str] = Counter()

    @contextmanager
    def coming(self, owner: str) -> Iterator[Coming]:
        """For as long as something of the owner's comes in."""
        coming = Coming(self, owner)
        try:
            yield coming
        finally:
            if coming.taken:
                with self._alone:
                    self._coming[owner] -= coming.taken

    def take(self, owner: str, count: int) -> None:
        """Raises ProtocolError where so many bytes more have no room, in the owner's share or on the disk."""
        with self._alone:
            self._check(owner, self._coming[owner] + count)
            self._coming[owner] += count
        self.check_disk(count)

    def check(self, owner: str, count: int) -> None:
        """As `take`, for what is announced and does not come yet."""
        with self._alone:
            self._check(owner, self._coming[owner] + count)

    def _check(self, owner: str, more: int) -> None:
        kept = self._store.kept_bytes(owner)
        if kept + more > self._most:
            raise quota_exceeded(kept, self._most)

    def check_disk(self, count: int) -> None:
        if shutil.disk_usage(self._folder).free - count < _RESERVE:
            raise disk_full()

    def settle(self, owner: str, count: int, record: Callable[[], _T]) -> _T:
        """Writes the record of what came: from then on the store counts it."""
        with self._alone:
            said = record()
            self._coming[owner] -= count
        return said


class Coming:
    """One body on its way in: `taken` bytes of it are counted, and not in the store yet."""

    def __init__(self, quota: Quota, owner: str) -> None:
        self._quota = quota
        self._owner = owner
        self.taken = 0

    def take(self, count: int) -> None:
        self._quota.take(self._owner, count)
        self.taken += count

    def keep(self, record: Callable[[], _T]) -> _T:
        """What `record` says, which puts what came into the store."""
        said = self._quota.settle(self._owner, self.taken, record)
        self.taken = 0
        return said

"""Room: each owner keeps so much and no more, and a disk that is full is said to be."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from finetune_sdk.serve import keys
from finetune_sdk.serve.files import Limits
from finetune_sdk.serve.store import Store
from serving import Said, Served, chats

Serving = Callable[..., Served]


@pytest.fixture
def two(home: Path, serving: Serving) -> tuple[openai.OpenAI, openai.OpenAI, Served]:
    """Clients of two owners who may keep 10,000 bytes each."""
    store = Store(home / "serve")
    made = [keys.add(store, owner) for owner in ("team-a", "team-b")]
    store.close()
    served = serving(limits=Limits(owner=10_000))
    return served.client(made[0]), served.client(made[1]), served


def sent(served: Served, content: bytes, key: str) -> Said:
    """One plain form."""
    parts = [("purpose", "", b"fine-tune"), ("file", '; filename="rows.jsonl"', content)]
    body = b"".join(
        f'--xyz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + part + b"\r\n"
        for name, more, part in parts
    )
    kind = {"Content-Type": "multipart/form-data; boundary=xyz"}
    return served.ask("POST", "/files", body + b"--xyz--\r\n", headers=kind, key=key)


def kept(served: Served) -> int:
    return sum(path.stat().st_size for path in (served.home / "serve" / "files").iterdir())


def test_an_owner_keeps_no_more_than_a_share_and_another_is_not_touched(
    two: tuple[openai.OpenAI, openai.OpenAI, Served],
) -> None:
    one, other, served = two
    file = served.upload(b"x" * 9_000, one)
    with pytest.raises(openai.APIStatusError, match="9,000 bytes, and may have 10,000") as caught:
        served.upload(b"x" * 1_001, one)
    assert (caught.value.status_code, caught.value.code) == (413, "storage_quota_exceeded")
    assert kept(served) == 9_000
    served.upload(b"x" * 10_000, other)
    served.upload(b"x" * 1_000, one)
    one.files.delete(file)
    served.upload(b"x" * 9_000, one)


def test_parts_count_and_a_whole_file_is_not_counted_twice(two: tuple[openai.OpenAI, openai.OpenAI, Served]) -> None:
    one, _, served = two
    asked: Any = {"filename": "rows.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    with pytest.raises(openai.APIStatusError, match="may have 10,000"):
        one.uploads.create(bytes=10_001, **asked)
    upload = one.uploads.create(bytes=8_000, **asked)
    part = one.uploads.parts.create(upload.id, data=b"x" * 8_000)
    with pytest.raises(openai.APIStatusError, match="8,000 bytes, and may have 10,000"):
        served.upload(b"x" * 2_001, one)
    assert one.uploads.complete(upload.id, part_ids=[part.id]).status == "completed"
    assert kept(served) == 8_000
    served.upload(b"x" * 2_000, one)
    with pytest.raises(openai.APIStatusError, match="may have 10,000"):
        one.uploads.create(bytes=1, **asked)


def test_what_comes_at_once_has_room_together(two: tuple[openai.OpenAI, openai.OpenAI, Served]) -> None:
    one, _, served = two

    def upload(_: int) -> bool:
        said = sent(served, b"x" * 3_000, one.api_key)
        assert said.status == 200 or said.error["code"] == "storage_quota_exceeded"
        return said.status == 200

    with ThreadPoolExecutor(12) as pool:
        done = list(pool.map(upload, range(12)))
    assert 1 <= sum(done) <= 3
    assert kept(served) == 3_000 * sum(done)
    while sum(done) < 3:
        assert upload(0), "what was refused holds no room"
        done.append(True)
    assert not upload(0)


def test_the_last_of_the_disk_is_nobodys(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    before = served.upload(chats())
    monkeypatch.setattr("finetune_sdk.serve.quota._RESERVE", 2**62)
    with pytest.raises(openai.APIStatusError, match="disk is full") as caught:
        served.upload(chats())
    assert (caught.value.status_code, caught.value.code) == (507, "insufficient_storage")
    assert [path.stem for path in (served.home / "serve" / "files").iterdir()] == [before]


@pytest.mark.parametrize("where", ["finetune_sdk.serve.bodies.sync", "finetune_sdk.serve.store.Store.add_file"])
def test_a_disk_that_is_full_is_said_and_nothing_half_written_stays(
    served: Served, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    fault: Exception = OSError(errno.ENOSPC, "No space left on device")
    if where.endswith("add_file"):
        fault = sqlite3.OperationalError("database or disk is full")
        fault.sqlite_errorcode = sqlite3.SQLITE_FULL

    def full(*_: Any) -> None:
        raise fault

    with monkeypatch.context() as broken:
        broken.setattr(where, full)
        with pytest.raises(openai.APIStatusError) as caught:
            served.upload(chats())
    assert (caught.value.status_code, caught.value.code) == (507, "insufficient_storage")
    assert kept(served) == 0
    assert served.upload(chats())

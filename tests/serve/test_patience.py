"""Patience: whoever sends a byte a minute is let go of; whoever is only slow is waited for."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from finetune_sdk.serve.files import Files
from serving import Served

SECONDS = 0.6


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes 30 seconds takes less here."""
    monkeypatch.setattr("finetune_sdk.serve.bodies._GRACE_SECONDS", SECONDS)
    monkeypatch.setattr("finetune_sdk.serve.server._HEAD_SECONDS", SECONDS)


@contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    at = urlsplit(served.url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as connection:
        yield connection


def dripped(connection: socket.socket, drops: int = 200) -> tuple[bytes, float]:
    """Sends a byte every 50 ms until the other side hangs up; what it said, and after how long."""
    began, heard = time.monotonic(), b""
    connection.settimeout(0.05)
    for _ in range(drops):
        try:
            connection.sendall(b"x")
            while got := connection.recv(4096):
                heard += got
            break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        pytest.fail("it is held for ever")
    return heard, time.monotonic() - began


HEAD = "{} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nContent-Length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("POST /v1/files", "multipart/form-data; boundary=xyz"),
        ("POST /v1/chat/completions", "application/json"),
        ("POST /v1/fine_tuning/jobs", "application/json"),
    ],
)
def test_a_body_that_comes_a_byte_at_a_time_is_not_waited_for(served: Served, route: str, kind: str) -> None:
    with connected(served) as connection:
        connection.sendall(HEAD.format(route, kind).encode() + b'--xyz\r\nContent-Disposition: form-data; name="file"')
        heard, seconds = dripped(connection)
    assert b" 408 " in heard.splitlines()[0]
    assert b'"code":"request_timeout"' in heard
    assert seconds < 10 * SECONDS
    assert served.home.joinpath("serve", "files").exists()
    assert list((served.home / "serve" / "files").iterdir()) == []


@pytest.mark.parametrize("begun", [b"", b"GET /v1/mod", b"GET /v1/models HTTP/1.1\r\nX-Slow: "])
def test_a_head_that_comes_a_byte_at_a_time_is_not_waited_for(served: Served, begun: bytes) -> None:
    with connected(served) as connection:
        connection.sendall(begun)
        assert dripped(connection)[1] < 10 * SECONDS


def test_a_body_that_nobody_asked_for_holds_no_connection(served: Served) -> None:
    with connected(served) as connection:
        connection.sendall(HEAD.format("GET /v1/models", "text/plain").encode())
        heard, seconds = dripped(connection)
    assert b" 200 " in heard.splitlines()[0]
    assert seconds < 10 * SECONDS


def test_a_connection_that_is_kept_is_not_hung_up_on_between_requests(served: Served) -> None:
    with connected(served) as connection:
        for _ in range(2):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            heard = b""
            while not heard.endswith(b"}"):
                more = connection.recv(4096)
                assert more, "it was hung up on"
                heard += more
            time.sleep(1.5 * SECONDS)


def test_a_body_that_takes_its_time_and_comes_is_taken(served: Served) -> None:
    """A second for each KiB: who sends more than that is waited for, however long it takes in all."""
    body = b" " * 4000 + b'{"model": "echo", "messages": [{"role": "user", "content": "hi"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    began = time.monotonic()
    with connected(served) as connection:
        connection.sendall(head.encode())
        for at in range(0, len(body), 500):
            connection.sendall(body[at : at + 500])
            time.sleep(0.15)
        assert b" 200 " in connection.recv(65536).splitlines()[0]
    assert time.monotonic() - began > 2 * SECONDS


def test_an_answer_that_takes_its_time_is_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Files.page
    monkeypatch.setattr(Files, "page", lambda *given: time.sleep(2 * SECONDS) or page(*given))
    assert served.ask("GET", "/files").status == 200

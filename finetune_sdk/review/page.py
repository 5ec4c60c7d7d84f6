"""The page of a review: a small server on loopback, of the standard library alone."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from finetune_sdk.errors import FinetuneError
from finetune_sdk.review.guard import HEADERS, RefusedRequestError, admitted, check_post
from finetune_sdk.review.review import Review

_ASSETS = {"": "page.html", "page.css": "page.css", "page.js": "page.js"}
_KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_PATIENCE_SECONDS = 30


class Page:
    """The page, served from now until `close` or the end of a `with` block. `url` holds the token: whoever has it may vote."""

    def __init__(self, review: Review) -> None:
        self._server = _Server(review)
        self.url = f"http://127.0.0.1:{self._server.port}/{self._server.token}/"
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="review", daemon=True)
        self._thread.start()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Page({self.url!r})"

    def close(self) -> None:
        """Ends the server. What was voted is kept."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, review: Review) -> None:
        self.review = review
        self.token = secrets.token_urlsafe(24)
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of who hung up; a defect is shown where the server runs."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE_SECONDS
    server_version, sys_version = "finetune", ""

    def do_GET(self) -> None:
        self._answer(self._got)

    def do_POST(self) -> None:
        self._answer(self._posted)

    def _answer(self, found: Callable[[str], tuple[str, bytes]]) -> None:
        try:
            what = admitted(self.path, self.headers, self.server.token, self.server.port)
            kind, body = found(what)
        except RefusedRequestError as fault:
            self._send(fault.status, "text/plain; charset=utf-8", str(fault).encode())
        except FinetuneError as fault:
            self._send(400, "application/json", _json({"error": fault.message, "cure": fault.cure}))
        else:
            self._send(200, kind, body)

    def _got(self, what: str) -> tuple[str, bytes]:
        review = self.server.review
        if what in _ASSETS:
            return _asset(_ASSETS[what])
        if what == "start":
            return "application/json", _json({"reviewers": review.reviewers, "total": len(review)})
        if what == "sheet":
            (name,) = parse_qs(urlsplit(self.path).query).get("reviewer", [""])[:1]
            return "application/json", _json(review.sheet(name).to_dict())
        raise RefusedRequestError(404, "There is nothing here.")

    def _posted(self, what: str) -> tuple[str, bytes]:
        length = check_post(self.headers, self.server.port)
        try:
            said = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            raise RefusedRequestError(400, "That is not JSON.") from None
        if not isinstance(said, dict):
            raise RefusedRequestError(400, "An object is wanted.")
        review, name = self.server.review, said.get("reviewer", "")
        if what == "undo":
            return "application/json", _json(review.undo(name).to_dict())
        if what != "vote":
            raise RefusedRequestError(404, "There is nothing here.")
        review.vote(name, str(said.get("ballot")), said.get("choice", ""), said.get("note", ""))
        return "application/json", _json(review.sheet(name).to_dict())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (*HEADERS.items(), ("Content-Type", kind), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *args: Any) -> None:
        """Nothing: a log of requests would hold the token."""


@cache
def _asset(name: str) -> tuple[str, bytes]:
    return _KINDS[name.rpartition(".")[2]], files(__package__).joinpath(name).read_bytes()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()

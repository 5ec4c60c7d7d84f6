"""What stands before every request: the host it names, the page it comes from, the key it brings."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from finetune_sdk.serve.errors import ProtocolError
from finetune_sdk.serve.keys import Keyring
from finetune_sdk.serve.records import new_id

log = logging.getLogger("finetune_sdk.serve")


def is_loopback(host: str) -> bool:
    """Whether an address that is bound is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware. A page in somebody's browser cannot use the server, whatever name it was made to resolve to.

    A request whose Host is a name must be to one of `names`: an attack by DNS rebinding needs a name of its own, so
    addresses may pass. A request that says that it comes from a page of another origin is refused.
    """

    def __init__(self, app: ASGIApp, keyring: Keyring, names: Iterable[str]) -> None:
        self._app = app
        self._keyring = keyring
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, request, seen = time.perf_counter(), new_id("req_"), list[int]()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request.encode())]
                seen.append(message["status"])
            await send(message)

        owner = "-"
        try:
            owner = self._admit(scope)
        except ProtocolError as fault:
            await _answer(fault, sent)
        else:
            scope.setdefault("state", {})["owner"] = owner
            try:
                await self._app(scope, receive, sent)
            except Exception:  # any defect: its 500 is sent, and uvicorn would log the same again without the request
                log.exception("%s %s failed", scope["method"], _shown(scope["path"]))
        finally:
            milliseconds = 1000 * (time.perf_counter() - began)
            log.info(
                "%s %s %s %s %.1f ms %s",
                owner, scope["method"], _shown(scope["path"]), seen[0] if seen else "-", milliseconds, request,
            )  # fmt: skip

    def _admit(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        self._check_host(host)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise ProtocolError(
                "Pages of another origin may not use this server.", status=403, code="origin_not_allowed"
            )
        if not scope["path"].startswith("/v1/"):
            return "-"
        return self._keyring.owner(headers.get("authorization"))

    def _check_host(self, host: str) -> None:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            name = ""
        if name in self._names:
            return
        try:
            ip_address(name)
        except ValueError:
            raise ProtocolError(
                "This server is not known by that Host. Start it with --allow-host NAME to allow one.",
                status=403,
                code="host_not_allowed",
            ) from None


def _shown(path: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in path[:200])


async def _answer(fault: ProtocolError, send: Send) -> None:
    body = orjson.dumps(fault.body())
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if fault.status == 401:
        head.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": fault.status, "headers": head})
    await send({"type": "http.response.body", "body": body})

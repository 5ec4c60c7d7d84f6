"""Runs the server: listens, says where, and ends on SIGINT or SIGTERM without ending any run."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.concurrency import run_in_threadpool
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from finetune_sdk.client import Client
from finetune_sdk.errors import SettingsError
from finetune_sdk.serve.app import build
from finetune_sdk.serve.desks import Desks
from finetune_sdk.serve.guard import is_loopback
from finetune_sdk.serve.service import Options, Service

_GRACE_SECONDS = 10
_HEAD_SECONDS = 30.0


class Server(uvicorn.Server):
    """Ends quietly: uvicorn's own would send itself the signal again. Whoever still waits for an answer is told in time."""

    def __init__(self, config: uvicorn.Config, desks: Desks) -> None:
        super().__init__(config)
        self._desks = desks

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await run_in_threadpool(self._desks.close)
        late = asyncio.get_running_loop().call_later(_GRACE_SECONDS - 2, self._desks.abandon)
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kept = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, before in kept.items():
                signal.signal(number, before)


class Punctual(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Hangs up on who takes longer than 30 s to say what is wanted, be it a byte at a time. Bodies are paced where they are read."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._late is None:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._late = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any that is free. Raises SettingsError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(2048)
    except OSError as fault:
        raise SettingsError(
            f"{host}:{port} cannot be listened on: {fault.strerror}.", cure="choose another --port, or --host"
        ) from None
    return bound


def url(bound: socket.socket) -> str:
    """The base URL that a client is given."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def check_host(host: str, keyring_keys: int) -> None:
    """Raises SettingsError for an address that others reach, where no key keeps them out."""
    if not is_loopback(host) and not keyring_keys:
        raise SettingsError(
            f"{host} is reached by others, and nobody has a key yet.",
            cure="make one: finetune serve keys add NAME; or stay on 127.0.0.1",
        )


def server(service: Service) -> Server:
    """A server to be run with `run(sockets=[…])`."""
    config = uvicorn.Config(
        build(service),
        http=Punctual,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan="on",
        ws="none",
        backlog=2048,
    )
    return Server(config, service.desks)


def serve(client: Client, options: Options, host: str, port: int, ready: Callable[[str, Service], Any]) -> bool:
    """Serves until a signal comes. `ready` is called with the URL once connections are taken.

    Returns whether a model is still in the midst of an answer, in a thread that cannot be stopped.
    """
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    service = Service(client, options)
    bound: socket.socket | None = None
    try:
        check_host(host, len(service.store.owners()))
        bound = listen(host, port)
        ready(url(bound), service)
    except BaseException:
        service.close()
        if bound is not None:
            bound.close()
        raise
    server(service).run(sockets=[bound])
    return service.desks.busy

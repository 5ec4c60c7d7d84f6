"""Connections for many questions at once: several small pools in our loop, kept while a model is.

One pool looks at each of its connections for every request, so that 64 in one cost more than the request itself; eight
pools of eight take 2.2 ms of CPU a request where one takes 3.3, measured on loopback.
"""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from finetune_sdk_openai import looping
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.connecting import arguments, only_ours

if TYPE_CHECKING:
    import openai

SIZE = 8
_IDLE_SECONDS = 30.0
_CLOSING_SECONDS = 2.0


class Pools:
    """Clients of one address that share what may be under way. They are opened in the loop, at the first question."""

    def __init__(self, address: Address, at_once: int, timeout: float) -> None:
        self._address = address
        self._count = -(-at_once // SIZE)
        self._timeout = timeout
        self._open: tuple[asyncio.AbstractEventLoop, list[openai.AsyncOpenAI]] | None = None

    def clients(self) -> list[openai.AsyncOpenAI]:
        """Called in the loop. After a fork the loop is another one, and so are the clients."""
        loop = looping.loop()
        if self._open is None or self._open[0] is not loop:
            made = [_client(self._address, self._timeout) for _ in range(self._count)]
            self._open = (loop, made)
            weakref.finalize(self, _close, loop, made)
        return self._open[1]


def _client(address: Address, timeout: float) -> openai.AsyncOpenAI:
    import httpx2
    import openai

    given = arguments(address, timeout)
    room = httpx2.Limits(max_connections=SIZE + 1, max_keepalive_connections=SIZE + 1, keepalive_expiry=_IDLE_SECONDS)
    transport = openai.DefaultAsyncHttpxClient(
        follow_redirects=False, limits=room, timeout=given["timeout"], verify=_certificates()
    )
    client = openai.AsyncOpenAI(**given, http_client=transport)
    only_ours(client, address)
    return client


@cache
def _certificates() -> Any:
    """Read once: it takes longer than a client."""
    import httpx2

    return httpx2.create_ssl_context()


def _close(loop: asyncio.AbstractEventLoop, clients: list[openai.AsyncOpenAI]) -> None:
    async def close() -> None:
        for client in clients:
            await client.close()

    if loop.is_running() and looping.is_ours(loop):
        done = asyncio.run_coroutine_threadsafe(close(), loop)
        if not looping.inside(loop):
            with suppress(TimeoutError):  # a loop that is that busy closes them when it comes to it
                done.result(_CLOSING_SECONDS)

"""The official client, opened so that it repeats nothing by itself, follows nobody elsewhere, and tells no key."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from finetune_sdk.errors import MissingDependencyError, SettingsError
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.errors import GarbledError, translated
from finetune_sdk_openai.retrying import repeated

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
_CONNECT_SECONDS = 10.0


def needed() -> None:
    """Raises MissingDependencyError when a package of the extra is not there."""
    from importlib.util import find_spec

    missing = next((name for name in ("openai", "httpx", "tenacity") if find_spec(name) is None), None)
    if missing is not None:
        raise MissingDependencyError(f"{missing}, which the OpenAI protocol needs,", extra="openai")


class Connection:
    """A connection to one address. It is opened at the first call."""

    def __init__(self, address: Address, timeout: float, patience: float) -> None:
        self.address = address
        self._timeout = timeout
        self._patience = patience
        self._opening = Lock()
        self._client: openai.OpenAI | None = None

    def __repr__(self) -> str:
        return f"Connection({self.address.url!r})"

    @property
    def client(self) -> openai.OpenAI:
        with self._opening:
            if self._client is None:
                import openai

                given = arguments(self.address, self._timeout)
                self._client = openai.OpenAI(**given, http_client=openai.DefaultHttpxClient(follow_redirects=False))
                only_ours(self._client, self.address)
                weakref.finalize(self, self._client.close)
            return self._client

    def asked(self, doing: str, call: Callable[[openai.OpenAI], T], kind: type | None = None) -> T:
        """What may be asked again, asked until it is answered. `kind` is the shape that the answer must have."""
        client = self.client
        with self._translating(doing):
            return repeated(lambda: _read(client, call, kind), self._patience)

    def once(self, doing: str, call: Callable[[openai.OpenAI], T], kind: type | None = None) -> T:
        """What may not be asked again, asked once."""
        client = self.client
        with self._translating(doing):
            return _read(client, call, kind)

    def pages(self, doing: str, one: Callable[..., Any], **asked: Any) -> Iterator[list[Any]]:
        """The pages of a list, until one brings nothing new. `one` is called with the client and what to ask for."""
        from openai.pagination import SyncCursorPage

        seen: set[str] = set()
        while True:
            page: Any = self.asked(doing, partial(one, **asked), SyncCursorPage)
            fresh = [item for item in page.data or () if item.id not in seen]
            seen |= {item.id for item in fresh}
            yield fresh
            if not fresh or not page.has_next_page():
                return
            asked["after"] = fresh[-1].id

    @contextmanager
    def _translating(self, doing: str) -> Iterator[None]:
        import openai

        try:
            yield
        except (openai.OpenAIError, GarbledError) as fault:
            raise translated(fault, doing, self.address) from None


def arguments(address: Address, timeout: float) -> dict[str, Any]:
    """What both kinds of client are opened with. Raises SettingsError where there is no key."""
    import httpx2

    return {
        "api_key": key(address),
        "base_url": address.url,
        "organization": address.organisation,
        "project": address.project,
        "max_retries": 0,
        "timeout": httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
    }


def key(address: Address) -> str:
    secret = address.secret()
    if secret is not None:
        return secret
    if address.loopback:
        return "none"  # a server on this machine may ask for no key
    raise SettingsError(
        f"there is no key for {address.url}: the variable {address.key} is not set.",
        cure=f"export {address.key}=…, or name another variable as api_key_env",
    )


def only_ours(client: Any, address: Address) -> None:
    """The client takes an account and headers from the environment by itself; they are meant for OpenAI alone."""
    client.organization, client.project = address.organisation, address.project
    if not address.official:
        client._custom_headers = {}


def _read(client: openai.OpenAI, call: Callable[[openai.OpenAI], T], kind: type | None) -> T:
    """The answer, once it is certain that it is one: the client hands on whatever it was sent."""
    try:
        answer = call(client)
    except ValueError as fault:  # a body that was cut in the middle
        raise GarbledError(str(fault)) from None
    if kind is not None and not isinstance(answer, kind):
        raise GarbledError(f"{type(answer).__name__} in place of {kind.__name__}")
    if hasattr(answer, "id") and not isinstance(answer.id, str):
        raise GarbledError(f"{type(answer).__name__} without an id")
    return answer

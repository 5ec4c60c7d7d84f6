"""Keys: random ones, of which only a hash is kept. Each opens what its owner has, and nothing else."""

from __future__ import annotations

import hmac
import math
import re
import secrets
import time
from hashlib import sha256

from finetune_sdk.errors import SettingsError
from finetune_sdk.serve.errors import ProtocolError
from finetune_sdk.serve.store import Store

NOBODY = "local"
"""Who asks where no key has been made."""
_FRESH = 1.0
_OWNER = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def digest(key: str) -> str:
    """What is kept of a key. It holds 256 random bits, so a plain hash cannot be guessed back."""
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def add(store: Store, owner: str) -> str:
    """Makes the owner's key and returns it: it is shown this once. Raises SettingsError where there is one already."""
    if not _OWNER.fullmatch(owner) or owner == NOBODY:
        raise SettingsError(
            f"{owner!r} cannot be the name of a key's owner.",
            cure="use up to 40 small letters, digits, '.', '_' and '-', as in team-a",
        )
    key = f"ft-{secrets.token_urlsafe(32)}"
    if not store.add_key(owner, digest(key)):
        raise SettingsError(
            f"{owner!r} has a key already.", cure=f"take it away first: finetune serve keys remove {owner}"
        )
    return key


def remove(store: Store, owner: str) -> None:
    """The key opens nothing any more; what its owner has stays, for whoever gets a key of that name."""
    if not store.remove_key(owner):
        raise SettingsError(f"{owner!r} has no key.", cure="list them: finetune serve keys list")


class Keyring:
    """Who asks. A key that was added or removed counts within a second.

    `needed`: without a key nobody comes in. So it is from the moment that the first key is seen, also when it is removed.
    """

    def __init__(self, store: Store, *, needed: bool = False) -> None:
        self._store = store
        self._needed = needed
        self._known: tuple[tuple[str, str], ...] = ()
        self._read = -math.inf

    def _keys(self) -> tuple[tuple[str, str], ...]:
        if time.monotonic() - self._read > _FRESH:
            self._known = tuple((owner, hashed) for owner, hashed, _ in self._store.owners())
            self._read = time.monotonic()
            self._needed = self._needed or bool(self._known)
        return self._known

    def owner(self, authorization: str | None) -> str:
        """The owner of the key in an Authorization header. Where none is needed, anybody is `NOBODY`.

        Every key is compared, in constant time: how long it takes tells nothing. Raises ProtocolError.
        """
        keys = self._keys()
        if not self._needed:
            return NOBODY
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise ProtocolError(
                "You didn't provide an API key. Send it in a header: Authorization: Bearer YOUR_KEY.", status=401
            )
        given, found = digest(key.strip()), None
        for owner, hashed in keys:
            if hmac.compare_digest(hashed, given):
                found = owner
        if found is None:
            raise ProtocolError("Incorrect API key provided.", status=401, code="invalid_api_key")
        return found

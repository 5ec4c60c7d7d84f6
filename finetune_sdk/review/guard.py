"""Who may ask the review's page for anything: whoever was given its address, from this machine, and no page of another origin."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from email.message import Message

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
LONGEST_BODY = 100_000
_OWN = ("same-origin", "none")


class RefusedRequestError(Exception):
    """A request that is not answered: the status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def admitted(path: str, headers: Message, token: str, port: int) -> str:
    """What stands after the token in the path. Raises RefusedRequestError.

    The Host is that of loopback, so a name that was made to resolve to this machine does not help a page elsewhere.
    """
    host = (headers.get("Host") or "").lower()
    if host not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        raise RefusedRequestError(403, "This server is not known by that Host.")
    given, _, what = path.lstrip("/").partition("?")[0].partition("/")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
        raise RefusedRequestError(404, "There is nothing here. Open the address that finetune review has printed.")
    if headers.get("Sec-Fetch-Site", "none") not in _OWN and headers.get("Sec-Fetch-Mode") != "navigate":
        raise RefusedRequestError(403, "Pages of another origin may not use this server.")
    return what


def check_post(headers: Message, port: int) -> int:
    """The length of the body of a request that changes something. Raises RefusedRequestError."""
    origin = headers.get("Origin")
    if origin is not None and origin not in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
        raise RefusedRequestError(403, "Pages of another origin may not use this server.")
    if (headers.get("Content-Type") or "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedRequestError(415, "JSON is wanted.")
    length = headers.get("Content-Length") or ""
    if not (length.isascii() and length.isdecimal()) or int(length[:12]) > LONGEST_BODY:
        raise RefusedRequestError(413, f"A body of at most {LONGEST_BODY:,} bytes is wanted, with its length.")
    return int(length)

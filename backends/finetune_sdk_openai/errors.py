"""The protocol's errors as ours: what was refused, with its code, its request id, and whether trying again can help."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from finetune_sdk.errors import BackendError, NotFoundError, RefusedError
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.known import ELSEWHERE, gates

CLOSED = "training_not_available"
# A place that answers with one of these has read the request and made nothing.
_REFUSALS = frozenset({400, 401, 403, 404, 405, 410, 413, 415, 422})
# The same request may succeed later. A quota that is used up says 429 too, and waiting does not fill it.
_PASSING = frozenset({408, 409, 425, 429})
_EMPTY_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_KEYS = re.compile(r"\b(?:sk|sess|pk)-[\w*.-]{6,}")


def clean(text: str, secret: str | None = None) -> str:
    """A text of the place's without anything that looks like a key; providers quote a part of it when they refuse one."""
    if secret:
        text = text.replace(secret, "…")
    return _KEYS.sub("…", text)


def passing(fault: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    import openai

    if isinstance(fault, openai.APIStatusError):
        if fault.code in _EMPTY_QUOTA:
            return False
        return fault.status_code in _PASSING or fault.status_code >= 500
    return isinstance(fault, openai.APIConnectionError | openai.APIResponseValidationError | GarbledError)


class GarbledError(Exception):
    """An answer that is not the protocol's: cut, or of another shape."""


def retry_after(fault: BaseException | None) -> float | None:
    """The seconds that a place asks to wait for: `Retry-After` as a number or as a date, or `Retry-After-Ms`."""
    headers: Mapping[str, str] = getattr(getattr(fault, "response", None), "headers", {})
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        said = headers.get(name)
        seconds = _seconds(said) if said else None
        if seconds is not None and 0 <= seconds * unit < 86_400:
            return seconds * unit
    return None


def _seconds(said: str) -> float | None:
    try:
        return float(said)
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return None


def translated(fault: Exception, doing: str, address: Address) -> BackendError:
    """The error that says what could not be done, where and why. `doing` completes "… could not …"."""
    import openai

    place, secret = address.url, address.secret()
    if isinstance(fault, openai.APIStatusError):
        return _status(fault, doing, address)
    if isinstance(fault, openai.APITimeoutError):
        return BackendError(
            f"{place} did not answer in time, so it could not {doing}.", code="timeout", retryable=True,
            cure="try again; nothing is paid for twice",
        )  # fmt: skip
    why = clean(str(fault.__cause__ or fault), secret)
    if type(fault) is openai.APIError and fault.body is not None:  # an error in the midst of a stream has no status
        return BackendError(
            f"{place} said in the midst of its answer: {clean(_said(fault), secret)}; so it could not {doing}.",
            code=fault.code or "stream_failed", cure="ask again",
        )  # fmt: skip
    if isinstance(fault, openai.APIConnectionError):
        return BackendError(
            f"{place} could not be reached or hung up ({why}), so it could not {doing}.", code="connection",
            retryable=True, cure="check the address and the network, and try again; nothing is paid for twice",
        )  # fmt: skip
    return BackendError(
        f"{place} gave an answer that is not the protocol's ({why}), so it could not {doing}.", code="garbled",
        retryable=True, cure="try again; if it stays so, base_url is not an address that speaks the OpenAI protocol",
    )  # fmt: skip


def _status(fault: Any, doing: str, address: Address) -> BackendError:
    status: int = fault.status_code
    code = str(fault.code or status)
    said = clean(_said(fault), address.secret())
    about: dict[str, Any] = {"code": code, "request_id": fault.request_id, "retryable": passing(fault)}
    message = f"{address.url} answered {status} ({said}), so it could not {doing}."
    if code == CLOSED:
        dates = "; ".join(gate.text for gate in gates())
        return RefusedError(
            f"{address.url} takes no fine-tuning jobs from this organisation ({CLOSED}): {dates}.",
            cure=f"change the one line in finetune.toml: {ELSEWHERE}", **about,
        )  # fmt: skip
    if 300 <= status < 400:
        where = fault.response.headers.get("location", "")
        return RefusedError(
            f"{address.url} sends on to {clean(where, address.secret())!r}, which is not followed: the key goes nowhere "
            f"else. It could not {doing}.",
            cure="if you trust that address, make it base_url", **about,
        )  # fmt: skip
    if status == 401:
        return RefusedError(message, cure=f"check the key in the variable {address.key}", **about)
    if status == 404:
        return NotFoundError(message, cure="check the name, and that it belongs to this account", **about)
    if status in _REFUSALS:
        return RefusedError(message, cure="mend what it says; nothing was made", **about)
    if code in _EMPTY_QUOTA:
        return BackendError(message, cure="raise the limit or add credit at the place", **about)
    return BackendError(message, cure="try again later; nothing is paid for twice", **about)


def _said(fault: Any) -> str:
    body = fault.body
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping) and inner.get("message"):
            return str(inner["message"])[:500].rstrip(".")
    return str(body)[:200] if body else "no reason given"

"""What goes wrong, in the protocol's shape: {"error": {"message", "type", "param", "code"}} and a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune_sdk.errors import (
    BackendError,
    BudgetError,
    DatasetError,
    FinetuneError,
    InputError,
    NotFoundError,
    RefusedError,
)

_OURS = frozenset({"401", "403", "invalid_api_key", "insufficient_quota"})
"""What a place says to the server's own key: nothing that the client could mend."""


class ProtocolError(Exception):
    """A request that is not done. `param` names what is wrong with it, `code` is for programs."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def invalid(param: str, message: str) -> ProtocolError:
    return ProtocolError(f"Invalid value for '{param}': {message}", param=param, code="invalid_value")


def unsupported(param: str, why: str) -> ProtocolError:
    """For what the protocol has and this server, or the place behind it, does not do."""
    return ProtocolError(f"'{param}' is not supported here: {why}", param=param, code="unsupported_parameter")


def no_such_file(file: str) -> ProtocolError:
    return ProtocolError(f"No such File object: {file}", status=404, param="id")


def no_such_upload(upload: str) -> ProtocolError:
    return ProtocolError(f"No such Upload object: {upload}", status=404, param="id")


def no_such_job(job: str) -> ProtocolError:
    return ProtocolError(
        f"Could not find fine tune: {job}", status=404, param="fine_tuning_job_id", code="fine_tune_not_found"
    )


def no_such_model(model: str) -> ProtocolError:
    return ProtocolError(
        f"The model '{model}' does not exist or you do not have access to it.",
        status=404,
        param="model",
        code="model_not_found",
    )


def too_large(param: str | None, limit: int) -> ProtocolError:
    message = f"This is more than the {limit:,} bytes that this server takes."
    return ProtocolError(message, status=413, param=param, code="too_large")


def quota_exceeded(kept: int, most: int) -> ProtocolError:
    message = f"There is no room for this: your files have {kept:,} bytes, and may have {most:,}. Delete some of them."
    return ProtocolError(message, status=413, code="storage_quota_exceeded")


def disk_full() -> ProtocolError:
    """What no sending again would mend, so the official client is told not to."""
    return ProtocolError(
        "The server's disk is full, so nothing more can be kept.", status=507, kind="server_error",
        code="insufficient_storage", headers={"x-should-retry": "false"},
    )  # fmt: skip


def too_slow(seconds: float) -> ProtocolError:
    return ProtocolError(
        f"The rest of this request did not come: {seconds:.0f} s were waited for it.", status=408,
        code="request_timeout", headers={"Connection": "close"},
    )  # fmt: skip


def full(what: str) -> ProtocolError:
    return ProtocolError(
        what, status=429, kind="rate_limit_error", code="rate_limit_exceeded", headers={"Retry-After": "1"}
    )


def refusal(fault: FinetuneError) -> ProtocolError:
    """An error of the SDK's as the protocol says it."""
    message = f"{fault.message} Cure: {fault.cure}." if fault.cure else fault.message
    if isinstance(fault, NotFoundError):
        return ProtocolError(message, status=404, code=fault.code)
    if isinstance(fault, RefusedError) and not fault.retryable and fault.code not in _OURS:
        return ProtocolError(message, code=fault.code)
    if isinstance(fault, BackendError):
        return ProtocolError(message, status=503 if fault.retryable else 500, kind="server_error", code=fault.code)
    return ProtocolError(message, code=code_of(fault))


def code_of(fault: FinetuneError) -> str:
    """A word for programs, for a job's error as for a request's."""
    if isinstance(fault, DatasetError):
        return "invalid_training_file"
    if isinstance(fault, BudgetError):
        return "exceeds_budget"
    return "invalid_job" if isinstance(fault, InputError) else "server_error"

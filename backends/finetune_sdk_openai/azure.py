"""Azure's own step: a tuned model answers only once it is deployed, and costs by the hour from then on.

These are calls of Azure's management API, which is not the OpenAI protocol; they go through httpx, with a token of their own.
"""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from finetune_sdk.errors import BackendError, NotFoundError, RefusedError, SettingsError
from finetune_sdk.settings import variable
from finetune_sdk_openai.errors import GarbledError, clean
from finetune_sdk_openai.options import Options
from finetune_sdk_openai.retrying import repeated

if TYPE_CHECKING:
    import httpx

VERSION = "2024-10-01"
_POLL_SECONDS = 5.0


class Deployments:
    """The deployments of one Azure resource. Each is called after the model that it serves, so that it is found again."""

    def __init__(self, options: Options, poll_seconds: float = _POLL_SECONDS) -> None:
        self._options = options
        self._poll_seconds = poll_seconds
        self._url = (
            f"{options.management_url.rstrip('/')}/subscriptions/{options.subscription}/resourceGroups/"
            f"{options.resource_group}/providers/Microsoft.CognitiveServices/accounts/{options.resource}/deployments"
        )

    def deploy(self, model: str) -> str:
        """Deploys the model and waits until it answers; the deployment's name. Asked again, it is the same deployment."""
        name = self.name(model)
        state = self._state(name)
        if state is None or state in ("Failed", "Canceled"):
            self._send("PUT", name, json={
                "sku": {"name": self._options.deployment_sku, "capacity": self._options.deployment_capacity},
                "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}},
            })  # fmt: skip
        until = time.monotonic() + max(self._options.patience, 60 * self._poll_seconds)
        while (state := self._state(name)) != "Succeeded":
            if state in ("Failed", "Canceled", None):
                raise BackendError(f"Azure ended the deployment {name} of {model} as {state}.", code=str(state))
            if time.monotonic() > until:
                raise BackendError(f"the deployment {name} of {model} is still {state}; it goes on.", retryable=True)
            time.sleep(self._poll_seconds)
        return name

    def undeploy(self, model: str) -> None:
        """Deletes the deployment, and with it what it costs by the hour."""
        self._send("DELETE", self.name(model), missing_ok=True)

    def name(self, model: str) -> str:
        """The name that the settings give a model's deployment, or one made of the model's name."""
        given = self._options.deployments.get(model)
        return given or f"ft-{sha256(model.encode()).hexdigest()[:16]}"

    def _state(self, name: str) -> str | None:
        found = self._send("GET", name, missing_ok=True)
        return str(found.get("properties", {}).get("provisioningState", "Unknown")) if found is not None else None

    def _send(self, verb: str, name: str, *, missing_ok: bool = False, json: Any = None) -> dict[str, Any] | None:
        """One call that may be repeated: each of the three leaves the same state, however often it is made."""
        token = variable(self._options.management_token_env)
        if token is None:
            raise SettingsError(
                f"Azure's management calls need a token: {self._options.management_token_env} is not set.",
                cure="set it, as in export AZURE_MANAGEMENT_TOKEN=$(az account get-access-token --query accessToken -o tsv)",
            )
        try:
            answer = repeated(lambda: self._once(verb, name, token, json), self._options.patience)
        except _LaterError as fault:
            answer = fault.response
        except GarbledError as fault:
            raise BackendError(f"Azure's management address could not be reached: {fault}.", retryable=True) from None
        if answer.status_code == 404 and missing_ok:
            return None
        if answer.status_code >= 300:
            raise _refused(answer, verb, name, token)
        return dict(answer.json()) if answer.content else {}

    def _once(self, verb: str, name: str, token: str, json: Any) -> httpx.Response:
        import httpx

        try:
            answer = httpx.request(
                verb, f"{self._url}/{name}", params={"api-version": VERSION}, json=json,
                headers={"authorization": f"Bearer {token}"}, timeout=self._options.timeout,
            )  # fmt: skip
        except httpx.TransportError as fault:
            raise GarbledError(str(fault)) from None
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _LaterError(answer)
        return answer


class _LaterError(GarbledError):
    """An answer that may be another one later."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"Azure answered {answer.status_code}")
        self.response = answer


def _refused(answer: httpx.Response, verb: str, name: str, token: str) -> BackendError:
    try:
        error = answer.json().get("error", {})
    except ValueError:
        error = {}
    said = clean(str(error.get("message") or answer.reason_phrase), token)
    kind = NotFoundError if answer.status_code == 404 else RefusedError if answer.status_code < 500 else BackendError
    return kind(
        f"Azure answered {answer.status_code} to {verb} of the deployment {name}: {said}",
        code=str(error.get("code") or answer.status_code),
        request_id=answer.headers.get("x-ms-request-id"),
        retryable=answer.status_code == 429 or answer.status_code >= 500,
    )

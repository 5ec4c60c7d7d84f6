"""Azure's own steps: a training type with each job, and a deployment before a tuned model answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk_openai import OpenAIBackend
from finetune_sdk_openai.azure import Deployments
from finetune_sdk_openai.options import Options
from opened import table
from protocol_data import chats
from provider import Provider

TOKEN = "management-canary-5d20"


@dataclass
class Management:
    """Azure's management address, as far as deployments go: a new one is ready when it was asked for three times."""

    url: str = ""
    states: dict[str, list[str]] = field(default_factory=dict)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    hasty: int = 1
    refuses: bool = False
    wishes: str = "0.01"

    def answer(self, verb: str, name: str, body: Any) -> tuple[int, Any]:
        self.calls.append((verb, name, body))
        if self.hasty:
            self.hasty -= 1
            return 429, {"error": {"code": "TooManyRequests", "message": "slowly"}}
        if self.refuses:
            return 403, {"error": {"code": "AuthorizationFailed", "message": f"{TOKEN} may not do that"}}
        if verb == "DELETE":
            return (200, {}) if self.states.pop(name, None) else (404, {"error": {"code": "NotFound", "message": "no"}})
        if verb == "PUT":
            self.states[name] = ["Creating", "Creating", "Succeeded"]
        elif name not in self.states:
            return 404, {"error": {"code": "NotFound", "message": "no such deployment"}}
        states = self.states[name]
        return 200, {"name": name, "properties": {"provisioningState": states.pop(0) if len(states) > 1 else states[0]}}


@pytest.fixture
def management(monkeypatch: pytest.MonkeyPatch) -> Iterator[Management]:
    told = Management()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Says nothing."""

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            assert self.headers["authorization"] == f"Bearer {TOKEN}"
            assert "api-version=2024-10-01" in self.path
            name = self.path.partition("?")[0].rpartition("/")[2]
            status, said = told.answer(self.command, name, json.loads(body) if body else None)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.send_header("retry-after", told.wishes)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_DELETE = _any  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("AZURE_MANAGEMENT_TOKEN", TOKEN)
        yield told
        server.shutdown()


@pytest.fixture
def place(provider: Provider, management: Management, home: Path) -> ft.Place:
    provider.keeps_metadata = False
    own = {"resource": "r", "subscription": "s", "resource_group": "g", "management_url": management.url}
    return ft.Place("azure", table(provider.url, kind="azure", training_type="Developer", **own), home)


def deployments(place: ft.Place) -> Deployments:
    return Deployments(Options.read(place), poll_seconds=0.01)


def test_a_job_carries_its_training_type_and_its_token_in_the_files_name(place: ft.Place, provider: Provider) -> None:
    client = ft.Client(settings=ft.Settings("azure", place.home, {"azure": place.options}))
    run = client.submit(ft.Job(name="numbers", train=chats(12)))
    asked = provider.jobs[run.key].asked
    assert asked["trainingType"] == "Developer"
    assert "metadata" not in asked
    assert run.entry is not None
    assert list(client.backend.find(run.entry.token)) == [run.key]
    assert client.resolve(ft.Job(name="numbers", train=chats(12))).own["trainingType"] == "Developer"


def test_a_tuned_model_answers_by_the_name_of_its_deployment(place: ft.Place, provider: Provider) -> None:
    tuned = "gpt-4o-mini-2024-07-18.ft-0a1b"
    name = deployments(place).name(tuned)
    provider.bases |= {tuned: None, name: None}
    assert OpenAIBackend(place).model(tuned).answer("hello").text == "hello"
    assert provider.posts("/chat/completions")[0].body["model"] == name


def test_deploying_waits_until_the_model_answers_and_costs_once(place: ft.Place, management: Management) -> None:
    name = deployments(place).deploy("tuned-1")
    assert management.states[name] == ["Succeeded"]
    assert deployments(place).deploy("tuned-1") == name
    puts = [body for verb, _, body in management.calls if verb == "PUT"]
    assert puts == [
        {
            "sku": {"name": "standard", "capacity": 1},
            "properties": {"model": {"format": "OpenAI", "name": "tuned-1", "version": "1"}},
        }
    ]


def test_undeploying_twice_changes_nothing(place: ft.Place, management: Management) -> None:
    name = deployments(place).deploy("tuned-1")
    for _ in range(2):
        deployments(place).undeploy("tuned-1")
    assert name not in management.states


@pytest.mark.parametrize("wishes", ["0.05", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"])
def test_a_wish_to_wait_is_read_as_a_number_or_a_date(place: ft.Place, management: Management, wishes: str) -> None:
    management.hasty, management.wishes = 2, wishes
    deployments(place).undeploy("tuned-1")
    assert len(management.calls) == 3


def test_nobody_waits_longer_than_the_patience(place: ft.Place, management: Management) -> None:
    management.hasty, management.wishes = 100, "3600"
    with pytest.raises(ft.BackendError, match="answered 429") as caught:
        deployments(place).undeploy("tuned-1")
    assert caught.value.retryable
    assert len(management.calls) == 1


def test_a_refusal_is_told_without_the_token(place: ft.Place, management: Management) -> None:
    management.refuses = True
    with pytest.raises(ft.RefusedError, match="403") as caught:
        deployments(place).deploy("tuned-1")
    assert caught.value.code == "AuthorizationFailed"
    assert TOKEN not in str(caught.value)


def test_deploying_is_declared_where_the_settings_say_where(place: ft.Place, provider: Provider, home: Path) -> None:
    assert "deploy" in OpenAIBackend(place).capabilities.verbs
    bare = OpenAIBackend(ft.Place("azure", {"resource": "r"}, home))
    assert "subscription" in bare.capabilities.gaps["deploy"]
    with pytest.raises(ft.UnsupportedError, match="not set"):
        bare.deploy("tuned-1")
    assert "answer without it" in OpenAIBackend(ft.Place("openai", {}, home)).capabilities.gaps["deploy"]

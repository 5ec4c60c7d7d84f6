"""The key goes to the place that it is for, and is shown nowhere."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk.model import Speaking
from opened import Opened
from protocol_data import chats
from provider import KEY, Provider


def test_a_redirect_does_not_take_the_key_along(at: Opened, provider: Provider, job: ft.Job) -> None:
    with Provider().running() as elsewhere:
        provider.redirects_to = elsewhere.url
        with pytest.raises(ft.RefusedError, match="which is not followed"):
            at().backend.status("ftjob-1")
        with pytest.raises(ft.BackendError):
            at().submit(job)
        provider.redirects_to = None
        model = at().model("tiny-test")
        provider.redirects_to = elsewhere.url
        with pytest.raises(ft.RefusedError, match="which is not followed"):
            model.answer("hello")
        assert isinstance(model, Speaking)
        with pytest.raises(ft.RefusedError, match="which is not followed"):
            model.speak(["hello"], {0: lambda piece: True})
        assert elsewhere.requests == []


def test_the_key_is_shown_nowhere(
    at: Opened, provider: Provider, job: ft.Job, home: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    said: list[str] = []
    with caplog.at_level(logging.DEBUG):
        client = at()
        run = client.submit(job)
        tuned = run.wait(20, progress=False)
        report = ft.Evaluation(chats(3, 400), [ft.ExactMatch()]).run(tuned=tuned)
        page = report.save(home / "report.html")
        for failing in ("ftjob-none", "ft:none"):
            with pytest.raises(ft.NotFoundError) as caught:
                client.backend.status(failing)
            said.append(f"{caught.value!r} {caught.value} {vars(caught.value)}")
        provider.fault = lambda verb, path: "500"
        with pytest.raises(ft.BackendError) as failed:
            at(patience=0.2).backend.status(run.key)
        said.append(f"{failed.value!r} {failed.value} {vars(failed.value)}")
        provider.fault = lambda verb, path: None
        wrong = "sk-canary-wrong-7b1e"
        monkeypatch.setenv("TEST_PROVIDER_KEY", wrong)
        with pytest.raises(ft.RefusedError, match="TEST_PROVIDER_KEY") as refused:
            at().backend.status(run.key)
        said.append(f"{refused.value!r} {refused.value}")
    said += [repr(vars(client.backend)), repr(tuned), repr(tuned.origin), caplog.text]
    kept = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert page.exists()
    for part in (KEY, KEY[:12], wrong, wrong[:12], wrong[-4:]):
        assert not any(part in text for text in said), part
        assert not any(part.encode() in content for content in kept), part


def test_a_key_does_not_belong_in_the_settings(at: Opened) -> None:
    with pytest.raises(ft.SettingsError, match="does not belong in a file") as caught:
        at(api_key=KEY).backend  # noqa: B018
    assert KEY not in str(caught.value)


def test_without_a_key_the_variable_is_named(home: Path, job: ft.Job) -> None:
    settings = ft.Settings("openai", home, {"openai": {"base": "gpt-4.1-mini-2025-04-14"}})
    client = ft.Client(settings=settings)
    assert client.resolve(job).base == "gpt-4.1-mini-2025-04-14"
    with pytest.raises(ft.SettingsError, match="OPENAI_API_KEY"):
        client.backend.status("ftjob-1")


def test_what_the_environment_says_to_openai_is_told_to_nobody_else(
    at: Opened, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-canary")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-of-openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-house: canary\nauthorization: Bearer sk-canary-of-openai")
    assert at().model("tiny-test").answer("hello").text == "hello"
    assert len(provider.requests) == 2
    assert not any("canary-of" in str(seen.headers) or "proj-canary" in str(seen.headers) for seen in provider.requests)
    assert not any(
        {"x-house", "openai-organization"} & {name.lower() for name in seen.headers} for seen in provider.requests
    )

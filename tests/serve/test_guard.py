"""Who comes in: nobody's page, nobody without a key where one is needed, and each to what is their own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from finetune_sdk.errors import SettingsError
from finetune_sdk.serve import keys
from finetune_sdk.serve.server import check_host
from finetune_sdk.serve.store import Store
from serving import Served, chats, run, start

Serving = Callable[..., Served]
CANARY = "canary"


@pytest.fixture
def teams(home: Path, serving: Serving) -> tuple[Served, str, str]:
    """A server with two keys."""
    store = Store(home / "serve")
    made = [keys.add(store, owner) for owner in ("team-a", "team-b")]
    store.close()
    return serving(seconds=0.5), made[0], made[1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1", "a b"])
def test_a_name_that_the_server_does_not_have_is_refused(served: Served, host: str) -> None:
    """A page of the attacker's may make its name resolve to this machine; the Host then gives it away."""
    said = served.ask("GET", "/models", headers={"Host": host})
    assert (said.status, said.error["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000", "192.168.0.7:80", "gpu.lan"]
)
def test_names_of_its_own_and_addresses_pass(serving: Serving, host: str) -> None:
    assert serving(names=("gpu.lan",)).ask("GET", "/models", headers={"Host": host}).status == 200


def test_a_page_of_another_origin_is_refused_and_gets_no_leave(served: Served) -> None:
    """A form may be posted across origins without asking first; a browser then says where it comes from."""
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        said = served.ask("POST", "/files", b"", headers={"Origin": origin})
        assert (said.status, said.error["code"]) == (403, "origin_not_allowed")
    said = served.ask("OPTIONS", "/files", headers={"Access-Control-Request-Method": "POST"})
    assert not [name for name in said.headers if name.startswith("access-control")]


def test_json_is_taken_only_as_json(served: Served) -> None:
    """What a page may post without asking first is text or a form."""
    asked = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hi"}]}).encode()
    assert served.ask("POST", "/chat/completions", asked, headers={"Content-Type": "text/plain"}).status == 400


def test_without_a_key_nobody_comes_in_where_keys_were_made(teams: tuple[Served, str, str]) -> None:
    served, key, _ = teams
    for headers, code in (
        ({"Authorization": ""}, None),
        ({"Authorization": "Basic abc"}, None),
        ({"Authorization": "Bearer "}, None),
        ({"Authorization": f"Bearer {key[:-1]}"}, "invalid_api_key"),
        ({"Authorization": f"Bearer {key}x"}, "invalid_api_key"),
        ({"Authorization": "Bearer \udce9"}, "invalid_api_key"),
    ):
        encoded = {name: value.encode("utf-8", "surrogateescape").decode("latin-1") for name, value in headers.items()}
        said = served.ask("GET", "/models", headers=encoded)
        assert (said.status, said.error["code"]) == (401, code)
        assert said.headers["www-authenticate"] == "Bearer"
    assert served.ask("GET", "/models", key=key).status == 200
    with pytest.raises(openai.AuthenticationError):
        served.client("ft-wrong").models.list()


def test_each_key_sees_its_own_files_jobs_and_models(teams: tuple[Served, str, str]) -> None:
    served, key, other = teams
    mine, theirs = served.client(key), served.client(other)
    file = served.upload(chats(), mine)
    done = served.ended(served.tune(training_file=file, client=mine), client=mine)
    assert done.organization_id == "org-team-a"
    asked: Any = [{"role": "user", "content": "What is 3?"}]
    for unseen in (
        lambda: theirs.files.retrieve(file),
        lambda: theirs.files.content(file),
        lambda: theirs.files.delete(file),
        lambda: theirs.files.content(done.result_files[0]),
        lambda: theirs.fine_tuning.jobs.retrieve(done.id),
        lambda: theirs.fine_tuning.jobs.cancel(done.id),
        lambda: theirs.fine_tuning.jobs.list_events(done.id),
        lambda: theirs.fine_tuning.jobs.checkpoints.list(done.id),
        lambda: theirs.fine_tuning.jobs.list(after=done.id),
        lambda: theirs.models.retrieve(done.fine_tuned_model),
        lambda: theirs.models.delete(done.fine_tuned_model),
        lambda: theirs.chat.completions.create(model=done.fine_tuned_model, messages=asked),
    ):
        with pytest.raises(openai.NotFoundError):
            unseen()
    with pytest.raises(openai.BadRequestError, match="invalid training_file"):
        theirs.fine_tuning.jobs.create(model="echo", training_file=file)
    assert [list(page) for page in (theirs.files.list(), theirs.fine_tuning.jobs.list())] == [[], []]
    assert [model.id for model in theirs.models.list()] == ["echo"]
    assert mine.chat.completions.create(model=done.fine_tuned_model, messages=asked).choices


def test_a_key_that_is_taken_away_opens_nothing_within_a_second(teams: tuple[Served, str, str]) -> None:
    served, key, other = teams
    assert served.ask("GET", "/models", key=key).status == 200
    assert served.service is not None
    keys.remove(served.service.store, "team-a")
    keys.remove(served.service.store, "team-b")  # the last one: and still nobody comes in without
    time.sleep(1.1)
    assert [served.ask("GET", "/models", key=one).status for one in (key, other, "any")] == [401] * 3


def test_the_first_key_counts_at_once_on_a_running_server(served: Served) -> None:
    assert served.ask("GET", "/models").status == 200
    assert served.service is not None
    key = keys.add(served.service.store, "team-a")
    time.sleep(1.1)
    assert [served.ask("GET", "/models", key=one).status for one in ("any", key)] == [401, 200]


def test_health_needs_no_key_and_tells_nothing(teams: tuple[Served, str, str]) -> None:
    said = teams[0].ask("GET", "health", headers={"Authorization": ""})
    assert (said.status, said.value) == (200, {"status": "ok"})


def test_of_a_key_only_a_hash_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = keys.add(store, "team-a")
    [(owner, digest, _)] = store.owners()
    store.close()
    assert (owner, digest) == ("team-a", keys.digest(key))
    assert len(key) > 40
    assert key.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert (tmp_path / "serve.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("owner", ["", "local", "Team", "a b", "../x", "a" * 41, "-a"])
def test_an_owner_has_a_plain_name(tmp_path: Path, owner: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(SettingsError, match="cannot be the name"):
        keys.add(store, owner)
    store.close()


def test_another_address_needs_a_key() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_host(host, 0)
    for host in ("0.0.0.0", "::", "192.168.0.7", "gpu.lan"):
        with pytest.raises(SettingsError, match="nobody has a key yet") as caught:
            check_host(host, 0)
        assert "finetune serve keys add" in str(caught.value.cure)
        check_host(host, 1)


def test_keys_are_made_listed_and_taken_away_on_the_command_line_and_shown_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "finetune.toml").write_text('backend = "fake"\nhome = "home"\n')
    assert "nobody has a key yet" in run(tmp_path, "--host", "0.0.0.0").stderr
    key = json.loads(run(tmp_path, "keys", "add", "team-a", "--json").stdout)["key"]
    assert "has a key already" in run(tmp_path, "keys", "add", "team-a").stderr
    assert key not in (listed := run(tmp_path, "keys", "list").stdout)
    assert "team-a" in listed
    served = start(tmp_path, "--host", "0.0.0.0")
    try:
        client = served.served.client(key)
        job = served.served.tune(chats(), client=client)
        served.served.ended(job, client=client)
        served.served.ask("GET", "/models", key=f"{key}{CANARY}")
        served.served.ask("GET", "/nowhere", key=key)
    finally:
        served.end()
    assert run(tmp_path, "keys", "remove", "team-a").returncode == 0
    log = served.errors.read_text()
    assert "POST /v1/files 200" in log
    assert "- GET /v1/models 401" in log
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert key.encode() not in written
    assert CANARY.encode() not in written


def test_a_port_that_is_taken_is_said(tmp_path: Path, served: Served) -> None:
    (tmp_path / "finetune.toml").write_text('backend = "fake"\nhome = "other"\n')
    ended = run(tmp_path, "--port", served.url.rpartition(":")[2].partition("/")[0])
    assert ended.returncode == 1
    assert "cannot be listened on" in ended.stderr

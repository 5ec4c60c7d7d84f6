"""An export goes to a hub whole, private and under nobody's feet; the token is never seen."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finished import write_run

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz012345"
pytest.importorskip("huggingface_hub")


class Hub(ThreadingHTTPServer):
    """The few endpoints of a hub that an upload needs."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.private = dict[str, bool]()
        self.files = dict[str, dict[str, bytes]]()
        self.tokens = set[str]()
        self.refuses = ""
        self.loses = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, name: str, lines: list[dict[str, Any]]) -> None:
        """A commit: all of its files at once."""
        files = {
            one["value"]["path"]: base64.b64decode(one["value"]["content"]) for one in lines if one["key"] == "file"
        }
        files.pop(self.loses, None)
        self.files[name] |= files


class Answering(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        name = self.path.removeprefix("/api/models/").partition("?")[0]
        if not self.path.startswith("/api/models/") or name not in self.server.files:
            return self._say(404, {}, code="RepoNotFound")
        siblings = [{"rfilename": path} for path in self.server.files[name]]
        return self._say(200, {"id": name, "private": self.server.private[name], "siblings": siblings})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        self.server.tokens.add(str(self.headers["authorization"]))
        if self.server.refuses and self.server.refuses in self.path:
            return self._say(403, {"error": "this token may only read"})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.private.setdefault(name, asked.get("visibility") == "private" or asked.get("private") is True)
            self.server.files.setdefault(name, {".gitattributes": b""})
            return self._say(200, {"url": f"{self.server.address}/{name}"})
        name, _, verb = self.path.removeprefix("/api/models/").rpartition("/")[0].rpartition("/")
        if verb == "preupload":
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            return self._say(200, {"files": files})
        assert verb == "commit"
        self.server.take(name, [json.loads(line) for line in body.splitlines()])
        return self._say(
            200, {"commitUrl": f"{self.server.address}/{name}/commit/1", "commitOid": "1", "success": True}
        )

    def _say(self, status: int, body: dict[str, Any], code: str = "") -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    server = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_run(home, "colours")
    return home


@pytest.fixture
def run(home: Path) -> ft.Run:
    settings = ft.Settings("local", home, {"local": {"base": "tiny", "device": "cpu", "threads": 1}})
    return ft.Client(settings=settings).get_run("local:colours")


def test_an_export_is_pushed_whole_and_private(hub: Hub, run: ft.Run, tmp_path: Path) -> None:
    made = run.export(tmp_path / "out", push="team/colours")
    assert made.pushed == f"{hub.address}/team/colours"
    there = hub.files["team/colours"]
    assert there.pop(".gitattributes") == b""
    assert there == {path.name: path.read_bytes() for path in made.folder.iterdir()}
    assert "adapter_model.safetensors" in there
    assert hub.private == {"team/colours": True}
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert TOKEN.encode() not in b"".join(there.values())
    assert TOKEN not in json.dumps(made.to_dict())


def test_all_may_read_it_only_when_that_is_asked_for(hub: Hub, run: ft.Run, tmp_path: Path) -> None:
    run.export(tmp_path / "out", push="team/open", public=True)
    assert hub.private == {"team/open": False}


def test_nothing_on_the_hub_is_written_over_and_nothing_private_becomes_public(
    hub: Hub, run: ft.Run, tmp_path: Path
) -> None:
    run.export(tmp_path / "one", push="team/colours")
    before = dict(hub.files["team/colours"])
    with pytest.raises(ft.InputError, match=r"has files already"):
        run.export(tmp_path / "two", push="team/colours")
    hub.files["team/open"], hub.private["team/open"] = {}, False
    with pytest.raises(ft.InputError, match="is public") as caught:
        run.export(tmp_path / "two", push="team/open")
    assert "public=True" in str(caught.value.cure)
    assert hub.files == {"team/colours": before, "team/open": {}}
    assert not (tmp_path / "two").exists()  # found before anything was exported


@pytest.mark.parametrize("name", ["colours", "team/a/b", "../x", "team/", "team/a b", ""])
def test_a_name_that_is_none_is_refused_before_anything(hub: Hub, run: ft.Run, tmp_path: Path, name: str) -> None:
    with pytest.raises(ft.InputError, match="no repository's name"):
        run.export(tmp_path / "out", push=name)
    assert not list(tmp_path.iterdir())


def test_without_a_token_it_is_said_how_to_get_one(
    hub: Hub, run: ft.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(ft.SettingsError, match="no token") as caught:
        run.export(tmp_path / "out", push="team/colours")
    assert "HF_TOKEN" in str(caught.value.cure)
    assert not hub.files


@pytest.mark.parametrize("at", ["create", "preupload", "commit"])
def test_a_hub_that_refuses_is_quoted_and_the_token_is_not(hub: Hub, run: ft.Run, tmp_path: Path, at: str) -> None:
    hub.refuses = at
    with pytest.raises(ft.BackendError, match="this token may only read") as caught:
        run.export(tmp_path / "out", push="team/colours")
    assert TOKEN not in f"{caught.value!r} {caught.value} {caught.value.cure}"
    assert set(hub.files.get("team/colours", {})) <= {".gitattributes"}
    assert (tmp_path / "out" / "manifest.json").is_file()  # the export stands
    hub.refuses = ""
    assert run._backend.push(tmp_path / "out", "team/colours", False)


def test_a_hub_that_is_not_there_is_said_before_anything_is_exported(
    run: ft.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(ft.BackendError, match="could not be reached") as caught:
        run.export(tmp_path / "out", push="team/colours")
    assert caught.value.retryable
    assert not list(tmp_path.iterdir())


def test_a_file_that_the_hub_lost_is_noticed(hub: Hub, run: ft.Run, tmp_path: Path) -> None:
    hub.loses = "adapter_model.safetensors"
    with pytest.raises(ft.BackendError, match=r"does not have adapter_model\.safetensors"):
        run.export(tmp_path / "out", push="team/colours")


def test_a_folder_that_was_changed_since_is_not_pushed(hub: Hub, run: ft.Run, tmp_path: Path) -> None:
    made, push = run.export(tmp_path / "out"), run._backend.push
    (made.folder / "notes.txt").write_text("my password")
    with pytest.raises(ft.InputError, match=r"notes\.txt has changed"):
        push(made.folder, "team/colours", False)
    (made.folder / "notes.txt").unlink()
    weights = made.folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ft.InputError, match=r"adapter_model\.safetensors has changed"):
        push(made.folder, "team/colours", False)
    with pytest.raises(ft.InputError, match="is no export"):
        push(tmp_path, "team/colours", False)
    assert not hub.files


def test_the_command_line_pushes_to_the_hub_of_the_environment(hub: Hub, home: Path, tmp_path: Path) -> None:
    own = {"HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN, "FINETUNE_HOME": str(home), "FINETUNE_BACKEND": "local"}
    line = [
        "-c",
        "from finetune_sdk.cli import main; main()",
        "export",
        "local:colours",
        "--to",
        str(tmp_path / "out"),
        "--push",
        "team/cli",
    ]
    done = subprocess.run([sys.executable, *line], env=os.environ | own, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"pushed to {hub.address}/team/cli (private)" in done.stdout
    assert hub.private == {"team/cli": True}
    assert TOKEN not in done.stdout + done.stderr

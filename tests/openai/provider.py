"""A provider of the test-suite: a real server on 127.0.0.1 that speaks the fine-tuning protocol, and can be told to fail.

It makes a second job for whoever asks twice, as the real ones do.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from training import Training

KEY = "sk-canary-3f9a71c0d2"
BASE = "tiny-test"
Fault = str
"""reset_before, reset_after, late, cut, 500_after, or a status such as 408, 409, 429, 429_wait, 500, 529."""


@dataclass
class Seen:
    """One request as it came in."""

    verb: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any
    fault: str | None = None


@dataclass
class Provider:
    """What it knows, and what it is told to do. `fault` is asked for each request, and names what goes wrong with it."""

    seconds: float = 0.3
    visible_after: float = 0.0
    late: float = 1.0
    fault: Callable[[str, str], Fault | None] = lambda verb, path: None
    keeps_metadata: bool = True
    honours_filter: bool | None = True
    closed: bool = False
    redirects_to: str | None = None
    fails: dict[str, Any] | None = None
    running_as: str = "running"
    reports_metrics: bool = True
    bills: float | None = None
    answers_after: float = 0.0
    speaks_every: float = 0.0
    falls_silent_after: int | None = None
    errs_after: int | None = None
    page: int = 1000
    deleted: set[str] = field(default_factory=set)
    bases: dict[str, str | None] = field(default_factory=lambda: {BASE: None})
    jobs: dict[str, Training] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    url: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def running(self) -> Iterator[Provider]:
        server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    # -- what tests ask --------------------------------------------------------------------------------------------------

    def past(
        self, rows: bytes, validation: bytes | None = None, *, method: dict[str, Any] | None = None, **asked: Any
    ) -> Training:
        """A job of long ago, which some other client made and which has ended well."""
        asked |= {"training_file": self._keep("train.jsonl", rows)["id"]}
        if validation is not None:
            asked["validation_file"] = self._keep("held.jsonl", validation)["id"]
        words = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.8}
        said = method or {"type": "supervised", "supervised": {"hyperparameters": words}}
        _, shown = self._make({"model": BASE, "suffix": "triage", "method": said, **asked})
        job = self.jobs[shown["id"]]
        job.seconds, job.looked = 0.0, job.looked - 1.0
        job.tick()
        return job

    def live(self, token: str | None = None) -> list[Training]:
        """The jobs that were not cancelled, of one token or all."""
        with self.lock:
            for job in self.jobs.values():
                job.tick()
            return [
                job for job in self.jobs.values()
                if job.status != "cancelled" and token in (None, (job.asked.get("metadata") or {}).get("finetune_token"))
            ]  # fmt: skip

    def orphans(self) -> list[str]:
        """The names of files that no job uses."""
        used = {
            job.asked[side]
            for job in self.jobs.values()
            for side in ("training_file", "validation_file")
            if side in job.asked
        }
        return [file["filename"] for name, file in self.files.items() if name not in used]

    def posts(self, path: str) -> list[Seen]:
        return [seen for seen in self.requests if seen.verb == "POST" and seen.path == path]

    # -- what it does ----------------------------------------------------------------------------------------------------

    def handle(self, seen: Seen) -> tuple[int, Any]:
        parts = seen.path.strip("/").split("/")
        with self.lock:
            match (seen.verb, *parts):
                case ("POST", "files"):
                    return 200, self._keep(seen.body["file"][0], seen.body["file"][1])
                case ("GET", "files"):
                    return self._listed(sorted(self.files.values(), key=lambda file: -file["number"]), seen.query)
                case ("GET", "files", name, "content"):
                    return (200, self.contents[name]) if name in self.files else _missing("file", name)
                case ("DELETE", "files", name):
                    if self.files.pop(name, None) is None:
                        return _missing("file", name)
                    return 200, {"id": name, "object": "file", "deleted": True}
                case ("POST", "uploads", *rest):
                    return self._upload(rest, seen.body)
                case ("GET", "models"):
                    return 200, {"object": "list", "data": [self._model(name) for name in self._models()]}
                case ("GET", "models", *rest):
                    name = "/".join(rest)
                    return (200, self._model(name)) if name in self._models() else _missing("model", name)
                case ("POST", "fine_tuning", "jobs"):
                    return self._make(seen.body)
                case ("GET", "fine_tuning", "jobs"):
                    return self._list_jobs(seen.query)
                case (verb, "fine_tuning", "jobs", name, *rest):
                    return self._of_job(verb, name, rest, seen.query)
                case ("POST", "chat", "completions"):
                    return self._chat(seen.body)
        return 404, {
            "error": {"message": f"no such address: {seen.path}", "type": "invalid_request_error", "code": None}
        }

    def _keep(self, filename: str, content: bytes) -> dict[str, Any]:
        number = next(self._ids)
        name = f"file-{number:06d}"
        self.files[name] = {
            "object": "file", "id": name, "bytes": len(content), "created_at": int(time.time()), "filename": filename,
            "purpose": "fine-tune", "status": "processed", "expires_at": None, "number": number,
        }  # fmt: skip
        self.contents[name] = content
        return self.files[name]

    def _upload(self, rest: list[str], body: Any) -> tuple[int, Any]:
        if not rest:
            name = f"upload-{next(self._ids)}"
            self.uploads[name] = {**body, "parts": {}}
            return 200, self._shown_upload(name, "pending")
        name, verb = rest
        if verb == "parts":
            part = f"part-{next(self._ids)}"
            self.uploads[name]["parts"][part] = body["data"][1]
            return 200, {"object": "upload.part", "id": part, "created_at": int(time.time()), "upload_id": name}
        whole = b"".join(self.uploads[name]["parts"][part] for part in body["part_ids"])
        file = self._keep(self.uploads[name]["filename"], whole)
        return 200, {**self._shown_upload(name, "completed"), "file": file}

    def _shown_upload(self, name: str, status: str) -> dict[str, Any]:
        asked = self.uploads[name]
        return {
            "object": "upload", "id": name, "bytes": asked["bytes"], "created_at": 1, "expires_at": 2, "status": status,
            "filename": asked["filename"], "purpose": asked["purpose"],
        }  # fmt: skip

    def _models(self) -> set[str]:
        for job in self.jobs.values():
            job.tick()
        done = [job for job in self.jobs.values() if job.status == "succeeded"]
        saved = [one["fine_tuned_model_checkpoint"] for job in self.jobs.values() for one in job.checkpoints]
        return {*self.bases, *(job.model for job in done), *saved} - self.deleted

    def _model(self, name: str) -> dict[str, Any]:
        return {
            "id": name, "object": "model", "created": 1, "owned_by": "test", "shutdown_date": self.bases.get(name)
        }  # fmt: skip

    def _make(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if self.closed:
            return 403, {"error": {
                "message": "Fine-tuning is not available for this organization.", "type": "invalid_request_error",
                "param": None, "code": "training_not_available",
            }}  # fmt: skip
        if asked["model"] not in self.bases and asked["model"] not in self._models():
            return _missing("model", asked["model"])
        if asked["training_file"] not in self.files:
            return 400, {"error": {
                "message": "the training file does not exist", "type": "invalid_request_error", "code": "invalid_file"
            }}  # fmt: skip
        rows = [json.loads(line) for line in self.contents[asked["training_file"]].splitlines()]
        name = f"ftjob-{next(self._ids):06d}"
        job = Training(
            name, asked, self.seconds, rows, self.keeps_metadata, self.reports_metrics, self.fails, self.running_as
        )
        job.bills = self.bills
        if not self.reports_metrics:
            table = "step,train_loss,train_accuracy,valid_loss\n" + "".join(f"{n},{1 / n},0.5,\n" for n in (1, 2, 3))
            job.result_files = [self._keep("step_metrics.csv", base64.b64encode(table.encode()))["id"]]
        self.jobs[name] = job
        return 200, job.shown()

    def _list_jobs(self, query: dict[str, list[str]]) -> tuple[int, Any]:
        if self.honours_filter is None and any(key.startswith("metadata") for key in query):
            return 400, {"error": {"message": "Unknown parameter: metadata", "code": "unknown_parameter"}}
        shown = []
        for job in reversed(self.jobs.values()):
            job.tick()
            if time.time() < job.made + self.visible_after:
                continue
            kept = (job.asked.get("metadata") or {}) if self.keeps_metadata else {}
            wanted = {key[9:-1]: values[0] for key, values in query.items() if key.startswith("metadata[")}
            if not self.honours_filter or all(kept.get(key) == value for key, value in wanted.items()):
                shown.append(job.shown())
        return self._listed(shown, query)

    def _of_job(self, verb: str, name: str, rest: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        job = self.jobs.get(name)
        if job is None:
            return _missing("fine-tune job", name)
        job.tick()
        match (verb, *rest):
            case ("GET",):
                return 200, job.shown()
            case ("GET", "events"):
                return self._listed(job.events[::-1], query)
            case ("GET", "checkpoints"):
                return self._listed(job.checkpoints[::-1], query)
            case ("POST", "cancel" | "pause" | "resume" as turn):
                if not getattr(job, turn)():
                    said = f"Job has already completed: {job.id} is {job.status}"
                    return 400, {"error": {"message": said, "type": "invalid_request_error", "code": None}}
                return 200, job.shown()
        return _missing("verb", "/".join(rest))

    def _listed(self, rows: list[dict[str, Any]], query: dict[str, list[str]]) -> tuple[int, Any]:
        names = [row["id"] for row in rows]
        after = query.get("after", [None])[0]
        start = names.index(after) + 1 if after in names else 0
        limit = min(self.page, int(query.get("limit", ["20"])[0]))
        page = rows[start : start + limit]
        return 200, {
            "object": "list", "data": page, "has_more": start + limit < len(rows),
            "first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None,
        }  # fmt: skip

    def _chat(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if asked["model"] not in self._models():
            return _missing("model", asked["model"])
        message = self.answer(asked) if self.answer else {"role": "assistant", "content": self._said(asked)}
        prompt = sum(len(str(turn.get("content") or "").split()) for turn in asked["messages"])
        words = len(str(message.get("content") or "").split())
        return 200, {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"],
            "choices": [{"index": 0, "message": message, "logprobs": _likely(asked, message),
                         "finish_reason": "tool_calls" if message.get("tool_calls") else "stop"}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": words, "total_tokens": prompt + words},
        }  # fmt: skip

    def _said(self, asked: dict[str, Any]) -> str:
        """What the model learnt to say to the last message, or its words back."""
        last = str(asked["messages"][-1].get("content") or "")
        job = next((job for job in self.jobs.values() if asked["model"].startswith(job.model)), None)
        for row in job.rows if job else ():
            turns = row.get("messages", ())
            if len(turns) > 1 and turns[-2]["content"] == last:
                last = turns[-1].get("content") or ""
        most = asked.get("max_tokens") or asked.get("max_completion_tokens") or 16
        return " ".join(last.split()[:most])


def _missing(kind: str, name: str) -> tuple[int, Any]:
    said = f"The {kind} '{name}' does not exist"
    return 404, {"error": {"message": said, "type": "invalid_request_error", "param": kind, "code": "model_not_found"}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what these tests are about."""


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Says nothing."""

        def _any(self) -> None:
            seen = self._seen()
            with provider.lock:
                provider.requests.append(seen)
                seen.fault = provider.fault(seen.verb, seen.path)
            if provider.redirects_to:
                self._send(307, {}, {"location": provider.redirects_to + self.path})
            elif self.headers.get("authorization") != f"Bearer {KEY}":
                given = self.headers.get("authorization", "").removeprefix("Bearer ")
                said = f"Incorrect API key provided: {given[:12]}*****{given[-4:]}."
                self._send(
                    401, {"error": {"message": said, "type": "invalid_request_error", "code": "invalid_api_key"}}
                )
            elif seen.fault == "reset_before":
                self._reset()
            elif seen.fault and seen.fault[:3].isdigit() and not seen.fault.endswith("_after"):
                wait = {"retry-after": "0.05"} if seen.fault.endswith("_wait") else {}
                self._send(
                    int(seen.fault[:3]), {"error": {"message": f"fault {seen.fault}", "type": "server_error"}}, wait
                )
            else:
                self._answer(seen)

        do_GET = do_POST = do_DELETE = _any  # noqa: N815

        def _seen(self) -> Seen:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if (self.headers.get("transfer-encoding") or "").lower() == "chunked":
                body = self._chunks()
            path = "/" + unquote(parts.path).removeprefix("/v1/")
            read = _read(body, self.headers.get("content-type") or "")
            return Seen(self.command, path, parse_qs(parts.query, keep_blank_values=True), dict(self.headers), read)

        def _chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, seen: Seen) -> None:
            if seen.path == "/chat/completions" and provider.answers_after:
                time.sleep(provider.answers_after)
            status, answer = provider.handle(seen)
            if seen.fault == "reset_after":
                self._reset()
            elif seen.fault == "500_after":
                self._send(500, {"error": {"message": "fault 500_after", "type": "server_error"}})
            elif seen.fault == "cut":
                self._cut(answer)
            elif seen.fault == "late":
                time.sleep(provider.late)
                self._send(status, answer)
            elif isinstance(seen.body, dict) and seen.body.get("stream") and status == 200:
                self._stream(answer)
            else:
                self._send(status, answer)

        def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header(
                "content-type", "application/octet-stream" if isinstance(answer, bytes) else "application/json"
            )
            self.send_header("content-length", str(len(body)))
            self.send_header("x-request-id", f"req_{len(provider.requests)}")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _cut(self, answer: Any) -> None:
            """Half of the body, and in every second case a length that says that this is all."""
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            half = body[: len(body) // 2]
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(half) if len(provider.requests) % 2 else len(body)))
            self.end_headers()
            self.wfile.write(half)
            self.wfile.flush()
            self.close_connection = True

        def _stream(self, answer: Any) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            for number, chunk in enumerate(_chunks(answer)):
                if number == provider.falls_silent_after:
                    return
                said = (
                    {"error": {"message": "out of memory", "code": "oom"}} if number == provider.errs_after else chunk
                )
                self.wfile.write(f"data: {json.dumps(said)}\n\n".encode())
                self.wfile.flush()
                time.sleep(provider.speaks_every)
            self.wfile.write(b"data: [DONE]\n\n")

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

    return Handler


def _chunks(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A completion word by word, a call's arguments in two halves; then its finish, and at last its usage."""
    (choice,), message = answer["choices"], answer["choices"][0]["message"]

    def chunk(delta: dict[str, Any], finish: str | None = None, likely: Any = None) -> dict[str, Any]:
        one = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": likely}
        return {**answer, "object": "chat.completion.chunk", "usage": None, "choices": [one]}

    words, likely = str(message.get("content") or "").split(), (choice["logprobs"] or {}).get("content")
    for at, word in enumerate(words):
        told = {"content": [likely[at]], "refusal": None} if likely else None
        yield chunk({"content": word if at == 0 else f" {word}"}, None, told)
    for at, call in enumerate(message.get("tool_calls") or ()):
        given = call["function"]["arguments"]
        half = len(given) // 2
        yield chunk(
            {"tool_calls": [{**call, "index": at, "function": {**call["function"], "arguments": given[:half]}}]}
        )
        yield chunk({"tool_calls": [{"index": at, "function": {"arguments": given[half:]}}]})
    yield chunk({}, choice["finish_reason"])
    yield {**answer, "object": "chat.completion.chunk", "choices": []}


def _likely(asked: dict[str, Any], message: dict[str, Any]) -> Any:
    """Log probabilities of each word, where they are asked for."""
    if not asked.get("logprobs"):
        return None
    others = [{"token": "no", "logprob": -2.0, "bytes": None}][: asked.get("top_logprobs", 0)]
    words = str(message.get("content") or "").split()
    return {
        "content": [{"token": word, "logprob": -0.25, "bytes": None, "top_logprobs": others} for word in words],
        "refusal": None,
    }


def _read(body: bytes, kind: str) -> Any:
    """JSON as data; of a form, each field as text, and each file as its name and its bytes."""
    if kind.startswith("application/json"):
        return json.loads(body) if body else None
    if not kind.startswith("multipart/form-data"):
        return None
    boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    form: dict[str, Any] = {}
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        said = head.decode()
        name = said.partition('name="')[2].partition('"')[0]
        filename = said.partition('filename="')[2].partition('"')[0]
        form[name] = (filename, content) if 'filename="' in said else content.decode()
    return form

"""What every route answers validates strictly as the official client's own type, raw as it comes over the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import types
from openai.types import chat, fine_tuning, uploads
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from pydantic import BaseModel

from serving import Said, Served, chats, pairs

FORM = "xyz"


def strictly(kind: type[BaseModel], value: Any) -> Any:
    """The value as the client's type, nothing coerced; what the type does not declare is not sent either."""
    made = kind.model_validate(value, strict=True)
    assert not made.model_extra, made.model_extra
    return made


def a_list(kind: type[BaseModel], said: Said) -> list[Any]:
    assert said.status == 200, said.body
    assert said.value["object"] == "list"
    assert isinstance(said.value.get("has_more", False), bool)
    return [strictly(kind, one) for one in said.value["data"]]


def one(kind: type[BaseModel], said: Said) -> Any:
    assert said.status == 200, said.body
    assert said.headers["content-type"] == "application/json"
    assert said.headers["x-request-id"].startswith("req_")
    return strictly(kind, said.value)


def form(**fields: Any) -> tuple[bytes, dict[str, str]]:
    """A multipart body by hand; bytes are files."""
    parts = []
    for name, value in fields.items():
        named = f'; filename="{name}.jsonl"' if isinstance(value, bytes) else ""
        head = f'--{FORM}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode()
        parts.append(head + (value if isinstance(value, bytes) else str(value).encode()) + b"\r\n")
    return b"".join(parts) + f"--{FORM}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={FORM}"}


def a_file(served: Served, content: bytes) -> Any:
    body, headers = form(file=content, purpose="fine-tune")
    return one(types.FileObject, served.ask("POST", "/files", body, headers=headers))


def test_files(served: Served) -> None:
    made = a_file(served, chats())
    assert (made.bytes, made.filename, made.purpose) == (len(chats()), "file.jsonl", "fine-tune")
    assert one(types.FileObject, served.ask("GET", f"/files/{made.id}")) == made
    assert a_list(types.FileObject, served.ask("GET", "/files")) == [made]
    assert served.ask("GET", f"/files/{made.id}/content").body == chats()
    assert one(types.FileDeleted, served.ask("DELETE", f"/files/{made.id}")).deleted


def test_a_file_that_expires(served: Served) -> None:
    body, headers = form(
        **{
            "file": chats(),
            "purpose": "fine-tune",
            "expires_after[anchor]": "created_at",
            "expires_after[seconds]": 3600,
        }
    )
    made = one(types.FileObject, served.ask("POST", "/files", body, headers=headers))
    assert made.expires_at == made.created_at + 3600


def test_uploads(served: Served) -> None:
    asked = {"bytes": len(chats()), "filename": "rows.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    upload = one(types.Upload, served.ask("POST", "/uploads", asked))
    assert upload.status == "pending"
    body, headers = form(data=chats())
    part = one(uploads.UploadPart, served.ask("POST", f"/uploads/{upload.id}/parts", body, headers=headers))
    done = one(types.Upload, served.ask("POST", f"/uploads/{upload.id}/complete", {"part_ids": [part.id]}))
    assert (done.status, done.file.bytes) == ("completed", len(chats()))
    other = one(types.Upload, served.ask("POST", "/uploads", asked))
    assert one(types.Upload, served.ask("POST", f"/uploads/{other.id}/cancel")).status == "cancelled"


@pytest.mark.parametrize(
    ("method", "content"),
    [
        (None, chats()),
        ({"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}, chats()),
        ({"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1, "batch_size": "auto"}}}, pairs()),
    ],
    ids=["by default", "supervised", "dpo"],
)
def test_jobs_from_their_creation_to_their_end(served: Served, method: Any, content: bytes) -> None:
    asked = {"model": "echo", "training_file": a_file(served, content).id, "metadata": {"a": "b"}}
    made = one(
        fine_tuning.FineTuningJob,
        served.ask("POST", "/fine_tuning/jobs", asked | ({"method": method} if method else {})),
    )
    at = f"/fine_tuning/jobs/{made.id}"
    while (found := one(fine_tuning.FineTuningJob, served.ask("GET", at))).status != "succeeded":
        assert found.error is None
        assert found.fine_tuned_model is None
        assert found.status != "failed"
    assert found.finished_at >= found.created_at
    assert a_list(fine_tuning.FineTuningJob, served.ask("GET", "/fine_tuning/jobs")) == [found]
    assert a_list(fine_tuning.FineTuningJobEvent, served.ask("GET", f"{at}/events?limit=100"))
    assert a_list(FineTuningJobCheckpoint, served.ask("GET", f"{at}/checkpoints"))
    [results] = found.result_files
    assert one(types.FileObject, served.ask("GET", f"/files/{results}")).purpose == "fine-tune-results"


def test_jobs_that_fail_have_a_complete_error(served: Served) -> None:
    job = served.tune(b'{"messages": []}\n')
    served.ended(job)
    found = one(fine_tuning.FineTuningJob, served.ask("GET", f"/fine_tuning/jobs/{job}"))
    assert (found.status, found.error.code, found.error.param) == ("failed", "invalid_training_file", "training_file")
    assert "line 1" in found.error.message
    assert str(served.home) not in found.error.message


def test_jobs_that_are_stopped(serving: Callable[..., Served]) -> None:
    served = serving(seconds=20)
    job = served.tune()
    served.until(job, lambda found: found.status == "running")
    paused = served.ask("POST", f"/fine_tuning/jobs/{job}/pause")
    assert paused.value["status"] == "paused"  # which no type of the client's declares
    strictly(fine_tuning.FineTuningJob, paused.value | {"status": "running"})
    assert one(fine_tuning.FineTuningJob, served.ask("POST", f"/fine_tuning/jobs/{job}/resume")).status == "queued"
    assert one(fine_tuning.FineTuningJob, served.ask("POST", f"/fine_tuning/jobs/{job}/cancel")).status == "cancelled"


def test_models(served: Served) -> None:
    name = served.ended(served.tune()).fine_tuned_model
    found = a_list(types.Model, served.ask("GET", "/models"))
    assert {model.id for model in found} == {"echo", name}
    assert one(types.Model, served.ask("GET", f"/models/{name}")) in found
    assert one(types.ModelDeleted, served.ask("DELETE", f"/models/{name}")).deleted


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"n": 3, "temperature": 0.5},
        {"stop": "you"},
        {"max_tokens": 1},
        {"response_format": {"type": "text"}, "seed": 3, "user": "somebody"},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
    ],
    ids=str,
)
def test_chat_completions_and_their_streams(served: Served, more: dict[str, Any]) -> None:
    asked = {"model": "echo", "messages": [{"role": "user", "content": "how are you now"}], **more}
    whole = one(chat.ChatCompletion, served.ask("POST", "/chat/completions", asked))
    assert len(whole.choices) == more.get("n", 1)
    streamed = served.ask(
        "POST", "/chat/completions", {**asked, "stream": True, "stream_options": {"include_usage": True}}
    )
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *events, last = [line.removeprefix(b"data: ") for line in streamed.body.split(b"\n\n") if line]
    assert last == b"[DONE]"
    chunks = [strictly(chat.ChatCompletionChunk, json.loads(event)) for event in events]
    assert chunks[-1].usage == whole.usage
    for choice in whole.choices:
        deltas = [one.delta for chunk in chunks for one in chunk.choices if one.index == choice.index]
        assert "".join(delta.content or "" for delta in deltas) == choice.message.content
        assert deltas[0].role == "assistant"
        ends = [one.finish_reason for chunk in chunks for one in chunk.choices if one.index == choice.index]
        assert ends[-1] == choice.finish_reason


def test_calls_of_tools_and_their_stream(served: Served) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    rows = [
        {
            "messages": [{"role": "user", "content": f"sun {n}?"}, {"role": "assistant", "tool_calls": [call]}],
            "tools": [tool],
        }
        for n in range(12)
    ]
    done = served.ended(served.tune(b"".join(json.dumps(row).encode() + b"\n" for row in rows)))
    asked = {"model": done.fine_tuned_model, "messages": [{"role": "user", "content": "sun 3?"}], "tools": [tool]}
    whole = one(chat.ChatCompletion, served.ask("POST", "/chat/completions", asked)).choices[0]
    assert whole.finish_reason == "tool_calls"
    assert whole.message.content is None
    assert json.loads(whole.message.tool_calls[0].function.arguments) == {"city": "Rome"}
    body = served.ask("POST", "/chat/completions", {**asked, "stream": True}).body
    events = [
        json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n\n") if line and b"[DONE]" not in line
    ]
    first, end = [strictly(chat.ChatCompletionChunk, event) for event in events]
    assert first.choices[0].delta.tool_calls[0].function.name == "weather"
    assert end.choices[0].finish_reason == "tool_calls"
    # What was answered is sent back as it came, with the tool's answer.
    told = [
        *asked["messages"],
        whole.message.model_dump(exclude_unset=True),
        {"role": "tool", "tool_call_id": whole.message.tool_calls[0].id, "content": "sunny"},
    ]
    assert one(chat.ChatCompletion, served.ask("POST", "/chat/completions", {**asked, "messages": told}))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/files/nope", None, 404),
        ("GET", "/files?limit=0", None, 400),
        ("GET", "/files?after=file-nope", None, 400),
        ("GET", "/files?order=up", None, 400),
        ("GET", "/nowhere", None, 404),
        ("PUT", "/files", None, 405),
        ("POST", "/uploads/nope/cancel", None, 404),
        ("POST", "/fine_tuning/jobs", {"model": "echo"}, 400),
        ("POST", "/fine_tuning/jobs", {"model": "echo", "training_file": "file-nope"}, 400),
        ("GET", "/fine_tuning/jobs/nope", None, 404),
        ("GET", "/models/nope", None, 404),
        ("DELETE", "/models/echo", None, 403),
        ("POST", "/chat/completions", {"model": "nope", "messages": [{"role": "user", "content": "?"}]}, 404),
        ("POST", "/chat/completions", {"model": "echo", "messages": []}, 400),
        ("POST", "/chat/completions", b"{", 400),
    ],
)
def test_errors(served: Served, method: str, path: str, body: Any, status: int) -> None:
    said = served.ask(method, path, body, headers={"Content-Type": "application/json"})
    assert said.status == status
    assert said.value.keys() == {"error"}
    assert said.error.keys() == {"message", "type", "param", "code"}
    assert said.error["message"]
    assert said.error["type"]

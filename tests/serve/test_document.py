"""What comes out is also what the published OpenAPI document says of it, where a subset of that document is at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.serve.bodies import Body
from finetune_sdk.serve.chat import Chat
from finetune_sdk.serve.definitions import NewJob
from finetune_sdk.serve.files import Completion, NewUpload
from serving import Served, chats, pairs

DOCUMENT = Path(__file__).parents[2].parent / "shared" / "data" / "openai-openapi-subset.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    if not DOCUMENT.exists():
        pytest.skip(f"{DOCUMENT} is not here")
    found: dict[str, Any] = plain(json.loads(DOCUMENT.read_text("utf-8")))
    return found


def plain(value: Any) -> Any:
    """The document's leftovers of OpenAPI 3.0 as JSON schema has them: what is nullable, and limits that are excluded."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    whole = {name: plain(one) for name, one in value.items()}
    for side in ("minimum", "maximum"):
        if whole.get(f"exclusive{side.capitalize()}") is True:
            whole[f"exclusive{side.capitalize()}"] = whole.pop(side)
    return {"anyOf": [whole, {"type": "null"}]} if whole.pop("nullable", False) is True else whole


def answered(document: dict[str, Any], method: str, route: str) -> dict[str, Any]:
    """The schema of a route's answer."""
    operation = document["paths"][route][method.lower()]
    schema: dict[str, Any] = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return schema


def faults(document: dict[str, Any], schema: Any, value: Any) -> list[str]:
    import jsonschema_rs

    found = jsonschema_rs.iter_errors({**schema, "components": document["components"]}, value)
    return [f"{fault.message[:200]} at {fault.instance_path}" for fault in found]


def named(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def test_answers_are_what_the_document_says(serving: Callable[..., Served], document: dict[str, Any]) -> None:
    served = serving(slots=2)
    job = served.ended(served.tune(metadata={"a": "b"}))
    likes = served.ended(served.tune(pairs(), method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}))
    failed = served.ended(served.tune(chats(2)))
    upload = {"bytes": 5, "filename": "a.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    pending = served.ask("POST", "/uploads", upload).value["id"]
    tools = [{"type": "function", "function": {"name": "sun", "parameters": {"type": "object"}}}]
    asked = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    new = {"model": "echo", "training_file": served.upload(chats()), "seed": 7}
    at, jobs = f"/fine_tuning/jobs/{job.id}", "/fine_tuning/jobs/{fine_tuning_job_id}"
    for method, route, path, body in (
        ("GET", "/files", "/files", None),
        ("GET", "/files/{file_id}", f"/files/{job.training_file}", None),
        ("POST", "/uploads", "/uploads", upload),
        ("POST", "/uploads/{upload_id}/cancel", f"/uploads/{pending}/cancel", None),
        ("POST", "/fine_tuning/jobs", "/fine_tuning/jobs", new),
        ("GET", "/fine_tuning/jobs", "/fine_tuning/jobs", None),
        ("GET", jobs, at, None),
        ("GET", jobs, f"/fine_tuning/jobs/{likes.id}", None),
        ("GET", jobs, f"/fine_tuning/jobs/{failed.id}", None),
        ("GET", f"{jobs}/events", f"{at}/events", None),
        ("GET", f"{jobs}/checkpoints", f"{at}/checkpoints", None),
        ("GET", "/models", "/models", None),
        ("GET", "/models/{model}", "/models/echo", None),
        ("POST", "/chat/completions", "/chat/completions", asked),
        ("POST", "/chat/completions", "/chat/completions", {**asked, "n": 2, "tools": tools, "temperature": 0.5}),
        ("DELETE", "/models/{model}", f"/models/{job.fine_tuned_model}", None),
        ("DELETE", "/files/{file_id}", f"/files/{job.training_file}", None),
    ):
        said = served.ask(method, path, body)
        assert said.status == 200, (route, said.body)
        assert not faults(document, answered(document, method, route), said.value), (method, route, said.value)


def test_a_job_that_is_cancelled_is_what_the_document_says(
    serving: Callable[..., Served], document: dict[str, Any]
) -> None:
    served = serving(seconds=30)
    job = served.tune()
    said = served.ask("POST", f"/fine_tuning/jobs/{job}/cancel")
    assert said.value["status"] == "cancelled"
    assert not faults(document, named("FineTuningJob"), said.value)


def test_streams_and_errors_are_what_the_document_says(served: Served, document: dict[str, Any]) -> None:
    asked = {"model": "echo", "messages": [{"role": "user", "content": "some words"}], "stream": True}
    body = served.ask("POST", "/chat/completions", {**asked, "stream_options": {"include_usage": True}}).body
    *events, done = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line]
    assert done == b"[DONE]"
    for event in events:
        assert not faults(document, named("CreateChatCompletionStreamResponse"), json.loads(event)), event
    for method, path, sent in (
        ("GET", "/models/nobody", None),
        ("GET", "/nowhere", None),
        ("POST", "/chat/completions", {}),
        ("POST", "/fine_tuning/jobs", {"model": "echo", "training_file": "file-nope"}),
    ):
        said = served.ask(method, path, sent)
        assert said.status >= 400
        assert not faults(document, named("ErrorResponse"), said.value), said.value


# -- what is asked for ---------------------------------------------------------------------------------------------------


def examples(document: dict[str, Any], schema: Any, depth: int = 0) -> list[Any]:
    """Some values that a schema describes: each choice, each word of a list, the least of everything else."""
    if "$ref" in schema:
        return examples(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], depth)
    if "enum" in schema:
        return list(schema["enum"])
    if "const" in schema:
        return [schema["const"]]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return [value for one in schema[choice] for value in examples(document, one, depth)]
    if "allOf" in schema:
        made: list[Any] = [examples(document, one, depth)[:1] for one in schema["allOf"]]
        parts = [one[0] for one in made if one and isinstance(one[0], dict)]
        return [{name: value for part in parts for name, value in part.items()}] if parts else made[0]
    kinds = schema.get("type", "object")
    return [
        value
        for kind in ([kinds] if isinstance(kinds, str) else kinds)
        for value in plainest(document, schema, kind, depth)
    ]


def plainest(document: dict[str, Any], schema: Any, kind: str, depth: int) -> list[Any]:
    least, most = schema.get("minimum", 0), schema.get("maximum", 1)
    match kind:
        case "object" if depth < 6:
            properties, needed = schema.get("properties", {}), schema.get("required", ())
            whole = {name: examples(document, properties.get(name, {}), depth + 1)[:1] for name in needed}
            return [{name: values[0] for name, values in whole.items() if values}]
        case "array" if depth < 6:
            return [[value] for value in examples(document, schema.get("items", {}), depth + 1)[:2]]
        case "string":
            return ["text"]
        case "integer" | "number":
            return sorted({least, most if most >= least else least})
        case "boolean":
            return [True, False]
        case "null":
            return [None]
    return [{}]


REQUESTS = ("CreateChatCompletionRequest", "CreateFineTuningJobRequest", "CreateUploadRequest", "CompleteUploadRequest")


def properties(document: dict[str, Any], schema: Any) -> dict[str, Any]:
    if "$ref" in schema:
        return properties(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    found = dict(schema.get("properties", {}))
    for one in schema.get("allOf", ()):
        found |= properties(document, one)
    return found


def test_no_parameter_of_the_document_is_unknown(document: dict[str, Any]) -> None:
    bodies: tuple[type[Body], ...] = (Chat, NewJob, NewUpload, Completion)
    for name, body in zip(REQUESTS, bodies, strict=True):
        assert set(properties(document, named(name))) == set(body.model_fields), name


@pytest.mark.parametrize("request_name", REQUESTS[:2])
def test_what_the_document_allows_is_done_or_refused_by_its_name(
    served: Served, document: dict[str, Any], request_name: str
) -> None:
    import jsonschema_rs

    chat = request_name == REQUESTS[0]
    least: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    if not chat:
        least = {"model": "echo", "training_file": served.upload(chats())}
    right = jsonschema_rs.validator_for({**named(request_name), "components": document["components"]})
    sent = 0
    for name, schema in properties(document, named(request_name)).items():
        if name in least and name != "messages":
            continue
        for value in examples(document, schema):
            body = {**least, name: value}
            if not right.is_valid(body):
                continue
            said = served.ask("POST", "/chat/completions" if chat else "/fine_tuning/jobs", body)
            sent += 1
            assert said.status in (200, 400, 422), (body, said.body)
            if said.status == 400:
                assert str(said.error["param"]).startswith(name), (body, said.body)
    assert sent > (40 if chat else 8)

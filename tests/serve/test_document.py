"""What comes out is also what the published OpenAPI document says of it, where a subset of that document is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving import Served, chats

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
    """The schema of a route's answer, with what it refers to."""
    operation = document["paths"][route][method.lower()]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return {**schema, "components": document["components"]}


def test_answers_are_what_the_document_says(served: Served, document: dict[str, Any]) -> None:
    import jsonschema_rs

    job = served.ended(served.tune(metadata={"a": "b"}))
    upload = {"bytes": 5, "filename": "a.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    asked = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    new = {"model": "echo", "training_file": served.upload(chats())}
    at = f"/fine_tuning/jobs/{job.id}"
    for method, route, path, body in (
        ("GET", "/files", "/files", None),
        ("GET", "/files/{file_id}", f"/files/{job.training_file}", None),
        ("POST", "/uploads", "/uploads", upload),
        ("POST", "/fine_tuning/jobs", "/fine_tuning/jobs", new),
        ("GET", "/fine_tuning/jobs", "/fine_tuning/jobs", None),
        ("GET", "/fine_tuning/jobs/{fine_tuning_job_id}", at, None),
        ("GET", "/fine_tuning/jobs/{fine_tuning_job_id}/events", f"{at}/events", None),
        ("GET", "/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints", f"{at}/checkpoints", None),
        ("GET", "/models", "/models", None),
        ("POST", "/chat/completions", "/chat/completions", asked),
        ("DELETE", "/models/{model}", f"/models/{job.fine_tuned_model}", None),
        ("DELETE", "/files/{file_id}", f"/files/{job.training_file}", None),
    ):
        said = served.ask(method, path, body)
        assert said.status == 200, (route, said.body)
        faults = list(jsonschema_rs.iter_errors(answered(document, method, route), said.value))
        told = [f"{method} {route}: {fault.message[:200]} at {fault.instance_path}" for fault in faults]
        assert not told, "\n".join(told)

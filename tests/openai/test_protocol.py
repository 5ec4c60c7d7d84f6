"""What is said on the wire, and how what comes back is read: in the published document's words, and with its traps."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.model import Speaking
from finetune_sdk_openai.errors import retry_after
from opened import Opened
from protocol_data import chat, chats, pairs, tasks
from provider import Provider, Seen

DOCUMENT = Path(__file__).parents[2].parent / "shared" / "data" / "openai-openapi-subset.json"
GRADER = {
    "type": "text_similarity", "name": "near", "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
    "evaluation_metric": "fuzzy_match",
}  # fmt: skip


def made(provider: Provider) -> dict[str, Any]:
    """The body of the only creation."""
    (seen,) = provider.posts("/fine_tuning/jobs")
    body: dict[str, Any] = seen.body
    return body


# -- what is asked for ---------------------------------------------------------------------------------------------------


def test_a_job_is_said_in_the_words_of_the_protocol(at: Opened, provider: Provider, job: ft.Job) -> None:
    options = {"sft": {"learning_rate_multiplier": 1.8}, "wandb": {"project": "tickets", "tags": ["a"]}}
    job = replace(job, validation=chats(4, 90), method=ft.SFT(epochs=2, batch_size=3), seed=7)
    client = at(**options)
    run = client.submit(job)
    assert made(provider) == {
        "model": "tiny-test",
        "training_file": "file-000001",
        "validation_file": "file-000002",
        "seed": 7,
        "suffix": "numbers-please",
        "method": {
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 3, "learning_rate_multiplier": 1.8}},
        },
        "integrations": [{"type": "wandb", "wandb": {"project": "tickets", "tags": ["a"]}}],
        "metadata": {
            "finetune_token": run.entry.token if run.entry else "",
            "finetune_job": client.resolve(job).job.fingerprint,
            "finetune_name": "Numbers, please",
        },
    }


def test_dpo_says_its_beta(at: Opened, provider: Provider) -> None:
    at(dpo={"n_epochs": "auto"}).submit(ft.Job(name="likes", train=pairs(12), method=ft.DPO(beta=0.25)))
    assert made(provider)["method"] == {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": "auto", "beta": 0.25}}}


def test_rft_takes_a_whole_grader_from_the_settings(at: Opened, provider: Provider) -> None:
    client = at(rft={"grader": GRADER, "n_epochs": 1, "reasoning_effort": "low", "eval_samples": 2})
    client.submit(ft.Job(name="sums", train=tasks(12), method=ft.RFT()))
    assert made(provider)["method"] == {
        "type": "reinforcement",
        "reinforcement": {
            "grader": GRADER,
            "hyperparameters": {"n_epochs": 1, "reasoning_effort": "low", "eval_samples": 2},
        },
    }


def test_an_evaluator_becomes_a_grader_that_judges_the_same(at: Opened, provider: Provider) -> None:
    at().submit(ft.Job(name="sums", train=tasks(12), method=ft.RFT(graders=(ft.ExactMatch(strip=False),))))
    assert made(provider)["method"]["reinforcement"]["grader"] == {
        "type": "string_check", "name": "ExactMatch", "operation": "eq", "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
    }  # fmt: skip


@pytest.mark.parametrize(("said", "worth"), [(" 7 ", 1.0), ("7", 1.0), ("77777777", 0.0), ("8", 0.5)])
def test_several_evaluators_become_one_grader_in_python(at: Opened, said: str, worth: float) -> None:
    graders = (ft.ExactMatch(), ft.Length(max_characters=5))
    own = at().resolve(ft.Job(name="sums", train=tasks(12), method=ft.RFT(graders=graders))).own
    names: dict[str, Any] = {}
    exec(own["grader"]["source"], names)
    assert names["grade"]({"output_text": said}, {"answer": "7"}) == worth


def test_what_would_judge_otherwise_is_no_grader(at: Opened) -> None:
    schema = ft.JSONSchema({"type": "object"})
    with pytest.raises(ft.UnsupportedError, match="JSONSchema cannot be a grader") as caught:
        at().resolve(ft.Job(name="sums", train=tasks(12), method=ft.RFT(graders=(schema,))))
    assert "ExactMatch" in str(caught.value.cure)
    with pytest.raises(ft.UnsupportedError, match="has no grader"):
        at().resolve(ft.Job(name="sums", train=tasks(12), method=ft.RFT()))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"adapter": ft.LoRA(rank=8)}, "leave the adapter out"),
        ({"method": ft.SFT(learning_rate=1e-4)}, "learning_rate"),
        ({"method": ft.SFT(epochs=2.5)}, "whole number from 1 to 50"),
        ({"method": ft.SFT(batch_size=512)}, "from 1 to 256"),
        ({"method": ft.SFT(steps=10)}, "steps"),
    ],
)
def test_what_is_explicit_and_impossible_is_refused_naming_what_is_possible(
    at: Opened, provider: Provider, job: ft.Job, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ft.UnsupportedError) as caught:
        at().submit(replace(job, **change))
    assert named in str(caught.value)
    assert provider.requests == []


def test_a_large_file_goes_up_in_parts(
    at: Opened, provider: Provider, job: ft.Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_sdk_openai.files.LARGEST", 100)
    monkeypatch.setattr("finetune_sdk_openai.files.PART", 400)
    at().submit(job)
    at().submit(replace(job, seed=1))
    (file,) = provider.files.values()
    assert file["bytes"] > 800
    assert len([seen for seen in provider.requests if seen.path.endswith("/parts")]) == -(-file["bytes"] // 400)
    assert [json.loads(line) for line in provider.contents[file["id"]].splitlines()] == list(job.train.rows())


def test_rows_go_up_with_the_keys_of_the_protocol_and_no_others(at: Opened, provider: Provider) -> None:
    rows = [chat(f"What is {n}?", f"It is {n}.", synthetic="a stronger model") for n in range(12)]
    at().submit(ft.Job(name="drafts", train=Dataset.of(rows)))
    (content,) = provider.contents.values()
    assert {key for line in content.splitlines() for key in json.loads(line)} == {"messages"}


# -- the published document ----------------------------------------------------------------------------------------------


def resolved(schema: Any, document: dict[str, Any]) -> dict[str, Any]:
    """A schema with the document's parts beside it; what it says in the words of OpenAPI 3.0 is said in those of 2020-12."""
    text = json.dumps({**schema, "components": document["components"]})
    whole: dict[str, Any] = _newer(json.loads(text))
    return whole


def _newer(value: Any) -> Any:
    if isinstance(value, list):
        return [_newer(one) for one in value]
    if not isinstance(value, dict):
        return value
    read = {key: _newer(inner) for key, inner in value.items()}
    if read.get("exclusiveMinimum") is True:
        read["exclusiveMinimum"] = read.pop("minimum")
    if read.get("nullable") is True:
        return {"anyOf": [{key: inner for key, inner in read.items() if key != "nullable"}, {"type": "null"}]}
    return read


def operation(document: dict[str, Any], seen: Seen) -> dict[str, Any] | None:
    for path, verbs in document["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", path)
        if re.fullmatch(pattern, seen.path) and seen.verb.lower() in verbs:
            found: dict[str, Any] = verbs[seen.verb.lower()]
            return found
    return None


def bodies(document: dict[str, Any], seen: Seen) -> Iterator[tuple[dict[str, Any], Any]]:
    """What was sent, each beside the schema that it must fit."""
    asked = operation(document, seen)
    assert asked is not None, f"{seen.verb} {seen.path} is not in the document"
    for kind, content in asked.get("requestBody", {}).get("content", {}).items():
        if kind == "application/json" and seen.body is not None:
            yield content["schema"], seen.body
        elif kind == "multipart/form-data":
            fields = {name: value if isinstance(value, str) else "binary" for name, value in seen.body.items()}
            yield content["schema"], {name: value for name, value in fields.items() if "[" not in name}
    known = {parameter["name"] for parameter in asked.get("parameters", ())}
    assert {name.partition("[")[0] for name in seen.query} <= known


def test_every_request_is_valid_in_the_published_document(at: Opened, provider: Provider, job: ft.Job) -> None:
    if not DOCUMENT.exists():
        pytest.skip(f"the published document is not at hand ({DOCUMENT.name})")
    import jsonschema_rs

    document = json.loads(DOCUMENT.read_text("utf-8"))
    provider.seconds = 0.2
    client = at(
        wandb={"project": "tickets"}, rft={"grader": GRADER}, expires_after_days=2,
        sft={"learning_rate_multiplier": "auto"}, dpo={"beta": "auto"},
    )  # fmt: skip
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}]
    tuned = client.submit(replace(job, validation=chats(4, 90))).wait(20, progress=False)
    tuned.answer(ft.Conversation((ft.Message("system", "Be brief."), ft.Message("user", "hello")), tuple(tools)))
    model = client.backend.model("tiny-test")
    assert isinstance(model, Speaking)
    model.speak(["hello"], {0: lambda piece: True})
    provider.seconds = 60
    likes = client.submit(ft.Job(name="likes", train=pairs(12), method=ft.DPO(beta=0.5)))
    likes.pause()
    likes.resume()
    likes.checkpoints()
    likes.cancel()
    client.submit(ft.Job(name="sums", train=tasks(12), method=ft.RFT()))
    client.submit(
        ft.Job(name="sums", train=tasks(12), method=ft.RFT(graders=(ft.ExactMatch(), ft.Length(max_characters=9))))
    )
    client.reconcile()
    client.backend.fetch(client.backend.history()[0].train.id, BytesIO())  # type: ignore[union-attr]
    provider.closed = True
    with pytest.raises(ft.RefusedError):
        client.submit(replace(job, train=chats(12, 500)))
    assert provider.requests[-1].verb == "DELETE"
    assert {"GET", "POST", "DELETE"} == {seen.verb for seen in provider.requests}
    nonsense = Seen("POST", "/fine_tuning/jobs", {}, {}, {"model": "tiny-test"})
    ((schema, body),) = bodies(document, nonsense)
    assert not jsonschema_rs.validator_for(resolved(schema, document)).is_valid(body), (
        "the document lets anything through"
    )
    for seen in provider.requests:
        for schema, body in bodies(document, seen):
            whole = resolved(schema, document)
            jsonschema_rs.validator_for(whole).validate(body)


# -- what comes back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [{}, {"code": None, "message": None, "param": None}], ids=["empty", "nulls"])
def test_an_error_of_nothing_is_no_error(
    at: Opened, provider: Provider, job: ft.Job, error: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.NO_ERROR", error)
    provider.seconds = 0.05
    run = at().submit(job)
    run.wait(20, progress=False)
    assert provider.jobs[run.key].shown()["error"] == error
    assert list(run.events())[-1].message == ""


def test_a_failure_is_told_with_its_reason(at: Opened, provider: Provider, job: ft.Job) -> None:
    provider.fails = {"code": "invalid_training_file", "message": "line 3 is odd", "param": "training_file"}
    run = at().submit(job)
    with pytest.raises(ft.RunError, match=r"line 3 is odd \(invalid_training_file\) \[training_file\]"):
        run.wait(20, progress=False)
    with pytest.raises(ft.RunError, match="failed and has left no model: line 3"):
        run.result()


def test_a_status_never_seen_before_goes_on_being_polled(at: Opened, provider: Provider, job: ft.Job) -> None:
    provider.seconds, provider.running_as = 0.6, "contemplating"
    run = at().submit(job)
    seen = set()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run.wait, 20, progress=False)
        while not waiting.done():
            seen.add(str(run.status))
            time.sleep(0.02)
    assert "contemplating" in seen
    assert waiting.result().name == run.entry.name  # type: ignore[union-attr]


def test_metrics_become_curves_and_checkpoints_models(at: Opened, provider: Provider, job: ft.Job) -> None:
    run = at().submit(replace(job, validation=chats(4, 90)))
    run.wait(20, progress=False)
    curves = run.curves()
    assert [step for step, _ in curves["loss"]] == list(range(1, 7))
    assert [step for step, _ in curves["validation_loss"]] == [2, 4, 6]
    saved = run.checkpoints()
    assert [one.step for one in saved] == [2, 4, 6]
    assert saved[0].metrics["loss"] == curves["loss"][1][1]
    assert at().model(saved[0].id).answer("What is 3 and 3?").text == "It is 6."


def test_curves_are_read_from_the_result_file_where_no_event_has_them(
    at: Opened, provider: Provider, job: ft.Job
) -> None:
    provider.reports_metrics = False
    run = at().submit(job)
    run.wait(20, progress=False)
    assert run.curves()["loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]


def test_what_was_billed_is_what_the_place_says_in_the_end(at: Opened, provider: Provider, job: ft.Job) -> None:
    run = at().submit(job)
    run.wait(20, progress=False)
    result = run.result()
    assert result.actual["tokens"] == result.manifest["billed_tokens"] == provider.jobs[run.key].tokens()
    assert at().get_run(run.id).estimate.tokens.holds(result.actual["tokens"])  # type: ignore[union-attr]


def test_a_paused_job_is_held_and_goes_on(at: Opened, provider: Provider, job: ft.Job) -> None:
    provider.seconds = 1.0
    run = at().submit(job)
    while run.status != "running":
        time.sleep(0.02)
    assert run.pause().status == "paused"
    assert not run.status.terminal
    assert run.resume().wait(20, progress=False).answer("What is 3 and 3?").text == "It is 6."
    with pytest.raises(ft.RunError, match="is succeeded, so it cannot pause"):
        run.pause()
    with pytest.raises(ft.UnsupportedError, match="cannot go on there"):
        run.resume()


def test_a_wrong_path_is_said_to_be_no_protocol(at: Opened, provider: Provider, job: ft.Job) -> None:
    with pytest.raises(ft.NotFoundError, match="no model 'tiny-test'"):
        at(base_url=provider.url + "/elsewhere").submit(job)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0), ({"retry-after-ms": "30", "retry-after": "1"}, 0.03), ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None), ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0), ({}, None),
    ],
)  # fmt: skip
def test_the_wish_to_wait_is_read_as_a_number_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    fault = Exception()
    fault.response = type("Response", (), {"headers": headers})()  # type: ignore[attr-defined]
    assert retry_after(fault) == seconds

"""A report is kept, shown, and the same when it is read again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.evaluation.evaluators import ExactMatch, FieldMatch, JSONSchema
from finetune_sdk.messages import ChatExample, ToolCall
from finetune_sdk.model import Answer, Model, Origin, Recorded
from scripted import SCHEMA, Scripted, report, tickets

# The report


def test_a_report_survives_saving_and_loading(tmp_path: Path) -> None:
    found = report(base=5, tuned=50)
    path = found.save(tmp_path / "report.json")
    again = Report.load(path)
    assert again == found
    assert again.to_dict() == Report.from_dict(json.loads(json.dumps(found.to_dict()))).to_dict()
    assert again.compare("tuned", "base", on="JSONSchema") == found.compare("tuned", "base", on="JSONSchema")
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_what_is_changed_in_the_data_does_not_change_the_report() -> None:
    found = report(base=5)
    found.to_dict()["models"].clear()
    assert found.models == ("base",)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    found = report(base=5, tuned=50)
    with pytest.raises(EvaluationError, match="no model 'tuend'") as caught:
        found.compare("tuend", "base", on="JSONSchema")
    assert "base, tuned" in str(caught.value)
    with pytest.raises(EvaluationError, match="no evaluator"):
        found.metric("BLEU", "base")


@pytest.mark.parametrize("name", ["report.pdf", "report"])
def test_other_kinds_of_file_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EvaluationError, match="not written as"):
        report(cases=3, base=1).save(tmp_path / name)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="absent"):
        report(cases=3, base=1).save(tmp_path / "absent" / "report.json")


@pytest.mark.parametrize("content", [None, "{", "{}", '{"version": 1}', "[]"])
def test_a_file_that_holds_no_report_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EvaluationError):
        Report.load(path)


def test_a_report_of_a_later_version_is_refused() -> None:
    with pytest.raises(EvaluationError, match="version 2"):
        Report.from_dict({**report(cases=3, base=1).to_dict(), "version": 2})


def test_the_origin_is_that_of_the_last_model_that_was_trained() -> None:
    origin = Origin("local", "tiny", "local:1", job={"name": "triage"}, curves={"loss": [[1, float("nan")]]})
    models: dict[str, Model] = {"tuned": Scripted(1, origin=origin), "base": Scripted(1)}
    data = Evaluation(tickets(3), [ExactMatch()]).run(None, **models).to_dict()
    assert data["origin"]["run"] == "local:1"
    assert data["origin"]["job"] == {"name": "triage"}
    json.dumps(data, allow_nan=False)


def test_answers_that_no_file_can_hold_are_kept_as_far_as_they_can_be(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(3000):
        deep = {"c": deep}
    hostile = [
        Answer("\ud800 lone"),
        Answer("", (ToolCall("fly", {"to": float("nan"), "\udfff": "\ud800"}),)),
        Answer("", (ToolCall("fly", deep),)),
        Answer("x" * 10_000_000, seconds=float("nan")),
        Answer("", (ToolCall("fly", {"to": {1, 2}}),)),
    ]
    rows = [case for case in tickets(len(hostile)) if isinstance(case, ChatExample)]
    model = Recorded("hostile", zip((row.prompt for row in rows), hostile, strict=True))
    found = Evaluation(Dataset.of(rows), [JSONSchema(SCHEMA), ExactMatch(), FieldMatch()]).run(base=model)
    assert Report.load(found.save(tmp_path / "report.json")) == found
    first = found.to_dict()["examples"][0]["answers"]["base"]
    assert first["text"] == "\ufffd lone"
    assert found.metric("FieldMatch", "base").errors == 0


def test_the_report_is_shown_as_page_text_and_notebook_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(base=5, tuned=50)
    page = found.save(tmp_path / "report.html").read_text("utf-8")
    assert "no idea" in page
    assert found.verdict in str(found).replace("\n", " ")
    found.show()
    assert "FieldMatch" in capsys.readouterr().out
    cell = found._repr_html_()
    assert cell.startswith("<iframe srcdoc=")
    assert 'sandbox="' in cell
    assert "allow-same-origin" not in cell


def test_what_a_model_says_is_never_run_in_a_page(tmp_path: Path) -> None:
    rows = [case for case in tickets(3) if isinstance(case, ChatExample)]
    said = Answer("</script><script>alert(1)</script><img src=x onerror=alert(1)>")
    model = Recorded('<b>"me"</b>', [(row.prompt, said) for row in rows])
    found = Evaluation(Dataset.of(rows), [ExactMatch()], name="<i>title</i>").run(base=model)
    page = found.save(tmp_path / "report.html").read_text("utf-8")
    for raw in ("<script>alert(1)", "<img src=x", "<b>", "<i>title"):
        assert raw not in page
        assert raw not in found._repr_html_()


def test_an_evaluation_can_be_varied() -> None:
    evaluation = Evaluation(tickets(3), [ExactMatch()])
    assert replace(evaluation, name="again").evaluators == evaluation.evaluators

"""The report for other programs: CSV that computes nothing, Markdown in which no text is more than text."""

from __future__ import annotations

import csv
import re
from io import StringIO
from pathlib import Path

import pytest

from finetune_sdk.evaluation.costs import costs
from finetune_sdk.evaluation.report import Report
from finetune_sdk.report.changes import changes
from finetune_sdk.report.export import as_csv, as_markdown
from sample import sample
from test_html import EVIL, hostile


def test_every_case_and_model_is_a_row() -> None:
    rows = list(csv.DictReader(StringIO(as_csv(sample(20)))))
    assert len(rows) == 60
    assert rows[0]["case"] == "1"
    assert {row["model"] for row in rows} == {"base", "prompted", "tuned"}
    assert rows[0]["slice label"]
    assert rows[0]["FieldMatch passed"] in ("true", "false")
    assert rows[0]["asked"].startswith("system: Read the ticket")


@pytest.mark.parametrize(
    "said", ['=HYPERLINK("http://evil.example")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1"]
)
def test_no_answer_becomes_a_formula(said: str) -> None:
    data = sample(1)
    data["examples"][0]["answers"]["tuned"]["text"] = said
    row = list(csv.DictReader(StringIO(as_csv(data))))[2]
    assert row["answer"].startswith(("'", "␍", "␉"))
    data["examples"][0]["answers"]["tuned"]["text"] = "-12.5"
    assert list(csv.DictReader(StringIO(as_csv(data))))[2]["answer"] == "-12.5"


def test_the_findings_are_markdown() -> None:
    page = as_markdown(sample())
    assert page.startswith("# triage: base, prompted and tuned\n\n**tuned is better than prompted:")
    for part in ("| FieldMatch | tuned |", "## Compared, case by case", "## Slice by slice", "## What it costs"):
        assert part in page


def test_no_name_becomes_markdown_and_no_answer_is_in_it() -> None:
    page = as_markdown(hostile())
    assert not re.search(r"(?<!\\)[<\[`@]", page)
    assert "://" not in page
    assert "Thank you for your message" not in page
    assert EVIL[:8] not in page


def test_a_report_is_saved_as_either(tmp_path: Path) -> None:
    report = Report.from_dict(sample(10))
    assert report.save(tmp_path / "report.csv").read_text("utf-8").count("tickets.jsonl line") == 30
    assert report.save(tmp_path / "report.md").read_text("utf-8").startswith("# triage")


def test_what_changed_is_told_word_by_word() -> None:
    assert changes("the cat sat down", "the dog sat down") == (
        ("kept", "the "), ("gone", "cat"), ("new", "dog"), ("kept", " sat down"),
    )  # fmt: skip
    assert changes("same", "same") == ()
    assert changes("nothing alike", "42") == ()
    assert changes("a " * 2_000, "b " * 2_000) == ()
    before, after = "start one two three end of it", "start one 2 three end of it all"
    told = changes(before, after)
    assert "".join(text for kind, text in told if kind != "new") == before
    assert "".join(text for kind, text in told if kind != "gone") == after


def model(
    key: str, per_1000: float | None = None, read: float | None = None, run: str | None = None
) -> dict[str, object]:
    return {"key": key, "run": run, "cost": {"per_1000": per_1000}, "tokens": {"input_mean": read}}


def test_the_break_even_is_told_where_the_costs_are_known() -> None:
    tuned = model("tuned", 0.10, run="openai:1")
    origin = {"run": "openai:1", "actual": {"charge": 4.0}}
    (row,) = costs([model("prompted", 0.50), tuned], origin)
    assert (row["saving"], row["answers"]) == (pytest.approx(0.4), 10_000)
    assert row["sentence"].endswith("its training, which was charged $4.00, is paid back after 10,000 answers.")
    (dearer,) = costs([model("prompted", 0.05), tuned], origin)
    assert dearer["answers"] is None
    assert "costs $0.05 more" in dearer["sentence"]
    (unknown,) = costs([model("prompted", None, 500.0), model("tuned", None, 100.0)], None)
    assert unknown["sentence"] == "prompted reads 5.0 times as many tokens for an answer as tuned."
    assert costs([model("prompted"), model("tuned")], None) == []
    assert costs([tuned], origin) == []


def test_what_people_prefer_and_what_a_swap_changes_are_findings() -> None:
    said = "People prefer tuned to base in 9 of 10 decided cases."
    changed = "tuned changes its answer in 3 of 40 pairs when only the name changes."
    page = as_markdown(
        sample(10)
        | {
            "preferences": [{"kind": "human", "sentence": said, "reviewers": ["Ada"]}],
            "counterfactual": [{"sentence": changed}],
        }
    )
    assert f"## What people prefer\n\n- {said}" in page
    assert f"- {changed}" in page
    assert "Ada" not in page

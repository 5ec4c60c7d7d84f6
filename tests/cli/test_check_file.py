"""finetune check on a data file: mending, the page, a place's own rules, and options that would not count."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from finetune_sdk.cli import waiting
from finetune_sdk.data.opening import Opened, open_file
from shell import Shell, tickets


def rows(*texts: str) -> str:
    return "".join(
        json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]}) + "\n"
        for text in texts
    )


def test_what_is_mended_is_written_and_said_and_is_clean_after(finetune: Shell) -> None:
    finetune.write("bad.jsonl", rows("one ", "two", "two", "I am jane.roe@gmail.com") + '{"messages": []}\n')
    ended = finetune("check", "bad.jsonl", "--fix", "good.jsonl", "--redact", "--json")
    assert ended.status == 0, ended.err
    fixed = ended.value["fixed"]
    assert fixed["dropped"] == 2
    assert {(change["line"], change["action"]) for change in fixed["changes"]} == {
        (1, "stripped"), (3, "dropped"), (4, "redacted"), (5, "dropped"),
    }  # fmt: skip
    assert "<EMAIL_1>" in (finetune.folder / "good.jsonl").read_text("utf-8")
    again = finetune("check", "good.jsonl", "--json").value
    assert (again["errors"], again["warnings"]) == (0, 0)


def test_a_person_reads_each_drop_with_its_line(finetune: Shell) -> None:
    finetune.write("bad.jsonl", rows("two", "two"))
    ended = finetune("check", "bad.jsonl", "--fix", "good.jsonl")
    assert "dropped: it repeats line 1 exactly (line 2)" in ended.out
    assert "1 row dropped" in ended.out


def test_the_page_holds_what_was_found(finetune: Shell) -> None:
    finetune.write("bad.jsonl", rows("<b>two</b>", "<b>two</b>"))
    ended = finetune("check", "bad.jsonl", "--html", "page.html", "--json")
    assert ended.value["html"] == "page.html"
    page = (finetune.folder / "page.html").read_text("utf-8")
    assert "repeats an earlier one exactly" in page
    assert "&lt;b&gt;two" in page
    assert "<b>two" not in page


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["tickets.jsonl", "--redact"], "--redact is for mending"),
        (["tickets.jsonl", "--allow-leakage"], "--allow-leakage is for a job"),
        (["tickets.jsonl", "--config", "finetune.toml"], "--config is for a place"),
        (["tickets.jsonl", "--base", "echo"], "--base is for a place"),
        (["job.yaml", "--fix", "out.jsonl"], "--fix is for a data file"),
        (["job.yaml", "--preview", "1"], "--preview is for a data file"),
        (["job.yaml", "--html", "out.html"], "--html is for a data file"),
        (["job.yaml", "--format", "openai"], "--format is for a data file"),
        (["job.yaml", "--columns", "prompt=q"], "--columns is for a data file"),
        (["tickets.jsonl", "--columns", "prompt"], "names no column"),
        (["tickets.jsonl", "--columns", "prompt="], "names no column"),
        (["tickets.jsonl", "--columns", "prompt=a,prompt=b"], "twice"),
        (["tickets.jsonl", "--columns", "prompt=question,completion=answer"], "no column 'question'"),
        (["tickets.jsonl", "--fix", "tickets.jsonl"], "write over"),
        (["tickets.jsonl", "--html", "nowhere/page.html"], "cannot be written"),
    ],
)
def test_an_option_that_would_not_count_or_would_harm_is_refused(finetune: Shell, args: list[str], said: str) -> None:
    before = (finetune.folder / "tickets.jsonl").read_bytes()
    ended = finetune("check", *args, "--json")
    assert ended.status == 1
    assert said in ended.value["error"]["message"]
    assert (finetune.folder / "tickets.jsonl").read_bytes() == before


def test_a_preview_shows_what_is_trained_of_the_first_rows(finetune: Shell) -> None:
    finetune.write("few.jsonl", rows("one", "two", "three"))
    shown = finetune("check", "few.jsonl", "--preview", "2", "--base", "echo", "--json").value["preview"]
    assert [row["line"] for row in shown] == [1, 2]
    taught = "".join(shown[1]["text"][start:end] for start, end in shown[1]["spans"])
    assert taught.startswith("Yes.")
    assert "two" not in taught
    assert 0 < shown[1]["trained_tokens"] < shown[1]["tokens"]
    said = finetune("check", "few.jsonl", "--preview", "1", "--base", "echo").out
    assert "⟦Yes." in said
    assert "between ⟦ and ⟧" in said


def test_a_row_that_a_base_cannot_read_is_told_in_its_place_and_the_rest_is_done(finetune: Shell) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    asked = [{"role": "user", "content": [picture]}, {"role": "assistant", "content": "A lamp."}]
    finetune.write("mixed.jsonl", json.dumps({"messages": asked}) + "\n" + tickets([0]))
    args = ("mixed.jsonl", "--preview", "2", "--backend", "local", "--base", "tiny", "--fix", "out.jsonl", "--json")
    said = finetune("check", *args).value
    assert "image_url" in said["preview"][0]["error"]
    assert said["preview"][1]["trained_tokens"] > 0
    assert "image_url" in next(each["message"] for each in said["findings"] if each["check"] == "place")
    assert (finetune.folder / "out.jsonl").exists()


def test_a_preview_needs_a_base_that_there_is(finetune: Shell) -> None:
    ended = finetune("check", "tickets.jsonl", "--preview", "1", "--base", "parrot", "--json")
    assert ended.status == 1
    assert "parrot" in ended.value["error"]["message"]


def test_the_page_goes_from_hand_to_hand_and_shows_nobodys_address(finetune: Shell) -> None:
    finetune.write("bad.jsonl", rows("I am jane.roe@gmail.com", "one", "two"))
    finetune("check", "bad.jsonl", "--html", "page.html")
    page = (finetune.folder / "page.html").read_text("utf-8")
    assert "jane.roe" not in page
    assert "&lt;EMAIL_1&gt;" in page


def test_the_page_shows_no_address_out_of_a_calls_arguments(finetune: Shell) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"n": "jane.roe@gmail.com"}'}}
    turns = [{"role": "user", "content": "Mail her"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    finetune.write("calls.jsonl", json.dumps({"messages": turns, "tools": [tool]}))
    finetune("check", "calls.jsonl", "--html", "calls.html")
    page = (finetune.folder / "calls.html").read_text()
    assert "is not of type" in page
    assert "jane" not in page


def test_a_places_own_rules_are_asked(finetune: Shell) -> None:
    plain = finetune("check", "tickets.jsonl", "--json").value
    placed = finetune("check", "tickets.jsonl", "--backend", "fake", "--json")
    assert placed.status == 0, placed.err
    assert len(placed.value["findings"]) >= len(plain["findings"])
    unknown = finetune("check", "tickets.jsonl", "--backend", "fkae", "--json")
    assert unknown.status == 1
    assert "fkae" in unknown.value["error"]["message"]


def test_a_place_is_named_with_for_or_with_backend(finetune: Shell) -> None:
    finetune.write("few.jsonl", rows("one", "two", "three"))
    finetune.place(minimum_rows=10)
    said = [finetune("check", "few.jsonl", option, "fake", "--json").value for option in ("--for", "--backend")]
    assert said[0] == said[1]
    assert "rows" in {finding["check"] for finding in said[0]["findings"]}
    assert finetune("check", "job.yaml", "--for", "fake", "--json").value["errors"] == 0


@pytest.mark.parametrize(
    "given",
    [
        ["--columns", "prompt=Die, Frage,completion=a=b"],
        ["--columns", "prompt=Die, Frage", "--columns", "completion=a=b"],
        ["--columns", "prompt=Die, Frage, completion=a=b", "--format", "prompt-completion"],
    ],
)
def test_columns_are_named_on_the_command_line(finetune: Shell, given: list[str]) -> None:
    finetune.write("faq.csv", '"Die, Frage";a=b;mood\nWann?;Um sechs.;good\nWann?;Um sechs.;bad\n')
    value = finetune("check", "faq.csv", *given, "--json").value
    assert (value["kind"], value["rows"], value["unit"]) == ("chat", 2, "line")
    assert [(finding["rows"], finding["unit"]) for finding in value["findings"]] == [([3], "line")]


def test_items_of_an_array_are_called_items(finetune: Shell) -> None:
    finetune.write("rows.json", "[" + ",".join(rows("one", "two", "two", "two").splitlines()) + "]")
    ended = finetune("check", "rows.json", "--fix", "fixed.csv", "--html", "page.html")
    assert "items 3, 4: 2 rows repeat earlier ones" in ended.out
    assert "such as: item 3 repeats item 2" in ended.out
    assert "it repeats item 2 exactly (items 3, 4)" in ended.out
    assert "line" not in ended.out
    assert '<p class="lines">items 3, 4' in (finetune.folder / "page.html").read_text("utf-8")
    assert (finetune.folder / "fixed.csv").read_bytes().splitlines() == [b"prompt,completion", b"one,Yes.", b"two,Yes."]


def test_misnamed_roles_are_mended_and_each_is_said(finetune: Shell) -> None:
    finetune.write("gpt.jsonl", rows("one", "two").replace('"user"', '"human"').replace('"assistant"', '"Assistant "'))
    ended = finetune("check", "gpt.jsonl", "--fix", "fixed.jsonl")
    assert ended.status == 0
    assert "renamed: the role 'human' became 'user' (lines 1, 2)" in ended.out
    assert "renamed: the role 'Assistant ' became 'assistant' (lines 1, 2)" in ended.out
    assert finetune("check", "fixed.jsonl", "--json").value["rows"] == 2


def test_lines_that_are_all_faulty_are_told_with_the_first_ones_fault(finetune: Shell) -> None:
    finetune.write("dup.jsonl", '{"text": "a", "text": "b"}\n' * 3)
    ended = finetune("check", "dup.jsonl")
    assert "dup.jsonl line 1: the key 'text' stands twice" in ended.err
    assert "not JSON lines" not in ended.err


def test_a_place_is_not_asked_of_tasks_without_a_job(finetune: Shell) -> None:
    finetune.write("tasks.jsonl", '{"messages": [{"role": "user", "content": "2 + 2?"}], "answer": 4}\n')
    ended = finetune("check", "tasks.jsonl", "--backend", "fake", "--json")
    assert ended.status == 1
    assert "job.yaml" in ended.value["error"]["cure"]


def test_a_job_is_told_of_held_out_rows_that_are_nearly_training_rows(finetune: Shell) -> None:
    text = " ".join(f"word{n}" for n in range(60))
    finetune.write("train.jsonl", tickets(range(30)) + rows(text))
    finetune.write("test.jsonl", tickets(range(100, 130)) + rows(text + " thanks"))
    finetune.write(
        "sides.yaml", "name: a\ntrain: train.jsonl\ntest: test.jsonl\nevaluation: {evaluators: [{kind: exact_match}]}\n"
    )
    value = finetune("check", "sides.yaml", "--json").value
    (finding,) = [finding for finding in value["findings"] if finding["check"] == "near-leakage"]
    assert finding["rows"] == [31]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_bar_comes_only_where_a_person_looks_on_and_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pty

    lead, follow = pty.openpty()
    with os.fdopen(follow, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with waiting.waiting("checking rows.jsonl") as tell:
            tell(1, 2)
        monkeypatch.setattr(waiting, "PATIENCE", 0.0)
        with waiting.waiting("checking [b]rows.jsonl") as tell:
            tell(1, 2)
            for _ in range(50):
                tell(1, 2)
        terminal.flush()
        seen = os.read(lead, 65536)
    os.close(lead)
    assert b"checking [b]rows.jsonl" in seen
    assert b"checking rows.jsonl" not in seen


COMMANDS = [
    ["check", "tickets.jsonl"],
    ["check", "tickets.jsonl", "--fix", "fixed.jsonl"],
    ["check", "job.yaml"],
    ["estimate", "job.yaml"],
    ["run", "job.yaml", "--yes", "--detach"],
]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("args", COMMANDS, ids=" ".join)
def test_a_bar_comes_while_data_is_read(finetune: Shell, monkeypatch: pytest.MonkeyPatch, args: list[str]) -> None:
    import pty

    def slowly(path: Path, *rest: Any) -> Opened:
        time.sleep(0.3)
        return open_file(path, *rest)

    lead, follow = pty.openpty()
    shown = list[bytes]()

    def read() -> None:
        """A terminal that nobody reads fills up, and whoever writes to it waits."""
        with suppress(OSError):
            while piece := os.read(lead, 65536):
                shown.append(piece)

    reader = Thread(target=read)
    reader.start()
    with os.fdopen(follow, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(waiting, "PATIENCE", 0.1)
        monkeypatch.setattr("finetune_sdk.data.dataset.open_file", slowly)
        assert finetune(*args).status == 0
    reader.join(10)
    os.close(lead)
    seen = b"".join(shown).decode("utf-8", "replace")
    assert any(
        word in seen for word in ("checking tickets.jsonl", "estimating job.yaml", "reading the data of job.yaml")
    ), seen

"""docs/cli.md shows every command, each line of it works, and so does its job file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import finetune_sdk.cli
from finetune_sdk.drafts import Drafts
from finetune_sdk.jobfile import JobFile
from shell import Shell

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
ANY_RUN = "local:7f3a…"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_line_of_the_page_works(finetune: Shell) -> None:
    run, seen = "", set()
    finetune.write("prompts.txt", "Where is my bill?\n")
    for line in [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]:
        name, command, *args = shlex.split(line.partition(" > ")[0].replace(ANY_RUN, run))
        seen.add(command)
        assert name == "finetune"
        if command == "doctor":  # loads every backend: it has a test of its own
            continue
        if args[:1] == ["review"]:  # wants a person: it has a test of its own
            accept_all(finetune, args[1])
            continue
        if command == "serve" and "keys" not in args:  # goes on until it is ended: tests/serve
            continue
        if command == "review" and "--count" not in args:  # so does this: tests/review
            continue
        ended = finetune(command, *args, *(["--backend", "fake"] if command == "demo" else []))
        assert ended.status == 0, f"{line}\n{ended.err}"
        if "--detach" in args:
            run = ended.value["run"]
    named = {command.callback.__name__ for command in finetune_sdk.cli.app.registered_commands if command.callback}
    assert seen == named | {group.name for group in finetune_sdk.cli.app.registered_groups}


def accept_all(finetune: Shell, name: str) -> None:
    drafts = Drafts(finetune.folder / name)
    for draft in drafts.waiting():
        drafts.accept(draft)


def test_the_long_form_of_a_data_file_works(finetune: Shell) -> None:
    line, _ = blocks("text")
    finetune.write("job.yaml", f"name: faq\n{line}")
    assert len(JobFile.load(finetune.folder / "job.yaml").datasets().train) == 12


def test_the_job_file_of_the_page_works(finetune: Shell) -> None:
    (text,) = blocks("yaml")
    text = text.replace("category, priority", "category").replace("base: tiny", "base: echo")
    finetune.write("job.yaml", text)
    assert finetune("check", "job.yaml", "--json").value["errors"] == 0


def test_the_error_of_the_page_is_what_is_said(finetune: Shell) -> None:
    shown = blocks("text")[-1]
    (text,) = blocks("yaml")
    lines = text.replace("kind: sft, epochs", "kind: sft, epoch").splitlines(keepends=True)
    line = next(number for number, one in enumerate(lines, 1) if "epoch:" in one)
    finetune.write("job.yaml", "".join(lines))
    assert finetune("estimate", "job.yaml").err == shown.replace("line 7", f"line {line}")

"""finetune drafts: a model writes, a person at a real terminal decides, and what was accepted becomes a file."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.drafts import Drafts
from finetune_sdk.messages import ChatExample, Message, ToolCall
from finetune_sdk.todo import read_todo
from shell import Shell, tickets

HOSTILE = "\x1b[2J\x1b]0;owned\x07fine\r\n\x9b31m\u202eanswer\n  accepted"
needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


class Person:
    """Somebody at a real terminal, who waits for words before a key is hit."""

    def __init__(self, lead: int, command: subprocess.Popen[bytes]) -> None:
        self._lead = lead
        self.command = command
        self.seen = b""
        self._read = 0

    def sees(self, words: str) -> None:
        """Waits for words that were not seen before."""
        while words.encode() not in self.seen[self._read :]:
            self.seen += os.read(self._lead, 4096)
        self._read = self.seen.index(words.encode(), self._read) + len(words.encode())

    def hits(self, keys: str) -> None:
        time.sleep(0.1)  # keys that are hit before they are waited for are echoed
        os.write(self._lead, keys.encode())

    def leaves(self) -> int:
        """Reads to the end; the status of the command."""
        try:
            while part := os.read(self._lead, 4096):
                self.seen += part
        except OSError:  # the other side is closed
            pass
        return self.command.wait(timeout=30)


@contextmanager
def person(finetune: Shell, **environment: str) -> Iterator[Person]:
    import pty

    lead, follow = pty.openpty()
    command = subprocess.Popen(
        finetune.command("drafts", "review", "drafts.db"), cwd=finetune.folder, env=finetune.environment | environment,
        stdin=follow, stdout=follow, stderr=follow, close_fds=True, start_new_session=True,
    )  # fmt: skip
    os.close(follow)
    try:
        yield Person(lead, command)
    finally:
        command.kill()
        command.wait()
        os.close(lead)


@pytest.fixture
def drafts(finetune: Shell) -> Drafts:
    return Drafts(finetune.folder / "drafts.db")


def draft(drafts: Drafts, asked: str, answer: str) -> str:
    (identity,) = drafts.add(ChatExample((Message("user", asked), Message("assistant", answer))), "strong-1").new
    return identity


def editor(finetune: Shell, code: str) -> str:
    """A command that edits a file with the Python of `code`."""
    finetune.write("edit.py", f"import sys\npath = sys.argv[1]\ntext = open(path, newline='').read()\n{code}\n")
    return shlex.join([sys.executable, str(finetune.folder / "edit.py")])


# Writing


def test_prompts_are_answered_and_nothing_counts_yet(finetune: Shell, drafts: Drafts) -> None:
    finetune.write("prompts.txt", "Where is it?\n\nticket 1: where is my bill?\n")
    ended = finetune(
        "drafts",
        "write",
        "drafts.db",
        "--prompts",
        "prompts.txt",
        "--model",
        "echo",
        "--hold-out",
        "tickets.jsonl",
        "--json",
    )
    assert ended.status == 0, ended.err
    assert ended.value["model"] == "echo"
    assert ended.value["new"] == [draft.id for draft in drafts.waiting()]
    assert ended.value["left_out"] == ["'ticket 1: where is my bill?': it is a held-out case"]
    refused = finetune("drafts", "export", "drafts.db", "--to", "rows.jsonl", "--json")
    assert refused.status == 1
    assert "drafts review" in refused.value["error"]["cure"]
    assert not (finetune.folder / "rows.jsonl").exists()


def test_the_prompts_of_a_data_file_are_answered(finetune: Shell, drafts: Drafts) -> None:
    finetune.write("more.jsonl", tickets(range(70, 75)))
    ended = finetune("drafts", "write", "drafts.db", "--prompts", "more.jsonl", "--model", "shout")
    assert ended.status == 0, ended.err
    assert "5 new drafts" in ended.out
    assert "finetune drafts review drafts.db" in ended.out
    assert drafts.waiting()[0].example.answer.text == "TICKET 70: WHERE IS MY PARCEL?"


def test_what_a_model_does_not_write_as_asked_is_said_and_the_status_is_1(finetune: Shell) -> None:
    ended = finetune("evaluate", "job.yaml")
    assert ended.status == 1
    assert finetune("run", "job.yaml", "--yes").status == 0
    judged = finetune("evaluate", "job.yaml", "--failures", "todo.jsonl", "--json")
    assert judged.status == 0, judged.err
    assert judged.value["failures"]["cases"] > 0
    ended = finetune("drafts", "write", "drafts.db", "--like", "todo.jsonl", "--model", "echo")
    assert ended.status == 1
    assert "left out: like" in ended.out
    assert "not JSON" in ended.out


def test_failures_are_written_from_a_saved_report_too(finetune: Shell) -> None:
    assert finetune("run", "job.yaml", "--yes", "--json").status == 0
    ended = finetune("report", "triage-report.json", "--failures", "todo.jsonl", "--json")
    assert ended.status == 0, ended.err
    metric = ended.value["models"]["tuned"]["FieldMatch"]
    failed = metric["cases"] - metric["passed"]
    assert ended.value["failures"] == {"file": "todo.jsonl", "model": "tuned", "cases": failed}
    assert failed == len(read_todo(finetune.folder / "todo.jsonl")) > 0
    several = finetune("report", "triage-report.json", "triage-report.json", "--failures", "todo.jsonl")
    assert (several.status, "for one report" in several.err) == (1, True)
    nowhere = finetune("report", "triage-report.json", "--failures", "absent/todo.jsonl")
    assert (nowhere.status, "cannot be written" in nowhere.err) == (1, True)
    for command in (
        ["check", "todo.jsonl"],
        ["drafts", "write", "drafts.db", "--prompts", "todo.jsonl", "--model", "echo"],
    ):
        refused = finetune(*command)
        assert (refused.status, "held out" in refused.err) == (1, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--like TODO.JSONL or --prompts FILE"),
        (["--like", "a.jsonl", "--prompts", "b.txt"], "--like TODO.JSONL or --prompts FILE"),
        (["--prompts", "tickets.jsonl", "--each", "2"], "leave --each out"),
        (["--like", "a.jsonl", "--format", "openai"], "leave --format out"),
        (["--like", "absent.jsonl"], "check the path"),
        (["--prompts", "absent.txt"], "check the path"),
        (["--like", "tickets.jsonl"], "--failures"),
    ],
)
def test_options_that_do_not_go_together_are_refused(finetune: Shell, options: list[str], said: str) -> None:
    ended = finetune("drafts", "write", "drafts.db", "--model", "echo", *options, "--json")
    assert ended.status == 1
    assert said in ended.value["error"]["cure"]
    assert not (finetune.folder / "drafts.db").exists()


# Reviewing


@needs_terminal
def test_a_person_accepts_edits_rejects_and_skips(finetune: Shell, drafts: Drafts) -> None:
    names = [draft(drafts, f"question {n}?", f"answer {n}") for n in range(5)]
    with person(
        finetune, EDITOR=editor(finetune, "open(path, 'w').write(text.replace('answer', 'better'))")
    ) as somebody:
        for number, keys in enumerate(["a", "e", "r", "s"]):
            somebody.sees(f"draft {number + 1} of 5, by strong-1")
            somebody.sees(f"question {number}?")
            somebody.sees(f"answer {number}")
            somebody.sees("q quit")
            somebody.hits(keys)
            if keys == "r":
                somebody.sees("why?")
                somebody.hits("nonsense\n")
        somebody.sees("draft 5 of 5")
        somebody.sees("q quit")
        somebody.hits("x")
        somebody.sees("q quit")
        somebody.hits("q")
        assert somebody.leaves() == 0
        assert b"1 accepted, 1 edited, 1 rejected, 1 skipped; 2 wait" in somebody.seen
    states = [(drafts.get(name).state, drafts.get(name).example.answer.text) for name in names]
    assert states == [
        ("accepted", "answer 0"), ("edited", "better 1"), ("rejected", "answer 2"), ("waiting", "answer 3"), ("waiting", "answer 4"),
    ]  # fmt: skip
    assert drafts.get(names[2]).reason == "nonsense"


@needs_terminal
def test_what_a_model_wrote_cannot_act_on_the_terminal_nor_pass_for_the_program(
    finetune: Shell, drafts: Drafts
) -> None:
    draft(drafts, f"question {HOSTILE}", HOSTILE)
    with person(finetune, TERM="dumb") as somebody:
        somebody.sees("q quit")
        somebody.hits("q")
        assert somebody.leaves() == 0
    seen = somebody.seen.decode()
    for letter in ("\x1b", "\x07", "\x9b", "\u202e"):
        assert letter not in seen
    lines = [line.rstrip("\r") for line in seen.split("\n")]
    assert "accepted" not in lines
    assert lines.count("    accepted") == 2


@needs_terminal
def test_ctrl_c_leaves_what_was_decided(finetune: Shell, drafts: Drafts) -> None:
    first, second = draft(drafts, "one?", "1"), draft(drafts, "two?", "2")
    with person(finetune) as somebody:
        somebody.sees("q quit")
        somebody.hits("a")
        somebody.sees("two?")
        somebody.sees("q quit")
        somebody.hits("\x03")
        assert somebody.leaves() == 130
    assert [drafts.get(name).state for name in (first, second)] == ["accepted", "waiting"]


@needs_terminal
def test_what_somebody_else_decides_meanwhile_stands(finetune: Shell, drafts: Drafts) -> None:
    name = draft(drafts, "one?", "1")
    with person(finetune) as somebody:
        somebody.sees("q quit")
        drafts.reject(name)
        somebody.hits("a")
        somebody.sees("somebody else")
        assert somebody.leaves() == 0
    assert [each.state for each in drafts.history(name)] == ["rejected"]


@needs_terminal
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("pass", "nothing was changed"),
        ("open(path, 'w').write('')", "is empty"),
        ("open(path, 'wb').write(b'\\xff')", "not UTF-8"),
        ("sys.exit(3)", "status 3"),
    ],
)
def test_an_edit_that_came_to_nothing_is_said_and_asked_again(
    finetune: Shell, drafts: Drafts, code: str, said: str
) -> None:
    name = draft(drafts, "one?", "1\r\n  two\n")
    with person(finetune, VISUAL=editor(finetune, code)) as somebody:
        somebody.sees("q quit")
        somebody.hits("e")
        somebody.sees(said)
        somebody.sees("q quit")
        somebody.hits("q")
        assert somebody.leaves() == 0
    assert drafts.get(name).state == "waiting"


@needs_terminal
def test_an_editor_that_is_not_there_is_said(finetune: Shell, drafts: Drafts) -> None:
    draft(drafts, "one?", "1")
    with person(finetune, EDITOR="no-such-editor --wait") as somebody:
        somebody.sees("q quit")
        somebody.hits("e")
        somebody.sees("no-such-editor cannot be started")
        somebody.sees("q quit")
        somebody.hits("q")
        assert somebody.leaves() == 0


@needs_terminal
@pytest.mark.parametrize(
    ("code", "state"),
    [("text = text.replace('AB-1', 'AB-2')", "edited"), ("text = '{'", "waiting"), ("text = '[]'", "waiting"), ("text = '{}'", "waiting")],
)  # fmt: skip
def test_calls_of_tools_are_edited_as_json(finetune: Shell, drafts: Drafts, code: str, state: str) -> None:
    call = Message("assistant", None, (ToolCall("track", {"order": "AB-1"}),))
    (name,) = drafts.add(ChatExample((Message("user", "Where?"), call)), "strong-1").new
    with person(finetune, EDITOR=editor(finetune, f"{code}\nopen(path, 'w').write(text)")) as somebody:
        somebody.sees('"arguments": {"order": "AB-1"}')
        somebody.sees("q quit")
        somebody.hits("e")
        somebody.sees("edited" if state == "edited" else "q quit")
        somebody.hits("q")
        assert somebody.leaves() == 0
    assert drafts.get(name).state == state
    if state == "edited":
        assert drafts.get(name).example.answer.tool_calls == (ToolCall("track", {"order": "AB-2"}),)


def test_without_a_terminal_the_review_names_the_way_in_python(finetune: Shell, drafts: Drafts) -> None:
    draft(drafts, "one?", "1")
    ended = finetune.process("drafts", "review", "drafts.db")
    assert ended.status == 1
    assert "needs a terminal" in ended.err
    assert "drafts.accept(draft)" in ended.err
    assert finetune.process("drafts", "review", "absent.db").status == 1


# Exporting


def test_what_was_decided_for_is_written_with_its_marks_or_without(finetune: Shell, drafts: Drafts) -> None:
    drafts.accept(draft(drafts, "one?", "1"))
    drafts.edit(draft(drafts, "two?", "2"), "II")
    ended = finetune("drafts", "export", "drafts.db", "--to", "rows.jsonl", "--json")
    assert ended.status == 0, ended.err
    assert ended.value["rows"] == 2
    rows = list(Dataset.load(finetune.folder / "rows.jsonl").rows())
    assert [row["synthetic"] for row in rows] == ["strong-1", "strong-1, edited by a person"]
    assert "2 rows were written by a model" in finetune("check", "rows.jsonl").out
    assert finetune("drafts", "export", "drafts.db", "--to", "plain.jsonl", "--no-marks").status == 0
    assert "synthetic" not in (finetune.folder / "plain.jsonl").read_text()
    over = finetune("drafts", "export", "drafts.db", "--to", "drafts.db")
    assert (over.status, "write over" in over.err) == (1, True)
    page = finetune("check", "rows.jsonl", "--html", "page.html")
    assert page.status == 0, page.err
    assert "written by a model" in Path(finetune.folder / "page.html").read_text()

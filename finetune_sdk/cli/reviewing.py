"""Drafts in a terminal, one at a time: shown whole and without what a terminal would obey, then a key decides."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import indent
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from finetune_sdk.cli.screen import Screen, plain
from finetune_sdk.errors import FinetuneError, InputError
from finetune_sdk.messages import Conversation, Message

if TYPE_CHECKING:
    from finetune_sdk.drafts import Draft, Drafts

_KEYS = "a accept   e edit   r reject   s skip   q quit"


class Reviewer:
    """One person's review of the drafts that wait."""

    def __init__(self, drafts: Drafts, out: Screen) -> None:
        self._drafts = drafts
        self._out = out
        self._done = Counter[str]()

    def review(self) -> None:
        """Raises InputError where there is no terminal to decide at."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise InputError(
                "a review needs a terminal, and here is none.",
                cure=f"decide in Python: drafts = ft.Drafts({str(self._drafts.path)!r}), and for each of drafts.waiting() "
                "drafts.accept(draft), drafts.edit(draft, answer) or drafts.reject(draft, reason)",
            )
        waiting = self._drafts.waiting()
        for number, draft in enumerate(waiting, 1):
            if not self._waits(draft):
                continue
            self._out.show(*shown(draft, number, len(waiting)))
            if not self._decided(draft):
                break
        self._close()

    def _waits(self, draft: Draft) -> bool:
        """Whether nobody has decided on the draft meanwhile."""
        return self._drafts.get(draft.id).state == "waiting"

    def _decided(self, draft: Draft) -> bool:
        """Asks until there is an answer; False for quitting."""
        while True:
            self._out.show(Text(_KEYS, "cyan"))
            key = _key()
            if key == "q":
                return False
            if key in ("a", "e", "r") and not self._waits(draft):
                self._out.show("somebody else has decided on this one meanwhile")
                return True
            try:
                done = self._decide(draft, key)
            except FinetuneError as fault:
                self._out.show(Text("error: ", "bold red").append(plain(str(fault)), "default"))
                continue
            if done:
                self._done[done] += 1
                self._out.show(Text(done, "bold"))
                return True

    def _decide(self, draft: Draft, key: str) -> str:
        """What became of the draft; empty where nothing has."""
        match key:
            case "a":
                self._drafts.accept(draft)
            case "e":
                answer = edited(draft.example.answer)
                if answer == draft.example.answer:
                    self._out.show("nothing was changed")
                    return ""
                self._drafts.edit(draft, answer)
            case "r":
                self._out.show("why? (a line, or Enter)")
                self._drafts.reject(draft, sys.stdin.readline().strip() or None)
            case "s":
                pass
            case _:
                return ""
        return {"a": "accepted", "e": "edited", "r": "rejected", "s": "skipped"}[key]

    def _close(self) -> None:
        done = ", ".join(f"{count:,} {what}" for what, count in self._done.items())
        counts = self._drafts.counts()
        self._out.show(
            f"{done or 'nothing decided'}; {counts['waiting']:,} {'waits' if counts['waiting'] == 1 else 'wait'}"
        )
        if counts["accepted"] or counts["edited"]:
            self._out.show(f"as data: finetune drafts export {self._drafts.path} --to rows.jsonl")


def shown(draft: Draft, number: int, total: int) -> list[Text]:
    """The draft as a person reads it. What was said is set in, so that it cannot pass for what this program says."""
    by = f"draft {number:,} of {total:,}, by {draft.model}" + (f", like {draft.like}" if draft.like else "")
    parts = [Text(f"\n{plain(by)}", "bold")]
    names = [str(tool.get("function", tool).get("name", "?")) for tool in draft.example.tools]
    if names:
        parts.append(Text(f"tools: {plain(', '.join(names))}", "dim"))
    for message in draft.example.prompt.messages:
        parts += [Text(message.role, "dim"), _said(message)]
    return [*parts, Text("answer", "bold green"), _said(draft.example.answer)]


def _said(message: Message) -> Text:
    from finetune_sdk.evaluation.transcript import words

    others = sum("text" not in part for part in message.content) if isinstance(message.content, tuple) else 0
    unseen = f"({others} parts that are no text)" if others else ""
    return Text(indent(plain("\n".join(filter(None, (words(message), unseen)))), "  ", lambda line: True))


def edited(answer: Message) -> Message:
    """The answer after a person has had it in an editor: its text, or JSON where it calls tools."""
    if not answer.tool_calls and (answer.content is None or isinstance(answer.content, str)):
        return Message("assistant", _in_editor(answer.text, "answer.txt"))
    row = {key: value for key, value in answer.canonical().items() if key != "role"}
    before = json.dumps(row, ensure_ascii=False, indent=2)
    try:
        found = json.loads(_in_editor(before, "answer.json"))
    except ValueError as fault:
        raise InputError(f"the answer is not JSON any more: {fault}.", cure="edit it again") from None
    if not isinstance(found, dict):
        raise InputError("the answer is not an object any more.", cure="edit it again")
    return Conversation.of([{**found, "role": "assistant"}]).messages[0]


def _in_editor(text: str, name: str) -> str:
    """The text after the editor has been closed; the line's end that it needs is not part of it."""
    from finetune_sdk.settings import editor

    command = editor()
    with TemporaryDirectory(prefix="finetune-") as folder:
        file = Path(folder) / name
        file.write_bytes(f"{text}\n".encode())
        try:
            status = subprocess.run([*command, str(file)], check=False).returncode
            found = file.read_bytes().decode()
        except OSError as fault:
            raise InputError(
                f"{command[0]} cannot be started: {fault.strerror}.", cure="set EDITOR to your editor"
            ) from None
        except UnicodeDecodeError:
            raise InputError("what the editor wrote is not UTF-8.", cure="save it as UTF-8") from None
    if status:
        raise InputError(
            f"{command[0]} ended with status {status}, so nothing is changed.", cure="edit it again, or set EDITOR"
        )
    return found.removesuffix("\n")


def _key() -> str:
    try:
        return typer.getchar().lower()
    except EOFError:
        return "q"

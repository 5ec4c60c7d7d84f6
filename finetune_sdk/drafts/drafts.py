"""Drafts: rows that a model wrote, of which none counts before a person has accepted or edited it.

A draft is its content: the same one twice is one. A decision never replaces another; the last one counts.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson

from finetune_sdk.data.checks import RowError
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.data.index import checked, content_hash
from finetune_sdk.drafts import writing
from finetune_sdk.drafts.database import Database
from finetune_sdk.drafts.draft import STATES, Decision, Draft, State, Written, left_out, question, question_of_case
from finetune_sdk.errors import DatasetError, InputError
from finetune_sdk.evaluation.evaluators.reading import mended
from finetune_sdk.messages import Asked, ChatExample, Conversation, Message, TextExample, example
from finetune_sdk.model import Model, Sampling
from finetune_sdk.todo import FailedCase, read_todo

EDITED = ", edited by a person"
SAMPLING = Sampling(max_tokens=2048)
_CHUNK = 16
_ALREADY = 20
_DRAFTS = (
    "SELECT d.id, d.row, d.model, d.origin, d.written, coalesce(c.state, 'waiting'), c.answer, c.reason FROM drafts d "
    "LEFT JOIN decisions c ON c.number = (SELECT max(number) FROM decisions WHERE draft = d.id)"
)
_THERE = (
    "SELECT 1 FROM drafts d WHERE asked = ? AND model = ? AND "
    "coalesce((SELECT state FROM decisions WHERE draft = d.id ORDER BY number DESC LIMIT 1), '') != 'rejected'"
)
_HELD_OUT = "it is a held-out case"
Told = Callable[[int, int], None]


class _Prompt(NamedTuple):
    """What a draft is to answer, what the model sees for it, and the failed case that it is like."""

    asked: Conversation
    seen: Conversation
    like: str | None = None


class Drafts:
    """The drafts in a file, which the first one makes. Several processes may have it open.

    Iterated over they come in the order of their writing. None that asks what a held-out case asks is among them.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = Database(self.path)

    def __repr__(self) -> str:
        return f"Drafts({str(self.path)!r})"

    def write(
        self, model: Model, asked: Iterable[Asked], sampling: Sampling = SAMPLING, *, progress: Told | None = None
    ) -> Written:
        """Lets a model answer prompts; the answers are drafts, kept as soon as they are there.

        A prompt is not asked again of a model whose answer to it is waiting, accepted or edited, so after a crash the same
        call goes on where it was. Held-out cases are not asked. Of a prompt's own assistant turns none is learnt: they get weight 0.
        """
        if isinstance(asked, str):
            raise InputError("the prompts are one text.", cure="give a list of prompts")
        prompts = [_Prompt(writing.untrained(one), one) for one in map(Conversation.of, asked)]
        return self._write(model, prompts, sampling, progress)

    def write_like(
        self,
        model: Model,
        todo: str | os.PathLike[str],
        each: int = 3,
        sampling: Sampling = SAMPLING,
        *,
        progress: Told | None = None,
    ) -> Written:
        """Lets a model write `each` new prompts like every failed case of a to-do list, and answer them.

        The cases are held out from now on: no draft asks the same. Called again it asks for other prompts than are there.
        """
        if isinstance(each, bool) or not isinstance(each, int) or not 1 <= each <= writing.MOST:
            raise InputError(
                f"each={each!r} makes no sense.", cure=f"ask for 1 to {writing.MOST} prompts like each case"
            )
        _named(model.name)
        cases, made = read_todo(todo), Written()
        self._hold_out(map(question_of_case, cases))
        for at in range(0, len(cases), _CHUNK):
            if progress is not None:
                progress(at, len(cases))
            prompts, faults = self._prompts(model, cases[at : at + _CHUNK], each, sampling)
            made += Written(faults=faults) + self._write(model, prompts, sampling)
        return made

    def _prompts(
        self, model: Model, cases: Sequence[FailedCase], each: int, sampling: Sampling
    ) -> tuple[list[_Prompt], tuple[str, ...]]:
        """New prompts like each case, and why there are none like some."""
        asked = [writing.asked_for(case, each, self._written_like(case)) for case in cases]
        made, faults = list[_Prompt](), list[str]()
        for case, said in zip(cases, writing.answers(model, asked, sampling), strict=True):
            try:
                new = [writing.conversation_like(case, text) for text in writing.prompts_in(said, each)]
            except ValueError as fault:
                faults.append(f"like {case.where}: {fault}")
            else:
                made += (_Prompt(one, writing.with_example(case, one), case.where) for one in new)
        return made, tuple(faults)

    def _write(
        self, model: Model, prompts: Sequence[_Prompt], sampling: Sampling, progress: Told | None = None
    ) -> Written:
        made, name = Written(), _named(model.name)
        for at in range(0, len(prompts), _CHUNK):
            if progress is not None:
                progress(at, len(prompts))
            new, passed = self._still_to_ask(name, prompts[at : at + _CHUNK])
            made += passed
            said = writing.answers(model, [one.seen for one in new], sampling) if new else ()
            examples = list[tuple[ChatExample, str | None]]()
            for one, answer in zip(new, said, strict=True):
                try:
                    examples.append((writing.example_of(one.asked, answer), one.like))
                except ValueError as fault:
                    made += left_out(one.asked, str(fault))
            made += self._add(name, examples)
        return made

    def add(self, row: ChatExample, model: str, like: str | None = None) -> Written:
        """Keeps a draft that a program of yours had a model write. Raises DatasetError for one to learn nothing from."""
        _usable(row)
        return self._add(_named(model), [(row, like and mended(like))])

    def _add(self, model: str, examples: Sequence[tuple[ChatExample, str | None]]) -> Written:
        made = Written()
        with self._file.changing() as connection:
            for row, like in examples:
                asked, canonical = question(row.prompt), replace(row, synthetic=None).canonical()
                if connection.execute("SELECT 1 FROM held_out WHERE question = ?", (asked,)).fetchone():
                    made += left_out(row.prompt, _HELD_OUT)
                    continue
                identity = content_hash(canonical)[:8].hex()
                exactly = content_hash(row.prompt.canonical())
                values = identity, orjson.dumps(canonical).decode(), exactly, asked, model, like, time.time()
                added = connection.execute(
                    "INSERT INTO drafts (id, row, asked, question, model, origin, written) VALUES (?, ?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (id) DO NOTHING",
                    values,
                )
                made += Written(new=(identity,)) if added.rowcount else Written(known=1)
        return made

    def hold_out(self, cases: Dataset) -> int:
        """From now on no draft may ask what a case asks, white space, case and system prompt aside, and none that does counts.

        Returns how many drafts are left out for it. Cases in other words are not told: see `Dataset.apart_from`.
        """
        if cases.kind == "text":
            raise DatasetError(f"{cases.name} holds texts, which ask nothing.", cure="give the cases of an evaluation")
        return self._hold_out(question(case.prompt) for case in cases if not isinstance(case, TextExample))

    def _hold_out(self, questions: Iterable[bytes]) -> int:
        count = "SELECT count(*) FROM drafts WHERE question IN (SELECT question FROM held_out)"
        with self._file.changing() as connection:
            (before,) = connection.execute(count).fetchone()
            connection.executemany("INSERT OR IGNORE INTO held_out VALUES (?)", ((each,) for each in questions))
            (after,) = connection.execute(count).fetchone()
        return int(after - before)

    def accept(self, draft: str | Draft) -> None:
        """The answer is right as the model wrote it."""
        self._decide(draft, "accepted")

    def edit(self, draft: str | Draft, answer: str | Message) -> None:
        """The answer is right in these words of a person's. Raises DatasetError for one to learn nothing from."""
        if not isinstance(answer, str | Message):
            raise InputError(f"an answer is not {type(answer).__name__}.", cure="give a text, or a Message")
        said = Message("assistant", answer) if isinstance(answer, str) else answer
        written = self._found(_id(draft), original=True).example
        changed = replace(written, messages=(*written.prompt.messages, said))
        _usable(changed)
        if changed == written:
            self._decide(draft, "accepted")
        else:
            self._decide(draft, "edited", orjson.dumps(said.canonical()).decode())

    def reject(self, draft: str | Draft, reason: str | None = None) -> None:
        """The draft is of no use."""
        if not isinstance(reason, str | None):
            raise InputError(f"a reason is not {type(reason).__name__}.", cure="say why in words, or leave it out")
        self._decide(draft, "rejected", reason=reason and mended(reason))

    def _decide(self, draft: str | Draft, state: State, answer: str | None = None, reason: str | None = None) -> None:
        self._found(_id(draft))
        with self._file.changing() as connection:
            connection.execute(
                "INSERT INTO decisions (draft, state, answer, reason, decided) VALUES (?, ?, ?, ?, ?)",
                (_id(draft), state, answer, reason, time.time()),
            )

    def __iter__(self) -> Iterator[Draft]:
        return iter(self._select("d.question NOT IN (SELECT question FROM held_out)"))

    def get(self, draft: str) -> Draft:
        """The draft with that id."""
        return self._found(draft)

    def waiting(self) -> list[Draft]:
        """The drafts that nobody has decided on, the oldest first."""
        return [draft for draft in self if draft.state == "waiting"]

    def counts(self) -> dict[State, int]:
        """How many drafts there are in each state."""
        found = Counter(draft.state for draft in self)
        return {state: found[state] for state in STATES}

    def history(self, draft: str | Draft) -> list[Decision]:
        """All that was ever decided on a draft, the first decision first."""
        self._found(_id(draft))
        asked = "SELECT state, decided, answer, reason FROM decisions WHERE draft = ? ORDER BY number"
        with self._file.reading() as connection:
            rows = connection.execute(asked, (_id(draft),)).fetchall()
        return [Decision(state, at, _message(answer), reason) for state, at, answer, reason in rows]

    def dataset(self) -> Dataset:
        """The drafts that were accepted or edited, as rows marked with the model that wrote them.

        Raises DatasetError where there are none.
        """
        chosen = [draft.example for draft in self if draft.state in ("accepted", "edited")]
        if not chosen:
            counts = (
                ", ".join(f"{count:,} {state}" for state, count in self.counts().items() if count) or "there are none"
            )
            raise DatasetError(
                f"{self.path}: no draft is accepted or edited ({counts}).",
                cure=f"decide on them: `finetune drafts review {self.path}`, or Drafts.accept in Python",
            )
        return Dataset.of(chosen, name=self.path.name)

    def _found(self, draft: str, *, original: bool = False) -> Draft:
        found = self._select("d.id = ?", draft, original=original)
        if not found:
            raise DatasetError(f"{self.path} has no draft {draft!r}.", cure="take the id of one of `drafts.waiting()`")
        return found[0]

    def _select(self, where: str, *values: Any, original: bool = False) -> list[Draft]:
        with self._file.reading() as connection:
            rows = connection.execute(f"{_DRAFTS} WHERE {where} ORDER BY d.number", values).fetchall()
        try:
            return [_draft(row, original) for row in rows]
        except (ValueError, KeyError, TypeError) as fault:
            raise self._file.damaged(f"a row is not what was written ({fault})") from None

    def _written_like(self, case: FailedCase) -> list[str]:
        """The last prompts that were written like a case."""
        drafts = self._select("d.origin = ?", case.where)[-_ALREADY:]
        return [draft.example.prompt.messages[-1].text for draft in drafts]

    def _still_to_ask(self, model: str, prompts: Sequence[_Prompt]) -> tuple[list[_Prompt], Written]:
        """What is still to be asked of a model, and what became of the rest."""
        new, passed = dict[bytes, _Prompt](), Written()
        with self._file.changing() as connection:
            for one in prompts:
                try:
                    exactly = content_hash(one.asked.canonical())
                except TypeError as fault:
                    passed += left_out(one.asked, f"it cannot be kept as JSON ({fault})")
                    continue
                if connection.execute("SELECT 1 FROM held_out WHERE question = ?", (question(one.asked),)).fetchone():
                    passed += left_out(one.asked, _HELD_OUT)
                elif exactly in new or connection.execute(_THERE, (exactly, model)).fetchone():
                    passed += Written(known=1)
                else:
                    new[exactly] = one
        return list(new.values()), passed


def _usable(row: ChatExample) -> None:
    try:
        checked("chat", row.canonical())
    except RowError as fault:
        raise DatasetError(f"the draft cannot be used: {fault.message}", cure=fault.cure) from None


def _named(model: str) -> str:
    if not isinstance(model, str) or not model.strip():
        raise InputError(f"{model!r} is no name of a model.", cure="name the model that wrote the draft")
    return mended(model.strip())


def _id(draft: str | Draft) -> str:
    return draft.id if isinstance(draft, Draft) else draft


def _draft(row: tuple[Any, ...], original: bool) -> Draft:
    identity, written, model, like, at, state, answer, reason = row
    found = cast(ChatExample, example("chat", orjson.loads(written)))
    said = None if original else _message(answer)
    if said is not None:
        found = replace(found, messages=(*found.prompt.messages, said))
    mark = model if said is None else f"{model}{EDITED}"
    return Draft(identity, replace(found, synthetic=mark), model, at, state, reason, like)


def _message(answer: str | None) -> Message | None:
    return None if answer is None else Message.from_canonical(orjson.loads(answer))

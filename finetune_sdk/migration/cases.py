"""What the tuned model is asked while it lives: rows that it was not trained on, wherever there are such."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeGuard

from finetune_sdk.data.checks.near import MOST_ROWS
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError, InputError
from finetune_sdk.messages import ChatExample, Conversation, Example, Message, PreferenceExample, TaskExample
from finetune_sdk.migration.folder import Folder

SEED = 0
VALIDATION = "the job's validation rows"


@dataclass(frozen=True, slots=True)
class Cases:
    """The rows to ask, or why there are none. `trained` of them were trained on; `left_out` were not fit, and why."""

    data: Dataset | None
    source: str
    trained: int = 0
    left_out: int = 0
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source, "rows": len(self.data) if self.data is not None else 0, "trained": self.trained,
            "left_out": self.left_out, "why": self.why,
        }  # fmt: skip


def choose(
    folder: Folder, given: Path | None = None, hold_out: float | None = None, *, allow_leakage: bool = False
) -> Cases:
    """The cases of a folder, chosen once: `given` rows, a share of the training rows, or the job's own validation rows.

    Rows that were trained on, exactly or nearly, are left out, unless `allow_leakage`; a share of the training rows was
    trained on in any case, and is marked so. Raises InputError where other cases were recorded before, DatasetError for
    rows that cannot be used.
    """
    if given is not None and hold_out is not None:
        raise InputError("--cases and --hold-out are both given.", cure="give one of them")
    source = _source(folder, given, hold_out)
    asked = {"source": source, "allow_leakage": allow_leakage}
    before = folder.known.get("cases", {})
    if before.get("rows"):
        if (given or hold_out) and {name: before.get(name) for name in asked} != asked:
            raise InputError(
                f"the cases of {folder.path} were {before['source']}, and answers to other cases would be paid for again.",
                cure="leave --cases and --hold-out out to go on, or choose another folder: --to",
            )
        return Cases(Dataset.load(folder.cases), before["source"], before["trained"], before["left_out"], before["why"])
    made = _made(folder, given, hold_out, source, allow_leakage)
    if made.data is not None:
        made.data.save(folder.cases, marks=False)
        made = Cases(Dataset.load(folder.cases), made.source, made.trained, made.left_out, made.why)
    folder.know(cases={**made.to_dict(), "allow_leakage": allow_leakage, "held_out": hold_out})
    return made


def _source(folder: Folder, given: Path | None, hold_out: float | None) -> str:
    if given is not None:
        try:
            digest = sha256(given.read_bytes()).hexdigest()[:12]
        except OSError as fault:
            raise DatasetError(f"{given} cannot be read: {fault.strerror}.", cure="check the path") from None
        return f"the rows of {given.name} ({digest})"
    if hold_out is not None:
        return f"{hold_out:.0%} of the training rows"
    return VALIDATION if folder.validation.exists() else "none"


def _made(folder: Folder, given: Path | None, hold_out: float | None, source: str, allow_leakage: bool) -> Cases:
    train = _usable(folder.train)
    if hold_out is not None:
        return _held_out(folder, train, hold_out, source)
    if given is None and not folder.validation.exists():
        why = "the job has no validation file that is still there: give --cases FILE, or --hold-out 0.1"
        return Cases(None, source, why=why)
    rows = Dataset.load(given) if given is not None else _usable(folder.validation)
    if rows is None:
        return Cases(None, source, why="the validation file cannot be read: give --cases FILE, or --hold-out 0.1")
    cases = as_cases(rows)
    if cases is None:
        why = (
            f"{rows.kind} rows have no expected answer that an evaluation could read: give chat rows with --cases FILE"
        )
        return Cases(None, source, why=why)
    unfit = len(rows) - len(cases)
    learnt = as_cases(train) if train is not None else None
    if learnt is None:
        return Cases(
            cases, source, 0, unfit, "" if train is not None else "the training file is gone, so leaks cannot be seen"
        )
    if allow_leakage:
        trained = set(learnt.hashes())
        return Cases(cases, source, sum(content in trained for content in cases.hashes()), unfit)
    fit = _apart(cases, learnt)
    gone = len(cases) - len(fit)
    why = f"{gone:,} of these rows were trained on, exactly or nearly: they are not held out" if gone else ""
    return Cases(fit if len(fit) else None, source, 0, unfit + gone, why)


def _held_out(folder: Folder, train: Dataset | None, share: float, source: str) -> Cases:
    """A share of the training rows, which the replacement will not be trained on; the model that is left was."""
    if train is None:
        return Cases(None, source, why="there are no training rows to hold some out of")
    if not 0 < share < 1:
        raise InputError(f"--hold-out {share:g} makes no sense.", cure="give a share between 0 and 1, such as 0.1")
    rest, _, held = train.split(test=share, seed=SEED, apart=len(train) <= MOST_ROWS)
    cases = as_cases(held)
    if cases is None:
        return Cases(None, source, why=f"{train.kind} rows have no expected answer that an evaluation could read")
    rest.save(folder.rest, marks=False)
    why = "the model that is left was trained on these rows, so its answers flatter it; the replacement will not be"
    return Cases(cases, source, len(cases), len(held) - len(cases), why)


def as_cases(rows: Dataset) -> Dataset | None:
    """Rows with an expected answer, each as a chat; of a pair, the preferred one. None where there is no such row."""
    key = expected_key(rows) if rows.kind == "task" else None
    if rows.kind not in ("chat", "preference") and key is None:
        return None
    made = [case for row in rows if (case := _case(row, key)) is not None]
    return Dataset.of(made, name=rows.name) if made else None


def expected_key(tasks: Dataset) -> str | None:
    """The one key of the reference that is text in every row; None where there are several, or none: nobody could tell."""
    shared: set[str] | None = None
    for row in tasks:
        texts = {key for key, value in row.reference.items() if isinstance(value, str)} if _is_task(row) else set()
        shared = texts if shared is None else shared & texts
    return shared.pop() if shared is not None and len(shared) == 1 else None


def _is_task(row: Example) -> TypeGuard[TaskExample]:
    return isinstance(row, TaskExample)


def _case(row: Example, key: str | None) -> ChatExample | None:
    match row:
        case TaskExample(prompt=Conversation(messages, tools, parallel), reference=reference) if key is not None:
            return ChatExample((*messages, Message("assistant", reference[key])), tools, parallel)
        case PreferenceExample(prompt=Conversation(messages, tools, parallel), chosen=chosen):
            return ChatExample((*messages, *chosen), tools, parallel)
        case ChatExample() if any(m.role == "assistant" for m in row.messages) and row.prompt.messages:
            return row
    return None


def _apart(cases: Dataset, learnt: Dataset) -> Dataset:
    """The cases without those that were trained on; nearly the same ones too, where looking does not take minutes."""
    if len(cases) + len(learnt) <= MOST_ROWS:
        return cases.apart_from(learnt)
    trained = set(learnt.hashes())
    kept = [row for row, content in zip(cases, cases.hashes(), strict=True) if content not in trained]
    return Dataset.of(kept, name=cases.name) if kept else cases[:0]


def _usable(path: Path) -> Dataset | None:
    """The good rows of a file that was fetched; None where there is none."""
    if not path.exists():
        return None
    try:
        data, _ = Dataset.inspect(path)
    except DatasetError:
        return None
    return data if len(data) else None


def training_rows(folder: Folder) -> Dataset | None:
    """The rows that the model was trained on, as far as they are there and can be used."""
    return _usable(folder.train)


def evaluators(cases: Dataset) -> tuple[list[dict[str, Any]], str]:
    """A start of an evaluation, by what the expected answers are, and a sentence that says what it is worth."""
    expected = [row.answer for row in cases if isinstance(row, ChatExample)]
    if all(answer.tool_calls for answer in expected):
        return [{"kind": "exact_match"}], "the answers are tool calls: names and arguments are compared as data"
    texts = [answer.text.strip() for answer in expected]
    if all(isinstance(value, dict) and value for value in map(_parsed, texts)):
        return [{"kind": "field_match"}], "the answers are JSON objects: their fields are compared one by one"
    longest = max(map(len, texts))
    distinct = len(set(texts))
    if distinct <= max(2, len(texts) // 2) and longest <= 100:
        return [{"kind": "exact_match"}], f"the answers are {distinct} short texts, like labels: compared as they stand"
    return (
        [{"kind": "length", "min_characters": 1, "max_characters": max(200, 2 * longest)}, {"kind": "exact_match"}],
        "the answers are free text, which exact_match judges far too strictly: put an evaluator of your own in its place",
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def conversations(cases: Dataset) -> Iterator[Conversation]:
    """What is asked, each question once."""
    seen = set[str]()
    for row in cases:
        if isinstance(row, ChatExample):
            key = key_of(row.prompt)
            if key not in seen:
                seen.add(key)
                yield row.prompt


def key_of(asked: Conversation) -> str:
    """What a question is known by, whatever order its keys stand in."""
    return json.dumps(asked.canonical(), sort_keys=True)

"""What another place trains the replacement from: job.yaml, a suggestion of finetune.toml, and a page that tells all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from finetune_sdk.backend import PastJob
from finetune_sdk.data.checks.near import MOST_ROWS
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import FinetuneError
from finetune_sdk.jobfile import JobFile
from finetune_sdk.migration.cases import VALIDATION, evaluators, expected_key
from finetune_sdk.migration.folder import Folder
from finetune_sdk.migration.recording import lines

_METHODS = ("sft", "dpo", "rft")
_SECRETS = re.compile(r"key$|token|secret|password", re.IGNORECASE)
_KEY_NAMES = frozenset({"api_key_env", "management_token_env"})


def write(past: PastJob, folder: Folder, place: Mapping[str, Any]) -> list[str]:
    """Writes the job, the suggestion and the page; `place` is the table of the settings that the job is at.

    Nothing that a person has changed is written over. Returns, in words, what stands in the way of the replacement.
    """
    standing = list(_standing(past, folder))
    if past.method in _METHODS and folder.train.exists():
        if not folder.suggest(folder.job, _job(past, folder)):
            standing.append("job.yaml was changed by hand and stays as it is; move it away to have it written anew")
        standing += _refused(folder)
    if not folder.suggest(folder.settings, _settings(past, folder, place)):
        standing.append("finetune.toml was changed by hand and stays as it is")
    folder.put(folder.readme, _page(past, folder, standing))
    return standing


def _standing(past: PastJob, folder: Folder) -> Iterator[str]:
    """What is not there and why, and what is wrong with what is."""
    files = folder.known.get("files", {})
    for side, about in files.items():
        if "why" in about:
            yield f"the {_SIDES[side]} file {about['id']} was not fetched: {about['why']}"
        elif about.get("unusable"):
            yield f"{about['path']} cannot be read as training data: {about['unusable']}"
        elif about.get("unusable_rows"):
            yield (
                f"{about['path']}: {about['unusable_rows']:,} rows cannot be used as they are; "
                f"`finetune check {about['path']} --fix fixed.jsonl` mends what is mechanical, and says how"
            )
    if past.train is None:
        yield "the place names no training file"
    if past.model is None:
        yield f"the job is {past.status} and has no model, so nothing can be recorded"
    elif folder.known.get("model_gone"):
        yield f"the model {past.model} is not there any more, so no further answer can be recorded"
    if past.method not in _METHODS:
        yield f"a job file has no method {past.method!r}, so none was written"
    elif past.method == "rft" and not _graders(past, folder):
        yield (
            "no evaluator judges exactly as its grader does, so the grader is given whole, in finetune.toml, which places of this "
            "protocol take; for others put evaluators into job.yaml, as in graders: [{kind: exact_match}]"
        )
    cases = folder.known.get("cases", {})
    if cases and cases.get("why"):
        yield ("cases: " if cases["rows"] else "no answers were recorded: ") + cases["why"]
    if (missing := folder.known.get("unanswered")) is not None and missing:
        yield f"{len(missing):,} questions were not answered ({missing[0]}); call this again to ask them"


_SIDES = {"train": "training", "validation": "validation"}


def _refused(folder: Folder) -> Iterator[str]:
    """What a backend would say to the job file as it stands."""
    try:
        file = JobFile.load(folder.job)
        file.job()
        file.evaluation()
        train, validation, _ = file.datasets()
        small = validation is not None and len(train) + len(validation) <= MOST_ROWS
        leaks = validation.leaks(train) if validation is not None and small else ()
    except FinetuneError as fault:
        cure = f" ({fault.cure})" if fault.cure else ""
        yield f"job.yaml does not run as it stands: {fault.message.splitlines()[0]}{cure}"
        return
    for one in leaks:
        if one.severity == "error":
            yield (
                f"validation.jsonl: {one.message} `finetune run job.yaml --allow-leakage` trains all the same; better, take "
                "those rows out"
            )


def _job(past: PastJob, folder: Folder) -> str:
    """The job in portable words. What only its place has words for is a comment: no other place means the same by it."""
    cases = folder.known.get("cases", {})
    train = folder.rest if cases.get("held_out") and folder.rest.exists() else folder.train
    words = {"kind": past.method, **_words(past), **_graders(past, folder)}
    text = [
        f"# The job {_line(past.id)}, trained by {_line(past.method)} from {_line(past.base)}, for any backend to train anew.",
        "# Which base, which adapter and which learning rate is for the settings to say: see finetune.toml.",
        f"name: {json.dumps(past.name or past.id, ensure_ascii=False)}",
        "",
        f"train: {train.name}",
        *_validation(folder, cases),
        *(["test: cases.jsonl"] if cases.get("rows") else []),
        "",
        f"method: {{{', '.join(f'{name}: {_number(value)}' for name, value in words.items())}}}",
        *(
            f"# {_line(name)} = {json.dumps(value)} there; its own word, which is no learning rate"
            for name, value in _own(past)
        ),
        *([f"seed: {past.seed}"] if past.seed is not None and 0 <= past.seed < 2**31 else []),
    ]
    if cases.get("rows"):
        text += _evaluation(folder, cases)
    return "\n".join(text) + "\n"


def _validation(folder: Folder, cases: Mapping[str, Any]) -> Iterator[str]:
    if not folder.validation.exists():
        return
    if cases.get("rows") and cases["source"] == VALIDATION:
        yield "# validation: validation.jsonl   # these rows are the cases: no checkpoint is to be chosen by what judges it"
    else:
        yield "validation: validation.jsonl"


def _evaluation(folder: Folder, cases: Mapping[str, Any]) -> Iterator[str]:
    chosen, why = evaluators(Dataset.load(folder.cases))
    yield ""
    yield "evaluation:"
    yield f"  # A start, chosen by what the expected answers look like: {why}."
    yield "  evaluators:"
    for one in chosen:
        yield f"    - {{{', '.join(f'{name}: {_number(value)}' for name, value in one.items())}}}"
    if most := folder.known.get("sampling", {}).get("max_tokens"):
        yield f"  max_tokens: {most}   # as the answers were recorded"
    if cases.get("trained") and not cases.get("held_out"):
        yield "  # Some of these cases were trained on, and are trained on again: what is measured on them flatters both."
        yield "  allow_leakage: true"


def _words(past: PastJob) -> dict[str, Any]:
    return {name: value for name, value in past.portable.items() if name not in ("graders", "judged_by")}


def _graders(past: PastJob, folder: Folder) -> dict[str, Any]:
    """The evaluators of a job file that judge as the grader did: by the only text in every row, so that nobody can err in it."""
    if "graders" not in past.portable or not folder.train.exists():
        return {}
    try:
        rows, _ = Dataset.inspect(folder.train)
    except FinetuneError:
        return {}
    alone = len(rows) and expected_key(rows) == past.portable["judged_by"]
    return {"graders": past.portable["graders"]} if alone else {}


def _own(past: PastJob) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in past.own.items() if not isinstance(value, dict | list))


def _number(value: Any) -> str:
    if isinstance(value, bool | list | dict):
        return json.dumps(value)  # which is YAML too
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def _line(text: str) -> str:
    """A place's word as part of one line, whatever it holds."""
    return " ".join(str(text).split())


def _settings(past: PastJob, folder: Folder, place: Mapping[str, Any]) -> str:
    """Where it may be trained: this machine, and the place where it was, with its own words."""
    name = folder.known["place"]
    there = {key: value for key, value in place.items() if key in _KEY_NAMES or not _SECRETS.search(key)}
    there = {**there, "base": past.base}
    own = dict(_own(past))
    if past.method == "rft" and not _graders(past, folder):
        own |= {name: value for name, value in past.own.items() if name in ("grader", "response_format")}
    if own:
        word = past.method if past.method in ("sft", "dpo", "rft") else "sft"
        there[word] = {**(there.get(word) or {}), **own}
    return "\n".join((
        "# A suggestion: choose where the replacement is trained, and from which base.",
        f"backend = {json.dumps(_where(past, folder), ensure_ascii=False)}",
        "",
        "[backends.local]",
        '# base = "Qwen/Qwen3-0.6B"                      # a hub name, a folder, or "tiny" for a trial without a download',
        '# adapter = { kind = "lora", rank = 16 }',
        "",
        f"[backends.{_key(name)}]" + " " * 4 + "# where it was trained, in that place's own words",
        *(f"{_key(key)} = {_toml(value)}" for key, value in there.items()),
        "",
    ))  # fmt: skip


def _where(past: PastJob, folder: Folder) -> str:
    """Where the replacement is suggested to be trained: on this machine, which does no reinforcement."""
    return str(folder.known["place"]) if past.method == "rft" else "local"


def _key(name: str) -> str:
    return (
        name
        if re.fullmatch(r"[\w-]+", name, re.ASCII)
        else json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
    )


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float() | date():
            return str(value)
        case Mapping():
            inner = ", ".join(f"{_key(str(name))} = {_toml(of)}" for name, of in value.items() if of is not None)
            return f"{{ {inner} }}"
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _page(past: PastJob, folder: Folder, standing: list[str]) -> str:
    """README.md: what was fetched, what was not and why, and what to do next."""
    known, place = folder.known, folder.known["place"]
    made = datetime.fromtimestamp(past.created, UTC).date() if past.created else "an unknown day"
    answers = list(lines(folder.answers))
    dies = f"It dies on {past.dies}, and with it every answer that was not recorded." if past.dies else ""
    parts = [
        f"# {_line(past.name or past.id)}",
        "",
        f"The job {past.id} of {made} at {known['address']}: {past.base} by {past.method}, {past.status}"
        + (f", {past.tokens:,} tokens billed." if past.tokens is not None else "."),
        f"Its model is {past.model}. {dies}".rstrip() if past.model else "It left no model.",
        "",
        "| file | what it is |",
        "| --- | --- |",
        "| job.json | the job, whole, as the place tells it |",
        *_rows(folder, past, answers),
        "",
        "## What stands in the way",
        "",
        *([f"- {one}" for one in standing] or ["Nothing that is known here."]),
        "",
        *_findings(known.get("files", {})),
    ]
    where = _where(past, folder)
    if folder.job.exists():
        parts += [
            "## What to do next", "",
            "Choose a base in finetune.toml, read job.yaml, put a better evaluation in it where it says so, and then:", "",
            "```console",
            f"$ finetune estimate job.yaml --backend {where}",
            f"$ finetune run job.yaml --backend {where}",
            *([f"$ finetune migrate compare . --backend {where}"] if answers else []),
            "```", "",
        ]  # fmt: skip
    parts += [
        f"Whatever is missing is fetched, and asked, by `finetune migrate {place} {past.id} --to ..` from here.",
        "",
    ]
    return "\n".join(parts)


def _rows(folder: Folder, past: PastJob, answers: list[dict[str, Any]]) -> Iterator[str]:
    known = folder.known
    for side, about in known.get("files", {}).items():
        if "sha256" in about:
            yield (
                f"| {about['path']} | the {_SIDES[side]} file {about['id']} ({about['name']}) as it was: "
                f"{about.get('rows', 0):,} rows, sha256 {about['sha256'][:16]}… |"
            )
    if folder.rest.exists():
        yield f"| {folder.rest.name} | the training rows without the cases, for the replacement |"
    cases = known.get("cases", {})
    if cases.get("rows"):
        marked = f", {cases['trained']:,} of them trained on by the model" if cases.get("trained") else ""
        left = f"; {cases['left_out']:,} were left out" if cases.get("left_out") else ""
        yield f"| cases.jsonl | {cases['rows']:,} questions with expected answers, from {cases['source']}{marked}{left} |"
    for role, who in (("tuned", past.model), ("base", past.base)):
        count = sum(line["role"] == role for line in answers)
        if count:
            yield f"| recorded.jsonl | {count:,} answers of {who}, with their tokens |"
    if folder.grader.exists():
        yield "| grader.json | the grader of its reinforcement, whole |"
    if folder.job.exists():
        yield "| job.yaml | the job and a start of an evaluation, for any backend |"
    yield "| finetune.toml | a suggestion of settings |"
    yield "| migration.json | what was done so far; the same command goes on from it |"


def _findings(files: Mapping[str, Any]) -> Iterator[str]:
    found = [(about["path"], one) for about in files.values() for one in about.get("findings", ())]
    if not found:
        return
    yield "## What is wrong with the data"
    yield ""
    yield "The files are as they were; nothing in them was mended."
    yield ""
    for path, one in found:
        at = f" (rows {', '.join(map(str, one['rows'][:5]))})" if one["rows"] else ""
        yield f"- {path}{at}, {one['severity']}: {one['message']} Cure: {one['cure']}."
    yield ""

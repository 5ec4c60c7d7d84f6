"""The replacement beside the answers that were recorded: the same cases, paired, by the job file's own evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import InputError, JobError
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.jobfile import JobFile
from finetune_sdk.messages import ChatExample
from finetune_sdk.migration.folder import Folder
from finetune_sdk.migration.recording import recorded
from finetune_sdk.model import Model


@dataclass(frozen=True, slots=True)
class Compared:
    """The report, of how many cases there is a recorded answer, and how many the replacement answered with the same words."""

    report: Report
    cases: int
    without: int
    same: int


def compare(folder: Folder, replacement: Model, progress: bool | None = None) -> Compared:
    """Evaluates the replacement on the cases that have a recorded answer. Nothing is asked of the place that was left.

    Cases that the old model was trained on are allowed where they were recorded as such; the report says so. Raises
    InputError where nothing was recorded, JobError where the job file has no evaluation.
    """
    kept = recorded(folder)
    if kept is None:
        raise InputError(
            f"{folder.path}: no answers were recorded.",
            cure="record them while the model lives: call `finetune migrate` again with --cases or --hold-out",
        )
    evaluation = _evaluation(folder)
    rows = [row for row in evaluation.cases if isinstance(row, ChatExample)]
    fit = [row for row in rows if row.prompt in kept]
    if not fit:
        raise InputError(
            f"none of the {len(rows):,} cases has a recorded answer.",
            cure="keep `test: cases.jsonl` in job.yaml, as it was written",
        )
    cases = evaluation.cases if len(fit) == len(rows) else Dataset.of(fit, name=evaluation.cases.name)
    marked = bool(folder.known.get("cases", {}).get("trained"))
    asked = replace(evaluation, cases=cases, allow_leakage=evaluation.allow_leakage or marked)
    base = recorded(folder, "base")
    whole = base is not None and all(row.prompt in base for row in fit)
    models: dict[str, Any] = {**({"recorded_base": base} if base is not None and whole else {}), "recorded": kept}
    report = asked.run(progress, **models, replacement=replacement)
    same = sum(_same(row["answers"]) for row in report.to_dict()["examples"])
    return Compared(report, len(fit), len(rows) - len(fit), same)


def _evaluation(folder: Folder) -> Evaluation:
    evaluation = JobFile.load(folder.job).evaluation()
    if evaluation is None:
        raise JobError(
            f"{folder.job} has no `evaluation`.", cure="add one: `evaluation: {evaluators: [{kind: exact_match}]}`"
        )
    return replace(evaluation, name=f"{evaluation.name}: the replacement beside what was recorded")


def _same(answers: Mapping[str, Mapping[str, Any]]) -> bool:
    one, other = answers["recorded"], answers["replacement"]
    calls = [[(call["name"], call["arguments"]) for call in each["tool_calls"]] for each in (one, other)]
    answered = one["finish"] != "error" and other["finish"] != "error"
    return answered and one["text"].strip() == other["text"].strip() and calls[0] == calls[1]

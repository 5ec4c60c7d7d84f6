"""The replacement beside the answers that were recorded: the same cases, paired, by the job file's own evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import InputError, JobError
from finetune_sdk.evaluation.evaluation import Evaluation, Report
from finetune_sdk.jobfile import JobFile
from finetune_sdk.messages import Asked, ChatExample, Conversation, Message
from finetune_sdk.migration.cases import key_of
from finetune_sdk.migration.folder import Folder
from finetune_sdk.migration.recording import recorded
from finetune_sdk.model import Answer, Model, Origin, Sampling, at_once


@dataclass(frozen=True, slots=True)
class Compared:
    """The report, of how many cases there is a recorded answer, and how many the replacement answered with the same words."""

    report: Report
    cases: int
    without: int
    same: int


class _Heard:
    """A model whose answers are kept in passing."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.at_once = at_once(model)
        self.said: dict[str, Answer] = {}

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def origin(self) -> Origin:
        return self._model.origin

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        return self.answers([asked], sampling)[0]

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        questions = list(asked)
        answers = self._model.answers(questions, sampling)
        self.said |= {key_of(Conversation.of(one)): answer for one, answer in zip(questions, answers, strict=False)}
        return answers


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
    base, heard = recorded(folder, "base"), _Heard(replacement)
    whole = base is not None and all(row.prompt in base for row in fit)
    models: dict[str, Model] = {**({"recorded_base": base} if base is not None and whole else {}), "recorded": kept}
    report = asked.run(progress, **models, replacement=heard)
    said = [(kept.answer(row.prompt), heard.said.get(key_of(row.prompt))) for row in fit]
    same = sum(other is not None and _same(one.message, other.message) for one, other in said)
    return Compared(report, len(fit), len(rows) - len(fit), same)


def _evaluation(folder: Folder) -> Evaluation:
    evaluation = JobFile.load(folder.job).evaluation()
    if evaluation is None:
        raise JobError(
            f"{folder.job} has no `evaluation`.", cure="add one: `evaluation: {evaluators: [{kind: exact_match}]}`"
        )
    return replace(evaluation, name=f"{evaluation.name}: the replacement beside what was recorded")


def _same(one: Message, other: Message) -> bool:
    calls = [[(call.name, call.arguments) for call in message.tool_calls] for message in (one, other)]
    return one.text.strip() == other.text.strip() and calls[0] == calls[1]

"""What an account has behind it: its jobs of all times, whether their files and models are still there, and their ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from math import isfinite
from typing import TYPE_CHECKING, Any, BinaryIO

from finetune_sdk.backend import PastFile, PastJob
from finetune_sdk.errors import BackendError
from finetune_sdk_openai import known, wire
from finetune_sdk_openai.connecting import Connection
from finetune_sdk_openai.errors import GarbledError
from finetune_sdk_openai.graders import evaluators
from finetune_sdk_openai.jobs import Jobs
from finetune_sdk_openai.tariffs import Tariff

if TYPE_CHECKING:
    import openai
    from openai.types.fine_tuning import FineTuningJob

_METHODS = {"supervised": "sft", "dpo": "dpo", "reinforcement": "rft"}
_PORTABLE = {"n_epochs": "epochs", "batch_size": "batch_size", "beta": "beta"}
_BLOCK = 2**16


class Account:
    """The past of one account. Nothing here changes anything there."""

    def __init__(self, connection: Connection, jobs: Jobs, tariff: Callable[[], Tariff]) -> None:
        self._connection = connection
        self._jobs = jobs
        self._tariff = tariff

    def history(self) -> list[PastJob]:
        jobs = wire.oldest_first(self._jobs.every())
        models, files = (self._models(), self._files()) if jobs else ({}, {})
        return [self._past(job, models, files) for job in reversed(jobs)]

    def _past(
        self, job: FineTuningJob, models: Mapping[str, date | None] | None, files: Mapping[str, Any] | None
    ) -> PastJob:
        method, words, more = _settings(job)
        model = job.fine_tuned_model
        return PastJob(
            id=job.id,
            base=job.model,
            method=method,
            status=wire.status(job),
            created=float(job.created_at or 0),
            name=_suffix(job),
            model=model,
            model_there=None if model is None or models is None else model in models,
            dies=self._dies(job, models or {}),
            train=self._file(job.training_file, files),
            validation=self._file(job.validation_file, files),
            portable={
                **{_PORTABLE[name]: value for name, value in words.items() if name in _PORTABLE and _is_number(value)},
                **_graders(more.get("grader")),
            },
            own={**{name: value for name, value in words.items() if name not in _PORTABLE and value != "auto"}, **more},
            seed=job.seed,
            tokens=job.trained_tokens,
            prices=self._tariff().asking(job.model, tuned=True),
            whole=job.model_dump(mode="json", warnings=False),
        )

    def _models(self) -> dict[str, date | None] | None:
        """The models that are listed, each with the day on which the place says that it ends; None where there is no list."""
        try:
            page = self._connection.asked("list the models", lambda client: client.models.list())
        except BackendError:
            return None
        return {model.id: _day(getattr(model, "shutdown_date", None)) for model in getattr(page, "data", None) or ()}

    def _files(self) -> dict[str, Any] | None:
        try:
            return {file.id: file for file in self._jobs.all_files()}
        except BackendError:
            return None

    def _file(self, name: str | None, files: Mapping[str, Any] | None) -> PastFile | None:
        if not name:
            return None
        if files is None:
            return PastFile(name)
        found = files.get(name)
        if found is None:
            return PastFile(name, there=False, why="it is not among the account's files: deleted, or expired")
        return PastFile(name, found.filename or "", found.bytes, there=True)

    def _dies(self, job: FineTuningJob, models: Mapping[str, date | None]) -> date | None:
        """The earlier of what the place says and what is known of OpenAI's calendar, which holds at OpenAI alone."""
        family = known.family(job.model) if self._connection.address.official else None
        said = (models.get(job.fine_tuned_model or ""), models.get(job.model), family.shutdown if family else None)
        return min((day for day in said if day is not None), default=None)

    def fetch(self, file: str, into: BinaryIO) -> None:
        import httpx2

        def read(client: openai.OpenAI) -> None:
            into.seek(0)
            into.truncate()
            try:
                with client.files.with_streaming_response.content(file) as answer:
                    for block in answer.iter_bytes(_BLOCK):
                        into.write(block)
            except httpx2.TransportError as fault:
                raise GarbledError(f"a file that ended in the middle: {fault}") from None

        self._connection.asked(f"read the file {file}", read)


def _settings(job: FineTuningJob) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The method, its hyperparameters, and what it has besides, such as a grader. Old jobs have no `method`."""
    method = job.method.model_dump(mode="json", exclude_none=True, warnings=False) if job.method else {}
    kind = str(method.get("type") or "supervised")
    settings = method.get(kind) if isinstance(method.get(kind), dict) else {}
    assert isinstance(settings, dict)
    older = (
        job.hyperparameters.model_dump(mode="json", exclude_none=True, warnings=False) if job.hyperparameters else {}
    )
    words = settings.get("hyperparameters") or older
    usable = {str(name): value for name, value in words.items() if isinstance(value, str) or _is_number(value)}
    return _METHODS.get(kind, kind), usable, {name: of for name, of in settings.items() if name != "hyperparameters"}


def _graders(grader: object) -> dict[str, Any]:
    found = evaluators(grader) if isinstance(grader, Mapping) else None
    return {"graders": found[0], "judged_by": found[1]} if found is not None else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0


def _suffix(job: FineTuningJob) -> str | None:
    """What the job's maker called it: `ft:base:organisation:suffix:id` has it, or our own metadata."""
    said = getattr(job, "user_provided_suffix", None)
    if isinstance(said, str) and said:
        return said
    parts = (job.fine_tuned_model or "").split(":")
    if len(parts) >= 5 and parts[0] == "ft" and parts[3]:
        return parts[3]
    return (job.metadata or {}).get(wire.NAME) or None


def _day(said: object) -> date | None:
    if isinstance(said, str):
        try:
            return date.fromisoformat(said[:10])
        except ValueError:
            return None
    if isinstance(said, int | float) and said > 0:
        return date.fromtimestamp(said)
    return None

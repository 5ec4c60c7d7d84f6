"""One submission: at most one job for a token, whatever is lost on the way.

The token is in the job's metadata and in its training file's name. What is there already is looked for first; the one
request that makes a job is sent once; a refusal takes its files with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

from finetune_sdk.backend import Resolved
from finetune_sdk.errors import BackendError, NotFoundError, RefusedError
from finetune_sdk_openai import wire
from finetune_sdk_openai.connecting import Connection
from finetune_sdk_openai.files import Files
from finetune_sdk_openai.jobs import Jobs
from finetune_sdk_openai.known import ELSEWHERE
from finetune_sdk_openai.options import Options

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob

_log = logging.getLogger("finetune_sdk")


def submit(
    connection: Connection, jobs: Jobs, files: Files, options: Options, resolved: Resolved, token: str, today: date
) -> str:
    """The id of the job with this token, which is made unless it is there.

    RefusedError says that nothing was made. After any other BackendError nobody knows: `find` will tell.
    """
    with _nothing_made_yet():
        there = jobs.with_token(token)
        if there:
            _same(there[0], resolved, connection)
            return there[0].id
        alive(connection, resolved.base, today)
    try:
        with _nothing_made_yet():
            training = files.put(resolved.job.train, "train", token)
            validation = files.put(resolved.job.validation, "validation", token) if resolved.job.validation else None
        job = _create(connection, options, resolved, token, (training, validation))
    except RefusedError as fault:
        if not fault.retryable:
            _take_back(files, token)
        raise
    if connection.address.metadata and not wire.is_of(job, token):
        _log.warning(
            "%s keeps no metadata of jobs, so a lost reply could not be found again; set `metadata = false` in its table",
            connection.address.url,
        )
    return job.id


@contextmanager
def _nothing_made_yet() -> Iterator[None]:
    """What fails before the one request that makes a job has made none, so nobody needs to wait and look for it."""
    try:
        yield
    except RefusedError:
        raise
    except BackendError as fault:
        raise RefusedError(
            fault.message, cure=fault.cure, code=fault.code, request_id=fault.request_id, retryable=fault.retryable
        ) from None


def _take_back(files: Files, token: str) -> None:
    try:
        files.take_back(token)
    except BackendError as fault:  # the refusal is what the caller must hear of
        _log.warning("an uploaded file may be left: %s", fault.message)


def _create(
    connection: Connection, options: Options, resolved: Resolved, token: str, files: tuple[str, str | None]
) -> FineTuningJob:
    from openai.types.fine_tuning import FineTuningJob

    asked = wire.request(resolved, connection.address, options, token, files)
    doing = f"make a job of {resolved.base}"
    try:
        return connection.once(doing, lambda client: client.fine_tuning.jobs.create(**asked), FineTuningJob)
    except NotFoundError as fault:
        raise RefusedError(
            fault.message, cure="check the base and the address", code=fault.code, request_id=fault.request_id
        ) from None


def alive(connection: Connection, base: str, today: date) -> None:
    """Raises RefusedError when the place itself says that the base is shut down."""
    from openai.types import Model

    try:
        model = connection.asked(f"read the model {base}", lambda client: client.models.retrieve(base), Model)
    except (NotFoundError, RefusedError):
        return  # not every place lists the bases that it trains; a wrong one is refused when the job is made
    said = str(getattr(model, "shutdown_date", None) or "")[:10]
    try:
        ends = date.fromisoformat(said)
    except ValueError:
        return
    if ends <= today:
        raise RefusedError(
            f"{connection.address.url} shut {base} down on {ends}.", cure=f"choose another base; {ELSEWHERE}",
            code="model_shut_down",
        )  # fmt: skip
    _log.info("%s shuts %s down on %s", connection.address.url, base, ends)


def _same(job: FineTuningJob, resolved: Resolved, connection: Connection) -> None:
    """Raises RefusedError where the token stands for another job."""
    there = wire.definition(job)
    if there is not None and there != resolved.job.fingerprint:
        raise RefusedError(
            f"the token of this submission belongs to another job at {connection.address.url}: {job.id}.",
            cure="submit through Client.submit, which makes a token of each definition",
            code="token_taken",
        )

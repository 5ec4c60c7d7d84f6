"""Jobs at the place: found by their token, listed, read, held and ended. Nothing here makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetune_sdk.errors import BackendError, NotFoundError, RefusedError, RunError
from finetune_sdk_openai import wire
from finetune_sdk_openai.connecting import Connection

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob

PAGE = 100
FILES_PAGE = 1000
_NO_FILTER = frozenset({"400", "422", "unknown_parameter", "invalid_request_error"})


class Jobs:
    """The fine-tuning jobs of one account."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, run: str) -> FineTuningJob:
        from openai.types.fine_tuning import FineTuningJob

        try:
            return self._connection.asked(
                f"read the job {run}", lambda client: client.fine_tuning.jobs.retrieve(run), FineTuningJob
            )
        except NotFoundError as fault:
            raise self._unknown(run, fault) from None
        except RefusedError as fault:
            if fault.code in ("400", "invalid_request_error", "resource_not_found"):
                raise self._unknown(run, fault) from None
            raise

    def _unknown(self, run: str, fault: BackendError) -> NotFoundError:
        return NotFoundError(
            f"there is no job {run!r} at {self._connection.address.url}, or not in this account.",
            cure="list the runs with `finetune runs`, and check that the settings name the account that made it",
            code=fault.code,
            request_id=fault.request_id,
        )

    def every(self, **matching: str) -> list[FineTuningJob]:
        """All jobs, the newest first; those with this metadata, as far as the place honours the filter."""
        asked: dict[str, Any] = {"limit": PAGE, **({"metadata": matching} if matching else {})}
        pages = self._connection.pages(
            "list the jobs", lambda client, **page: client.fine_tuning.jobs.list(**page), **asked
        )
        return [job for page in pages for job in page]

    def with_token(self, token: str) -> list[FineTuningJob]:
        """The jobs of a token, the oldest first. A place that keeps no metadata knows them by their training file."""
        if self._connection.address.metadata:
            return wire.oldest_first(job for job in self._filtered(token) if wire.is_of(job, token))
        named = {file.id for file in self.files(token)}
        if not named:
            return []
        return wire.oldest_first(job for job in self.every() if job.training_file in named)

    def _filtered(self, token: str) -> list[FineTuningJob]:
        """The jobs that the place's filter finds; all of them where it refuses to filter."""
        try:
            return self.every(**{wire.TOKEN: token})
        except RefusedError as fault:
            if fault.code in _NO_FILTER:
                return self.every()
            raise

    def files(self, part: str) -> list[Any]:
        """The uploaded files whose name has this part in it, the oldest first."""
        return [file for file in self.all_files() if part in (file.filename or "")]

    def all_files(self) -> list[Any]:
        pages = self._connection.pages(
            "list the files", lambda client, **page: client.files.list(**page), purpose="fine-tune", limit=FILES_PAGE
        )
        return sorted((file for page in pages for file in page), key=lambda file: (file.created_at or 0, file.id))

    def cancel(self, run: str) -> None:
        """Ends an active job. One that has ended stays as it is."""
        self._change(run, "cancel", lambda client: client.fine_tuning.jobs.cancel(run), lambda status: status.terminal)

    def pause(self, run: str) -> None:
        self._change(
            run,
            "pause",
            lambda client: client.fine_tuning.jobs.pause(run),
            lambda status: status in ("paused", "pausing"),
        )

    def resume(self, run: str) -> None:
        job = self.read(run)
        if wire.status(job) not in ("paused", "pausing"):
            raise RunError(f"{run} is {wire.status(job)}, not paused.", cure="only a paused job can go on there")
        self._change(
            run,
            "resume",
            lambda client: client.fine_tuning.jobs.resume(run),
            lambda status: status not in ("paused", "pausing"),
        )

    def _change(self, run: str, verb: str, call: Any, done: Any) -> None:
        """Asks for another state, which may be asked twice; what the place refuses is no fault when the state is there."""
        before = wire.status(self.read(run))
        if done(before):
            return
        if before.terminal:
            raise RunError(f"{run} is {before}, so it cannot {verb}.", cure="see its events")
        try:
            self._connection.asked(f"{verb} the job {run}", call)
        except (RefusedError, NotFoundError):
            if not done(wire.status(self.read(run))):
                raise

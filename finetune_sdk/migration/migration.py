"""One job on its way out of a place: fetched, its answers recorded, and written down for any other place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import reduce
from pathlib import Path
from types import TracebackType
from typing import Self

from finetune_sdk.backend import PastJob
from finetune_sdk.client import Client
from finetune_sdk.errors import BudgetError, NotFoundError
from finetune_sdk.estimate import Range
from finetune_sdk.migration.cases import Cases, choose
from finetune_sdk.migration.fetching import fetch
from finetune_sdk.migration.folder import Folder
from finetune_sdk.migration.recording import Recording, plan, record
from finetune_sdk.migration.writing import write


class Migration:
    """A job's way into a folder of its own under `to`; the same again goes on where it was.

    The cases are the job's own validation rows, or those of the file `cases`, or the share `hold_out` of the training rows,
    which the model was trained on. `with_base` records its base, too; `max_tokens` bounds an answer. Used as a context:
    no other process may work on the folder meanwhile.
    """

    def __init__(
        self,
        client: Client,
        past: PastJob,
        to: Path,
        *,
        cases: Path | None = None,
        hold_out: float | None = None,
        allow_leakage: bool = False,
        max_tokens: int | None = None,
        with_base: bool = False,
    ) -> None:
        self.past = past
        self.folder = Folder.of(to, past.id, client.backend.address)
        self._client = client
        self._given, self._hold_out, self._allow_leakage = cases, hold_out, allow_leakage
        self._max_tokens, self._with_base = max_tokens, with_base
        self._held = ExitStack()
        self._cases: Cases | None = None

    def __repr__(self) -> str:
        return f"Migration({self.past.id!r}, {str(self.folder.path)!r})"

    def __enter__(self) -> Self:
        self._held.enter_context(self.folder.alone())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def prepare(self) -> list[str]:
        """Fetches files and settings, chooses the cases, and writes the job; nothing is paid for.

        Returns, in words, what stands in the way of a replacement. Raises BackendError where the place fails.
        """
        backend, past, folder = self._client.backend, self.past, self.folder
        folder.know(
            place=self._client.name, address=backend.address, job=past.id, model=past.model, base=past.base,
            method=past.method, dies=past.dies.isoformat() if past.dies else None,
        )  # fmt: skip
        fetch(backend, past, folder)
        self._cases = choose(folder, self._given, self._hold_out, allow_leakage=self._allow_leakage)
        return self.write()

    def write(self) -> list[str]:
        """The job file, the suggested settings and the page, by what is known now."""
        return write(self.past, self.folder, self._client.settings.place(self._client.name))

    def left(self) -> list[Recording]:
        """What is still to be recorded, once all is prepared: nothing where there are no cases, or the model is gone."""
        if self._cases is None or self._cases.data is None or self.past.model is None or self._gone(self.past.model):
            return []
        plans = plan(self._client.backend, self.past, self.folder, self._cases, self._max_tokens, base=self._with_base)
        left = [one for one in plans if one.left]
        if not left:
            self.folder.know(unanswered=[])
        return left

    def _gone(self, model: str) -> bool:
        """Whether a model that the place does not list is truly not there: some do not list what was tuned."""
        gone = None
        if self.past.model_there is not True:
            try:
                self._client.backend.model(model)
            except NotFoundError as fault:
                gone = fault.message
        self.folder.know(model_gone=gone)
        return gone is not None

    def record(
        self, recordings: Iterable[Recording], tell: Callable[[int, int | None], None] = lambda *_: None
    ) -> list[str]:
        """Asks what is left and keeps each answer as it comes; it is paid for. Returns what was not answered, and why."""
        faults = list[str]()
        for one in recordings:
            faults += self._recorded(one, tell)
        self.folder.know(unanswered=faults)
        return faults

    def _recorded(self, one: Recording, tell: Callable[[int, int | None], None]) -> list[str]:
        try:
            return record(self._client.backend, one, self.folder, tell)
        except NotFoundError as fault:
            if one.role == "tuned":
                self.folder.know(model_gone=fault.message)
            return [fault.message]


def within(recordings: Iterable[Recording], max_cost: float | None) -> Range:
    """What recordings may cost together. Raises BudgetError where that is above `max_cost` USD, or unknown."""
    total = reduce(
        Range.__add__, (one.charge for one in recordings), Range.exactly(0.0, "USD", "nothing is left to ask")
    )
    if max_cost is None:
        return total
    if total.high is None:
        raise BudgetError(
            f"what recording costs is unknown ({total.basis}), so a cap of ${max_cost:,.2f} cannot be kept.",
            cure="give the prices in finetune.toml, or leave the cap out",
        )
    if total.high > max_cost:
        raise BudgetError(
            f"recording may cost {total}, and its high end is above the cap of ${max_cost:,.2f}; data and settings are fetched.",
            cure="raise it, give fewer cases, or lower the tokens of an answer",
        )
    return total

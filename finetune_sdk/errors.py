"""Every error that this SDK raises, as one tree.

FinetuneError
├── InputError                  what the caller gave or asked for is wrong; nothing was sent
│   ├── DatasetError            a file or a row
│   ├── JobError                a job, or a job file
│   ├── EvaluationError         an evaluation, an evaluator or its schema
│   ├── UnsupportedError        explicit in the job, impossible at the backend
│   ├── SettingsError           finetune.toml, the environment, an unknown backend
│   ├── BudgetError             the estimate is above the cap, its price is unknown, or an evaluation reached its cap
│   └── MissingDependencyError  an extra is not installed; carries the exact install line
└── BackendError                the place failed: its code, its request id, and whether trying again can help
    ├── RefusedError            the place said no, and made nothing
    ├── AnswersError            some of the conversations of a call have no answer; it holds those that have
    ├── NotFoundError           no such run, model or file there
    └── RunError                a run ended without a model, or cannot do what was asked in its state
"""

from __future__ import annotations


class FinetuneError(Exception):
    """Root of the tree. `message` says what and where, `cure` what to do about it."""

    def __init__(self, message: str, *, cure: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  cure: {self.cure}" if self.cure else self.message


class InputError(FinetuneError):
    """What the caller gave or asked for is wrong. Nothing was sent anywhere."""


class DatasetError(InputError):
    """A data file or a row of it cannot be used."""


class JobError(InputError):
    """A job's definition is wrong, or a job file is."""


class EvaluationError(InputError):
    """An evaluation's definition is wrong."""


class UnsupportedError(InputError):
    """Explicit in the job, impossible at this backend. The cure names what is possible."""


class SettingsError(InputError):
    """finetune.toml or the environment is wrong."""


class BudgetError(InputError):
    """The estimate's high end is above `max_cost`, the price is unknown, or an evaluation stopped before it would cost more."""


class MissingDependencyError(InputError):
    """A package that this feature needs is not installed."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f"{what} is not installed.", cure=f"pip install 'finetune-anywhere[{extra}]'")
        self.extra = extra


class BackendError(FinetuneError):
    """The place failed or refused.

    `code` and `request_id` are the place's own, where it gave them; `retryable` says whether the same
    request may succeed later.
    """

    def __init__(
        self,
        message: str,
        *,
        cure: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message, cure=cure)
        self.code = code
        self.request_id = request_id
        self.retryable = retryable


class RefusedError(BackendError):
    """The place said no before it made anything: there is nothing to look for."""


class AnswersError(BackendError):
    """Some conversations of one call were not answered.

    `outcomes` has an Answer or the BackendError of each conversation, in their order. What was answered was paid for.
    """

    def __init__(self, message: str, outcomes: tuple[object, ...], *, cure: str | None = None) -> None:
        super().__init__(message, cure=cure)
        self.outcomes = outcomes


class NotFoundError(BackendError):
    """The place knows no such run, model or file."""


class RunError(BackendError):
    """A run ended without a model, or its state does not allow what was asked."""

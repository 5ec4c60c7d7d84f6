"""What is optimised: the methods of a job. A value left at None is the place's to choose."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from math import isfinite
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from finetune_sdk.errors import JobError
from finetune_sdk.values import numbers, one_of, positive, share, whole

if TYPE_CHECKING:
    from finetune_sdk.evaluation.evaluators.case import Evaluator

Schedule = Literal["linear", "cosine", "constant"]
LossOn = Literal["completions", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimisation:
    """What every method that takes steps has.

    `epochs` passes over the data, or `steps` optimizer steps; `batch_size` examples a step; `learning_rate` at its peak,
    after `warmup` (share of all steps); `max_length` tokens a row, longer ones are cut at the end and named; the
    validation loss is taken every `validate_every` steps (None: each epoch), and `early_stopping` ends the run after
    that many of them without a better one.
    """

    epochs: float | None = None
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: Schedule | None = None
    warmup: float | None = None
    weight_decay: float | None = None
    max_length: int | None = None
    validate_every: int | None = None
    early_stopping: int | None = None
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def _check_steps(self) -> None:
        positive(
            self, "epochs", "steps", "batch_size", "learning_rate", "max_length", "validate_every", "early_stopping"
        )
        whole(self, "steps", "batch_size", "max_length", "validate_every", "early_stopping")
        one_of(self, "schedule", get_args(Schedule))
        share(self, "warmup")
        numbers(self, "weight_decay")
        if self.weight_decay is not None and not (self.weight_decay >= 0 and isfinite(self.weight_decay)):
            raise JobError(f"weight_decay={self.weight_decay} makes no sense.", cure="give weight_decay 0 or more")
        if self.epochs is not None and self.steps is not None:
            raise JobError("both `epochs` and `steps` are set.", cure="set one of them")


@dataclass(frozen=True, slots=True, kw_only=True)
class SFT(Optimisation):
    """Supervised fine-tuning: the assistant's turns are learnt.

    `loss_on` "completions" trains assistant turns only, "all" every token. The rest is as in `Optimisation`.
    """

    kind: Literal["sft"] = "sft"
    loss_on: LossOn | None = None
    data: ClassVar[frozenset[str]] = frozenset({"chat"})

    def __post_init__(self) -> None:
        one_of(self, "kind", ("sft",))
        self._check_steps()
        one_of(self, "loss_on", get_args(LossOn))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining(Optimisation):
    """Continued pretraining: every token of a text is learnt.

    A text longer than `max_length` is not cut: it becomes several sequences, and each of them counts as an example of
    `batch_size`. The rest is as in `Optimisation`.
    """

    kind: Literal["pretraining"] = "pretraining"
    data: ClassVar[frozenset[str]] = frozenset({"text"})

    def __post_init__(self) -> None:
        one_of(self, "kind", ("pretraining",))
        self._check_steps()
        if self.max_length == 1:
            raise JobError(
                "Pretraining(max_length=1) makes no sense: a token is learnt from those before it.",
                cure="give max_length 2 or more",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DPO(Optimisation):
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7) of `chosen` over `rejected` answers.

    `beta` is the strength of the pull towards the reference, which is the base. The rest is as in `Optimisation`.
    """

    kind: Literal["dpo"] = "dpo"
    beta: float | None = None
    data: ClassVar[frozenset[str]] = frozenset({"preference"})

    def __post_init__(self) -> None:
        one_of(self, "kind", ("dpo",))
        self._check_steps()
        positive(self, "beta")


@dataclass(frozen=True, slots=True, kw_only=True)
class ORPO(Optimisation):
    """Odds ratio preference optimisation (Hong et al. 2024, eq. 6 and 7): learns `chosen` answers, and prefers them.

    The loss of `chosen` answers is that of SFT; `beta` (λ in the paper) is the weight of the odds of chosen over rejected
    answers beside it. There is no reference. `loss_on` "all" learns the prompts of chosen answers too, as in the authors'
    code, "completions" the answers alone. The rest is as in `Optimisation`.
    """

    kind: Literal["orpo"] = "orpo"
    beta: float | None = None
    loss_on: LossOn | None = None
    data: ClassVar[frozenset[str]] = frozenset({"preference"})

    def __post_init__(self) -> None:
        one_of(self, "kind", ("orpo",))
        self._check_steps()
        positive(self, "beta")
        one_of(self, "loss_on", get_args(LossOn))


@dataclass(frozen=True, slots=True, kw_only=True)
class KTO(Optimisation):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024, eq. 7 and 8) of answers that were rated good or bad.

    `beta` is the strength of the pull towards the reference, which is the base; the losses of good answers are weighted with
    `desirable_weight`, those of bad ones with `undesirable_weight`. Prompts with another answer of their batch measure how
    far the model has moved, so a step needs two examples or more. The rest is as in `Optimisation`.
    """

    kind: Literal["kto"] = "kto"
    beta: float | None = None
    desirable_weight: float | None = None
    undesirable_weight: float | None = None
    data: ClassVar[frozenset[str]] = frozenset({"rated"})

    def __post_init__(self) -> None:
        one_of(self, "kind", ("kto",))
        self._check_steps()
        positive(self, "beta", "desirable_weight", "undesirable_weight")
        if self.batch_size == 1:
            raise JobError(
                "KTO(batch_size=1) makes no sense: each prompt is also asked with another answer of its batch.",
                cure="give batch_size 2 or more",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RFT(Optimisation):
    """Reinforcement fine-tuning: the model answers tasks, the answers are graded, and the better ones reinforced.

    An answer is worth the mean of what its `graders` find it worth: 1 for a pass and 0 for a fail, or the value that one that is
    `graded` gives. They judge it beside the task's reference. Left out, the grader is the one that the settings give in the
    place's own words. Each task of a step is answered `samples` times, in at most `max_tokens` tokens, drawn at `temperature`;
    `beta` is the strength of a pull towards the base (0: none). The rest is as in `Optimisation`.
    """

    kind: Literal["rft"] = "rft"
    graders: tuple[Evaluator, ...] | None = None
    samples: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    beta: float | None = None
    data: ClassVar[frozenset[str]] = frozenset({"task"})

    def __post_init__(self) -> None:
        one_of(self, "kind", ("rft",))
        self._check_steps()
        positive(self, "samples", "max_tokens", "temperature")
        whole(self, "samples", "max_tokens")
        numbers(self, "beta")
        if self.beta is not None and not 0 <= self.beta < 2**31:
            raise JobError(f"RFT(beta={self.beta}) makes no sense.", cure="give beta 0 or more")
        if self.temperature is not None and not 1e-3 <= self.temperature <= 1e3:
            raise JobError(
                f"RFT(temperature={self.temperature:g}) makes no sense: answers would be all alike, or noise.",
                cure="give a temperature from 0.001 to 1000; 1 is usual",
            )
        if self.samples is not None and self.samples > 1024:
            raise JobError(
                f"RFT(samples={self.samples}) makes no sense: so many answers to one task tell no more.",
                cure="give samples from 2 to 1024; 8 is usual",
            )
        if self.samples == 1:
            raise JobError(
                "RFT(samples=1) makes no sense: an answer is compared with the others to its task.",
                cure="give samples 2 or more; 8 is usual",
            )
        if self.graders is None:
            return
        given = tuple(self.graders) if isinstance(self.graders, list | tuple) else (self.graders,)
        if not given or not all(hasattr(one, "judge") and is_dataclass(one) for one in given):
            raise JobError(
                f"RFT(graders={self.graders!r:.80}) makes no sense.",
                cure="give evaluators, such as graders=(ExactMatch(),), or leave them out for the settings' own grader",
            )
        object.__setattr__(self, "graders", given)


Method = SFT | Pretraining | DPO | ORPO | KTO | RFT

"""What is trained: the definition of one fine-tuning. Frozen, portable, and without a vendor's name.

A value left at None is the place's to choose; what it chose is shown in the estimate and kept with the run. What is set
here is either done exactly or refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import sha256
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import JobError
from finetune_sdk.guards import Guards, evaluator_table

if TYPE_CHECKING:
    from finetune_sdk.evaluation.evaluators.case import Evaluator


_MOST = 2**31
Schedule = Literal["linear", "cosine", "constant"]
LossOn = Literal["completions", "all"]


def _numbers(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise JobError(f"{type(owner).__name__}({name}={value!r}) makes no sense.", cure=f"give {name} a number")


def _positive(owner: object, *names: str) -> None:
    _numbers(owner, *names)
    for name in names:
        value = getattr(owner, name)
        if value is not None and not 0 < value < _MOST:
            raise JobError(
                f"{type(owner).__name__}({name}={_short(value)}) makes no sense.",
                cure=f"give {name} more than 0{'' if value <= 0 else f', and less than {_MOST:,}'}",
            )


def _short(value: float) -> str:
    return str(value) if abs(value) < 1e15 else f"{value:.3g}" if abs(value) < 1e300 else "a huge number"


def _whole(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise JobError(
                f"{type(owner).__name__}({name}={value!r}) makes no sense.", cure=f"give {name} a whole number"
            )


def _one_of(owner: object, name: str, allowed: tuple[str, ...]) -> None:
    value = getattr(owner, name)
    if value is not None and value not in allowed:
        raise JobError(f"{type(owner).__name__}({name}={value!r}) makes no sense.", cure=f"use {', '.join(allowed)}")


def _share(owner: object, *names: str) -> None:
    _numbers(owner, *names)
    for name in names:
        value = getattr(owner, name)
        if value is not None and not 0 <= value < 1:
            raise JobError(
                f"{type(owner).__name__}({name}={value}) makes no sense.", cure=f"give {name} from 0 up to, not with, 1"
            )


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
        _positive(
            self, "epochs", "steps", "batch_size", "learning_rate", "max_length", "validate_every", "early_stopping"
        )
        _whole(self, "steps", "batch_size", "max_length", "validate_every", "early_stopping")
        _one_of(self, "schedule", get_args(Schedule))
        _share(self, "warmup")
        _numbers(self, "weight_decay")
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
        _one_of(self, "kind", ("sft",))
        self._check_steps()
        _one_of(self, "loss_on", get_args(LossOn))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining(Optimisation):
    """Continued pretraining: every token of a text is learnt.

    A text longer than `max_length` is not cut: it becomes several sequences, and each of them counts as an example of
    `batch_size`. The rest is as in `Optimisation`.
    """

    kind: Literal["pretraining"] = "pretraining"
    data: ClassVar[frozenset[str]] = frozenset({"text"})

    def __post_init__(self) -> None:
        _one_of(self, "kind", ("pretraining",))
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
        _one_of(self, "kind", ("dpo",))
        self._check_steps()
        _positive(self, "beta")


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
        _one_of(self, "kind", ("orpo",))
        self._check_steps()
        _positive(self, "beta")
        _one_of(self, "loss_on", get_args(LossOn))


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
        _one_of(self, "kind", ("kto",))
        self._check_steps()
        _positive(self, "beta", "desirable_weight", "undesirable_weight")
        if self.batch_size == 1:
            raise JobError(
                "KTO(batch_size=1) makes no sense: each prompt is also asked with another answer of its batch.",
                cure="give batch_size 2 or more",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RFT(Optimisation):
    """Reinforcement fine-tuning: the model answers tasks, the answers are graded, and the better ones reinforced.

    `graders` are evaluators, and an answer is worth as much as it passes; they judge it beside the task's reference. Left
    out, the grader is the one that the settings give in the place's own words. The rest is as in `Optimisation`.
    """

    kind: Literal["rft"] = "rft"
    graders: tuple[Evaluator, ...] | None = None
    data: ClassVar[frozenset[str]] = frozenset({"task"})

    def __post_init__(self) -> None:
        _one_of(self, "kind", ("rft",))
        self._check_steps()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """Adapters of `rank` beside the weights named by `targets`, scaled by `alpha / rank`.

    `targets` "all-linear" is every linear layer but the head. `alpha` None is twice the rank. With `dora` the length of each
    column of a weight moves apart from its direction (DoRA, Liu et al. 2024); with `rslora` the scale is `alpha / sqrt(rank)`
    (Kalajdzievski 2023), so that a higher rank does not learn more slowly.
    """

    rank: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    dora: bool = False
    rslora: bool = False
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def _check_rank(self) -> None:
        _positive(self, "rank", "alpha")
        _whole(self, "rank")
        _share(self, "dropout")
        for name in ("dora", "rslora"):
            if not isinstance(getattr(self, name), bool):
                raise JobError(f"{name}={getattr(self, name)!r} makes no sense.", cure=f"give {name} True or False")
        named: Any = self.targets
        if isinstance(named, str) and named != "all-linear":
            raise JobError(f"targets={named!r} is one name.", cure='give a tuple of names, or use "all-linear"')
        if not named:
            raise JobError("`targets` names no layer.", cure='name at least one, or use "all-linear"')
        if not isinstance(named, str | tuple | list) or not all(isinstance(name, str) and name for name in named):
            raise JobError(f"targets={named!r} makes no sense.", cure="give a tuple of the layers' names")
        object.__setattr__(self, "targets", named if isinstance(named, str) else tuple(named))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoRA(LowRank):
    """Low-rank adapters (Hu et al. 2021) beside the base's own weights."""

    kind: Literal["lora"] = "lora"

    def __post_init__(self) -> None:
        _one_of(self, "kind", ("lora",))
        self._check_rank()


@dataclass(frozen=True, slots=True, kw_only=True)
class QLoRA(LowRank):
    """LoRA beside a base that is held in 4 bits: NF4, double quantisation (Dettmers et al. 2023)."""

    kind: Literal["qlora"] = "qlora"

    def __post_init__(self) -> None:
        _one_of(self, "kind", ("qlora",))
        self._check_rank()


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """All weights move."""

    kind: Literal["full"] = "full"
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompting:
    """`tokens` virtual tokens stand before each sequence and are learnt, and no weight of the base moves."""

    tokens: int = 20
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def _check_tokens(self) -> None:
        _positive(self, "tokens")
        _whole(self, "tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTuning(Prompting):
    """Virtual tokens whose embeddings are learnt (Lester et al. 2021)."""

    kind: Literal["prompt_tuning"] = "prompt_tuning"

    def __post_init__(self) -> None:
        _one_of(self, "kind", ("prompt_tuning",))
        self._check_tokens()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixTuning(Prompting):
    """Virtual tokens whose keys and values are learnt, in each layer (Li and Liang 2021)."""

    kind: Literal["prefix_tuning"] = "prefix_tuning"

    def __post_init__(self) -> None:
        _one_of(self, "kind", ("prefix_tuning",))
        self._check_tokens()


Adapter = LoRA | QLoRA | Full | PromptTuning | PrefixTuning


def table(value: Method | Adapter) -> dict[str, Any]:
    """A method or an adapter as plain data, what is None or off left out; 3.0 epochs are 3 epochs, so one job is one run."""
    pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
    return {name: _plain(v) for name, v in pairs if v is not None and v is not False}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, tuple | list | frozenset):
        return [_plain(one) for one in (sorted(value) if isinstance(value, frozenset) else value)]
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(part) for name, part in evaluator_table(value).items()}
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One fine-tuning. `base` and `adapter` None are the settings' to give, or else the place's. `guards` look on.

    Raises JobError where data and method do not go together.
    """

    name: str
    train: Dataset
    validation: Dataset | None = None
    method: Method = SFT()
    adapter: Adapter | None = None
    base: str | None = None
    seed: int = 0
    guards: Guards | None = None

    def __post_init__(self) -> None:
        self._check_types()
        if self.base is not None and not self.base.strip():
            raise JobError("`base` is empty.", cure="name a model, or leave it out: the settings' own is taken")
        if not self.name.strip():
            raise JobError("a job needs a name.", cure='give it one, as in Job(name="triage", …)')
        if not 0 <= self.seed < 2**31:
            raise JobError(f"seed={self.seed} is out of range.", cure="give a seed from 0 to 2147483647")
        for side, dataset in (("train", self.train), ("validation", self.validation)):
            if dataset is None:
                continue
            if dataset.kind not in self.method.data:
                wanted = " or ".join(sorted(self.method.data))
                raise JobError(
                    f"{type(self.method).__name__} learns from {wanted} examples, and {side} holds {dataset.kind} ones "
                    f"({dataset.name}).",
                    cure="give data of that kind, or use SFT for chats, Pretraining for texts, DPO or ORPO for preference "
                    "pairs, KTO for rated answers and RFT for tasks",
                )
            if not len(dataset):
                raise JobError(f"{side} has no rows.", cure="give at least one example")
            if isinstance(self.method, KTO) and len(dataset) == 1:
                raise JobError(
                    f"{side} holds one row, and KTO asks each prompt with another row's answer too.",
                    cure="give at least two examples",
                )
        self._check_guards()
        for name in ("early_stopping", "validate_every"):
            if self.validation is None and getattr(self.method, name) is not None:
                raise JobError(
                    f"{type(self.method).__name__}({name}=…) is set, and there is nothing to validate on.",
                    cure="give the job validation data, or leave it out",
                )

    def _check_guards(self) -> None:
        if self.guards is None:
            return
        if self.validation is None:
            raise JobError(
                "guards look on at each validation, and there is nothing to validate on.",
                cure="give the job validation data",
            )
        if self.guards.answers and not isinstance(self.method, SFT):
            raise JobError(
                f"the guards best_by and memorisation ask the prompts of chats, and {type(self.method).__name__} has none.",
                cure="use them with SFT, or leave them out",
            )

    def _check_types(self) -> None:
        """Raises JobError for a value of another kind, which a program may give."""
        for name, kinds, cure in (
            ("name", str, "give it as text"),
            ("train", Dataset, "load it: Dataset.load(path)"),
            ("validation", Dataset | None, "load it: Dataset.load(path)"),
            ("method", Method, "use SFT(…), Pretraining(…), DPO(…), ORPO(…), KTO(…) or RFT(…)"),
            ("adapter", Adapter | None, "use LoRA(…), QLoRA(…), Full(), PromptTuning(…) or PrefixTuning(…)"),
            ("base", str | None, 'give the name of a model or the path of its folder, such as "tiny"'),
            ("seed", int, "give a whole number"),
            ("guards", Guards | None, "use Guards(…)"),
        ):
            value = getattr(self, name)
            if not isinstance(value, kinds) or (name == "seed" and isinstance(value, bool)):
                found = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
                raise JobError(f"Job({name}=…) is {found}.", cure=cure)

    def definition(self) -> dict[str, Any]:
        """All that decides what is learnt, as plain data; the name is not part of it."""
        return {
            "train": self.train.fingerprint,
            "validation": self.validation.fingerprint if self.validation else None,
            "method": table(self.method),
            "adapter": table(self.adapter) if self.adapter else None,
            "base": self.base,
            "seed": self.seed,
            **({"guards": self.guards.definition()} if self.guards else {}),
        }

    @property
    def fingerprint(self) -> str:
        """32 hex digits that stand for `definition()`."""
        return digest(self.definition())

    def resolved(self, *, base: str, adapter: Adapter | None, method: Method) -> Job:
        """The same job with a place's choices filled in."""
        return replace(self, base=base, adapter=adapter, method=method)


def digest(value: Mapping[str, Any]) -> str:
    """32 hex digits that stand for plain data, the order of keys aside."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]

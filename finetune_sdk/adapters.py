"""Which weights move: the adapters of a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from finetune_sdk.errors import JobError
from finetune_sdk.values import one_of, positive, share, whole


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
        positive(self, "rank", "alpha")
        whole(self, "rank")
        share(self, "dropout")
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
        one_of(self, "kind", ("lora",))
        self._check_rank()


@dataclass(frozen=True, slots=True, kw_only=True)
class QLoRA(LowRank):
    """LoRA beside a base that is held in 4 bits: NF4, double quantisation (Dettmers et al. 2023)."""

    kind: Literal["qlora"] = "qlora"

    def __post_init__(self) -> None:
        one_of(self, "kind", ("qlora",))
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
        positive(self, "tokens")
        whole(self, "tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTuning(Prompting):
    """Virtual tokens whose embeddings are learnt (Lester et al. 2021)."""

    kind: Literal["prompt_tuning"] = "prompt_tuning"

    def __post_init__(self) -> None:
        one_of(self, "kind", ("prompt_tuning",))
        self._check_tokens()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixTuning(Prompting):
    """Virtual tokens whose keys and values are learnt, in each layer (Li and Liang 2021)."""

    kind: Literal["prefix_tuning"] = "prefix_tuning"

    def __post_init__(self) -> None:
        one_of(self, "kind", ("prefix_tuning",))
        self._check_tokens()


Adapter = LoRA | QLoRA | Full | PromptTuning | PrefixTuning

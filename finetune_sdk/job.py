"""What is trained: the definition of one fine-tuning. Frozen, portable, and without a vendor's name.

A value left at None is the place's to choose; what it chose is shown in the estimate and kept with the run. What is set
here is either done exactly or refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from hashlib import sha256
from typing import Any

from finetune_sdk.adapters import Adapter, Full, LoRA, PrefixTuning, PromptTuning, QLoRA
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import JobError
from finetune_sdk.evaluation.evaluators.tables import evaluator_table
from finetune_sdk.guards import Guards
from finetune_sdk.methods import DPO, KTO, ORPO, RFT, SFT, LossOn, Method, Optimisation, Pretraining, Schedule

__all__ = [
    "DPO",
    "KTO",
    "ORPO",
    "RFT",
    "SFT",
    "Adapter",
    "Full",
    "Job",
    "LoRA",
    "LossOn",
    "Method",
    "Optimisation",
    "PrefixTuning",
    "Pretraining",
    "PromptTuning",
    "QLoRA",
    "Schedule",
    "digest",
    "table",
]


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
        if self.guards.answers and isinstance(self.method, Pretraining | RFT):
            raise JobError(
                f"the guards best_by and memorisation ask prompts that have answers, and the data of {type(self.method).__name__} has none.",
                cure="use them with SFT, DPO, ORPO or KTO, or leave them out",
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

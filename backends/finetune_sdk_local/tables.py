"""Methods and adapters from plain tables: those of finetune.toml, and those that a run's folder keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from finetune_sdk.errors import JobError
from finetune_sdk.evaluation.evaluators.tables import evaluator_of
from finetune_sdk.job import (
    DPO,
    KTO,
    ORPO,
    RFT,
    SFT,
    Adapter,
    Full,
    LoRA,
    Method,
    PrefixTuning,
    Pretraining,
    PromptTuning,
    QLoRA,
)

T = TypeVar("T")
METHODS: Mapping[str, type[Method]] = {
    "sft": SFT, "pretraining": Pretraining, "dpo": DPO, "orpo": ORPO, "kto": KTO, "rft": RFT
}  # fmt: skip
ADAPTERS: Mapping[str, type[Adapter]] = {
    "lora": LoRA, "qlora": QLoRA, "full": Full, "prompt_tuning": PromptTuning, "prefix_tuning": PrefixTuning
}  # fmt: skip


def method_of(table: Mapping[str, Any], homes: Mapping[str, Mapping[str, str]] | None = None) -> Method:
    """The method that a plain table describes; `homes` has those of graders that are not the SDK's.

    Raises JobError for a word that it does not have.
    """
    graders = table.get("graders")
    if graders is None:
        return _read(METHODS, table, "method")
    return _read(METHODS, {**table, "graders": tuple(evaluator_of(each, homes) for each in graders)}, "method")


def adapter_of(table: Mapping[str, Any]) -> Adapter:
    """The adapter that a plain table describes. Raises JobError for a word that it does not have."""
    targets = table.get("targets")
    return _read(ADAPTERS, {**table, "targets": tuple(targets)} if isinstance(targets, list) else table, "adapter")


def _read(kinds: Mapping[str, type[T]], table: Mapping[str, Any], what: str) -> T:
    kind = kinds.get(str(table.get("kind")))
    if kind is None:
        raise JobError(f"{table.get('kind')!r} is not a kind of {what}.", cure=f"use one of {', '.join(kinds)}")
    try:
        return kind(**table)
    except TypeError as fault:
        raise JobError(f"the {what} {dict(table)} cannot be read: {fault}.", cure="check its words") from None

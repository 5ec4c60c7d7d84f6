"""What finetune.toml may say of this place: the table [backends.local]."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, ValidationError

from finetune_sdk.backend import Place
from finetune_sdk.errors import JobError, SettingsError
from finetune_sdk.job import Adapter
from finetune_sdk_local.tables import METHODS, adapter_of, method_of


class Options(BaseModel):
    """`base` and `adapter` for jobs that name none; the table of a method, as `sft`, holds hyperparameters that
    jobs leave open.

    `processes` share each step among them. `micro_tokens` go through the model at once; a checkpoint is written every `checkpoint_every` steps; `usd_per_hour`
    is what the machine costs. `engine`: whether prefixes that examples share pass through the model once. At most
    `keep_adapters` stay in memory on one base. `gguf_converter` is the path of llama.cpp's converter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    kind: str = "local"
    base: Annotated[str, Field(min_length=1)] | None = None
    adapter: dict[str, Any] | None = None
    device: Literal["cpu", "cuda", "mps"] | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    threads: PositiveInt | None = None
    processes: PositiveInt = 1
    micro_tokens: PositiveInt | None = None
    checkpoint_every: PositiveInt | None = None
    engine: Literal["auto", "shared", "separate"] = "auto"
    keep_adapters: PositiveInt = 8
    gguf_converter: Annotated[str, Field(min_length=1)] | None = None
    usd_per_hour: NonNegativeFloat | None = None
    sft: dict[str, Any] = {}
    pretraining: dict[str, Any] = {}
    dpo: dict[str, Any] = {}
    orpo: dict[str, Any] = {}
    kto: dict[str, Any] = {}

    @classmethod
    def read(cls, place: Place) -> Options:
        """The options of a place. Raises SettingsError for a name that nothing reads, and for a value of no sense."""
        table = f"[backends.{place.name}]"
        try:
            options = cls.model_validate(dict(place.options))
        except ValidationError as faults:
            raise _refused(table, faults) from None
        try:
            options.adapter_or_none()
            for kind in METHODS:
                method_of({"kind": kind, **getattr(options, kind)})
        except JobError as fault:
            raise SettingsError(f"{table}: {fault.message}", cure=fault.cure) from None
        return options

    def adapter_or_none(self) -> Adapter | None:
        return adapter_of(self.adapter) if self.adapter is not None else None


def _refused(table: str, faults: ValidationError) -> SettingsError:
    fault = faults.errors()[0]
    name = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        near = get_close_matches(name, Options.model_fields, 1)
        return SettingsError(
            f"{table} has no option {name!r}.",
            cure=f"use {near[0]!r}" if near else f"use one of {', '.join(sorted(Options.model_fields))}",
        )
    return SettingsError(
        f"{table}: {name} = {fault['input']!r} makes no sense: {fault['msg']}.", cure=f"mend `{name}`, or remove it"
    )

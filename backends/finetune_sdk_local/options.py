"""What finetune.toml may say of this place: the table [backends.local]."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from finetune_sdk.backend import Place
from finetune_sdk.errors import JobError, SettingsError
from finetune_sdk.job import Adapter
from finetune_sdk_local import costs
from finetune_sdk_local.cards import Card
from finetune_sdk_local.tables import METHODS, adapter_of, method_of
from finetune_sdk_local.trackers import Name

Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit"]
"""AdamW, its two moments in float32, in 8 bits, or in 8 bits and paged between the card's memory and the machine's."""


_OF_A_CARD = "a card has memory (GiB), bf16 and fp32 (dense TFLOPS), bandwidth (GB/s) and watts"


class OwnCard(BaseModel):
    """A card that the table has not, by its datasheet: memory in GiB, dense TFLOPS (`bf16` 0 where it has none), GB/s, and watts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    memory: Annotated[float, Field(gt=0, le=10_000)]
    bf16: Annotated[float, Field(ge=0, le=1e6)]
    fp32: Annotated[float, Field(gt=0, le=1e6)]
    bandwidth: Annotated[float, Field(gt=0, le=1e6)]
    watts: Annotated[float, Field(gt=0, le=1e5)]

    def card(self, name: str) -> Card:
        said = "figures from finetune.toml"
        return Card(name, round(self.memory * 2**30), self.bf16, self.fp32, None, self.bandwidth, self.watts, said)


class Options(BaseModel):
    """`base` and `adapter` for jobs that name none; the table of a method, as `sft`, holds hyperparameters that
    jobs leave open.

    `processes` share each step among them, and with `sharding` the weights too. `micro_tokens` go through the model at once; a checkpoint is written every
    `checkpoint_every` steps; `usd_per_hour` is what the machine costs, `watts` what it draws while it trains, and
    `gpu_usd_per_hour` what you pay for cards that are not here, by name; `cards` describes further ones. `engine`: whether prefixes that examples share pass
    through the model once. `optimizer`, `activation_checkpointing` (layers pass again on the way back) and `offload`
    (activations wait in the machine's memory) spare a card's memory. `trackers` follow each run. At most `keep_adapters` stay
    in memory on one base. `gguf_converter` is the path of llama.cpp's converter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    kind: str = "local"
    base: Annotated[str, Field(min_length=1)] | None = None
    adapter: dict[str, Any] | None = None
    device: Literal["cpu", "cuda", "mps"] | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    threads: PositiveInt | None = None
    processes: PositiveInt = 1
    sharding: bool = False
    micro_tokens: PositiveInt | None = None
    checkpoint_every: PositiveInt | None = None
    engine: Literal["auto", "shared", "separate"] = "auto"
    keep_adapters: PositiveInt = 8
    gguf_converter: Annotated[str, Field(min_length=1)] | None = None
    optimizer: Optimizer = "adamw"
    activation_checkpointing: bool = False
    offload: bool = False
    trackers: list[Name] = []
    usd_per_hour: NonNegativeFloat | None = None
    watts: PositiveFloat | None = None
    gpu_usd_per_hour: dict[str, NonNegativeFloat] = {}
    cards: dict[str, OwnCard] = {}
    sft: dict[str, Any] = {}
    pretraining: dict[str, Any] = {}
    dpo: dict[str, Any] = {}
    orpo: dict[str, Any] = {}
    kto: dict[str, Any] = {}
    rft: dict[str, Any] = {}

    @classmethod
    def read(cls, place: Place) -> Options:
        """The options of a place. Raises SettingsError for a name that nothing reads, and for a value of no sense."""
        table = f"[backends.{place.name}]"
        if place.options.get("engine") == "trl":
            raise SettingsError(
                f"{table}: there is no engine that drives trl's trainers: they load pickles to resume, and forget what a run here must not.",
                cure='take engine = "separate", which takes the same losses and gradients in the plain way: the tests compare them',
            )
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
        try:
            costs.paid(options.gpu_usd_per_hour, options.own_cards())
        except SettingsError as fault:
            raise SettingsError(f"{table}: gpu_usd_per_hour: {fault.message}", cure=fault.cure) from None
        if options.activation_checkpointing and options.engine == "shared":
            raise SettingsError(
                f'{table}: engine = "shared" keeps the keys and values of prefixes, and activation_checkpointing keeps none.',
                cure="take one of them out",
            )
        if options.sharding:
            options._shard(table)
        return options

    def _shard(self, table: str) -> None:
        if self.processes == 1:
            raise SettingsError(
                f"{table}: sharding spreads the weights over processes, and there is one.",
                cure="set processes to the number of cards, or take sharding out",
            )
        refused = {
            'engine = "shared"': "all processes have to take the same passes, and prefixes differ from one to the other"
            if self.engine == "shared"
            else "",
            "offload": "it would move gathered weights away too" if self.offload else "",
        }
        for name, why in refused.items():
            if why:
                raise SettingsError(f"{table}: {name} does not go with sharding: {why}.", cure="take one of them out")

    def fit(self, place: str, device: str) -> None:
        """Raises SettingsError for what makes no sense on this device."""
        if device == "cuda":
            return
        refused = {
            f'optimizer = "{self.optimizer}"': "bitsandbytes' 8-bit kernels are made for CUDA"
            if self.optimizer != "adamw"
            else "",
            "offload": f"activations on {device} are in the machine's memory already" if self.offload else "",
        }
        for name, why in refused.items():
            if why:
                raise SettingsError(
                    f"[backends.{place}]: {name} needs a CUDA card, and jobs run on {device} here: {why}.",
                    cure="take it out",
                )

    def own_cards(self) -> dict[str, Card]:
        return {name: described.card(name) for name, described in self.cards.items()}

    def adapter_or_none(self) -> Adapter | None:
        return adapter_of(self.adapter) if self.adapter is not None else None


def _refused(table: str, faults: ValidationError) -> SettingsError:
    fault = min(faults.errors(), key=lambda fault: fault["type"] == "missing")  # a slip of the pen lacks a name, too
    *outer, last = map(str, fault["loc"])
    name = ".".join([*(json.dumps(part, ensure_ascii=False) if " " in part else part for part in outer), last])
    if fault["type"] in ("extra_forbidden", "missing"):
        known = OwnCard.model_fields if outer else Options.model_fields
        near = get_close_matches(last, known, 1)
        cure = f"use {near[0]!r}" if near else f"use {'all' if outer else 'one'} of {', '.join(sorted(known))}"
        said = "has no option" if fault["type"] == "extra_forbidden" else "lacks"
        return SettingsError(
            f"{table} {said} {name!r}.", cure=cure if said != "lacks" else f"give {last!r}: {_OF_A_CARD}"
        )
    return SettingsError(
        f"{table}: {name} = {fault['input']!r} makes no sense: {fault['msg']}.", cure=f"mend `{name}`, or remove it"
    )

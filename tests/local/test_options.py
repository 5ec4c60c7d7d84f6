"""[backends.local] in finetune.toml: what makes no sense is refused when the place is opened, not in the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune_sdk.backend import Place
from finetune_sdk.errors import SettingsError
from finetune_sdk.job import LoRA, QLoRA
from finetune_sdk_local.options import Options

A_CARD = {"memory": 16, "bf16": 100, "fp32": 25, "bandwidth": 450, "watts": 150}
NONSENSE: dict[str, tuple[dict[str, Any], str]] = {
    "an option that nobody reads": ({"thread": 4}, "no option 'thread'"),
    "an adapter as text": ({"adapter": "lora"}, "adapter = 'lora'"),
    "an adapter of no kind": ({"adapter": {"rank": 8}}, "not a kind of adapter"),
    "a rank that is text": ({"adapter": {"kind": "lora", "rank": "8"}}, "rank"),
    "threads as text": ({"threads": "four"}, "threads = 'four'"),
    "no threads": ({"threads": 0}, "threads = 0"),
    "a price as text": ({"usd_per_hour": "cheap"}, "usd_per_hour = 'cheap'"),
    "a negative price": ({"usd_per_hour": -2}, "usd_per_hour = -2"),
    "an endless price": ({"usd_per_hour": float("inf")}, "usd_per_hour = inf"),
    "a power of nothing": ({"watts": 0}, "watts = 0"),
    "a price of a card as text": ({"gpu_usd_per_hour": {"H100": "cheap"}}, "gpu_usd_per_hour"),
    "a price of a card that nobody knows": (
        {"gpu_usd_per_hour": {"H1000": 2.0}},
        "gpu_usd_per_hour: no card 'H1000' is known",
    ),
    "a card without its memory": ({"cards": {"a b": {"bf16": 1}}}, "lacks 'cards.\"a b\".memory'"),
    "a card with what no card has": ({"cards": {"a": {**A_CARD, "tflops": 9}}}, "no option 'cards.a.tflops'"),
    "a card with a slip of the pen": (
        {"cards": {"a": {"memry": 16, **A_CARD, "memory": 16}}},
        "no option 'cards.a.memry'",
    ),
    "a card of no memory": ({"cards": {"a": {**A_CARD, "memory": 0}}}, "cards.a.memory = 0"),
    "a card that is a number": ({"cards": {"a": 24}}, "cards.a = 24"),
    "hyperparameters that are a number": ({"sft": 5}, "sft = 5"),
    "a hyperparameter that nobody knows": ({"sft": {"learning_rte": 1e-4}}, "learning_rte"),
    "a hyperparameter of no sense": ({"dpo": {"beta": -1}}, "beta"),
    "half a checkpoint": ({"checkpoint_every": 0.5}, "checkpoint_every = 0.5"),
    "no device": ({"device": "tpu"}, "device = 'tpu'"),
    "a dtype that underflows": ({"dtype": "float16"}, "dtype = 'float16'"),
    "an engine that is not there": ({"engine": "trl"}, "no engine that drives trl's trainers"),
    "no base": ({"base": ""}, "base = ''"),
}


def read(**options: Any) -> Options:
    return Options.read(Place("mine", options, Path("home")))


@pytest.mark.parametrize(("given", "found"), NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_refused_where_it_stands(given: dict[str, Any], found: str) -> None:
    with pytest.raises(SettingsError, match=r"\[backends\.mine\]") as caught:
        read(**given)
    assert found in caught.value.message
    assert caught.value.cure


def test_the_nearest_option_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        read(thread=4)
    assert caught.value.cure == "use 'threads'"


def test_what_makes_sense_is_read() -> None:
    options = read(kind="local", threads=4, usd_per_hour=2, adapter={"kind": "qlora", "rank": 8})
    assert read(watts=350, gpu_usd_per_hour={"h100 80gb": 2}).gpu_usd_per_hour == {"h100 80gb": 2.0}
    assert (options.threads, options.usd_per_hour) == (4, 2.0)
    assert options.adapter_or_none() == QLoRA(rank=8)
    assert read().adapter_or_none() is None
    assert read(adapter={"kind": "lora", "targets": ["q_proj"]}).adapter_or_none() == LoRA(targets=("q_proj",))

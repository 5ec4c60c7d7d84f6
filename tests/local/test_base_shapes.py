"""What a base's config says of its size is what the base is."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.errors import JobError

pytest.importorskip("transformers")

import torch
import transformers
from transformers import AutoModelForCausalLM

from finetune_sdk_local import bases
from finetune_sdk_local.devices import Device
from finetune_sdk_local.shapes import Shape
from local_data import chats

SIZES: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 300,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GROUPED = {**SIZES, "num_key_value_heads": 2}
EXPERTS = {**GROUPED, "num_experts_per_tok": 2}
BASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", GROUPED),
    "llama, tied": ("LlamaConfig", {**GROUPED, "tie_word_embeddings": True}),
    "qwen2": ("Qwen2Config", GROUPED),
    "qwen3": ("Qwen3Config", {**GROUPED, "head_dim": 32}),
    "qwen3 with experts": ("Qwen3MoeConfig", {**EXPERTS, "head_dim": 32, "num_experts": 8, "moe_intermediate_size": 32}),
    "mixtral": ("MixtralConfig", {**EXPERTS, "num_local_experts": 4}),
    "gemma2": ("Gemma2Config", {**GROUPED, "head_dim": 32}),
    "gemma3": ("Gemma3TextConfig", {**GROUPED, "head_dim": 32}),
    "phi3": ("Phi3Config", GROUPED),
    "gpt2": ("GPT2Config", {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 300, "bos_token_id": 1, "eos_token_id": 2}),
    "gpt-neox": ("GPTNeoXConfig", SIZES),
    "opt": ("OPTConfig", {**SIZES, "ffn_dim": 96, "word_embed_proj_dim": 64}),
    "falcon": ("FalconConfig", SIZES),
}  # fmt: skip


def config(name: str) -> Any:
    kind, sizes = BASES[name]
    return getattr(transformers, kind)(**sizes)


@pytest.mark.parametrize("name", BASES)
def test_parameters_are_those_of_the_model_itself(name: str) -> None:
    shape, model = Shape.of_config(config(name)), AutoModelForCausalLM.from_config(config(name))
    assert shape.parameters == sum(each.numel() for each in model.parameters())
    assert (shape.layers, shape.hidden, shape.vocabulary) == (2, 64, 300)
    assert 0 < shape.quantised <= shape.linear < shape.parameters
    assert shape.active <= shape.linear


@pytest.mark.parametrize("name", BASES)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out", "ignore:The following")
@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_an_adapter_is_exactly_as_large_as_counted(name: str, dora: bool) -> None:
    shape, adapter = Shape.of_config(config(name)), ft.LoRA(rank=4, dora=dora)
    if dora and shape.quantised < shape.linear:
        pytest.skip("peft knows no DoRA of experts that are one tensor")
    model = AutoModelForCausalLM.from_config(config(name))
    model.name_or_path = model.config._name_or_path = "random"
    model = bases.adapt(model, adapter, seed=1)
    moving = sum(each.numel() for each in bases.trainable(model).values())
    assert moving == shape.lora(4) + dora * shape.columns


def test_of_many_experts_a_token_passes_through_some() -> None:
    shape = Shape.of_config(config("qwen3 with experts"))
    attention, expert = 64 * 128 * 2 + 64 * 64 * 2, 3 * 64 * 32
    assert shape.linear == 2 * (attention + 8 * expert)
    assert shape.active == 2 * (attention + 2 * expert)
    assert shape.quantised == 2 * attention, "bitsandbytes leaves experts that are one tensor as they are"
    assert shape.intermediate == 2 * 32


def test_keys_and_queries_are_as_wide_as_the_layers_make_them() -> None:
    shape = Shape.of_config(config("qwen3"))
    assert (shape.queries, shape.keys) == (4 * 32, 2 * 32)
    assert Shape.of_config(config("falcon")).keys == 64 // 4


def test_counting_downloads_and_holds_nothing_and_takes_no_time() -> None:
    """A base of 70 billion parameters, whose weights would be 141 GB."""
    big = transformers.LlamaConfig(
        vocab_size=128256, hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64,
        num_key_value_heads=8,
    )  # fmt: skip
    state, started = torch.get_rng_state(), time.process_time()
    assert Shape.of_config(big).parameters == 70_553_706_496
    assert time.process_time() - started < 3
    assert torch.equal(torch.get_rng_state(), state)


def test_the_embedded_base_is_counted_as_it_is() -> None:
    cpu = Device("cpu", "test", "float32", 1, 1)
    assert Shape.of("tiny").parameters == sum(each.numel() for each in bases.load("tiny", cpu).parameters())


def changed(small: str, folder: Path, **changes: Any) -> str:
    """The small base with other words in its config; `...` takes one out."""
    shutil.copytree(small, folder)
    told = json.loads((folder / "config.json").read_text())
    told = {**{name: value for name, value in told.items() if changes.get(name) is not ...}}
    told |= {name: value for name, value in changes.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(told))
    return str(folder)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no hidden size": ({"hidden_size": ...}, "does not say hidden_size"),
    "no layers": ({"num_hidden_layers": ...}, "does not say num_hidden_layers"),
    "no heads": ({"num_attention_heads": ...}, "does not say num_attention_heads"),
    "no vocabulary": ({"vocab_size": ...}, "does not say vocab_size"),
    "a hidden size that is text": ({"hidden_size": "big"}, "'hidden_size' expected int"),
    "a hidden size that is nothing": ({"hidden_size": None}, "'hidden_size' expected int"),
    "a hidden size of 0": ({"hidden_size": 0}, "hidden_size = 0"),
    "heads of 0": ({"num_attention_heads": 0}, "makes no sense"),
    "layers below 0": ({"num_hidden_layers": -1}, "num_hidden_layers = -1"),
    "keys that heads cannot share": ({"num_key_value_heads": 3}, "4 attention heads, which 3 heads"),
}


@pytest.mark.parametrize(("changes", "said"), BAD.values(), ids=BAD)
def test_a_config_that_lacks_a_size_is_refused_by_name_and_never_estimated(
    client: ft.Client, small: str, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    base = changed(small, tmp_path / "base", **changes)
    for ask in (lambda: client.estimate(ft.Job(name="a", train=chats(8), base=base)), lambda: Shape.of(base)):
        with pytest.raises(JobError, match=said) as fault:
            ask()
        assert "config.json that was published" in str(fault.value.cure)


def test_a_model_without_attention_heads_is_not_estimated() -> None:
    with pytest.raises(JobError, match="says no num_attention_heads"):
        Shape.of_config(transformers.MambaConfig(hidden_size=64, num_hidden_layers=2, vocab_size=300))


def test_a_model_that_cannot_be_built_says_why() -> None:
    with pytest.raises(JobError, match="no model can be built"):
        Shape.of_config(transformers.T5Config(d_model=64, num_layers=2, num_heads=4, vocab_size=300))


def test_sizes_of_a_text_part_may_be_as_usual(small: str, tmp_path: Path) -> None:
    """As in published configs of Gemma 3, whose text part leaves out heads and vocabulary."""
    text = {"model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    folder = tmp_path / "gemma"
    shutil.copytree(small, folder)
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    (folder / "config.json").write_text(
        json.dumps({"model_type": "gemma3", "text_config": text, "vision_config": vision})
    )
    shape = Shape.of(str(folder))
    assert (shape.layers, shape.hidden, shape.vocabulary) == (2, 64, 262_208)

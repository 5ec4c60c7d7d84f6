"""QLoRA on a CPU: what it holds in 4 bits, and looking at the validation loss in between changes nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk_local import bases, objectives, prepare
from finetune_sdk_local.batches import batch
from finetune_sdk_local.devices import Device
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.tokenising import tokenise
from local_data import chats

pytest.importorskip("bitsandbytes")
CPU = Device("cpu", "test", "float32", 1, 1)


def gradients(base: str, adapter: ft.QLoRA, *, look: bool) -> dict[str, Any]:
    import torch

    model = bases.adapt(bases.load(base, CPU, adapter, train=True), adapter, seed=1)
    block = batch(tokenise(Renderer(base, bases.tokenizer(base)), chats(4), 512), range(4), 0, "cpu")
    logits = objectives.all_logits(model)
    if look:
        model.eval()
        with torch.no_grad():
            objectives.sft(logits, block)
        model.train()
    objectives.sft(logits, block).loss.backward()
    return {name: parameter.grad for name, parameter in bases.trainable(model).items()}


@pytest.mark.parametrize("adapter", [ft.QLoRA(rank=4), ft.QLoRA(rank=4, dora=True, rslora=True)], ids=["plain", "dora"])
@pytest.mark.parametrize("avx512bf16", [False, True])
def test_a_validation_in_between_leaves_the_gradients_as_they_are(
    small: str, avx512bf16: bool, adapter: ft.QLoRA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With AVX512-BF16, in eval mode, bitsandbytes repacks the weights for good, and what comes after is wrong."""
    import torch

    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: avx512bf16)
    plain, looked = gradients(small, adapter, look=False), gradients(small, adapter, look=True)
    assert any(gradient.abs().max() > 0 for gradient in plain.values())
    for name in plain:
        assert torch.equal(plain[name], looked[name])


def test_the_base_is_held_in_nf4_with_its_scales_quantised_too_and_the_adapter_is_float32(small: str) -> None:
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    adapter = ft.QLoRA(rank=4)
    plain = bases.load(small, CPU).state_dict()
    model = bases.adapt(bases.load(small, CPU, adapter, train=True), adapter, seed=1)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Linear4bit)}
    assert len(layers) == 2 * 7  # every linear layer but the head
    for name, layer in layers.items():
        weight = layer.weight
        assert weight.dtype == torch.uint8
        assert weight.quant_type == weight.quant_state.quant_type == "nf4"
        assert weight.quant_state.nested is True  # double quantisation: the scales are 8-bit, with scales of their own
        assert layer.compute_dtype == torch.float32
        whole = plain[name.removeprefix("base_model.model.").replace(".base_layer", "") + ".weight"]
        assert weight.numel() == whole.numel() // 2  # two weights a byte
        held = dequantize_4bit(weight.data, weight.quant_state)
        far = float((held - whole).norm() / whole.norm())
        assert 0.02 < far < 0.15  # rounded, and no further than 16 levels must
    assert {parameter.dtype for parameter in bases.trainable(model).values()} == {torch.float32}
    assert all("lora_" in name for name in bases.trainable(model))


@pytest.mark.parametrize(
    "adapter", [pytest.param(ft.LoRA(rank=4), marks=pytest.mark.soak), ft.QLoRA(rank=4)], ids=["lora", "qlora"]
)
def test_no_code_is_fetched_from_a_hub(small: str, tmp_path: Path, adapter: ft.LoRA | ft.QLoRA) -> None:
    """On a CPU with AVX512-BF16 bitsandbytes fetches and runs compiled code where the package `kernels` is installed.

    Here both are made believe, in a process of its own; the user's own use of `kernels` is left alone.
    """
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").write_text(
        "__version__ = '0'\ndef get_kernel(*what, **how):\n    print('FETCHED', what)\n    raise ImportError('no')\n"
    )
    code = (
        "import ctypes, sys\n"
        "load = ctypes.cdll.LoadLibrary\n"
        "def loaded(name):\n"
        "    library = load(name)\n"
        "    if 'bitsandbytes' in name:\n"
        "        library.has_avx512bf16_cpu = lambda: True\n"
        "    return library\n"
        "ctypes.cdll.LoadLibrary = loaded\n"
        "import finetune_sdk as ft\n"
        "from finetune_sdk_local import bases\n"
        "from finetune_sdk_local.devices import Device\n"
        f"adapter = ft.{adapter!r}\n"
        "cpu = Device('cpu', 'test', 'float32', 1, 1)\n"
        f"bases.adapt(bases.load({small!r}, cpu, adapter, train=True), adapter, seed=1)\n"
        "import bitsandbytes.functional\n"
        "assert bitsandbytes.functional.has_avx512bf16() is True\n"
        "import kernels\n"
        "print('DONE', kernels.__version__)\n"
    )
    where = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env={**os.environ, "PYTHONPATH": where}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "DONE 0\n"


@pytest.mark.parametrize("stored", [None, {"quant_method": "bitsandbytes", "load_in_4bit": True}])
def test_what_nobody_wants_is_not_found_and_so_not_imported(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: dict[str, Any] | None
) -> None:
    """Where the base is stored in 4 bits somebody does."""
    config = json.loads((Path(small) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **({"quantization_config": stored} if stored else {})}))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    sys.modules.pop("bitsandbytes", None)
    bases.spare_bitsandbytes(str(tmp_path))
    assert ("bitsandbytes" in sys.modules) == (stored is None)
    if stored is None:
        assert find_spec("bitsandbytes") is None


QLORA = {"kind": "qlora", "rank": 4}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [({}, False), ({"adapter": QLORA}, True), ({"optimizer": "adamw_8bit"}, True), ({"guards": {}}, True)],
    ids=str,
)
def test_a_run_wants_bitsandbytes_for_4_and_8_bits_and_where_people_bring_code(
    small: str, tmp_path: Path, said: dict[str, Any], wanted: bool
) -> None:
    own = {"weights": bases.identity(small), "device": "cpu", "dtype": "float32"}
    lora, sft = {"kind": "lora", "rank": 4}, {"kind": "sft"}
    machine = {"threads": 1, "micro_tokens": 100, "checkpoint_every": None}
    table = {"base": small, "method": sft, "adapter": lora, "seed": 0, "machine": machine}
    (tmp_path / "job.json").write_text(json.dumps({**table, **said, "own": {**own, **said}}))
    assert prepare.RunJob.read(RunFolder(tmp_path)).bitsandbytes is wanted

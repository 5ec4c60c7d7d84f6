"""What a step holds is known before: the same step without weights holds as many bytes as the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import finetune_sdk as ft
from finetune_sdk_local import activations, bases, holding, prepare
from finetune_sdk_local.devices import Device
from finetune_sdk_local.weightless import Watching, Weightless
from local_data import chats, pairs, rated, texts

CPU = Device("cpu", "test", "float32", 1, 1)
DATA: dict[str, tuple[ft.Method, ft.Dataset]] = {
    "sft": (ft.SFT(loss_on="completions"), chats(12)),
    "pretraining": (ft.Pretraining(), texts(12)),
    "dpo": (ft.DPO(beta=0.1), pairs(12)),
    "orpo": (ft.ORPO(beta=0.1, loss_on="all"), pairs(12)),
    "kto": (ft.KTO(beta=0.1, desirable_weight=1.0, undesirable_weight=1.0), rated(12)),
}
ADAPTERS: dict[str, ft.Adapter] = {
    "lora": ft.LoRA(rank=4), "dora": ft.LoRA(rank=4, dora=True), "full": ft.Full(),
    "prompt_tuning": ft.PromptTuning(tokens=4), "prefix_tuning": ft.PrefixTuning(tokens=4),
}  # fmt: skip


def real(step: holding.Step, base: str, sequences: Any, examples: list[int]) -> float:
    """The same step with the base's own weights, counted as it goes."""
    model = bases.adapt(bases.load(base, CPU, step.adapter, train=True), step.adapter, 0).train()
    if step.recomputed:
        activations.recompute(model)
    taken = holding.Taken.of(step, model, sequences)
    worst = taken.heaviest(sequences, examples)
    watching = Watching([*model.parameters(), *model.buffers()])
    with watching:
        taken.step(worst)
    return watching.most


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
@pytest.mark.parametrize("kind", sorted(DATA))
def test_a_step_without_weights_holds_what_the_real_one_holds(
    kind: str, adapter: str, shared: bool, small: str
) -> None:
    if shared and adapter.endswith("tuning"):
        pytest.skip("an adapter before each sequence shares nothing")
    method, data = DATA[kind]
    sequences = prepare.sequences(small, bases.tokenizer(small), data, method, 512)
    step = holding.Step(bases.config(small), ADAPTERS[adapter], method, CPU, 512, shared)
    examples = list(range(len(sequences) // step.width))
    assert step.held(sequences, examples) == pytest.approx(real(step, small, sequences, examples), rel=0.01)


def test_layers_that_pass_again_hold_less(small: str) -> None:
    method, data = DATA["sft"]
    sequences = prepare.sequences(small, bases.tokenizer(small), data, method, 512)
    kept, again = (
        holding.Step(bases.config(small), ft.LoRA(rank=4), method, CPU, 4096, shared=False, recomputed=recomputed)
        for recomputed in (False, True)
    )
    held = again.held(sequences, list(range(12)))
    assert held < 0.8 * kept.held(sequences, list(range(12)))
    assert held == pytest.approx(real(again, small, sequences, list(range(12))), rel=0.05)


def test_a_deep_model_is_weighed_by_two_shallow_ones(small: str) -> None:
    method, data = DATA["sft"]
    sequences = prepare.sequences(small, bases.tokenizer(small), data, method, 512)
    config = bases.config(small)
    deep = type(config)(**{**config.to_dict(), "num_hidden_layers": 10})
    step = holding.Step(deep, ft.LoRA(rank=4), method, CPU, 2048, shared=False)
    whole = Weightless(deep, step.adapter, torch.float32)
    taken = holding.Taken.of(step, whole.model, sequences)
    exact = whole.held(lambda: taken.step(taken.heaviest(sequences, list(range(12)))))
    assert step.held(sequences, list(range(12))) == pytest.approx(exact, rel=0.02)


def test_a_large_base_is_weighed_without_a_byte_of_it() -> None:
    """Llama-3.1-8B's shape: its weights alone would take 16 GB."""
    from transformers import LlamaConfig

    tokens = bases.tokenizer("tiny")
    sequences = prepare.sequences("tiny", tokens, chats(4), ft.SFT(loss_on="completions"), 512)
    config = LlamaConfig(
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=8192,
    )  # fmt: skip
    step = holding.Step(config, ft.QLoRA(rank=16), ft.SFT(loss_on="completions"), CPU, 4096, shared=False)
    held = step.held(sequences, [0, 1, 2, 3])
    each = held / 32 / int(sequences.lengths.sum()) / 4
    assert 10 * 4096 < each < 40 * 4096, "numbers a token and layer"


def test_a_base_that_routes_tokens_to_experts_is_reckoned_by_its_sizes(tmp_path: Path) -> None:
    """Which expert a token goes to is not known without numbers."""
    from transformers import MixtralConfig, MixtralForCausalLM

    tokens, base = bases.tokenizer("tiny"), tmp_path / "base"
    config = MixtralConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=512,
        pad_token_id=tokens.pad_token_id, eos_token_id=tokens.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    MixtralForCausalLM(config).save_pretrained(base)
    tokens.save_pretrained(base)
    client = ft.Client(settings=ft.Settings("local", tmp_path / "home", {"local": {"device": "cpu", "threads": 1}}))
    job = ft.Job(name="a", train=chats(8), base=str(base), adapter=ft.LoRA(rank=2, targets=("q_proj", "v_proj")))
    memory = client.estimate(job).memory
    assert memory.known
    assert "the longest batch" in memory.basis


GROWN = """
import sys, finetune_sdk as ft, torch
from local_data import chats
from test_weightless import CPU, DATA
from finetune_sdk_local import bases, holding, prepare
torch.set_num_threads(1)
base = sys.argv[1]
def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
method, data = DATA["sft"][0], chats(120)
sequences = prepare.sequences(base, bases.tokenizer(base), data, method, 512)
step = holding.Step(bases.config(base), ft.LoRA(rank=4), method, CPU, 4096, False)
model = bases.adapt(bases.load(base, CPU, step.adapter, train=True), step.adapter, 0).train()
taken = holding.Taken.of(step, model, sequences)
taken.step([0]); taken.optimizer.zero_grad()
open("/proc/self/clear_refs", "w").write("5")
before = memory("VmRSS")
taken.step(taken.heaviest(sequences, list(range(120))))
print(memory("VmHWM") - before, step.held(sequences, list(range(120))))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is Linux's to tell")
def test_what_is_counted_is_what_the_system_sees(tmp_path: Path) -> None:
    """Where the heap leaves no holes: each piece of 64 kB or more is the system's own."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 16), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GROWN, "tiny"],
        env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    grown, held = map(float, said.stdout.split()[-2:])
    assert held == pytest.approx(grown, rel=0.08)


@pytest.mark.parametrize("words", [30, 300])
def test_gradients_of_many_layers_outgrow_the_scores_that_few_layers_hold_most_of(words: int, small: str) -> None:
    config = bases.config(small)
    config.update({"num_hidden_layers": 16, "vocab_size": 24_000, "hidden_size": 128, "intermediate_size": 1024})
    method = ft.Pretraining()
    rows = ft.Dataset.of([{"text": "a word " * words}, {"text": "a word"}])
    sequences = prepare.sequences(small, bases.tokenizer(small), rows, method, 512)
    step = holding.Step(config, ft.Full(), method, CPU, 16_384, shared=False, recomputed=True)
    longest = [int(sequences.lengths.argmax())]
    assert step.held(sequences, longest) == pytest.approx(step._with(16, sequences, longest, float), rel=0.02)

"""What the training benchmark trains: two kinds of data, each on its base, as both trainers can read them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import finetune_sdk as ft
from finetune_sdk_local import bases
from finetune_sdk_local.batches import plan
from finetune_sdk_local.devices import Device

CPU = Device("cpu", "benchmark", "float32", 1, 1)
SEED = 3
MAX_LENGTH = 1024
LEARNING_RATE = 1e-3
RANK = 16
BETA = 0.1
WORDS = (  # noqa: SIM905 - a text reads better than a list
    "the order was sent with a new lamp for my desk and this chair is too low so please take it back before the end of "
    "next week or write to me when your shop can change the bill since we paid more than the price on the page"
).split()

Name = Literal["long shared prompt", "nothing shared", "everything trained", "tickets", "toy"]
Kind = Literal["sft", "dpo"]
SIZES: dict[str, tuple[int, tuple[int, int], tuple[int, int]]] = {
    "long shared prompt": (200, (45, 75), (20, 40)),
    "nothing shared": (0, (160, 240), (40, 60)),
    "everything trained": (0, (160, 240), (40, 60)),
    "toy": (20, (4, 12), (2, 6)),
}
"""Tokens of the system prompt that all rows share (none: no such message), of a question, of an answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """`rows` are in OpenAI's format, in the order in which they are trained; `batch` examples make a step.

    `base` is a folder; without it the case has a base of its own.
    """

    name: Name
    kind: Kind
    rows: list[dict[str, Any]]
    batch: int
    steps: int
    base: str | None = None
    device: Device = CPU
    adapter: ft.LoRA | ft.QLoRA = ft.LoRA(rank=RANK)

    @property
    def method(self) -> ft.SFT | ft.DPO:
        common: dict[str, Any] = {
            "steps": self.steps,
            "batch_size": self.batch,
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "max_length": MAX_LENGTH,
        }
        if self.kind == "dpo":
            return ft.DPO(beta=BETA, **common)
        return ft.SFT(loss_on="all" if self.everything else "completions", **common)

    @property
    def everything(self) -> bool:
        """Whether all tokens are trained, and not the answers alone."""
        return self.name == "everything trained"

    def model(self) -> Any:
        """The base with its adapter; a fresh one each time, always the same."""
        if self.base is not None or self.name == "tickets":
            loaded = bases.load(self.base or "tiny", self.device, self.adapter, train=True)
            return bases.adapt(loaded, self.adapter, seed=1)
        return bases.adapt(random_base(toy=self.name == "toy"), self.adapter, seed=1)


def case(name: Name, kind: Kind, batch: int, steps: int, **where: Any) -> Case:
    """`steps` steps of the case; `where` are its base, device and adapter. The rows come in the order of our own plan, so that both trainers see equal batches."""
    count = batch * steps
    rows = tickets(kind, count) if name == "tickets" else long_prompts(kind, count, *SIZES[name])
    order = plan(count, batch, SEED, None, steps)
    mixed = [rows[at] for step in range(steps) for at in order.rows(step)]
    return Case(name, kind, mixed, batch, steps, **where)


def in_plan_order(case: Case) -> list[dict[str, Any]]:
    """The rows laid so that our plan takes them in the order of `case.rows`."""
    order = plan(len(case.rows), case.batch, SEED, None, case.steps)
    places = [at for step in range(case.steps) for at in order.rows(step).tolist()]
    laid: list[dict[str, Any]] = [{}] * len(case.rows)
    for place, row in zip(places, case.rows, strict=True):
        laid[place] = row
    return laid


def random_base(*, toy: bool) -> Any:
    """A Qwen2 of random weights behind tiny's tokenizer: hidden 256, 12 layers, vocabulary 16k; or much smaller."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    hidden, layers = (32, 2) if toy else (256, 12)
    tokenizer = bases.tokenizer("tiny")
    torch.manual_seed(SEED)
    config = Qwen2Config(
        vocab_size=2048 if toy else 16_384,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return Qwen2ForCausalLM(config)


def long_prompts(
    kind: Kind, count: int, shared: int, user: tuple[int, int], completion: tuple[int, int]
) -> list[dict[str, Any]]:
    """Rows with one system prompt of `shared` tokens, a question and an answer of so many, counted with tiny's tokenizer."""
    source = random.Random(SEED)
    encode = bases.tokenizer("tiny").encode
    sizes = {word: len(encode(f" {word}", add_special_tokens=False)) for word in WORDS}

    def text(tokens: int) -> str:
        words: list[str] = []
        while tokens > 0:
            words.append(source.choice(WORDS))
            tokens -= sizes[words[-1]]
        return " ".join(words)

    system = text(shared)
    return [
        _row(kind, system, text(source.randint(*user)), [text(source.randint(*completion)) for _ in range(2)])
        for _ in range(count)
    ]


def tickets(kind: Kind, count: int) -> list[dict[str, Any]]:
    """The demo's own rows, over again where more are asked for."""
    name = "preferences.jsonl" if kind == "dpo" else "tickets.jsonl"
    lines = files("finetune_sdk.demo").joinpath(name).read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [rows[at % len(rows)] for at in range(count)]


def _row(kind: Kind, system: str, asked: str, answers: list[str]) -> dict[str, Any]:
    prompt = [{"role": "system", "content": system}] if system else []
    prompt.append({"role": "user", "content": asked})
    one, other = ({"role": "assistant", "content": answer} for answer in answers)
    if kind == "sft":
        return {"messages": [*prompt, one]}
    return {"input": {"messages": prompt}, "preferred_output": [one], "non_preferred_output": [other]}

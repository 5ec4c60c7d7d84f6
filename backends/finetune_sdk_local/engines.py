"""How examples pass through the model: each by itself, or each shared prefix once. Losses and gradients are the same.

The shared engine descends a step's tree of prefixes. Keys and values of a node are handed to what is below as leaves of
the graph: a micro-batch is freed after its own backward pass, and a node goes backward once, with the gradients that have
added up (tree training, arXiv 2511.00413).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from finetune_sdk.errors import BackendError
from finetune_sdk_local import objectives, prefixes
from finetune_sdk_local.batches import Batch, Past, batch, grouped, laid_out
from finetune_sdk_local.devices import Device
from finetune_sdk_local.objectives import Logits, Parts
from finetune_sdk_local.prefixes import LEAST_SPARED, Pass, passes
from finetune_sdk_local.prompts import stands_before
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.tokenising import Sequences

Visit = Callable[[Logits, Batch, Sequence[int]], Tensor | None]
"""What is done with a micro-batch and its rows: the loss to go backward from, or None where it is only looked at."""


class Engine(Protocol):
    """Shows `visit` all rows of the examples, about `micro_tokens` at once, and goes backward from what it returns."""

    def each(self, sequences: Sequences, examples: Sequence[int], micro_tokens: int, visit: Visit) -> None: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What all engines need. `width` sequences make an example; `answers`: the loss is a sum over tokens, so that a prefix
    may hold trained ones.
    """

    model: Any
    width: int
    pad: int
    device: Device
    answers: bool

    def precision(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = objectives.precision(self.device.kind, self.device.torch_dtype)
        return context


@dataclass(frozen=True, slots=True)
class Separate:
    """Every sequence by itself, in micro-batches of like length; the sides of an example stay together."""

    logits: Logits
    setting: Setting

    def passes(self, sequences: Sequences, examples: Sequence[int], micro_tokens: int) -> list[list[int]]:
        """The rows of each micro-batch."""
        width = self.setting.width
        longest = sequences.lengths.reshape(-1, width).max(1)[np.asarray(examples)]
        groups = grouped(longest, micro_tokens // width)
        return [[int(examples[at]) * width + side for at in group for side in range(width)] for group in groups]

    def each(self, sequences: Sequences, examples: Sequence[int], micro_tokens: int, visit: Visit) -> None:
        for rows in self.passes(sequences, examples, micro_tokens):
            with self.setting.precision():
                loss = visit(self.logits, batch(sequences, rows, self.setting.pad, self.setting.device.kind), rows)
            if loss is not None:
                torch.autograd.backward(loss)


@dataclass(frozen=True, slots=True)
class Shared:
    """Each prefix once. `attended` is the memory of a token that is attended to, as a share of one that passes through."""

    parts: Parts
    setting: Setting
    attended: float

    def each(self, sequences: Sequences, examples: Sequence[int], micro_tokens: int, visit: Visit) -> None:
        for each in self.passes(sequences, examples, micro_tokens):
            self._through(each, None, sequences, visit)

    def passes(self, sequences: Sequences, examples: Sequence[int], micro_tokens: int) -> tuple[Pass, ...]:
        width, answers = self.setting.width, self.setting.answers
        return passes(sequences, examples, width, micro_tokens, answers=answers, attended=self.attended)

    def _through(self, each: Pass, past: Past | None, sequences: Sequences, visit: Visit) -> None:
        """A pass, then all below it, then backward with the gradients that came up."""
        block = laid_out(sequences, each.spans, past, self.setting.pad, self.setting.device.kind)
        rows = [span.row for span in each.spans if not span.same]
        with self.setting.precision():
            hidden, made = self.parts.passed(block) if each.below else (self.parts.hidden(block), [])
            loss = visit(partial(self.parts.logits, hidden), block, rows) if block.tokens else None
        del hidden
        handed = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in made]
        for inner in each.below:
            self._through(inner, Past.after(block, handed), sequences, visit)
        roots = [(tensor, leaf.grad) for tensor, leaf in zip(made, handed, strict=True) if leaf.grad is not None]
        if loss is not None:
            roots.append((loss, torch.ones_like(loss)))
        if roots:
            torch.autograd.backward([root for root, _ in roots], [gradient for _, gradient in roots])


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine, and why it was taken, in words."""

    engine: Engine
    why: str


def chosen(
    name: prefixes.Engine,
    setting: Setting,
    plain: Engine,
    picks: bool,
    sequences: Sequences,
    steps: Sequence[Sequence[int]],
) -> Choice:
    """The shared engine where it is known to be exact for this model, and the steps share enough to gain from it.

    `picks` says whether the model is a decoder and a plain head. Raises BackendError where `name` asks for what this model
    cannot do.
    """
    if name == "separate":
        return Choice(plain, "each sequence by itself, as asked")
    unfit = _unfit(setting, picks)
    if unfit is None:
        config = setting.model.config
        engine = Shared(Parts.of(setting.model), setting, Shape.of_config(config).attended)
        share = prefixes.spared(sequences, steps, setting.width, answers=setting.answers)
        if share < LEAST_SPARED and name == "auto":
            return Choice(plain, "each sequence by itself: examples of a step begin with too little in common")
        try:
            if _agree(engine, plain, sequences, steps):
                return Choice(engine, f"shared prefixes: {share:.0%} of a step's tokens need no pass of their own")
            unfit = "its losses differ from those of separate passes"
        except torch.cuda.OutOfMemoryError:
            unfit = "the device has no room for comparing losses"
    if name == "shared":
        raise BackendError(
            f"this base cannot be trained with shared prefixes: {unfit}.", cure='set engine = "auto", or leave it out'
        )
    return Choice(plain, f"each sequence by itself: {unfit}")


def _unfit(setting: Setting, picks: bool) -> str | None:
    """Why prefixes cannot be shared in this model."""
    model = setting.model
    why = prefixes.unfit(model.config)
    if why is not None:
        return why
    if stands_before(model):
        return "its adapter stands before each sequence"
    if objectives.is_spread(model):
        return "its weights are spread over processes, and all have to take the same passes"
    if not picks:
        return "its logits are more than its head's"
    if any(isinstance(each, torch.nn.Dropout) and each.p for each in model.modules()):
        return "dropout differs from one pass to the next"
    if any(getattr(each, "gradient_checkpointing", False) for each in model.modules()):
        return "activations are computed again, not kept"
    return None


def _agree(engine: Shared, plain: Engine, sequences: Sequences, steps: Sequence[Sequence[int]]) -> bool:
    """Whether both find the same loss for the shortest examples of the first step."""
    model, found = engine.setting.model, list[float]()
    lengths = sequences.lengths.reshape(-1, engine.setting.width).max(1)
    examples = sorted(steps[0], key=lambda example: int(lengths[example]))[:4]
    training = model.training
    model.eval()
    for each in (engine, plain):
        losses = list[float]()

        def look(logits: Logits, block: Batch, rows: Sequence[int], losses: list[float] = losses) -> None:
            losses.append(float(objectives.sft(logits, block).loss))

        with torch.no_grad():
            each.each(sequences, examples, 1, look)
        found.append(sum(losses))
    model.train(training)
    tolerance = 1e-4 if engine.setting.device.torch_dtype == torch.float32 else 1e-2
    return math.isclose(*found, rel_tol=tolerance)

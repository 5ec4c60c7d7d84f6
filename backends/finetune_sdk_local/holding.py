"""What a step of a job holds at its worst: the longest batch, taken without weights (see `weightless`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finetune_sdk.files import keep
from finetune_sdk.job import KTO, Adapter, Full, Method, digest, table
from finetune_sdk_local import activations, engines, objectives, prefixes
from finetune_sdk_local.batches import Plan
from finetune_sdk_local.devices import Device
from finetune_sdk_local.layouts import longest_of
from finetune_sdk_local.publish import versions
from finetune_sdk_local.ratings import Rated
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.tokenising import Sequences
from finetune_sdk_local.training import Data, Options, Training
from finetune_sdk_local.weightless import Weightless

KEPT = 2_000
"""Steps that are remembered, the newest, of some 20 bytes each."""
FEW, MORE = 2, 4
"""Layers of the two models by which one with more is weighed: each further layer holds as much as the one before."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step as the run will take it. `shared` says whether examples share the passes of their prefixes."""

    config: Any
    adapter: Adapter
    method: Method
    device: Device
    micro_tokens: int
    shared: bool
    recomputed: bool = False
    offload: bool = False

    def held(self, sequences: Sequences, examples: Sequence[int], weigh: Callable[[int], float] = float) -> float:
        """Bytes that the examples' worst pass holds at once beside weights, gradients and moments: activations, logits, and
        what comes and goes.
        """
        layers = int(self.config.get_text_config().num_hidden_layers)
        if layers <= MORE:
            return self._with(layers, sequences, examples, weigh)
        found = self._beyond(layers, sequences, examples, weigh)
        if not isinstance(self.adapter, Full):
            return found
        # The worst moment of few layers may be that of the scores, and of many that in which all gradients are there.
        return max(found, self._beyond(layers, sequences, [self._shortest(sequences)], weigh))

    def _shortest(self, sequences: Sequences) -> int:
        return int(longest_of(sequences, self.width).argmin())

    def _beyond(
        self, layers: int, sequences: Sequences, examples: Sequence[int], weigh: Callable[[int], float]
    ) -> float:
        few, more = (self._with(count, sequences, examples, weigh) for count in (FEW, MORE))
        return max(more, few + (more - few) / (MORE - FEW) * (layers - FEW))

    def kept(
        self, sequences: Sequences, examples: Sequence[int], home: Path | None, weigh: Callable[[int], float] = float
    ) -> float:
        """`held`, found once for the same step: a file under `home` remembers it."""
        if home is None:
            return self.held(sequences, examples, weigh)
        file = home / "held" / f"{self._key(sequences, examples, weigh)}.json"
        with suppress(OSError, ValueError):
            before = json.loads(file.read_text())
            if type(before) is float and 0 < before < inf:
                return before
        found = self.held(sequences, examples, weigh)
        keep(file, json.dumps(found).encode(), KEPT)
        return found

    def _key(self, sequences: Sequences, examples: Sequence[int], weigh: Callable[[int], float]) -> str:
        said = hashlib.sha256()
        weighed = [*examples, *([self._shortest(sequences)] if isinstance(self.adapter, Full) else [])]
        for row in (example * self.width + side for example in weighed for side in range(self.width)):
            ids, trained = sequences.row(row)
            said.update(len(ids).to_bytes(8, "little") + ids.tobytes() + trained.tobytes())
        return digest(
            {
                "config": self.config.to_json_string(),
                "adapter": table(self.adapter),
                "method": [self.method.kind, getattr(self.method, "loss_on", None)],
                "step": [self.device.dtype, self.micro_tokens, self.shared, self.recomputed, self.offload],
                "weigh": [weigh(1 << power) for power in (10, 20, 25, 30)],
                "examples": said.hexdigest(),
                "weighed": 2,  # counts up when steps are weighed otherwise
                "versions": versions(),
            }
        )

    def _with(self, layers: int, sequences: Sequences, examples: Sequence[int], weigh: Callable[[int], float]) -> float:
        base = Weightless(self.config, self.adapter, self.device.torch_dtype, layers)
        if self.recomputed:
            activations.recompute(base.model)
        taken = Taken.of(self, base.model, sequences)
        worst = taken.heaviest(sequences, examples)
        with base.spilled() if self.offload else nullcontext():
            return base.held(lambda: taken.step(worst), weigh)

    @property
    def width(self) -> int:
        return 2 if "preference" in self.method.data else 1


class Taken(Training):
    """A run of which a single step is taken, and nothing is written or told."""

    @classmethod
    def of(cls, step: Step, model: Any, sequences: Sequences) -> Taken:
        count = len(sequences) // step.width
        rated = {"train": Rated(np.zeros(len(sequences), bool), sequences)} if isinstance(step.method, KTO) else {}
        taken = cls(
            model=model,
            data=Data(sequences, None, step.width, rated),
            plan=Plan(count, count, 1, 0),
            method=step.method,
            device=replace(step.device, kind="cpu"),
            options=Options(step.micro_tokens, 1),
            folder=Path(),
            pad=0,
            report=lambda kind, message, figures: None,
        )
        taken.reference = dict.fromkeys(("train", "train.mismatched"), torch.zeros(len(sequences)))
        setting = taken._setting()
        try:
            parts = objectives.Parts.of(model)
        except AttributeError:
            return taken  # through the whole model and its whole head
        if step.shared:
            taken.engine = engines.Shared(parts, setting, Shape.of_config(step.config).attended)
        else:
            taken.engine = engines.Separate(objectives.picked_logits(model), setting)
        return taken

    def heaviest(self, sequences: Sequences, examples: Sequence[int]) -> list[int]:
        """Those of the examples that pass together at the worst moment."""
        width = self.data.width
        if isinstance(self.engine, engines.Shared):
            tops = self.engine.passes(sequences, examples, self.micro_tokens)
            _, rows = max((_heaviest(each, self.engine.attended) for each in tops), key=lambda found: found[0])
        else:
            assert isinstance(self.engine, engines.Separate)
            laid = self.engine.passes(sequences, examples, self.micro_tokens)
            rows = max(laid, key=lambda rows: len(rows) * int(sequences.lengths[rows].max()))
        return sorted({row // width for row in rows})

    def step(self, examples: Sequence[int]) -> None:
        self._backward(examples)


def _heaviest(each: prefixes.Pass, attended: float) -> tuple[float, list[int]]:
    """Tokens that are held at the worst moment of a pass and what is below it, and the rows of the last of them."""
    own = len(each.spans) * (each.length + each.past * attended)
    below, rows = max(
        (_heaviest(inner, attended) for inner in each.below), default=(0.0, []), key=lambda found: found[0]
    )
    return own + below, rows or [span.row for span in each.spans]

"""How fast a card that is not here would train a base: its datasheet's figures, and what the work is by the base's sizes.

A token costs 2 FLOP a weight forward, 2 more backward to its inputs, and 2 more where the weight itself learns. Beside
the products stands what is read and written (norms, rotations, gates, adapters, weights that leave their 4 bits), at the
speed of the memory; and launching that many kernels takes the processor its time, which counts where it is the longer.

What of that is reached was fitted to what others published of an A100, from plain transformers to hand-made kernels; see
`tests/local/test_absent.py`. On any other card nothing was measured, and the range is wider.
"""

from __future__ import annotations

from dataclasses import dataclass

from finetune_sdk.job import Adapter, Full, LoRA, QLoRA
from finetune_sdk_local.cards import Card
from finetune_sdk_local.devices import Device
from finetune_sdk_local.shapes import Shape

RESERVED = 0.65e9
"""Bytes that the driver keeps of what nvidia-smi shows; torch sees the rest."""
MEASURED = ("A100",)
REACHED = (0.49, 0.66, 0.92)
"""Of the time that products and memory would take one after the other at their best: low, expected and high, fitted."""
ELSEWHERE = (0.45, 0.66, 0.96)
OF_PEAK = {"bfloat16": 0.80, "float32": 0.85}
"""What large products reach of a datasheet's peak, where nobody measured it."""
UNPACKED = 0.20
"""The share of the memory's speed at which 4-bit weights are made whole, by what longer sequences cost less a token."""
LAUNCHES = {False: 0.9e-3, True: 1.6e-3}
"""Seconds of a processor to launch a layer's kernels forward and backward, without adapters and with them."""
PASS = 2e-3


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of one micro-batch, forward and backward, as `probe.Probe` has them; what `spread` says is how far off they may be."""

    card: Card
    shape: Shape
    adapter: Adapter
    dtype: str
    trained: float
    load: float = 0.0

    @property
    def forward(self) -> float:
        """The share of a pass forward."""
        return 1 / 3 if isinstance(self.adapter, Full) else 0.5

    @property
    def spread(self) -> tuple[float, float]:
        """By what the time may be multiplied, at best and at worst."""
        low, expected, high = self._reached
        return expected / high, expected / low

    @property
    def basis(self) -> str:
        low, _, high = (self._share(each) for each in self._reached)
        where = "as published of such cards" if self._measured else "not measured on this card"
        return (
            f"{self.card.name}, {where}: FLOPs at some {low:.0%}-{high:.0%} of {self._datasheet:.0f} TFLOPS in "
            f"{self.dtype}; {self.card.source}"
        )

    def updating(self, moving: int) -> float:
        """AdamW reads and writes a number, its gradient and its moments, all in float32, in passes of their own."""
        return PASS + 40 * moving / self._bandwidth

    @property
    def begin(self) -> float:
        """What loading takes is not known of such a machine."""
        return 0.0

    @property
    def process(self) -> float:
        return 0.0

    def seconds(self, rows: int, length: int, past: int = 0, scored: int | None = None) -> float:
        """Of `past` tokens before its own a token attends to all, of its own to half; `scored` of them pass the head."""
        tokens = rows * length
        share = self.trained if scored is None else scored / tokens
        work = tokens * (self._products(length, past, share) + self._moved(share)) + self._weights
        return PASS + max(work / self._reached[1], self._launched)

    def tokens_per_second(self, rows: int, length: int, *, recomputed: bool = False) -> tuple[float, float, float]:
        """Processed tokens a second: low, expected, high."""
        seconds = self.seconds(rows, length) * (1 + self.forward * recomputed)
        best, worst = self.spread
        return rows * length / (seconds * worst), rows * length / seconds, rows * length / (seconds * best)

    @property
    def _measured(self) -> bool:
        return self.card.name.startswith(MEASURED) and self.dtype == "bfloat16"

    @property
    def _reached(self) -> tuple[float, float, float]:
        return REACHED if self._measured else ELSEWHERE

    @property
    def _datasheet(self) -> float:
        return self.card.bf16 if self.dtype == "bfloat16" else self.card.fp32

    @property
    def _flops(self) -> float:
        """FLOP a second of large products."""
        if self.dtype == "bfloat16" and self.card.matmul is not None:
            return self.card.matmul * 1e12
        return self._datasheet * OF_PEAK[self.dtype] * 1e12

    @property
    def _bandwidth(self) -> float:
        return self.card.bandwidth * 1e9

    def _share(self, reached: float) -> float:
        """Of the datasheet's peak, for long batches of short sequences."""
        useful = self._per_weight * self.shape.active
        return (
            reached
            * useful
            / (self._products(1, 0, self.trained) + self._moved(self.trained))
            / (self._datasheet * 1e12)
        )

    @property
    def _used(self) -> float:
        """The share of the layers, and of adapters beside them, that a token passes through."""
        return self.shape.active / self.shape.linear

    @property
    def _per_weight(self) -> int:
        return 6 if isinstance(self.adapter, Full) else 4

    def _products(self, length: int, past: int, trained: float) -> float:
        """Seconds of a token's products at the card's best: layers, attention, the head where it is trained, the adapter."""
        shape, each = self.shape, self._per_weight
        pairs = 4 * shape.queries * (length / 2 + past) * 3.5 * shape.layers
        head = each * shape.vocabulary * shape.hidden * trained
        own = 6 * self._used * shape.moved(self.adapter) if isinstance(self.adapter, LoRA | QLoRA) else 0
        return (each * shape.active + pairs + head + own) / self._flops

    def _moved(self, trained: float) -> float:
        """Seconds of a token's reads and writes between products: three times those of a pass forward, and the scores."""
        shape, width = self.shape, 2 if self.dtype == "bfloat16" else 4
        layer = 24 * shape.hidden + 8 * shape.intermediate
        moved = 3.0 * shape.layers * layer * width
        if isinstance(self.adapter, LoRA | QLoRA):
            moved += 3.0 * self._used * shape.edges * width
        return (moved + 8 * 4 * shape.vocabulary * trained) / self._bandwidth

    @property
    def _weights(self) -> float:
        """Seconds of a micro-batch, however few its tokens: the weights are read forward and backward."""
        shape, width = self.shape, 2 if self.dtype == "bfloat16" else 4
        if isinstance(self.adapter, Full):
            return 14.0 * shape.parameters / self._bandwidth  # float32 weights are made bfloat16, and gradients kept
        read = 2.0 * shape.parameters * width / self._bandwidth
        if isinstance(self.adapter, QLoRA):
            read += 2 * (0.53 + width) * shape.quantised / (UNPACKED * self._bandwidth)
        return read

    @property
    def _launched(self) -> float:
        return self.shape.layers * LAUNCHES[isinstance(self.adapter, LoRA | QLoRA)]


def device(card: Card, dtype: str | None = None) -> Device:
    """The card as `devices.pick` would find it, with nothing else on it."""
    memory = round(card.memory - RESERVED)
    return Device("cuda", card.name, dtype or card.dtype, memory, memory)


def timed(shape: Shape, adapter: Adapter, card: Card, trained: float = 1.0, dtype: str | None = None) -> Timed:
    """How fast the card trains such a base. `trained` is the share of tokens whose scores are asked for."""
    return Timed(card, shape, adapter, dtype or card.dtype, trained)

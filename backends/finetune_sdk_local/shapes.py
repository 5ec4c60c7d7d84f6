"""The sizes of a base, from its config alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finetune_sdk_local import bases


@dataclass(frozen=True, slots=True)
class Shape:
    """The base's sizes, as its config states them."""

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    parameters: int
    linear: int
    keys: int

    @classmethod
    def of(cls, base: str) -> Shape:
        """Sizes from the config alone; no weights are read. Grouped-query attention and tied heads are counted as such."""
        return cls.of_config(bases.config(base))

    @classmethod
    def of_config(cls, whole: Any) -> Shape:
        config = whole.get_text_config()
        hidden, layers = int(config.hidden_size), int(config.num_hidden_layers)
        inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
        heads = int(config.num_attention_heads)
        width = int(getattr(config, "head_dim", None) or hidden // heads)
        keys = int(getattr(config, "num_key_value_heads", None) or heads) * width
        block = 2 * hidden * heads * width + 2 * hidden * keys + 3 * hidden * inner
        vocabulary = int(config.vocab_size)
        tables = vocabulary * hidden * (1 if config.tie_word_embeddings else 2)
        return cls(layers, hidden, inner, vocabulary, layers * block + tables, layers * block, keys)

    @property
    def attended(self) -> float:
        """The memory of a token whose keys and values are read, as a share of one that passes: both copied for each row."""
        return 4 * self.keys / (10 * self.hidden + 4 * self.intermediate)

    def lora(self, rank: int) -> int:
        """Parameters of an adapter on every linear layer: rank * (in + out) of each, grouped attention aside."""
        return self.layers * rank * (4 * 2 * self.hidden + 3 * (self.hidden + self.intermediate))

    @property
    def columns(self) -> int:
        """Lengths that DoRA adds to such an adapter, one for each output of each linear layer."""
        return self.layers * (3 * self.hidden + 2 * self.keys + 2 * self.intermediate)

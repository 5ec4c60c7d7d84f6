"""Answers that the model in training gives to prompts: token ids as they were drawn, several to each prompt.

A prompt passes through the model once; its keys and values are then repeated for all of its answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from finetune_sdk_local import bases, objectives, prompts
from finetune_sdk_local.batches import grouped
from finetune_sdk_local.devices import Device
from finetune_sdk_local.generation import answering

HELD = 8
"""Tokens whose keys and values are held while answers grow, for each that passes through in training."""

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Asking:
    """How answers are drawn: at most `max_tokens` long, at `temperature`, or greedily at 0."""

    model: Any
    tokenizer: Any
    device: Device
    max_tokens: int
    temperature: float

    def answers(self, asked: Sequence[Ids], each: int, micro_tokens: int) -> list[list[Ids]]:
        """`each` answers to each prompt, in order, with what ends them; one that is cut off has no end."""
        found: list[list[Ids]] = [[] for _ in asked]
        lengths = np.array([len(one) + self.max_tokens for one in asked], np.int64)
        training = self.model.training
        self.model.eval()
        with (
            torch.no_grad(),
            objectives.precision(self.device.kind, self.device.torch_dtype),
            answering(self.model) as own,
        ):
            ending = bases.ending(own, self.tokenizer)
            try:
                for group in grouped(lengths * each, HELD * micro_tokens):
                    made = self._drawn([asked[at] for at in group], each, ending)
                    for place, at in enumerate(group):
                        found[at] = made[place * each : (place + 1) * each]
            finally:
                self.model.train(training)
        return found

    def _drawn(self, asked: Sequence[Ids], each: int, ending: Any) -> list[Ids]:
        width, device = max(map(len, asked)), self.device.kind
        ids = np.full((len(asked), width), ending.pad_token_id, np.int64)
        mask = np.zeros((len(asked), width), np.int64)
        for row, one in enumerate(asked):
            ids[row, width - len(one) :] = one
            mask[row, width - len(one) :] = 1
        there, seen = (torch.from_numpy(array).to(device) for array in (ids, mask))
        model, given = self._begun(there, seen, each)
        drawing: dict[str, Any] = {"do_sample": False}
        if self.temperature:
            drawing = {"do_sample": True, "temperature": float(self.temperature), "top_k": 0, "top_p": 1.0}
        model.generation_config = ending
        out = model.generate(
            **given, generation_config=ending, max_new_tokens=self.max_tokens, use_cache=True, **drawing
        )
        new = out[:, width:] if "input_ids" in given else out
        return [_upto(row, ending.eos_token_id) for row in new.to(torch.int32).cpu().numpy()]

    def _begun(self, ids: torch.Tensor, mask: torch.Tensor, each: int) -> tuple[Any, dict[str, Any]]:
        """What generates and from what: prompts that have passed up to their last token."""
        repeated = ids.repeat_interleave(each, 0), mask.repeat_interleave(each, 0)
        if prompts.stands_before(self.model):
            return prompts.asked(self.model, *repeated)
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        given: dict[str, Any] = {"input_ids": repeated[0], "attention_mask": repeated[1]}
        if each > 1 and ids.shape[1] > 1:
            given["past_key_values"] = _passed(model, ids[:, :-1], mask[:, :-1], each)
        return model, given


def _passed(model: Any, ids: torch.Tensor, mask: torch.Tensor, each: int) -> Any:
    """The cache after the prompts, as often as each is answered. Raises nothing that generating would not."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    model.get_decoder()(input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(each)
    return cache


def _upto(row: Ids, ends: Sequence[int]) -> Ids:
    """The row up to its first end."""
    ending = np.isin(row, list(ends))
    return row[: int(ending.argmax()) + 1] if ending.any() else row

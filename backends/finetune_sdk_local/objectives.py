"""What is minimised, as functions of a model and a batch.

Logits are taken only where a token is trained: hidden states are picked before the head, which changes no value of loss
or gradient. Losses are sums; whoever steps divides by the count over the whole step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.functional import cross_entropy, logsigmoid

from finetune_sdk_local.batches import Batch, Past
from finetune_sdk_local.prompts import stands_before

Logits = Callable[[Batch], Tensor]
"""The logits that predict each trained token of a batch, in row-major order: (tokens, vocabulary)."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over a batch: of the loss, and of figures to show; `count` is what they are divided by."""

    loss: Tensor
    count: int
    figures: dict[str, float]


def all_logits(model: Any) -> Logits:
    """Through the model as it stands: its whole head, then the trained positions; what stands before a row is left out."""

    def logits(batch: Batch) -> Tensor:
        whole = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
        picked: Tensor = whole[:, -batch.ids.shape[1] : -1][batch.trained[:, 1:]]
        return picked

    return logits


@dataclass(frozen=True, slots=True)
class Parts:
    """A decoder and its head, so that the head can be asked at trained positions only."""

    decoder: Any
    head: Any

    @classmethod
    def of(cls, model: Any) -> Parts:
        """Raises AttributeError for a model that is not decoder plus head, or has more before it."""
        if stands_before(model):
            raise AttributeError("an adapter before each sequence is part of the whole model alone")
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        decoder, head = causal.get_decoder(), causal.get_output_embeddings()
        if decoder is None or head is None or decoder is causal:
            raise AttributeError("no decoder or no head")
        return cls(decoder, head)

    def hidden(self, batch: Batch, cache: Any = None) -> Tensor:
        """(rows, length, hidden), of which each predicts the next token. Keys and values are added to the cache."""
        if cache is None and batch.past is not None:
            cache = _cache(batch.past)
        states: Tensor = self.decoder(
            input_ids=batch.ids,
            attention_mask=batch.attended,
            position_ids=batch.positions,
            past_key_values=cache,
            use_cache=False,
        ).last_hidden_state
        return states

    def passed(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The hidden states, and keys and values by turns, a pair a layer, those of the past included."""
        cache = _cache(batch.past)
        hidden = self.hidden(batch, cache)
        return hidden, [made for layer in cache.layers for made in (layer.keys, layer.values)]

    def logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        picked: Tensor = self.head(hidden[:, :-1][batch.trained[:, 1:]])
        return picked


def _cache(past: Past | None) -> Any:
    """A cache that holds the past as it is: `update` would copy what several rows share."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    cache, made = DynamicCache(), past.made if past is not None else ()
    for keys, values in zip(made[::2], made[1::2], strict=True):
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def picked_logits(model: Any) -> Logits:
    """The head at trained positions only. Raises AttributeError for a model that is not decoder plus head."""
    parts = Parts.of(model)
    return lambda batch: parts.logits(parts.hidden(batch), batch)


def picked_within(model: Any) -> Logits:
    """As `picked_logits`, but through the whole model's own pass, with which weights that are spread are gathered."""
    Parts.of(model)
    head = (model.get_base_model() if hasattr(model, "get_base_model") else model).get_output_embeddings()

    def logits(batch: Batch) -> Tensor:
        def pick(module: Any, hidden: tuple[Tensor]) -> tuple[Tensor]:
            return (hidden[0][:, :-1][batch.trained[:, 1:]],)

        asked = head.register_forward_pre_hook(pick)
        try:
            made: Tensor = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
        finally:
            asked.remove()
        return made

    return logits


def is_spread(model: Any) -> bool:
    """Whether the model's weights are spread over processes, each of which has to take part in each of its passes."""
    return isinstance(model, FSDPModule)


def exact_logits(model: Any, batch: Batch) -> tuple[Logits, bool]:
    """The head at trained positions only, where that is proven on `batch` to be the model's own answer.

    A model that scales, caps or shifts its logits after the head is left as it is.
    """
    whole = all_logits(model)
    try:
        picked = picked_within(model) if is_spread(model) else picked_logits(model)
        with torch.no_grad():
            training = model.training
            model.eval()
            one, other = picked(batch).float(), whole(batch).float()
            model.train(training)
    except (AttributeError, TypeError):
        return whole, False
    if one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max())):
        return picked, True
    return whole, False


def token_losses(logits: Logits, batch: Batch) -> Tensor:
    """Minus the log-probability of each trained token, in float32 at least."""
    made = logits(batch)
    return cross_entropy(
        made.to(torch.promote_types(made.dtype, torch.float32)), batch.ids[batch.trained], reduction="none"
    )


def sft(logits: Logits, batch: Batch) -> Sums:
    """The negative log-likelihood of the trained tokens, summed over them."""
    losses = token_losses(logits, batch)
    if batch.times is not None:
        losses = losses * batch.times[batch.trained]
    return Sums(losses.sum(), batch.tokens, {})


def row_scores(logits: Logits, batch: Batch) -> Tensor:
    """The log-probability of each row's trained tokens, summed within the row: (rows,)."""
    losses = token_losses(logits, batch)
    rows = batch.trained.nonzero()[:, 0]
    return torch.zeros(len(batch.ids), device=losses.device, dtype=losses.dtype).index_add(0, rows, -losses)


def dpo(logits: Logits, batch: Batch, reference: Tensor, beta: float) -> Sums:
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7), summed over pairs.

    `batch` holds chosen and rejected in turn, `reference` (2 × pairs,) their scores under the reference. The margin is
    the difference of the implicit rewards `beta * (score - reference)`.
    """
    ratios = (row_scores(logits, batch) - reference).view(-1, 2)
    margins = beta * (ratios[:, 0] - ratios[:, 1])
    figures = {"margin": float(margins.detach().sum()), "accuracy": float((margins > 0).sum())}
    return Sums(-logsigmoid(margins).sum(), len(margins), figures)


def orpo(logits: Logits, batch: Batch, pairs: int, beta: float, share: float) -> Sums:
    """Odds ratio preference optimisation (Hong et al. 2024, eq. 6 and 7), summed over pairs.

    `batch` holds chosen and rejected in turn, or, without `pairs`, what chosen sides begin with in common. The negative
    log-likelihood of the chosen sides' trained tokens is a mean over all of the step, of which there are 1 / `share` a pair.
    Odds are those of a token's geometric mean probability within an answer.
    """
    losses, rows = token_losses(logits, batch), batch.trained.nonzero()[:, 0]
    if not pairs:
        assert batch.times is not None
        likelihood = share * (losses * batch.times[batch.trained]).sum()
        return Sums(likelihood, 0, {"nll": float(likelihood.detach())})
    likelihood = share * losses[rows % 2 == 0].sum()
    counted = batch.trained if batch.scored is None else batch.scored
    sums = torch.zeros(2 * pairs, device=losses.device, dtype=losses.dtype)
    sums = sums.index_add(0, rows, -losses * counted[batch.trained])
    chosen, rejected = (sums / counted.sum(1)).view(-1, 2).unbind(1)
    ratios = chosen - rejected - (_log_otherwise(chosen) - _log_otherwise(rejected))
    figures = {
        "nll": float(likelihood.detach()),
        "margin": float(ratios.detach().sum()),
        "accuracy": float((chosen > rejected).sum()),
    }
    return Sums(likelihood - beta * logsigmoid(ratios).sum(), pairs, figures)


def _log_otherwise(scores: Tensor) -> Tensor:
    """log(1 - exp(scores)); an answer that is certain to the last digit counts as one that is nearly so."""
    return torch.log(-torch.expm1(scores.clamp(max=-torch.finfo(scores.dtype).eps)))


def kto(
    logits: Logits,
    batch: Batch,
    reference: Tensor,
    good: Tensor,
    moved: float,
    beta: float,
    weights: tuple[float, float],
) -> Sums:
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024, eq. 7 and 8), summed over rated answers.

    `reference` (rows,) are the answers' scores under the reference, `good` (rows,) their ratings, `moved` is how far the
    model has moved from the reference on the step's mismatched answers, and `weights` are those of good and bad answers.
    """
    ratios = row_scores(logits, batch) - reference
    gains = torch.where(good, ratios - moved, moved - ratios)
    each = torch.where(good, *weights) * (1 - torch.sigmoid(beta * gains))
    return Sums(each.sum(), len(gains), {"accuracy": float((gains > 0).sum()), "kl": moved * len(gains)})


def rft(logits: Logits, batch: Batch, advantages: Tensor, reference: Tensor | None, beta: float) -> Sums:
    """Group relative policy optimisation (Shao et al. 2024, eq. 3) of answers that this very model has just given.

    Summed over their tokens, as DAPO does (Yu et al. 2025, eq. 8). `advantages` (rows,) say how much better an answer is than
    the others to its task. With `reference` (tokens,), the log-probabilities of the tokens under the base, `beta` times an
    estimate of the divergence from it that is never negative (eq. 4 of the former) is added.
    """
    losses, rows = token_losses(logits, batch), batch.trained.nonzero()[:, 0]
    each = -torch.exp(losses.detach() - losses) * advantages[rows].to(losses.dtype)
    if reference is None:
        return Sums(each.sum(), batch.tokens, {})
    away = reference + losses
    divergence = torch.exp(away) - away - 1
    return Sums((each + beta * divergence).sum(), batch.tokens, {"kl": float(divergence.detach().sum())})


def tempered(logits: Logits, temperature: float) -> Logits:
    """The logits that answers are drawn by."""
    return logits if temperature == 1 else lambda batch: logits(batch) / temperature


def precision(device: str, dtype: torch.dtype) -> Any:
    """Mixed precision where weights are 16-bit: products in that dtype, the adapter and the loss in float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device_type=device, dtype=dtype)

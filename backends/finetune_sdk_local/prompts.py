"""Adapters that stand before each sequence: vectors in place of tokens (prompt tuning), or keys and values (prefix tuning).

Both begin as tokens that are drawn from the vocabulary, which Lester et al. (2021) and Li and Liang (2021) found to learn
better than noise. So the model that they start from is not the base: a reference is scored without them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from finetune_sdk.job import Adapter, PrefixTuning, PromptTuning


def ahead(adapter: Adapter) -> int:
    """How many places of the base's context an adapter takes."""
    return adapter.tokens if isinstance(adapter, PromptTuning | PrefixTuning) else 0


def stands_before(model: Any) -> bool:
    """Whether a model's adapter stands before each sequence, and not beside its layers."""
    return any(config.is_prompt_learning for config in getattr(model, "peft_config", {}).values())


def without(model: Any) -> AbstractContextManager[Any]:
    """The model as it is before such an adapter is there."""
    context: AbstractContextManager[Any] = model.disable_adapter() if stands_before(model) else nullcontext()
    return context


def bare(model: Any) -> AbstractContextManager[Any]:
    """The base, as it is without the adapter that stands on it."""
    context: AbstractContextManager[Any] = model.disable_adapter()
    return context


def adapt(model: Any, adapter: PromptTuning | PrefixTuning, base: str, name: str) -> Any:
    """The frozen model with tokens before it, an adapter of this name, drawn by torch's own random state."""
    from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

    common: dict[str, Any] = {
        "num_virtual_tokens": adapter.tokens,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
    }
    if isinstance(adapter, PromptTuning):
        return get_peft_model(model, PromptTuningConfig(prompt_tuning_init="SAMPLE_VOCAB", **common), name)
    adapted = get_peft_model(model, PrefixTuningConfig(**common), name)
    _begin_with_words(adapted, adapter.tokens)
    return adapted


def _begin_with_words(adapted: Any, tokens: int) -> None:
    """Keys and values of tokens that are drawn from the vocabulary, in place of noise."""
    import torch
    from peft import initialize_kv_prefix_from_past_key_values

    base = adapted.get_base_model()
    ids = torch.randint(0, base.get_input_embeddings().num_embeddings, (1, tokens)).to(base.device)
    training = base.training
    with torch.no_grad():
        made = base.eval()(input_ids=ids, use_cache=True).past_key_values
    base.train(training)
    pairs = [(layer.keys, layer.values) for layer in made.layers]
    initialize_kv_prefix_from_past_key_values(adapted, past_key_values=pairs)


def asked(model: Any, ids: Any, mask: Any) -> tuple[Any, dict[str, Any]]:
    """What generates, and from what, for prompts that are padded on the left.

    peft leaves the positions of prompt tuning to be counted from the padding on, unlike in training. So virtual tokens are put
    right before their prompt here, and the base goes on from there: what it then returns is new tokens alone.
    """
    import torch

    if not stands_before(model) or model.active_peft_config.peft_type != "PROMPT_TUNING":
        return model, {"input_ids": ids, "attention_mask": mask}
    base, tokens = model.get_base_model(), model.active_peft_config.num_virtual_tokens
    embedded, before = model.word_embeddings(ids), model.get_prompt(len(ids))
    length, lead = ids.shape[1] + tokens, (mask == 0).sum(1, keepdim=True)
    places = torch.arange(length, device=ids.device)[None]
    own = (places >= lead) & (places < lead + tokens)
    whole = embedded.new_zeros(len(ids), length, embedded.shape[-1])
    whole[own] = before.to(embedded.dtype).flatten(0, 1)
    whole[~own] = embedded.flatten(0, 1)
    return base, {"inputs_embeds": whole, "attention_mask": (places >= lead).to(mask.dtype)}

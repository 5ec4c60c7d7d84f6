"""A head start in copying: the first two layers are born with an induction head (Olsson et al. 2022) instead of finding it.

Random weights need many millions of tokens until "what followed this word the last time?" can be answered, and most
answers rest on it. Here layer 0 is given a head that looks one token back and layer 1 one that looks for the token after
the last occurrence of the present one. Training is free to change all of it.
"""

import torch
from transformers import LlamaForCausalLM

_CONSTANT = 0.56
_EMBEDDING = 0.07
_WRITE = 0.15
_BACK = 1.4
_MATCH = 3.0
_COPY = 0.6


def give_induction(model: LlamaForCausalLM, seed: int) -> None:
    """Writes both heads into the weights, and the scale of the embeddings that they need. Deterministic from `seed`."""
    config = model.config
    size, width = config.head_dim, config.hidden_size
    half = size // 2
    generator = torch.Generator().manual_seed(seed)
    speeds = config.rope_parameters["rope_theta"] ** (-torch.arange(half) / half)
    # Directions, none along the constant coordinate 0: what a token is (`word`, two sets) and what its neighbour was (`left`).
    basis = torch.linalg.qr(torch.randn(width - 1, width - 1, generator=generator))[0]
    basis = torch.cat([torch.zeros(width - 1, 1), basis], dim=1)
    word, other_word, left = basis[:size], basis[size : 2 * size], basis[2 * size : 3 * size]
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn
    with torch.no_grad():
        embedding = model.model.embed_tokens.weight
        embedding.copy_(torch.randn(embedding.shape, generator=generator) * _EMBEDDING)
        embedding[:, 0] = _CONSTANT
        # One back: the constant alone makes query and key, their phases one position apart.
        first.q_proj.weight[:size] = 0.0
        first.k_proj.weight[:size] = 0.0
        first.q_proj.weight[:half, 0] = _BACK
        first.k_proj.weight[:half, 0] = _BACK * torch.cos(speeds)
        first.k_proj.weight[half:size, 0] = _BACK * torch.sin(speeds)
        first.v_proj.weight[:size] = word
        first.o_proj.weight[:, :size] = _WRITE * left.T
        # The token after the like: query is the word, key the left neighbour's, in the dimensions that rotate slowly.
        slow = (speeds < 0.03).repeat(2).unsqueeze(1)
        for query, key, read in ((0, 0, word), (2, 1, other_word)):
            second.q_proj.weight[query * size : (query + 1) * size] = _MATCH * word * slow
            second.k_proj.weight[key * size : (key + 1) * size] = _MATCH * left * slow
            second.v_proj.weight[key * size : (key + 1) * size] = read
            second.o_proj.weight[:, query * size : (query + 1) * size] = _COPY * read.T

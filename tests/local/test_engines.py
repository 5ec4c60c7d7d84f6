"""Shared prefixes against separate passes: the same losses, the same gradients, whatever the prefixes look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from finetune_sdk_local import bases, engines, objectives, prefixes
from finetune_sdk_local.batches import Batch
from finetune_sdk_local.devices import Device
from finetune_sdk_local.engines import Engine, Setting
from finetune_sdk_local.objectives import Logits, Parts
from finetune_sdk_local.prefixes import Node, passes, tree
from finetune_sdk_local.tokenising import Sequences

CPU = Device("cpu", "test", "float32", 1, 1)
VOCABULARY = 24


@cache
def model(kind: str, dtype: torch.dtype = torch.float64) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind, vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=4, pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=512,
    )  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=dtype)


def made(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Sequences:
    """Sequences of tokens, each with its marks of what is trained."""
    starts = np.concatenate(([0], np.cumsum([len(ids) for ids, _ in rows])))
    none = np.zeros(len(rows), np.int64)
    ids = np.concatenate([np.asarray(ids, np.int32) for ids, _ in rows])
    trained = np.concatenate([np.asarray(marks, np.bool_) for _, marks in rows])
    return Sequences(ids, trained, starts, none, none, np.arange(len(rows)))


def engine_of(name: str, kind: str, width: int, answers: bool, dtype: torch.dtype = torch.float64) -> Engine:
    whole = model(kind, dtype)
    setting = Setting(whole, width, 0, CPU, answers)
    if name == "separate":
        return engines.Separate(objectives.picked_logits(whole), setting)
    return engines.Shared(Parts.of(whole), setting, 0.1)


def found(engine: Engine, sequences: Sequences, examples: int, micro_tokens: int) -> tuple[float, Tensor]:
    """Loss and gradient of a step, each token's or each pair's loss bent so that a score counts as a whole."""
    setting = engine.setting  # type: ignore[attr-defined]
    losses = list[float]()

    def learn(logits: Logits, block: Batch, rows: Sequence[int]) -> Tensor:
        if setting.answers:
            loss = objectives.sft(logits, block).loss
        elif sequences.scored is not None:
            loss = objectives.orpo(logits, block, len(rows) // 2, 0.7, 0.3).loss
        else:
            scores = objectives.row_scores(logits, block).view(len(rows) // setting.width, -1)
            loss = torch.nn.functional.softplus(-(scores[:, 0] - 0.5 * scores[:, -1])).sum()
        losses.append(float(loss.detach()))
        return loss

    setting.model.zero_grad()
    engine.each(sequences, range(examples), micro_tokens, learn)
    gradient = [p.grad.flatten() for p in setting.model.parameters() if p.grad is not None]
    return sum(losses), torch.cat(gradient) if gradient else torch.zeros(1)


pieces = st.lists(st.integers(3, 5), min_size=1, max_size=6)


@st.composite
def forests(draw: st.DrawFn, width: int) -> list[tuple[list[int], list[int]]]:
    """Rows that share what they begin with: equal ones, prefixes of others, with trained tokens anywhere."""
    known, rows = [[1]], list[tuple[list[int], list[int]]]()
    for _ in range(draw(st.integers(1, 6))):
        prompt = draw(st.sampled_from(known)) + draw(pieces | st.just([]))
        known.append(prompt)
        for _ in range(width):
            answer = draw(pieces)
            if width == 2:
                marks = [0] * len(prompt) + [1] * len(answer)
            else:
                marks = draw(st.lists(st.integers(0, 1), min_size=len(prompt + answer), max_size=len(prompt + answer)))
                marks[-1] = 1
                known.append(prompt + answer)
            rows.append((prompt + answer, marks))
    return rows


@pytest.mark.parametrize("kind", prefixes.COVERED)
@pytest.mark.parametrize(("width", "answers"), [(1, True), (1, False), (2, False)], ids=["tokens", "rows", "pairs"])
@settings(max_examples=12)
@given(data=st.data(), micro_tokens=st.sampled_from([1, 24, 4096]), worthwhile=st.sampled_from([1, 4, 64]))
def test_losses_and_gradients_are_those_of_separate_passes(
    kind: str, width: int, answers: bool, data: st.DataObject, micro_tokens: int, worthwhile: int
) -> None:
    rows = made(data.draw(forests(width)))
    examples = len(rows) // width
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "WORTHWHILE", worthwhile)
        loss, gradient = found(engine_of("shared", kind, width, answers), rows, examples, micro_tokens)
    expected, reference = found(engine_of("separate", kind, width, answers), rows, examples, 4096)
    # The layers' norms round to single precision within, whatever they are given.
    assert loss == pytest.approx(expected, rel=1e-7)
    assert float((gradient - reference).norm()) <= 1e-7 * float(reference.norm())


@settings(max_examples=25)
@given(data=st.data(), micro_tokens=st.sampled_from([1, 24, 4096]), worthwhile=st.sampled_from([1, 4, 64]))
def test_prompts_that_chosen_answers_learn_beside_their_odds_are_shared(
    data: st.DataObject, micro_tokens: int, worthwhile: int
) -> None:
    rows = made(data.draw(forests(2)))
    rows = replace(
        rows, scored=rows.trained, trained=rows.trained | np.repeat(np.arange(len(rows)) % 2 == 0, rows.lengths)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "WORTHWHILE", worthwhile)
        loss, gradient = found(engine_of("shared", "llama", 2, False), rows, len(rows) // 2, micro_tokens)
    expected, reference = found(engine_of("separate", "llama", 2, False), rows, len(rows) // 2, 4096)
    assert loss == pytest.approx(expected, rel=1e-7)
    assert float((gradient - reference).norm()) <= 1e-7 * float(reference.norm())


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_adapters_on_layers_share_prefixes_too(dora: bool) -> None:
    from copy import deepcopy

    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    settings = LoraConfig(
        r=2, target_modules="all-linear", use_dora=dora, init_lora_weights=False, task_type="CAUSAL_LM"
    )
    with bases.peft_hints_off():
        whole = get_peft_model(deepcopy(model("qwen3")), settings).double()
    for name, weight in whole.named_parameters():
        if "magnitude" in name:
            weight.data *= 1 + 0.1 * torch.randn_like(weight)
    rows = made([([1, *range(3, 20), *more], [0] * 16 + [1] * (2 + len(more))) for more in ([5], [6, 7], [6, 8, 9])])
    setting = Setting(whole, 1, 0, CPU, answers=True)
    shared = engines.Shared(Parts.of(whole), setting, 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "WORTHWHILE", 1)
        assert len(shared.passes(rows, range(3), 4096)[0].below) > 0
        loss, gradient = found(shared, rows, 3, 4096)
    expected, reference = found(engines.Separate(objectives.all_logits(whole), setting), rows, 3, 4096)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert float((gradient - reference).norm()) <= 1e-6 * float(reference.norm())


@pytest.mark.parametrize("kind", prefixes.COVERED)
def test_in_single_precision_they_differ_by_rounding_alone(kind: str) -> None:
    source = np.random.default_rng(0)
    system = source.integers(3, VOCABULARY, 80).tolist()
    rows = []
    for length in (3, 9, 14, 30, 2, 9):
        said = source.integers(3, VOCABULARY, length).tolist()
        rows.append(([*system, *said], [0] * (len(system) + 1) + [1] * (length - 1)))
    both = [found(engine_of(name, kind, 1, True, torch.float32), made(rows), 6, 64) for name in ("shared", "separate")]
    assert both[0][0] == pytest.approx(both[1][0], rel=1e-6)
    assert float((both[0][1] - both[1][1]).norm() / both[1][1].norm()) < 5e-6


def shape(node: Node) -> Any:
    """A tree as nested lists: what a node spans, the starts of its leaves, its nodes."""
    return [node.start, node.end, [leaf.start for leaf in node.leaves], [shape(inner) for inner in node.nodes]]


def test_a_system_prompt_and_the_turns_of_a_conversation_are_nodes() -> None:
    system, turn = list(range(100)), list(range(100, 200))
    rows = made(
        [([*system, *more], [0] * 99 + [1] * (1 + len(more))) for more in ([*turn, 1], [*turn, 2], [3], [4, 5])]
    )
    root = tree(rows, range(4), 1, answers=True)
    assert shape(root) == [0, 0, [], [[0, 100, [99, 99], [[99, 200, [199, 199], []]]]]]
    found = passes(rows, range(4), 1, 4096, answers=True, attended=0.1)
    assert sum(each.tokens for each in found) == 100 + 101 + 2 * 2 + 2 + 3


def test_a_pair_shares_its_prompt_and_no_trained_token() -> None:
    prompt, same = list(range(100)), [500, 501]
    rows = made([(prompt + same + [n], [0] * 100 + [1] * 3) for n in (1, 2)])
    assert shape(tree(rows, [0], 2, answers=False)) == [0, 0, [], [[0, 100, [99], []]]]
    twice = made([(prompt + same + [n], [0] * 100 + [1] * 3) for n in (1, 2, 3, 4)])
    assert shape(tree(twice, [0, 1], 2, answers=False)) == [0, 0, [], [[0, 100, [99, 99], []]]]


def test_what_is_too_short_to_gain_from_is_left_apart() -> None:
    rows = made([([1, 2, 3, n], [0, 0, 0, 1]) for n in range(4, 9)])
    assert shape(tree(rows, range(5), 1, answers=True)) == [0, 0, [0] * 5, []]

"""Processes that share a step have about as much to do, and a prefix passes in few of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import finetune_sdk as ft
from finetune_sdk_local import bases, dealing, prefixes
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.tokenising import Sequences, tokenise

SAID = np.random.default_rng(0)


def words(count: int) -> str:
    return " ".join("".join(SAID.choice(list("abcdefgh"), 4)) for _ in range(count))


def tokens(examples: Sequence[tuple[str, str]]) -> Sequences:
    """Chats of a system prompt and a question."""
    rows = [
        {"messages": [{"role": "system", "content": prompt}, {"role": "user", "content": asked}, {"role": "assistant", "content": "yes"}]}
        for prompt, asked in examples
    ]  # fmt: skip
    return tokenise(Renderer("tiny", bases.tokenizer("tiny")), ft.Dataset.of(rows, name="a"), 4096)


def passed(made: Sequences, shares: Sequence[Sequence[int]]) -> list[int]:
    """What passes through the model in each process."""

    def of(share: Sequence[int]) -> int:
        return sum(each.tokens for each in prefixes.passes(made, share, 1, 1 << 40, answers=True, attended=0))

    return [of(share) if share else 0 for share in shares]


def both(made: Sequences, count: int) -> tuple[list[int], list[int]]:
    """Tokens of each process: dealt by length, and by prefix; all examples are somebody's, once."""
    examples = range(len(made))
    plain, kept = (
        dealing.by_length(made.lengths, examples, count),
        dealing.by_prefix(made, examples, 1, count, answers=True),
    )
    for shares in (plain, kept):
        assert len(shares) == count
        assert sorted(example for share in shares for example in share) == list(examples)
    return passed(made, plain), passed(made, kept)


@pytest.mark.parametrize(("count", "less"), [(2, 0.65), (4, 0.45)])
def test_examples_that_begin_alike_go_to_one_process(count: int, less: float) -> None:
    """Four conversations of 300 words, each asked eight questions, shuffled: the busiest process passes so much less."""
    openings = [words(300) for _ in range(4)]
    made = tokens([(openings[at % 4], words(int(SAID.integers(5, 30)))) for at in SAID.permutation(32)])
    plain, kept = both(made, count)
    assert max(kept) < less * max(plain)


def test_what_all_share_or_none_does_costs_no_balance() -> None:
    prompt = words(100)
    for openings in ([prompt] * 24, [words(100) for _ in range(24)]):
        made = tokens([(opening, words(int(SAID.integers(1, 200)))) for opening in openings])
        for count in (2, 3):
            plain, kept = both(made, count)
            assert max(kept) <= 1.02 * max(plain)


def test_one_conversation_that_is_most_of_a_step_is_not_left_to_one_process() -> None:
    opening = words(50)
    made = tokens([(opening, words(150)) for _ in range(15)] + [(words(10), words(10))])
    plain, kept = both(made, 4)
    assert max(kept) <= 1.02 * max(plain)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_few_examples_are_dealt_too(count: int) -> None:
    for number in (1, 2, 4):
        both(tokens([(words(5), words(9)) for _ in range(number)]), count)

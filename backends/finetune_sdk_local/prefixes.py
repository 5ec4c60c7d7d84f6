"""What examples begin with in common, as a tree: a system prompt, a few-shot block, the turns before, the prompt of a pair.

The tokens of a node are the same for all examples below it, so they pass through the model once. The last of them belongs
to each branch as well, because what it predicts differs there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from finetune_sdk_local.batches import Span, grouped
from finetune_sdk_local.tokenising import Sequences

WORTHWHILE = 64
"""Tokens that a node has to spare: fewer cost more as a pass of their own."""
DEEPEST = 32
LOOKED_AT = 8
"""Steps of a plan that are looked at to say what sharing would spare."""
LEAST_SPARED = 0.05
COVERED = ("gemma", "llama", "mistral", "qwen2", "qwen3")
"""Kinds of models whose gradients the tests compare with those of separate passes."""
Engine = Literal["auto", "shared", "separate"]
"""Whether examples share the passes of their prefixes: where that is known to be exact and spares something, always, never."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What an example has to itself: its sequences from token `start` on."""

    rows: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Node:
    """Tokens `start` to `end` of sequence `rows[0]`, with which all of `rows` begin. What is below starts at `end - 1`."""

    rows: tuple[int, ...]
    start: int
    end: int
    nodes: tuple[Node, ...]
    leaves: tuple[Leaf, ...]


def tree(sequences: Sequences, examples: Sequence[int], width: int, *, answers: bool) -> Node:
    """The tree of examples of `width` sequences each, under a node without tokens.

    With `answers` a node may hold all tokens that are trained, as is right for a loss that is a sum over tokens. Without, it
    ends before the first of those that count in a row's score: the sides of a pair are looked at together.
    """
    ordered = in_order(sequences, examples, width, answers=answers)
    nodes, leaves = _grown(ordered, 0, 0)
    return Node(_joined(ordered.rows), 0, 0, nodes, leaves)


@dataclass(frozen=True, slots=True)
class Sorted:
    """Examples in the order of their tokens; each shares `common` tokens with the one before, and its sides share `own`."""

    rows: Sequence[tuple[int, ...]]
    common: NDArray[np.int64]
    own: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> Sorted:
        return Sorted(self.rows[part], self.common[part], self.own[part])

    @property
    def shared(self) -> int:
        """How many tokens all begin with in common."""
        return int(self.common[1:].min()) if len(self) > 1 else self.own[0]


def in_order(sequences: Sequences, examples: Sequence[int], width: int, *, answers: bool) -> Sorted:
    """The examples of `width` sequences each, so that those which begin alike are beside each other."""
    shared = [_shared(sequences, int(example), width, answers) for example in examples]
    order = sorted(range(len(shared)), key=lambda at: shared[at].tobytes())
    ordered = [shared[at] for at in order]
    common = np.array([0, *map(_common, ordered, ordered[1:])], dtype=np.int64)
    rows = [tuple(int(examples[at]) * width + side for side in range(width)) for at in order]
    return Sorted(rows, common, [len(each) for each in ordered])


Below = tuple[tuple[Node, ...], tuple[Leaf, ...]]


def _grown(examples: Sorted, start: int, depth: int) -> Below:
    """What stands below `start`."""
    end, rows = examples.shared, _joined(examples.rows)
    if depth == DEEPEST:
        return (), tuple(Leaf(each, start) for each in examples.rows)
    if (len(rows) - 1) * (end - 1 - start) >= WORTHWHILE:
        return (Node(rows, start, end, *_branches(examples, end, end - 1, depth + 1)),), ()
    return _branches(examples, end, start, depth + 1)


def _branches(examples: Sorted, end: int, start: int, depth: int) -> Below:
    """Examples that share no more than `end` tokens go apart; each group of those that share more grows on."""
    if len(examples) == 1:
        return (), (Leaf(examples.rows[0], start),)
    edges = [0, *(1 + np.flatnonzero(examples.common[1:] == end)).tolist(), len(examples)]
    nodes, leaves = list[Node](), list[Leaf]()
    for first, last in pairwise(edges):
        more = _grown(examples[first:last], start, depth)
        nodes += more[0]
        leaves += more[1]
    return tuple(nodes), tuple(leaves)


def _joined(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(row for each in rows for row in each)


def _shared(sequences: Sequences, example: int, width: int, answers: bool) -> NDArray[np.uint32]:
    """The tokens of an example that others may share, most significant byte first, so that bytes sort as tokens do."""
    sides = [example * width + side for side in range(width)]
    ids, _ = sequences.row(sides[0])
    end = len(ids)
    if not answers:
        scores = map(sequences.scores, sides)
        end = min(int(marks.argmax()) if marks.any() else len(marks) for marks in scores)
    for side in sides[1:]:
        end = min(end, _common(ids, sequences.row(side)[0]))
    return ids[:end].astype(">u4")


def _common(one: NDArray[np.generic], other: NDArray[np.generic]) -> int:
    """How many tokens two begin with in common."""
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length


@dataclass(frozen=True, slots=True)
class Pass:
    """Spans that pass through the model together, right padded to `length`; they attend to `past` tokens of the pass above."""

    spans: tuple[Span, ...]
    length: int
    past: int
    below: tuple[Pass, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens that pass, here and below, padding left out."""
        return sum(span.end - span.start for span in self.spans) + sum(each.tokens for each in self.below)

    def every(self) -> Iterator[Pass]:
        yield self
        for each in self.below:
            yield from each.every()


def unfit(config: Any) -> str | None:
    """Why a model of this config cannot share prefixes, as far as the config tells."""
    config = config.get_text_config()
    if config.model_type not in COVERED:
        return f"models of type {config.model_type!r} are not among those compared ({', '.join(COVERED)})"
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        return "its attention has a window"
    return "dropout differs from one pass to the next" if getattr(config, "attention_dropout", None) else None


def spared(sequences: Sequences, steps: Sequence[Sequence[int]], width: int, *, answers: bool) -> float:
    """The share of the steps' tokens that need no pass of their own."""
    alone = passed = 0
    for step in steps:
        alone += sum(int(sequences.lengths[row * width + side]) for row in step for side in range(width))
        found = passes(sequences, step, width, 2**62, answers=answers, attended=0)
        passed += sum(each.tokens for each in found)
    return 1 - passed / alone


def passes(
    sequences: Sequences, examples: Sequence[int], width: int, micro_tokens: int, *, answers: bool, attended: float
) -> tuple[Pass, ...]:
    """The examples' tree in passes of like length, within `micro_tokens`.

    A token that is attended to counts there as `attended` of one that passes. What would teach nothing is left out.
    """

    def below(nodes: Sequence[Node], past: int) -> tuple[Pass, ...]:
        leaves = [(at, leaf) for at, node in enumerate(nodes) for leaf in node.leaves if _learns(sequences, leaf)]
        lengths = [max(int(sequences.lengths[row]) for row in leaf.rows) - leaf.start for _, leaf in leaves]
        made = list[Pass]()
        for group in _grouped(lengths, past):
            spans = [_span(leaf, row, at) for at, leaf in map(leaves.__getitem__, group) for row in leaf.rows]
            made.append(Pass(tuple(spans), lengths[group[0]], past))
        inner = [(at, node) for at, parent in enumerate(nodes) for node in parent.nodes]
        sizes = [node.end - node.start for _, node in inner]
        for group in _grouped(sizes, past, sides=1):
            chosen = list(map(inner.__getitem__, group))
            rest = below([node for _, node in chosen], past + sizes[group[0]])
            spans = [Span(node.rows[0], node.start, node.end, at, node.rows) for at, node in chosen]
            if rest or any(
                sequences.row(row)[1][node.start + 1 : node.end].any() for _, node in chosen for row in node.rows
            ):
                made.append(Pass(tuple(spans), sizes[group[0]], past, rest))
        return tuple(made)

    def _grouped(lengths: Sequence[int], past: int, sides: int = width) -> list[list[int]]:
        return grouped(np.asarray(lengths, np.int64) + round(past * attended), micro_tokens // sides)

    def _span(leaf: Leaf, row: int, at: int) -> Span:
        return Span(row, leaf.start, int(sequences.lengths[row]), at)

    return below([tree(sequences, examples, width, answers=answers)], 0)


def _learns(sequences: Sequences, leaf: Leaf) -> bool:
    return any(sequences.row(row)[1][leaf.start + 1 :].any() for row in leaf.rows)

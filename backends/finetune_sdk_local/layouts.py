"""How a run will lay its examples out on a machine: what passes through the model together, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_sdk.backend import Resolved
from finetune_sdk.job import DPO, KTO, ORPO, RFT, Method
from finetune_sdk_local import bases, dealing, prefixes
from finetune_sdk_local.absent import Timed
from finetune_sdk_local.batches import Plan, grouped
from finetune_sdk_local.cards import Card
from finetune_sdk_local.devices import Device
from finetune_sdk_local.probe import Probe
from finetune_sdk_local.prompts import ahead
from finetune_sdk_local.rehearsal import Rehearsal
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.tokenising import Sequences


@dataclass(frozen=True, slots=True)
class Machine:
    """What the estimate knows of where the job would run. So many `processes` share each step, and
    the weights are spread over so many `parts`; `rehearsal` is there where
    a few steps were tried; under `home` is kept what was found once. `card` is one that is not here, and `watts` what the machine draws.
    """

    device: Device
    micro_tokens: int
    probe: Probe | Timed
    usd_per_hour: float | None
    engine: prefixes.Engine
    recomputed: bool = False
    offload: bool = False
    parts: int = 1
    processes: int = 1
    rehearsal: Rehearsal | None = None
    checkpoint_every: int | None = None
    home: Path | None = None
    watts: float | None = None
    card: Card | None = None
    gpu_usd_per_hour: Mapping[str, float] = field(default_factory=dict)


def fewest(steps: Plan, method: Method) -> int:
    """The steps that a run takes at least: all, unless it may stop early."""
    if method.early_stopping is None:
        return steps.steps
    return min(steps.steps, (method.validate_every or steps.per_epoch) * (method.early_stopping + 1))


def written(steps: Plan, every: int | None) -> int:
    """Checkpoints that a run writes, of which it keeps the last few."""
    return -(-steps.steps // (every or max(1, min(50, steps.per_epoch))))


def sharing(resolved: Resolved, train: Sequences, steps: Plan, width: int, machine: Machine) -> dict[str, Any] | None:
    """How the run will share prefixes, or None where it will not."""
    config, answers = bases.config(resolved.base), not isinstance(resolved.method, DPO | ORPO | KTO | RFT)
    dropout = getattr(resolved.adapter, "dropout", 0.0)
    asked = machine.engine == "separate" or machine.recomputed or machine.parts > 1
    if asked or prefixes.unfit(config) is not None or dropout or ahead(resolved.adapter):
        return None
    sample = [steps.rows(step).tolist() for step in range(min(prefixes.LOOKED_AT, steps.steps))]
    if machine.engine == "auto" and prefixes.spared(train, sample, width, answers=answers) < prefixes.LEAST_SPARED:
        return None
    return {"answers": answers, "attended": Shape.of_config(config).attended}


def longest_of(made: Sequences, width: int) -> NDArray[np.int64]:
    """The longest sequence of each example."""
    longest: NDArray[np.int64] = made.lengths.reshape(-1, width).max(1)
    return longest


def shares(
    made: Sequences, examples: Sequence[int], width: int, machine: Machine, sharing: Mapping[str, Any] | None
) -> list[list[int]]:
    """The examples of each process that has any, dealt out as the run deals them."""
    if machine.processes == 1:
        return [list(examples)]
    if sharing is not None:
        dealt = dealing.by_prefix(made, examples, width, machine.processes, answers=sharing["answers"])
    else:
        dealt = dealing.by_length(longest_of(made, width), examples, machine.processes)
    return [own for own in dealt if own]


def laid(
    made: Sequences, examples: Sequence[int], width: int, micro_tokens: int, sharing: Mapping[str, Any] | None
) -> list[tuple[int, int, int, int]]:
    """The (rows, length, tokens attended to before, tokens learnt) of each micro-batch that the examples make."""
    if sharing is not None:
        found = prefixes.passes(made, examples, width, micro_tokens, **sharing)
        return [(len(each.spans), each.length, each.past, _learnt(made, each)) for top in found for each in top.every()]
    longest, counts = longest_of(made, width), made.trained_counts.reshape(-1, width).sum(1)
    chosen = np.asarray(examples)
    return [
        (len(group) * width, int(longest[chosen[group[0]]]), 0, int(counts[chosen[group]].sum()))
        for group in grouped(longest[chosen], micro_tokens // width)
    ]


def _learnt(made: Sequences, each: prefixes.Pass) -> int:
    """Tokens of a pass that are scored; of spans that stand for several rows, those that any of them learns."""
    return sum(
        int(np.any([made.row(row)[1][span.start + 1 : span.end] for row in span.same or (span.row,)], axis=0).sum())
        for span in each.spans
    )

"""What a job would take on a card that is not here: whether it fits, how long, how much, and what to change if not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from finetune_sdk.backend import Resolved
from finetune_sdk.errors import InputError, UnsupportedError
from finetune_sdk.estimate import Estimate, Range
from finetune_sdk.job import RFT
from finetune_sdk_local import absent, cards, costs, estimating, fitting
from finetune_sdk_local.cards import Card
from finetune_sdk_local.devices import MICRO_TOKENS
from finetune_sdk_local.estimating import Sides
from finetune_sdk_local.fitting import Changes
from finetune_sdk_local.layouts import Machine
from finetune_sdk_local.options import Options
from finetune_sdk_local.shapes import Shape
from finetune_sdk_local.tokenising import Sequences


def machine(resolved: Resolved, card: Card, train: Sequences, options: Options, home: Path) -> Machine:
    """A machine with so many of the card, as the settings would use it."""
    share = float(train.trained_counts.sum()) / max(1, int(train.lengths.sum()))
    return Machine(
        device=absent.device(card, resolved.own.get("dtype")),
        micro_tokens=options.micro_tokens or MICRO_TOKENS["cuda"],
        probe=absent.timed(Shape.of(resolved.base), resolved.adapter, card, share, resolved.own.get("dtype")),
        usd_per_hour=None,
        engine=options.engine,
        recomputed=options.activation_checkpointing,
        offload=options.offload,
        parts=card.count if options.sharding else 1,
        processes=card.count,
        checkpoint_every=options.checkpoint_every,
        home=home,
        watts=options.watts,
        card=card,
        gpu_usd_per_hour=costs.paid(options.gpu_usd_per_hour, options.own_cards()),
    )


def fitted(made: Estimate, resolved: Resolved, sides: Sides, here: Machine, options: Options) -> Estimate:
    """The estimate with whether it fits on the card, and what to change. Raises JobError for a job beyond any machine."""
    assert here.card is not None

    def memory_of(changes: Changes) -> Range:
        changed, machine = fitting.applied(resolved, changes), _changed(here, changes)
        return estimating.memory_of(changed, sides._replace(train=_cut(sides.train, changes, resolved)), machine)

    now = {
        "micro_tokens": here.micro_tokens,
        "activation_checkpointing": here.recomputed,
        "offload": here.offload,
        "optimizer": options.optimizer,
        "sharding": options.sharding,
        "processes": here.processes,
    }
    found = fitting.advice(made.memory, here.card, resolved, memory_of, now)
    said = (here.card.meant,) if here.card.meant else ()
    return replace(made, notes=(*found.sentences(), *said, *made.notes))


def named(gpu: str, options: Options, place: str) -> Card:
    """The card of that name, or several. Raises SettingsError for one that is not known, UnsupportedError for several of which
    the settings use one.
    """
    card = cards.card(gpu, options.own_cards())
    if card.count > 1 and options.processes not in (1, card.count):
        raise UnsupportedError(
            f"{gpu!r} are {card.count} cards, and {place} has processes = {options.processes}.",
            cure=f"set processes = {card.count} under [backends.{place}], or take it out",
        )
    if card.count == 1 and options.processes > 1:
        said = f"{options.processes} of them, as {place} has processes = {options.processes}"
        return replace(card, count=options.processes, meant="; ".join(filter(None, (card.meant, said))))
    return card


def _changed(here: Machine, changes: Changes) -> Machine:
    assert here.card is not None
    card = cards.card(changes["gpu"]) if "gpu" in changes else here.card
    recomputed = bool(changes.get("activation_checkpointing", here.recomputed))
    sharded = changes.get("sharding", here.parts > 1)
    if sharded and changes.get("offload", here.offload):
        raise InputError("offload does not go with sharding.")
    return replace(
        here,
        card=card,
        device=absent.device(card, here.device.dtype if "gpu" not in changes else None),
        micro_tokens=changes.get("micro_tokens", here.micro_tokens),
        recomputed=recomputed,
        engine="auto" if recomputed and here.engine == "shared" else here.engine,
        offload=bool(changes.get("offload", here.offload)),
        parts=changes.get("processes", here.processes) if sharded else 1,
        processes=changes.get("processes", here.processes),
    )


def _cut(train: Sequences, changes: Changes, resolved: Resolved) -> Sequences:
    """The sequences as a smaller `max_length` leaves them. Raises InputError where that leaves one without what it teaches."""
    most = changes.get("max_length")
    if most is None:
        return train
    if isinstance(resolved.method, RFT):
        raise InputError("RFT needs prompts whole.")
    kept = np.minimum(train.lengths, most)
    within = np.arange(len(train.ids)) - np.repeat(train.starts[:-1], train.lengths) < np.repeat(kept, train.lengths)
    starts = np.concatenate(([0], np.cumsum(kept)))
    scored = train.scored[within] if train.scored is not None else None
    cut = replace(train, ids=train.ids[within], trained=train.trained[within], starts=starts, scored=scored)
    if (cut.scored_counts == 0).any():
        raise InputError(f"{most} tokens leave examples without anything to learn.")
    return cut

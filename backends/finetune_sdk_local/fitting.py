"""Whether a job fits on a card, by how much it does not, and what to change about that.

Nothing is computed here but by asking: each change is weighed by a function that says what the job would hold with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from finetune_sdk.backend import Resolved
from finetune_sdk.errors import InputError, JobError
from finetune_sdk.estimate import Range, quantity
from finetune_sdk.job import Full, LoRA, QLoRA
from finetune_sdk_local.absent import device
from finetune_sdk_local.cards import Card, known

Changes = Mapping[str, Any]
MemoryOf = Callable[[Changes], Range]
"""What each card holds with some changes: `activation_checkpointing`, `micro_tokens`, `optimizer`, `offload`, `sharding` and
`processes` as the settings of that name, `adapter` and `max_length` as the job's, and `gpu`, the name of another card.
Raises InputError where they do not go with the job.
"""

SPARED = 0.98
"""A change that leaves more than this of the memory is not worth the words."""
LEAST_MICRO_TOKENS = 512
LEAST_LENGTH = 256
PARTS = (2, 4, 8)


@dataclass(frozen=True, slots=True)
class Change:
    """Something to change, and what each card would hold then. `memory` is unknown where only its size can be told."""

    what: str
    changes: Changes
    memory: Range
    fits: Literal["yes", "maybe", "no"]

    def __str__(self) -> str:
        if not self.memory.known:
            return self.what
        ending = {"yes": "", "maybe": ", which may just fit", "no": ", which is not enough"}[self.fits]
        each = " each" if self.changes.get("processes", 1) > 1 else ""
        return f"{self.what}: {self.memory}{each}{ending}"


@dataclass(frozen=True, slots=True)
class Fit:
    """`fits` is "yes" where even the high end fits, "no" where even the low end does not. `short` are the bytes that the
    high end is above the card, 0 where it is not; `changes` what would help, in the order in which to try them.
    """

    card: Card
    room: int
    needed: Range
    fits: Literal["yes", "maybe", "no"]
    short: float
    changes: tuple[Change, ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """What a person should read of it: the answer, then each change."""
        each = f"each of {self.card}" if self.card.count > 1 else str(self.card)
        room = quantity(self.room, "bytes")
        if self.fits == "yes":
            return (
                f"fits on {each}: it has {room}, {quantity(self.room - _high(self.needed), 'bytes')} more than needed",
            )
        short = quantity(self.short, "bytes")
        least = quantity(max(0.0, _low(self.needed) - self.room), "bytes")
        said = f"may not fit on {each}: it has {room}, up to {short} too little"
        if self.fits == "no":
            said = f"does not fit on {each}: it has {room}, {least} - {short} too little"
        return (said, *(f"to fit: {change}" for change in self.changes))


def advice(needed: Range, card: Card, resolved: Resolved, memory_of: MemoryOf, now: Changes | None = None) -> Fit:
    """Whether a job that holds `needed` bytes fits on the card, and what to change if not.

    `now` are the settings in force. Raises JobError where no change and no machine of the table would do, with what is missing.
    """
    room = device(card).memory
    fits = _fits(needed, room)
    short = max(0.0, _high(needed) - room)
    if fits == "yes":
        return Fit(card, room, needed, fits, short)
    weigh = _Weighing(room, memory_of)
    changes = [change for change in weigh.singles(resolved, now or {}) if _high(change.memory) < SPARED * _high(needed)]
    if not any(change.fits == "yes" for change in changes):
        changes += weigh.together(changes)
    changes += weigh.in_parts(resolved, now or {})
    changes += weigh.bigger(card)
    if fits == "no" and not any(change.fits != "no" for change in changes):
        last = weigh.largest(changes)
        if last is None or last.fits == "no":
            raise _beyond(needed, last)
        changes.append(last)
    return Fit(card, room, needed, fits, short, (*changes, _smaller(needed, room, resolved)))


def applied(resolved: Resolved, changes: Changes) -> Resolved:
    """The job with what of the changes is its own: adapter, length and optimizer. The others belong to the machine."""
    job, own = resolved.job, dict(resolved.own)
    if "adapter" in changes:
        job = replace(job, adapter=changes["adapter"])
    if "max_length" in changes:
        job = replace(job, method=replace(job.method, max_length=changes["max_length"]))
    if "optimizer" in changes:
        own["optimizer"] = changes["optimizer"]
    return replace(resolved, job=job, own=own)


@dataclass(frozen=True, slots=True)
class _Weighing:
    room: int
    memory_of: MemoryOf

    def singles(self, resolved: Resolved, now: Changes) -> Iterator[Change]:
        """Each by itself, what costs least first."""
        adapter = resolved.adapter
        if not now.get("activation_checkpointing"):
            more = f"{1 / 3 if isinstance(adapter, Full) else 0.5:.0%}"
            yield from self._try(
                f"activation_checkpointing = true, at up to {more} more time", {"activation_checkpointing": True}
            )
        tokens = now.get("micro_tokens")
        yield from self._halved("micro_tokens", tokens, LEAST_MICRO_TOKENS, "micro_tokens = {}")
        if type(adapter) is LoRA:
            yield from self._try("QLoRA in place of LoRA", {"adapter": _quantised(adapter)})
        if isinstance(adapter, Full):
            yield from self._try("LoRA in place of full weights", {"adapter": LoRA()})
            yield from self._try("QLoRA in place of full weights", {"adapter": QLoRA()})
        if now.get("optimizer", "adamw") == "adamw" and not now.get("sharding"):
            yield from self._try('optimizer = "adamw_8bit"', {"optimizer": "adamw_8bit"})
        if not now.get("offload") and not now.get("sharding"):
            yield from self._try("offload = true, slower by what the bus takes", {"offload": True})
        most = getattr(resolved.method, "max_length", None)
        yield from self._halved("max_length", most, LEAST_LENGTH, "max_length = {}, which cuts longer examples")

    def together(self, singles: Sequence[Change]) -> list[Change]:
        """The changes one after the other, until they fit; those that cut examples and those that are worse left out."""
        taken, names = dict[str, Any](), list[str]()
        last: Change | None = None
        for change in singles:
            if "max_length" in change.changes or taken.keys() & change.changes.keys() - {"adapter"}:
                continue
            name = change.what.split(",")[0]
            found = self._try(" and ".join((*names, name)), {**taken, **change.changes})
            better = next(iter(found), None)
            if better is None or (last is not None and _high(better.memory) > SPARED * _high(last.memory)):
                continue
            names = [each for each in names if not ("adapter" in change.changes and "in place of" in each)] + [name]
            taken, last = {**taken, **change.changes}, better
            if better.fits == "yes":
                break
        return [last] if last is not None and len(names) > 1 else []

    def in_parts(self, resolved: Resolved, now: Changes) -> list[Change]:
        """The weights spread over as few cards of the kind as make it fit."""
        cards, last = int(now.get("processes", 1)), list[Change]()
        for parts in sorted({cards, *PARTS}):
            if parts == 1 or parts < cards or (parts == cards and now.get("sharding")):
                continue
            found = self._try(f"sharding = true over {parts} such cards", {"sharding": True, "processes": parts})
            last = list(found) or last
            if last and last[0].fits == "yes":
                break
        return last

    def bigger(self, card: Card) -> list[Change]:
        """The smallest card of the table that it fits on; where there is none, the largest."""
        larger = [each for each in reversed(known()) if each.memory > card.memory]
        last = list[Change]()
        for each in larger:
            room = device(each).memory
            try:
                memory = self.memory_of({"gpu": each.name})
            except InputError:
                continue
            last = [Change(f"a larger card, {each.name}", {"gpu": each.name}, memory, _fits(memory, room))]
            if last[0].fits == "yes":
                return last
        return last

    def largest(self, helping: Sequence[Change]) -> Change | None:
        """The least that each of some of the largest cards would hold, with what helps and goes together."""
        last, best = known()[0], list[Change]()
        room = device(last).memory
        kept = {"activation_checkpointing", "adapter", "micro_tokens"}
        spares = {key: value for change in helping for key, value in change.changes.items() if key in kept}
        for parts in (1, *PARTS):
            for some in ({}, spares) if spares else ({},):
                asked = {**some, "gpu": last.name}
                what = f"{parts} x {last.name}" if parts > 1 else last.name
                if parts > 1:
                    asked |= {"sharding": True, "processes": parts}
                    what += " with sharding = true"
                if some:
                    what += f" and {', '.join(_said(key, value) for key, value in some.items())}"
                try:
                    memory = self.memory_of(asked)
                except InputError:
                    continue
                best.append(Change(what, asked, memory, _fits(memory, room)))
                if best[-1].fits == "yes":
                    return best[-1]
        return min(best, key=lambda change: _low(change.memory), default=None)

    def _halved(self, name: str, value: object, least: int, what: str) -> Iterator[Change]:
        """The value halved until it fits, or does not help any more."""
        if not isinstance(value, int):
            return
        best: Change | None = None
        while value // 2 >= least:
            value //= 2
            change = next(self._try(what.format(value), {name: value}), None)
            if change is None or (best is not None and _high(change.memory) > SPARED * _high(best.memory)):
                break
            best = change
            if change.fits == "yes":
                break
        if best is not None:
            yield best

    def _try(self, what: str, changes: Changes) -> Iterator[Change]:
        try:
            memory = self.memory_of(changes)
        except InputError:
            return
        yield Change(what, changes, memory, _fits(memory, self.room))


def _fits(needed: Range, room: float) -> Literal["yes", "maybe", "no"]:
    if _high(needed) <= room:
        return "yes"
    return "no" if _low(needed) > room else "maybe"


def _quantised(adapter: LoRA) -> QLoRA:
    return QLoRA(
        rank=adapter.rank,
        alpha=adapter.alpha,
        dropout=adapter.dropout,
        targets=adapter.targets,
        dora=adapter.dora,
        rslora=adapter.rslora,
    )


def _smaller(needed: Range, room: int, resolved: Resolved) -> Change:
    share = room / _high(needed)
    return Change(
        f"a smaller base: one of some {share:.0%} of the size of {resolved.base}, held alike",
        {},
        Range.unknown("bytes", "its sizes are not known"),
        "maybe",
    )


def _beyond(needed: Range, last: Change | None) -> JobError:
    room, largest = device(known()[0]).memory, known()[0].name
    said, lacking = "", _low(needed) - room
    if last is not None:
        said, lacking = f", and on {last.what} still {last.memory} each", _low(last.memory) - room
    return JobError(
        f"no machine that is known holds this job: it needs {needed}{said}. The largest card, {largest}, has {quantity(room, 'bytes')}: "
        f"at least {quantity(max(0.0, lacking), 'bytes')} too little.",
        cure="take a smaller base, or shorter examples (max_length)",
    )


def _said(key: str, value: object) -> str:
    if key == "adapter":
        return type(value).__name__
    return f"{key} = {str(value).lower()}"


def _low(memory: Range) -> float:
    assert memory.low is not None
    return memory.low


def _high(memory: Range) -> float:
    assert memory.high is not None
    return memory.high

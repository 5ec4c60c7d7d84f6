"""What a job on a card costs: money by clouds' prices or one's own, energy by what the card draws."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from statistics import median

from finetune_sdk.estimate import Range, Upkeep
from finetune_sdk.prices import STALE_DAYS
from finetune_sdk_local.cards import Card, card, offers

HOURS_A_MONTH = 730
DRAWN = (0.5, 0.75, 1.0)
"""Of a card's limit, as training draws it: half where it waits for memory or the processor, all of it in large products."""


def energy(time: Range, of: Card | None, watts: float | None = None) -> Range:
    """Wh. `watts` is what finetune.toml says that the machine draws; else the card's limit is taken, and shares of it."""
    if not time.known:
        return Range.unknown("Wh", f"the time is not known: {time.basis}")
    if watts is not None:
        return _over(time, (watts, watts, watts), "Wh", f"{watts:g} W while it runs, as finetune.toml says")
    if of is None:
        return Range.unknown(
            "Wh", "nobody has said what the machine draws: set watts under the backend in finetune.toml"
        )
    low, expected, high = (share * of.watts * of.count for share in DRAWN)
    basis = f"{DRAWN[0]:.0%}-{DRAWN[-1]:.0%} of the {of.watts:g} W of {of}, without the machine around it"
    return _over(time, (low, expected, high), "Wh", basis)


def money(time: Range, of: Card, own: Mapping[str, float] | None = None, today: date | None = None) -> Range:
    """USD for so many of the card: what `own` says by its name (`paid`), else from the cheapest to the dearest known offer."""
    if not time.known:
        return Range.unknown("USD", f"the time is not known: {time.basis}")
    usd = (own or {}).get(of.name)
    if usd is not None:
        each = usd * of.count
        return _over(time, (each, each, each), "USD", f"${usd:.2f} a card and hour, as finetune.toml says")
    found, today = offers(of), today or date.today()
    if not found:
        return Range.unknown(
            "USD",
            f'no credible price is known for {of.name}: set gpu_usd_per_hour = {{ "{of.name}" = … }} under the backend in finetune.toml',
        )
    prices = [offer.usd_per_hour * of.count for offer in found]
    asked = ", ".join(f"{offer.cloud} ${offer.usd_per_hour:.2f} ({offer.dated})" for offer in found)
    old = [offer.cloud for offer in found if offer.stale(today)]
    basis = f"a card and hour on demand: {asked}"
    if old:
        basis += f"; older than {STALE_DAYS} days, so ask again: {', '.join(old)}"
    return _over(time, (prices[0], median(prices), prices[-1]), "USD", basis)


def upkeep(usd_per_hour: float | None) -> Upkeep:
    """A machine of one's own that answers around the clock: it costs what it costs, however many answers it gives."""
    free = Range.exactly(0.0, "USD", "own hardware: no provider charges for an answer")
    if usd_per_hour is None:
        said = "what the own machine costs: set usd_per_hour under the backend in finetune.toml"
        return Upkeep(free, Range.unknown("USD", said))
    basis = f"{HOURS_A_MONTH} hours a month at ${usd_per_hour:.2f}, as finetune.toml says"
    return Upkeep(free, Range.exactly(HOURS_A_MONTH * usd_per_hour, "USD", basis))


def paid(prices: Mapping[str, float], own: Mapping[str, Card]) -> Mapping[str, float]:
    """`gpu_usd_per_hour` by the names that cards have in the table, or in one's own.

    Raises SettingsError where it names a card that is not known.
    """
    return {card(name, own).name: usd for name, usd in prices.items()}


def _over(time: Range, each: tuple[float, float, float], unit: str, basis: str) -> Range:
    """For that time, by what an hour takes."""
    assert time.low is not None
    assert time.expected is not None
    assert time.high is not None
    low, expected, high = each
    return Range(time.low / 3600 * low, time.expected / 3600 * expected, time.high / 3600 * high, unit, basis)

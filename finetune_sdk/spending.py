"""What a run spends while it runs, beside its estimate and its cap. Nothing is asked here, and nothing is stopped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from finetune_sdk.backend import Event, Status
from finetune_sdk.errors import BudgetError
from finetune_sdk.estimate import Estimate, Range, Spent, quantity

MOST = 1e12
"""USD that nobody spends on a job: a cap of that size is a mistake."""
EXACT = 1 + 1e-9
"""Sums that are the same but for the order in which they were added are the same."""


def whole(estimate: Estimate) -> Range:
    """The provider's charge and the own machine's cost together. Own hardware without a price per hour costs exactly nothing."""
    return estimate.charge + estimate.machine if estimate.machine.known else estimate.charge


def require_sum(max_cost: float) -> None:
    """Raises BudgetError for what is no sum of money."""
    if isinstance(max_cost, bool) or not isinstance(max_cost, int | float) or not 0 <= max_cost < MOST:
        raise BudgetError(f"max_cost={max_cost!r} is no sum of money.", cure="give it in USD, 0 or more")


def require_within(estimate: Estimate, max_cost: float) -> None:
    """Raises BudgetError where the estimate's high end is above the cap, or unknown."""
    require_sum(max_cost)
    cost = whole(estimate)
    if cost.high is None:
        raise BudgetError(
            f"the charge is unknown ({cost.basis}), so max_cost=${max_cost:,.2f} cannot be kept.",
            cure="give the price in finetune.toml, or submit without max_cost",
        )
    if cost.high > max_cost:
        raise BudgetError(
            f"the estimate is {cost}, and its high end is above max_cost=${max_cost:,.2f}.",
            cure="raise max_cost, or train on less: fewer rows, epochs or tokens",
        )


def dollars(usd: float) -> str:
    """`$4.10`, and of less than a dollar three digits: `$0.00123`."""
    return quantity(usd, "USD") if usd >= 1 or usd == 0 else f"${usd:.3g}"


def so_far(events: Iterable[Event], status: Status, estimate: Estimate | None, now: float) -> Spent:
    """What a run's own events tell, for a place that does not say what it has spent: the tokens of its metrics at the price of
    the estimate, and the seconds between events in which it neither lay ended nor paused.
    """
    tokens, learnt, seconds, last, rests = 0.0, 0.0, 0.0, None, False
    for event in events:
        if last is not None and not rests:
            seconds += event.time - last
        last = event.time
        if event.kind == "status":
            said = Status(event.data.get("status", ""))
            rests = said.terminal or said == "paused"
        tokens = max(tokens, event.data.get("tokens") or 0)
        learnt = max(learnt, event.data.get("trained_tokens") or 0)
    if last is not None and not rests and not status.terminal:
        seconds += max(0.0, now - last)
    time = Range.exactly(seconds, "s", "the times of its events")
    return Spent(_cost(tokens, learnt, seconds, estimate), time)


def _cost(tokens: float, learnt: float, seconds: float, estimate: Estimate | None) -> Range:
    if estimate is None:
        return Range.unknown("USD", "it was submitted elsewhere, and its price is not known here")
    charged = _charged(tokens, learnt, estimate)
    machine, time = estimate.machine, estimate.time
    if not machine.expected or not time.expected:
        return charged
    own = machine.expected / time.expected * seconds
    return charged + Range.exactly(own, "USD", "the machine's price for the time it has worked")


def _charged(tokens: float, learnt: float, estimate: Estimate) -> Range:
    charge, counted, trained = estimate.charge, estimate.tokens, estimate.trained_tokens
    if charge.high == 0:
        return Range.exactly(0.0, "USD", charge.basis)
    if charge.expected is None or not counted.expected:
        return Range.unknown("USD", charge.basis)
    if not tokens and trained.expected:
        tokens = learnt * counted.expected / trained.expected
    if not tokens:
        return Range.unknown("USD", "it has told no tokens yet")
    spent = tokens * charge.expected / counted.expected
    return Range.exactly(spent, "USD", f"{tokens:,.0f} tokens so far, at the price of the estimate")


def beyond(spent: Spent, estimate: Estimate) -> Iterator[tuple[str, str]]:
    """What is above the estimate's high end, "cost" or "time", each with a sentence about it."""
    cost, time = whole(estimate), estimate.time
    if spent.cost.expected is not None and cost.high is not None and spent.cost.expected > cost.high * EXACT:
        yield "cost", f"it has cost {dollars(spent.cost.expected)}, above its estimate of {_span(cost)}"
    if spent.time.expected is not None and time.high is not None and spent.time.expected > time.high:
        yield "time", f"it has worked for {quantity(spent.time.expected, 's')}, above its estimate of {time}"


def over(spent: Spent, max_cost: float | None) -> bool:
    """Whether a run has cost more than its cap."""
    return max_cost is not None and spent.cost.expected is not None and spent.cost.expected > max_cost * EXACT


def told(spent: Spent, estimate: Estimate | None, max_cost: float) -> str:
    """What a run has cost beside its cap and its estimate, as half a sentence."""
    cost = "an unknown sum" if spent.cost.expected is None else dollars(spent.cost.expected)
    beside = f" (estimated {_span(whole(estimate))})" if estimate is not None else ""
    return f"it has cost {cost}, above max_cost={dollars(max_cost)}{beside}"


def _span(cost: Range) -> str:
    if cost.low is None or cost.high is None:
        return "unknown"
    low, high = dollars(cost.low), dollars(cost.high)
    return low if low == high else f"{low} - {high}"

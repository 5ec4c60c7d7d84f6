"""Whether two who chose on the same cases agree, beyond what chance alone would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from finetune_sdk.evaluation.statistics import wilson


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two raters on `cases` cases, of which they chose alike in `agreed`; `low` and `high` are Wilson's 95% interval of that share.

    `kappa` is None where chance alone would make them agree always, as when both only ever chose one thing; all figures are
    None without a case.
    """

    cases: int
    agreed: int
    rate: float | None
    low: float | None
    high: float | None
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]], confidence: float = 0.95) -> Agreement:
    """Cohen's kappa (1960, Educ. Psychol. Meas. 20:37): (p - e) / (1 - e), p the share agreed on, e that expected by chance.

    The interval is Cohen's own, which takes e as it was found, with Wilson's limits of p in place of the normal ones: those have
    zero width where all agree, and cover 28% to 95% of the time at 20 cases and a kappa of 0.95; these cover 93% to 99%
    at 20 to 300 cases and a kappa of 0 to 0.95 (simulated, 2 and 3 things to choose from, even and uneven); where nine of
    ten choices are one thing and cases are 20, 91%.
    """
    cases, agreed = len(pairs), sum(one == other for one, other in pairs)
    if not cases:
        return Agreement(0, 0, None, None, None, None, None, None)
    low, high = wilson(agreed, cases, confidence)
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    by_chance = sum(first[choice] * second[choice] for choice in first)
    everything = cases * cases
    if by_chance == everything:
        return Agreement(cases, agreed, agreed / cases, low, high, None, None, None)
    chance = by_chance / everything
    kappa, kappa_low, kappa_high = (max(-1.0, (p - chance) / (1 - chance)) for p in (agreed / cases, low, high))
    return Agreement(cases, agreed, agreed / cases, low, high, kappa, kappa_low, kappa_high)

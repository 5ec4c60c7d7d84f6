"""Estimate against actual: how far past runs were off, and what an estimate learns from those like it.

Only the ledger is looked at. What teaches is a run that went through in one go, beside its estimate as the place made it, so that
a correction never builds on another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median, stdev
from typing import Any, TypeGuard

from finetune_sdk.estimate import Estimate, Range
from finetune_sdk.ledger import Entry

VERSION = "0.1"
"""The version of the SDK, without the last number, that makes estimates: another may make them otherwise, so its runs do not teach."""
FIGURES = ("tokens", "charge", "machine", "time", "memory", "disk")
LEARNT = ("time", "memory")
FOLLOWING = {"time": ("machine", "energy"), "memory": ()}  # what is reckoned from a figure moves with it
NEWEST = 20
"""So many runs teach at most, the newest, so that a machine which changed is known again soon."""
FACTORS = (0.5, 2.0)
ALONE = math.log(2)
FEW = 5
"""Fewer runs than that say nothing about the spread."""
SAME_AGAIN = 0.03
"""The spread of ratios (of their logarithms) that the same job on the same machine has anyway."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of a run that succeeded: what was estimated, and what it was. `kind` is that of the estimate."""

    run: str
    name: str
    created: float
    kind: str
    figure: str
    estimate: Range
    actual: float
    uncorrected: Range | None

    @property
    def error(self) -> float | None:
        """Actual over expected, less 1; None where nothing was expected and something came."""
        if not self.estimate.expected:
            return None if self.actual else 0.0
        return self.actual / self.estimate.expected - 1

    @property
    def held(self) -> bool:
        return self.estimate.holds(self.actual)

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": self.run, "name": self.name, "created": self.created, "kind": self.kind, "figure": self.figure,
            "low": self.estimate.low, "expected": self.estimate.expected, "high": self.estimate.high,
            "unit": self.estimate.unit, "actual": self.actual, "error": self.error, "held": self.held,
            "uncorrected": self.uncorrected.to_dict() if self.uncorrected else None,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """One figure over all runs: the median of the errors' sizes and of the errors, and the share of runs that it held."""

    figure: str
    kind: str
    runs: int
    size: float | None
    error: float | None
    held: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "figure": self.figure, "kind": self.kind, "runs": self.runs, "median_size": self.size,
            "median_error": self.error, "held": self.held,
        }  # fmt: skip


def compared(entries: Iterable[Entry]) -> list[Compared]:
    """Each figure of each run that succeeded, as far as it was both estimated and measured, in the order of the entries."""
    return [each for entry in entries if entry.status == "succeeded" for each in _figures(entry)]


def _figures(entry: Entry) -> Iterator[Compared]:
    estimate, actual = Estimate.from_dict(entry.estimate), entry.actual or {}
    for figure in FIGURES:
        made: Range = getattr(estimate, figure)
        if made.known and actual.get(figure) is not None:
            before = estimate.uncorrected.get(figure)
            yield Compared(
                f"{entry.place}:{entry.run}", entry.name, entry.created, estimate.kind, figure, made, actual[figure], before
            )  # fmt: skip


def summaries(rows: Sequence[Compared]) -> list[Summary]:
    """One for each figure and kind of estimate, in the order of FIGURES."""
    found = []
    for kind in sorted({row.kind for row in rows}):
        for figure in FIGURES:
            same = [row for row in rows if (row.kind, row.figure) == (kind, figure)]
            errors = [row.error for row in same if row.error is not None]
            if same:
                found.append(
                    Summary(
                        figure, kind, len(same), median(map(abs, errors)) if errors else None,
                        median(errors) if errors else None, sum(row.held for row in same) / len(same),
                    )
                )  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two runs of a place alike: what they ran on, the number format, the base, the method, the adapter."""

    on: str
    device: str | None
    dtype: str | None
    base: str
    method: str
    adapter: str | None

    @classmethod
    def of(cls, resolved: Mapping[str, Any], on: str = "") -> Key:
        own = resolved.get("own") or {}
        adapter, method = resolved.get("adapter") or {}, resolved.get("method") or {}
        return cls(
            on, own.get("device"), own.get("dtype"), str(resolved.get("base", "")), str(method.get("kind", "")), adapter.get("kind")
        )  # fmt: skip

    @property
    def coarse(self) -> tuple[str, str | None, str]:
        return self.on, self.device, self.method


def teaching(entries: Iterable[Entry], version: str) -> list[Entry]:
    """The runs that may teach, of estimates as this version makes them: such as went through in one go, as long as was expected."""
    return [
        entry
        for entry in entries
        if entry.status == "succeeded" and entry.actual and entry.resumed is False and entry.version == version
        and not entry.estimate.get("kind") and _as_long_as_expected(entry)
    ]  # fmt: skip


def _as_long_as_expected(entry: Entry) -> bool:
    """Whether it took the tokens that were expected: one that stopped early says nothing about time."""
    expected, actual = (entry.estimate.get("tokens") or {}).get("expected"), (entry.actual or {}).get("tokens")
    return not (_counts(expected) and _counts(actual)) or abs(actual / expected - 1) <= 0.1


def learned(estimate: Estimate, past: Iterable[Entry], key: Key) -> Estimate:
    """The estimate with its time and memory corrected by what runs like it took, as `teaching` gave them, the newest first.

    Alike are those on the same machine of the same device, number format, base, method and adapter; where there are none, those
    of the same device and method there. Tokens and charges are counted, and stay.
    """
    entries = list(past)
    keys = [Key.of(entry.resolved, str(entry.estimate.get("on", ""))) for entry in entries]
    alike = [entry for entry, its in zip(entries, keys, strict=True) if its == key]
    alike = alike or [entry for entry, its in zip(entries, keys, strict=True) if its.coarse == key.coarse]
    changed = dict[str, Range]()
    for figure in LEARNT:
        made: Range = getattr(estimate, figure)
        ratios = [ratio for entry in alike if (ratio := _ratio(entry, figure)) is not None][:NEWEST]
        if not ratios or not made.expected:
            continue
        changed[figure] = corrected(made, ratios)
        for name in FOLLOWING[figure]:
            other: Range = getattr(estimate, name)
            if other.known:
                changed[name] = _in_proportion(other, made, changed[figure])
    if not changed:
        return estimate
    before = {name: getattr(estimate, name) for name in changed}
    better: dict[str, Any] = {**changed, "uncorrected": before}
    return replace(estimate, **better)


def _ratio(entry: Entry, figure: str) -> float | None:
    """Actual over what the place expected by itself."""
    made = (entry.estimate.get("uncorrected") or {}).get(figure) or entry.estimate.get(figure) or {}
    actual = (entry.actual or {}).get(figure)
    expected = made.get("expected")
    return actual / expected if _counts(actual) and _counts(expected) else None


def _counts(figure: object) -> TypeGuard[float]:
    """Whether it is a figure that something can be learnt from."""
    return isinstance(figure, int | float) and not isinstance(figure, bool) and 0 < figure < math.inf


def corrected(made: Range, ratios: Sequence[float]) -> Range:
    """A figure times the median of the ratios actual/expected of n runs, drawn towards 1 as if two more had been exact.

    The median and the pull are of logarithms; the factor stays within FACTORS. From FEW runs on, the range is where the next ratio
    lies in nine of ten cases if they scatter log-normally (Student's t with n - 1 degrees of freedom), no wider than it was but to hold
    the ratios that were seen, of which an outlier counts as no further off than twice the next.
    """
    assert made.low is not None
    assert made.expected is not None
    assert made.high is not None
    logs, count = sorted(map(math.log, ratios)), len(ratios)
    factor = math.exp(count / (count + 2) * median(logs))
    factor = min(max(factor, FACTORS[0]), FACTORS[1])
    low, high = made.low * factor, made.high * factor
    if count >= FEW:
        reach = math.exp(_t95(count - 1) * max(stdev(logs), SAME_AGAIN) * math.sqrt(1 + 1 / count))
        low, high = max(low, made.expected * factor / reach), min(high, made.expected * factor * reach)
        least, most = max(logs[0], logs[1] - ALONE), min(logs[-1], logs[-2] + ALONE)
        low, high = min(low, made.expected * math.exp(least)), max(high, made.expected * math.exp(most))
    said = f"corrected by ×{factor:.2f} from {count} {'run' if count == 1 else 'runs'} like it"
    return Range(low, made.expected * factor, high, made.unit, f"{made.basis}; {said}")


def _in_proportion(other: Range, before: Range, after: Range) -> Range:
    """A figure that is reckoned from another, end by end."""

    def moved(end: str) -> float:
        was: float = getattr(before, end)
        return float(getattr(other, end) * getattr(after, end) / was) if was else float(getattr(other, end))

    low, expected, high = moved("low"), moved("expected"), moved("high")
    return Range(min(low, expected), expected, max(high, expected), other.unit, f"{other.basis}; corrected likewise")


def _t95(freedom: int) -> float:
    """The 95 % point of Student's t, by the expansion around the normal's (Abramowitz and Stegun, 26.7.5)."""
    z = 1.6448536269514722
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)

"""What a job will take at such a place: the tokens that are billed, and what that costs by dated prices.

Billed is what is counted, each row cut at the base's limit, times the epochs. Other places than OpenAI have their own
prices, which nobody knows here until the settings give one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from finetune_sdk.backend import Resolved
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.estimate import Estimate, Price, Range
from finetune_sdk.job import DPO, RFT
from finetune_sdk.messages import PreferenceExample
from finetune_sdk_openai import known
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.defaults import default_epochs
from finetune_sdk_openai.options import Options
from finetune_sdk_openai.tokens import ProtocolCounter

HOURS_A_MONTH = 730


@dataclass(frozen=True, slots=True)
class Volume:
    """Tokens of one epoch: billed, learnt, and those of prompts that a pair may be billed for twice; rows that are cut."""

    billed: int
    learnt: int
    prompts: int
    cut: tuple[int, ...]
    longest: int


def volume(data: Dataset, counter: ProtocolCounter, limit: int | None) -> Volume:
    billed = learnt = prompts = longest = 0
    cut = []
    for index, example in enumerate(data):
        count = counter.count(example)
        whole = count.total
        if limit is not None and whole > limit:
            cut.append(index)
        longest = max(longest, whole)
        kept = min(whole, limit or whole)
        billed += kept
        learnt += min(count.trained, kept)
        prompts += whole - count.trained if isinstance(example, PreferenceExample) else 0
    return Volume(billed, learnt, prompts, tuple(cut), longest)


def longest_row(base: str, address: Address) -> int | None:
    """The longest example, in tokens; known of OpenAI's own address and of Azure, which has the same models."""
    family = known.family(base)
    return family.tokens if family is not None and (address.official or address.kind == "azure") else None


def estimate(
    resolved: Resolved, address: Address, options: Options, counter: ProtocolCounter, counted: Volume, today: date
) -> Estimate:
    job = resolved.job
    epochs = _epochs(resolved)
    basis = f"{len(job.train):,} rows, {_said(epochs)}, counted by {counter.basis}"
    low, high = counter.spread
    twice = counted.prompts if isinstance(job.method, DPO) else 0
    if twice:
        basis += "; whether a pair's prompt is billed once or twice is not said"
    tokens = Range(
        round(counted.billed * low * epochs[0]), round((counted.billed + twice / 2) * epochs[1]),
        round((counted.billed + twice) * high * epochs[2]), "tokens", basis,
    )  # fmt: skip
    learnt = Range(
        round(counted.learnt * low * epochs[0]), round(counted.learnt * epochs[1]),
        round(counted.learnt * high * epochs[2]), "tokens", basis,
    )  # fmt: skip
    if isinstance(job.method, RFT):
        unknown = "reinforcement draws answers until it is done, and the place does not say how many"
        tokens = learnt = Range.unknown("tokens", unknown)
    charge, notes = _charge(resolved, address, options, tokens, today)
    return Estimate(
        tokens=tokens,
        trained_tokens=learnt,
        charge=charge,
        time=Range.unknown("s", "the place says when it will be done only once the job runs"),
        memory=Range.unknown("bytes", "the place's own machines, of which it tells nothing"),
        disk=Range(0, 0, 10_000, "bytes", "a row in the ledger; the weights stay at the place"),
        machine=Range.exactly(0.0, "USD", "no machine of your own is used"),
        resolved=resolved.to_dict(),
        notes=(*notes, *_notes(counted, address, options)),
    )


def _epochs(resolved: Resolved) -> tuple[float, float, float]:
    if resolved.method.epochs is not None:
        return (resolved.method.epochs,) * 3
    return 1.0, float(default_epochs(len(resolved.job.train))), 25.0


def _said(epochs: tuple[float, float, float]) -> str:
    low, expected, high = epochs
    if low == high:
        return f"{expected:g} {'epoch' if expected == 1 else 'epochs'}"
    return f"epochs that the place chooses (1 to 25, by its cookbook {expected:g})"


def price(base: str, address: Address, options: Options, kind: str = "training") -> Price | None:
    """The price that counts: that of the settings, or OpenAI's at OpenAI. None where nobody knows one."""
    if options.usd_per_million is not None:
        if kind != "training":
            return None
        return Price(base, kind, options.usd_per_million, "1M tokens", options.priced or date.min, "finetune.toml")
    return known.price(base, kind) if address.official else None


def asking(base: str, address: Address, options: Options, today: date) -> tuple[Price, ...]:
    """What asking a base or a model tuned from it costs: what the settings say, or OpenAI's prices at OpenAI."""
    given = {"input": options.input_usd_per_million, "output": options.output_usd_per_million}
    if None not in given.values() or options.usd_per_million == 0:
        dated = options.priced or today
        return tuple(Price(base, kind, usd or 0.0, "1M tokens", dated, "finetune.toml") for kind, usd in given.items())
    if not address.official:
        return ()
    return tuple(found for kind in given if (found := known.price(base, kind)) is not None)


def _charge(
    resolved: Resolved, address: Address, options: Options, tokens: Range, today: date
) -> tuple[Range, list[str]]:
    base = resolved.base
    if options.usd_per_million == 0:
        return Range.exactly(0.0, "USD", "finetune.toml says that this place charges nothing"), []
    if isinstance(resolved.method, RFT):
        hourly = price(base, address, options, "hour")
        if hourly is None:
            return Range.unknown("USD", f"nobody here knows what {address.url} asks for reinforcement"), []
        said = (
            f"{hourly.usd:g} USD an hour of training ({hourly.dated}, {hourly.source}), and nobody knows how many hours"
        )
        return Range.unknown("USD", said), _old(hourly, today)
    found = price(base, address, options)
    if found is None:
        why = f"nobody here knows what {address.url} asks for training {base}; set usd_per_million and priced"
        return Range.unknown("USD", why), []
    basis = f"${found.usd:g} for a million billed tokens, as of {found.dated} ({found.source})"
    if tokens.low is None or tokens.expected is None or tokens.high is None:
        return Range.unknown("USD", basis), _old(found, today)
    each = found.usd / 1e6
    return Range(tokens.low * each, tokens.expected * each, tokens.high * each, "USD", basis), _old(found, today)


def _old(found: Price, today: date) -> list[str]:
    age = found.age_days(today)
    if age <= known.STALE_DAYS:
        return []
    return [
        f"the price is {age} days old (of {found.dated}): look it up, and set usd_per_million and priced in finetune.toml"
    ]


def _notes(counted: Volume, address: Address, options: Options) -> Iterator[str]:
    if counted.cut:
        yield f"{len(counted.cut)} rows are longer than the base takes and are cut at the end; what is cut is not billed"
    if address.kind != "azure":
        return
    yield f"Azure trains it as {address.extra['trainingType']}; the model answers only once it is deployed"
    if options.hosting_usd_per_hour is None:
        yield "a deployed model is billed by the hour while it is deployed, asked or not; set hosting_usd_per_hour"
    else:
        each = options.hosting_usd_per_hour
        yield (
            f"a deployed model costs ${each:,.2f} an hour while it is deployed, asked or not: "
            f"${each * HOURS_A_MONTH:,.0f} a month"
        )


def price_list(address: Address, options: Options) -> Sequence[Price]:
    if options.usd_per_million is not None and options.base:
        own = price(options.base, address, options)
        return [own] if own is not None and options.priced is not None else []
    return list(known.prices()) if address.official else []

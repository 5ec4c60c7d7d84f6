"""What a job will take at such a place, and a model in a month: the tokens that are billed, and what they cost by dated prices.

Billed is what is counted, each row cut at the base's limit, times the epochs; reinforcement is billed by the hour. Other
places than OpenAI have their own prices, which nobody knows here until the settings give them.
"""

from __future__ import annotations

from collections.abc import Iterator

from finetune_sdk.backend import Resolved
from finetune_sdk.estimate import Estimate, Price, Range
from finetune_sdk.job import DPO, RFT
from finetune_sdk_openai import known
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.defaults import default_epochs
from finetune_sdk_openai.graders import asks_a_model
from finetune_sdk_openai.tariffs import Tariff, doubts, stated
from finetune_sdk_openai.tokens import ProtocolCounter
from finetune_sdk_openai.upkeep import HOURS_A_MONTH
from finetune_sdk_openai.volumes import Volume

_NOTHING = "finetune.toml says that this place charges nothing"


def longest_row(base: str, address: Address) -> int | None:
    """The longest example, in tokens; known of OpenAI's own address and of Azure, which has the same models."""
    family = known.family(base)
    return family.tokens if family is not None and _as_openai(address) else None


def _as_openai(address: Address) -> bool:
    return address.official or address.kind == "azure"


def estimate(
    resolved: Resolved, tariff: Tariff, counter: ProtocolCounter, train: Volume, validation: Volume | None
) -> Estimate:
    tokens, learnt = _tokens(resolved, tariff.address, counter, train, validation)
    charge, notes = _charge(resolved, tariff, tokens)
    return Estimate(
        tokens=tokens,
        trained_tokens=learnt,
        charge=charge,
        time=Range.unknown("s", "the place says when it will be done only once the job runs"),
        memory=Range.unknown("bytes", "the place's own machines, of which it tells nothing"),
        disk=Range(0, 0, 10_000, "bytes", "a row in the ledger; the weights stay at the place"),
        machine=Range.exactly(0.0, "USD", "no machine of your own is used"),
        resolved=resolved.to_dict(),
        notes=(*notes, *_notes(train, resolved.base, tariff)),
    )


def _tokens(
    resolved: Resolved, address: Address, counter: ProtocolCounter, train: Volume, validation: Volume | None
) -> tuple[Range, Range]:
    """Tokens that are billed, and those that are learnt."""
    job = resolved.job
    if isinstance(job.method, RFT):
        unknown = "reinforcement draws answers until it is done, and the place does not say how many"
        return Range.unknown("tokens", unknown), Range.unknown("tokens", unknown)
    epochs = _epochs(resolved)
    basis = f"{len(job.train):,} rows, {_said(epochs)}, counted by {counter.basis}"
    twice = train.prompts if isinstance(job.method, DPO) else 0
    if twice:
        basis += "; whether a pair's prompt is billed once or twice is not said"
    held = 0
    if validation is not None and _as_openai(address):
        basis += "; validation rows are not billed: what is billed are the training file's tokens times the epochs"
    elif validation is not None:
        held = validation.billed
        basis += "; whether validation rows are billed is not said"
    low, high = counter.spread

    def over(least: float, expected: float, most: float) -> Range:
        return Range(
            round(least * low * epochs[0]), round(expected * epochs[1]), round(most * high * epochs[2]), "tokens", basis
        )

    billed = train.billed
    return over(billed, billed + twice / 2, billed + twice + held), over(train.learnt, train.learnt, train.learnt)


def _epochs(resolved: Resolved) -> tuple[float, float, float]:
    if resolved.method.epochs is not None:
        return (resolved.method.epochs,) * 3
    return 1.0, float(default_epochs(len(resolved.job.train))), 25.0


def _said(epochs: tuple[float, float, float]) -> str:
    low, expected, high = epochs
    if low == high:
        return f"{expected:g} {'epoch' if expected == 1 else 'epochs'}"
    return f"epochs that the place chooses (1 to 25, by its cookbook {expected:g})"


def _charge(resolved: Resolved, tariff: Tariff, tokens: Range) -> tuple[Range, list[str]]:
    reinforced = isinstance(resolved.method, RFT)
    by_token = None if reinforced else tariff.price(resolved.base, "training")
    found = by_token or tariff.price(resolved.base, "hour")
    if found is None:
        what, kind = ("reinforcement on", "hour") if reinforced else ("training", "training")
        return Range.unknown("USD", tariff.unknown(resolved.base, what, kind)), []
    if found.usd == 0 and tariff.nothing:
        return Range.exactly(0.0, "USD", _NOTHING), []
    charge = _by_the_token(tokens, found) if by_token else _by_the_hour(found, tariff)
    if reinforced and asks_a_model(resolved.own["grader"]):
        charge += Range.unknown(
            "USD", "the tokens of the model that grades are billed besides, and nobody knows how many"
        )
    return charge, doubts(found, tariff)


def _by_the_token(tokens: Range, found: Price) -> Range:
    if tokens.low is None or tokens.expected is None or tokens.high is None:
        return Range.unknown("USD", stated(found))
    low, expected, high = (count * found.usd / 1e6 for count in (tokens.low, tokens.expected, tokens.high))
    return Range(low, expected, high, "USD", stated(found))


def _by_the_hour(found: Price, tariff: Tariff) -> Range:
    hours = tariff.options.hours
    if found.usd == 0:
        return Range.exactly(0.0, "USD", stated(found))
    if hours is None:
        why = f"nobody knows how many hours; give the least and the most, as in training_hours = [2, 6] under [backends.{tariff.place}]"
        return Range.unknown("USD", f"{stated(found)}; {why}")
    least, most = hours
    said = f"{least:g}" if least == most else f"{least:g} to {most:g}"
    basis = f"{stated(found)}; {said} hours, as finetune.toml says (training_hours)"
    return Range(least * found.usd, (least + most) / 2 * found.usd, most * found.usd, "USD", basis)


def _notes(train: Volume, base: str, tariff: Tariff) -> Iterator[str]:
    if train.cuts:
        yield f"{train.cuts} rows are longer than the base takes and are cut at the end; what is cut is not billed"
    if tariff.address.kind != "azure":
        return
    yield f"Azure trains it as {tariff.address.extra['trainingType']}; the model answers only once it is deployed"
    hosting = tariff.price(base, "hosting")
    if hosting is None:
        yield "a deployed model is billed by the hour while it is deployed, asked or not; set hosting_usd_per_hour"
    else:
        yield (
            f"a deployed model costs ${hosting.usd:,.2f} an hour while it is deployed, asked or not: "
            f"${hosting.usd * HOURS_A_MONTH:,.0f} a month"
        )

"""What a model costs in a month at such a place: its answers by the token, and its hosting by the hour, asked or not."""

from __future__ import annotations

from dataclasses import replace

from finetune_sdk.estimate import Price, Range, Upkeep, Usage
from finetune_sdk_openai import known
from finetune_sdk_openai.tariffs import Tariff, doubts, stated

HOURS_A_MONTH = 730
CACHED_FROM = 1_024  # tokens; OpenAI reads no shorter prompt from its cache
_DEVELOPER = (
    "a Developer deployment costs nothing by the hour, and is taken away after 24 hours "
    "(Microsoft's page on testing tuned models, looked up on 2026-11-22)"
)
_PER_TOKEN = (
    "a base in a pay-per-token deployment costs nothing by the hour (Microsoft's page on deployment models, looked up on "
    "2026-11-22)"
)


def upkeep(base: str, usage: Usage, tariff: Tariff, *, tuned: bool) -> Upkeep:
    inference, asked = _inference(base, usage, tariff, tuned)
    hosting, hosted = _hosting(base, tariff, tuned)
    notes = [note for price in (*asked, *hosted) for note in doubts(price, tariff)]
    family = known.family(base)
    if tariff.address.official and family is not None and family.shutdown is not None:
        notes.append(f"{tariff.place} shuts {known.plain(base)} and what is tuned from it down on {family.shutdown}")
    return Upkeep(inference, hosting, tuple(dict.fromkeys(notes)))


def _inference(base: str, usage: Usage, tariff: Tariff, tuned: bool) -> tuple[Range, list[Price]]:
    said = f"{usage.answers:,.0f} answers of {usage.input_tokens:,.0f} tokens read and {usage.output_tokens:,.0f} written ({usage.basis})"
    if usage.answers == 0:
        return Range.exactly(0.0, "USD", "nothing is asked, and nothing is charged for that"), []
    kinds = ("input", "cached", "output") if tuned else ("base_input", "base_cached", "base_output")
    reading, again, writing = (tariff.price(base, kind) for kind in kinds)
    if reading is None or writing is None:
        missing = [kind for kind, found in zip(kinds, (reading, again, writing), strict=True) if found is None]
        what = "answers of a model tuned from" if tuned else "answers of"
        wanted = [kind for kind in missing if not kind.endswith("cached")]
        return Range.unknown("USD", f"{said}; {tariff.unknown(base, what, *wanted)}"), []
    basis = f"{said}; {stated(reading)}; {stated(writing)}"
    asked, given = (
        usage.read.scaled(reading.usd / 1e6, "USD", basis),
        usage.written.scaled(writing.usd / 1e6, "USD", basis),
    )
    whole = asked + given
    if again is None or again.usd >= reading.usd or usage.input_tokens < CACHED_FROM:
        return whole, [reading, writing]
    cached = usage.read.scaled(again.usd / 1e6, "USD", basis) + given
    basis += f"; the low end where all that is read is cached: {stated(again)}"
    return replace(whole, low=cached.low, basis=basis), [reading, writing, again]


def _hosting(base: str, tariff: Tariff, tuned: bool) -> tuple[Range, list[Price]]:
    azure = tariff.address.kind == "azure"
    if not tuned and azure:
        return Range.exactly(0.0, "USD", _PER_TOKEN), []
    if tuned and azure and tariff.options.deployment_sku.lower().startswith("developer"):
        return Range.exactly(0.0, "USD", _DEVELOPER), []
    if not tuned and tariff.address.official:
        return Range.exactly(
            0.0, "USD", "a base that is not tuned is there for everybody, and is not hosted for you"
        ), []
    found = tariff.price(base, "hosting")
    if found is None:
        return Range.unknown("USD", tariff.unknown(base, "hosting", "hosting")), []
    basis = f"{HOURS_A_MONTH} hours a month; {stated(found)}"
    return Range.exactly(found.usd * HOURS_A_MONTH, "USD", basis), [found]

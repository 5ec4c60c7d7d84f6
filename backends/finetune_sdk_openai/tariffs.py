"""Which price counts at a place: those of finetune.toml before OpenAI's own, which hold at OpenAI alone. None is ever guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from urllib.parse import urlsplit

from finetune_sdk.estimate import Price
from finetune_sdk.prices import UNITS, is_stale
from finetune_sdk_openai import known
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.options import Options

_FILE = "finetune.toml"
_WORDS = {
    "training": "usd_per_million", "input": "input_usd_per_million", "base_input": "input_usd_per_million",
    "output": "output_usd_per_million", "base_output": "output_usd_per_million", "hosting": "hosting_usd_per_hour",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a place charges, as of `today`. `place` is its name in the settings."""

    place: str
    address: Address
    options: Options
    today: date

    @property
    def nothing(self) -> bool:
        """Whether finetune.toml says that this place charges nothing. At OpenAI and Azure themselves, that is training alone."""
        theirs = self.address.official or (urlsplit(self.address.url).hostname or "").endswith(".azure.com")
        return self.options.usd_per_million == 0 and not theirs

    def price(self, base: str, kind: str) -> Price | None:
        """What counts for a base: its own row of finetune.toml, the word there for all bases, or OpenAI's price at OpenAI."""
        return self._row(base, kind) or self._word(base, kind) or self._known(base, kind)

    def _row(self, base: str, kind: str) -> Price | None:
        family = known.family(base)
        names = [base, known.plain(base), *([family.name] if family else ())]
        rows = {row.model: row for row in self.options.prices if row.kind == kind}
        return next((rows[name] for name in names if name in rows), None)

    def _word(self, base: str, kind: str) -> Price | None:
        """The price that one word of the place's table gives for all bases."""
        word = _WORDS.get(kind)
        usd = getattr(self.options, word) if word else None
        if usd is None and self.nothing and self._silent(kind):
            usd = 0.0
        if usd is None:
            return None
        dated = self.options.priced
        return Price(base, kind, usd, UNITS[kind], dated or self.today, _FILE if dated else f"{_FILE}, without a day")

    def _silent(self, kind: str) -> bool:
        """Whether nothing is set besides: a place that trains for nothing may still charge for what is set."""
        asking = (self.options.input_usd_per_million, self.options.output_usd_per_million)
        return kind in ("hour", "hosting") or asking == (None, None)

    def _known(self, base: str, kind: str) -> Price | None:
        return known.price(base, kind) if self.address.official else None

    def asking(self, name: str, *, tuned: bool) -> tuple[Price, ...]:
        """What an answer of a model costs, by the kinds "input" and "output", as far as it is known."""
        kinds = ("input", "output") if tuned else ("base_input", "base_output")
        found = (self.price(name, kind) for kind in kinds)
        return tuple(replace(one, kind=one.kind.removeprefix("base_")) for one in found if one is not None)

    def unknown(self, base: str, what: str, *kinds: str) -> str:
        """That a price is not known, and how to give one."""
        words = dict.fromkeys(_WORDS[kind] for kind in kinds if kind in _WORDS)
        said = f"{' and '.join((*words, 'priced'))}, or " if words else ""
        row = " and ".join(f'kind = "{kind}"' for kind in kinds)
        return (
            f"nobody here knows what {self.address.url} asks for {what} {base}; set {said}"
            f'[[backends.{self.place}.prices]] with model = "{known.plain(base)}" and {row} in finetune.toml'
        )

    def everything(self) -> Iterator[Price]:
        """All prices that count here, the settings' own first."""
        yield from self.options.prices
        words = [found for kind in _WORDS if (found := self._word(self.options.base or "any base", kind)) is not None]
        yield from (found for found in words if self._row(found.model, found.kind) is None)
        if self.address.official:
            said = {found.kind for found in words}
            yield from (
                one for one in known.prices() if one.kind not in said and self._row(one.model, one.kind) is None
            )


def stated(price: Price) -> str:
    """`$5 for a million billed tokens, as of 2025-12-01 (…)`."""
    what = {
        "training": "for a million billed tokens", "hour": "an hour of training", "hosting": "an hour of hosting",
        "input": "for a million tokens read", "base_input": "for a million tokens read",
        "output": "for a million tokens written", "base_output": "for a million tokens written",
        "cached": "for a million tokens read again", "base_cached": "for a million tokens read again",
    }[price.kind]  # fmt: skip
    return f"${price.usd:g} {what}, as of {price.dated} ({price.source})"


def doubts(price: Price, tariff: Tariff) -> list[str]:
    """What is to be said of a price that is old, or of a day that has not come."""
    age = price.age_days(tariff.today)
    if age < 0:
        return [
            f"a price is of {price.dated}, which has not come by this machine's clock ({tariff.today}): set the clock"
        ]
    if not is_stale(price, tariff.today):
        return []
    word = _WORDS.get(price.kind)
    mend = f"set {word} and priced" if word else "give it"
    said = f"the price of {price.kind} is {age} days old (of {price.dated}): look it up, and {mend} in finetune.toml"
    return [f"{said}, or as [[backends.{tariff.place}.prices]]"]

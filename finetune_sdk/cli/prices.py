"""finetune prices: what a place charges, how old that is, and whether the price lists make sense."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune_sdk.cli.options import AsJson, BackendName, ConfigPath
from finetune_sdk.cli.screen import Screen, screen, table

if TYPE_CHECKING:
    from pathlib import Path

    from finetune_sdk.estimate import Price
    from finetune_sdk.prices import Fault
    from finetune_sdk.settings import Settings

_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_HOW = "[[backends.{}.prices]] in finetune.toml, with model, kind, usd, unit, dated and source"


def prices(
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="NAME", help="Only of models whose name begins so, or of a tuned model's base."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look for mistakes in the price lists, of one place or of all that are set.")
    ] = False,
    backend: BackendName = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List what a place charges: each price with its day, its age and its source.

    With --check the exit status is 1 where a price makes no sense; one older than 90 days is a warning.
    """
    with screen(as_json) as out:
        from finetune_sdk.settings import Settings

        settings = Settings.load(backend, file=config)
        today = date.today()
        if check:
            sound = _check(out, settings, sorted({backend} if backend else {settings.backend, *settings.places}), today)
        else:
            _list(out, settings, model, today)
            sound = True
    if not sound:
        raise typer.Exit(1)


def _list(out: Screen, settings: Settings, model: str | None, today: date) -> None:
    from finetune_sdk.prices import STALE_DAYS, is_stale

    place = settings.backend
    known = (price for price in _prices(settings, place) if model is None or _is_of(price, model))
    found = sorted(known, key=lambda price: price.model)
    if found:
        head = ("model", "kind", "USD", "for", "as of", "age", "source")
        out.show(f"prices at {place}, as far as they are known", table(head, (_cells(price, today) for price in found)))
    else:
        of = f" of {model}" if model else ""
        out.show(f"{place} states no price{of}; a provider's is given as {_HOW.format(place)}")
    stale = sum(is_stale(price, today) for price in found)
    if stale:
        out.show(
            f"warning: {stale} of these are older than {STALE_DAYS} days; look them up, and give them as {_HOW.format(place)}"
        )
    out.answer({"backend": place, "prices": [_row(price, today) for price in found]})


def _check(out: Screen, settings: Settings, places: Sequence[str], today: date) -> bool:
    """Shows all that is wrong with the price lists of the places; whether nothing is."""
    from finetune_sdk.errors import FinetuneError, SettingsError
    from finetune_sdk.prices import Fault, is_stale

    faults: list[Fault] = []
    stale: list[tuple[str, Price]] = []
    misspelt: list[tuple[str, str, str]] = []
    count = 0
    for place in places:
        own = _faults_of_the_file(settings, place, today)
        faults += own
        try:
            known = _prices(settings, place)
        except SettingsError as fault:
            if not own:
                faults.append(Fault(place, fault.message, fault.cure or "mend it"))
            continue
        except FinetuneError as fault:
            out.say(f"{place} is left out: {fault.message}")
            continue
        count += len(known)
        faults += [_of_tomorrow(place, price, today) for price in known if price.age_days(today) < 0]
        stale += [(place, price) for price in known if is_stale(price, today)]
        misspelt += [(place, *names) for names in _misspelt(settings, place)]
    for wrong in faults:
        out.show(f"error: {wrong.where}: {wrong.message}", f"  cure: {wrong.cure}")
    for line in _old(stale, today):
        out.show(f"warning: {line}")
    for place, name, meant in misspelt:
        out.show(
            f"warning: {place}: finetune.toml has a price of {name!r}, which is no model that is known there: is {meant!r} meant?"
        )
    out.show(f"{count} prices of {', '.join(places)}: {len(faults)} wrong, {len(stale)} old")
    out.answer({
        "places": list(places), "prices": count, "faults": [wrong.to_dict() for wrong in faults],
        "stale": [{"backend": place, **_row(price, today)} for place, price in stale],
        "misspelt": [{"backend": place, "model": name, "meant": meant} for place, name, meant in misspelt],
    })  # fmt: skip
    return not faults


def _old(stale: Sequence[tuple[str, Price]], today: date) -> Iterator[str]:
    """A line for those of a place that are of one day and one source."""
    together: defaultdict[tuple[str, date, str], list[Price]] = defaultdict(list)
    for place, price in stale:
        together[place, price.dated, price.source].append(price)
    for (place, dated, source), prices in together.items():
        first = prices[0]
        what = f"the {first.kind} price of {first.model} is" if len(prices) == 1 else f"{len(prices)} prices are"
        yield f"{place}: {what} {first.age_days(today)} days old (of {dated}, {source})"


def _misspelt(settings: Settings, place: str) -> Iterator[tuple[str, str]]:
    """The models of a place's own rows that nothing there is called, though something is nearly: a price that counts for nobody."""
    table = settings.place(place)
    own = {str(row["model"]) for row in table.get("prices") or () if isinstance(row, dict) and "model" in row}
    if not own:
        return
    base = table.get("base")
    names = {price.model for price in _prices(settings, place, own=False)} | (
        {base} if isinstance(base, str) else set()
    )
    names |= {_DATED.sub("", name) for name in names}
    for model in sorted(own - names):
        near = get_close_matches(model, sorted(names), 1, cutoff=0.85)
        if near:
            yield model, near[0]


def _faults_of_the_file(settings: Settings, place: str, today: date) -> tuple[Fault, ...]:
    """What is wrong with the price list of a place in finetune.toml, whatever reads it."""
    from finetune_sdk.prices import read

    rows = settings.place(place).get("prices")
    if rows is None:
        return ()
    return read(rows, f"{_name(settings.file)} [[backends.{place}.prices]]", today)[1]


def _name(file: Path | None) -> str:
    return str(file) if file else "finetune.toml"


def _of_tomorrow(place: str, price: Price, today: date) -> Fault:
    from finetune_sdk.prices import Fault

    said = f"it is of {price.dated}, which has not come yet: today is {today} by this machine's clock."
    return Fault(f"{place} ({price.model}, {price.kind})", said, "mend the date, or the clock")


def _prices(settings: Settings, place: str, *, own: bool = True) -> Sequence[Price]:
    """What the place charges, with the rows of finetune.toml or without them."""
    from finetune_sdk.backend import Place, open_backend

    table = {name: value for name, value in settings.place(place).items() if own or name != "prices"}
    return open_backend(Place(place, table, settings.home)).prices()


def _is_of(price: Price, model: str) -> bool:
    """Whether the price is of a model whose name begins so, or of the base in a tuned model's name."""
    return price.model.startswith(model) or price.model in model.replace(".ft-", ":").split(":")


def _row(price: Price, today: date) -> dict[str, Any]:
    from finetune_sdk.prices import is_stale

    return {
        "model": price.model, "kind": price.kind, "usd": price.usd, "unit": price.unit, "dated": price.dated.isoformat(),
        "source": price.source, "age_days": price.age_days(today), "stale": is_stale(price, today),
    }  # fmt: skip


def _cells(price: Price, today: date) -> tuple[str, ...]:
    from finetune_sdk.prices import is_stale

    age = price.age_days(today)
    said = f"{age} {'day' if age == 1 else 'days'}{', old' if is_stale(price, today) else ''}"
    return (price.model, price.kind, f"{price.usd:g}", price.unit, price.dated.isoformat(), said, price.source)

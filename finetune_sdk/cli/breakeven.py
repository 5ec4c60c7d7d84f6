"""What `finetune estimate` says beyond an estimate: places side by side, a month's cost, and when a training is paid back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from finetune_sdk.cli.screen import Screen, plain, table
from finetune_sdk.cli.waiting import waiting
from finetune_sdk.errors import FinetuneError, InputError, SettingsError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from finetune_sdk.breakeven import BreakEven
    from finetune_sdk.client import Client
    from finetune_sdk.data.dataset import Dataset
    from finetune_sdk.estimate import Estimate, Range, Upkeep
    from finetune_sdk.jobfile import JobFile
    from finetune_sdk.jobfile.tables import BreakEvenTable

_MOST = 1e12
_EVERYWHERE = {"--answers", "--input-tokens", "--output-tokens"}
_PLAN = ("months", "retrainings", "hours", "retraining_hours", "usd_per_hour", "storage", "hosting")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked beyond the estimate: by the job file's `break_even`, over which options go.

    `models` are the rivals: a name for each, the model, and its place (None for the job's own). `options` are those that were given.
    """

    answers: float | None
    models: tuple[tuple[str, str, str | None], ...] = ()
    prompt_tokens: int | None = None
    tokens: tuple[float | None, float | None] = (None, None)
    plan: Mapping[str, Any] = field(default_factory=dict)
    plot: Path | None = None
    markdown: Path | None = None
    options: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        table: BreakEvenTable | None,
        options: Mapping[str, Any],
        against: Sequence[str],
        plot: Path | None,
        markdown: Path | None,
    ) -> Self:
        """Raises InputError where options contradict each other, or nothing can be written where they say."""
        given = {name: value for name, value in options.items() if value is not None}
        named = [f"--{name.replace('_', '-')}" for name in given] + ["--against"] * bool(against)
        if table is None and "answers" not in given and (named or plot):
            raise InputError(
                f"{named[0] if named else '--plot'} is about a month, and nobody has said how often the model is asked in one.",
                cure="give --answers N, or `break_even: {answers: N}` in the job file",
            )
        for file, ending in ((plot, ".svg"), (markdown, ".md")):
            if file is not None:
                _writable(file, ending)
        held = table.model_dump(exclude={"against"}, exclude_unset=True) if table is not None else {}
        models = [(name, one.model, one.backend) for name, one in ((table and table.against) or {}).items()]
        both = held | given
        for name, value in both.items():
            least = "more than 0" if name in ("answers", "prompt_tokens") else "0 or more"
            if value is not None and not (0 <= value <= _MOST and (value or least == "0 or more")):
                where = f"--{name.replace('_', '-')}" if name in given else f"break_even.{name}:"
                raise InputError(
                    f"{where} {value:g} cannot be reckoned with.", cure=f"give {least}, and at most {_MOST:g}"
                )
        return cls(
            both.get("answers"), (*models, *map(_rival, against)), both.get("prompt_tokens"),
            (both.get("input_tokens"), both.get("output_tokens")),
            {name: both[name] for name in _PLAN if both.get(name) is not None}, plot, markdown,
            (*named, *(["--plot"] if plot else [])),
        )  # fmt: skip


def _writable(file: Path, ending: str) -> None:
    what = f"--{'plot' if ending == '.svg' else 'markdown'}"
    if file.suffix.lower() != ending:
        raise InputError(f"{what} {file} does not end in {ending}.", cure=f"choose a name that ends in {ending}")
    if file.is_dir() or not os.access(file.absolute().parent, os.W_OK):
        raise InputError(f"{what} {file} cannot be written.", cure="make its folder, or choose another")


def _rival(given: str) -> tuple[str, str, str | None]:
    model, at, place = given.rpartition("@") if "@" in given else (given, "", "")
    if not model or (at and not place):
        raise InputError(f"--against {given!r} names no model.", cure="write MODEL, or MODEL@BACKEND")
    return (f"{model} at {place}" if place else model), model, place or None


def broken_even(
    job_file: JobFile, client: Client, made: Estimate, wanted: Wanted, config: Path | None, out: Screen
) -> dict[str, Any]:
    """Shows what a month costs and when the training is paid back; returns it as plain data."""
    from finetune_sdk.breakeven import Plan, break_even
    from finetune_sdk.places import upkeep, usage
    from finetune_sdk.report.costs import asked

    assert wanted.answers is not None
    base, rows = client.resolve(job_file.job()).base, _rows(job_file)
    use = usage(client, base, rows, wanted.answers, *wanted.tokens)
    rivals: dict[str, Upkeep] = {}
    if wanted.prompt_tokens:
        name = f"{base} with {wanted.prompt_tokens:,} more tokens of prompt"
        rivals[name] = upkeep(client, base, use.longer(wanted.prompt_tokens).as_counted, tuned=False)
    for name, found in _rivals(client, base, wanted, rows, config):
        if name in rivals:
            raise InputError(f"{name} is compared with twice.", cure="name it once")
        rivals[name] = found
    plan = Plan(
        answers=use.answers,
        training=_training(made),
        tuned=upkeep(client, base, use.as_counted),
        rivals=rivals,
        **wanted.plan,
    )
    reckoned = break_even(plan)
    out.show("", asked(use.to_dict()), *shown(reckoned))
    return {"usage": use.to_dict(), "break_even": reckoned.to_dict()}


def _training(made: Estimate) -> Range:
    """Charge and machine; where one is unknown, so is the sum, for that one's reason alone."""
    unknown = [part for part in (made.charge, made.machine) if not part.known]
    return unknown[0] if unknown else made.charge + made.machine


def _rows(job_file: JobFile) -> Dataset:
    """The rows that are most like what will be asked."""
    train, validation, test = job_file.datasets()
    return next(rows for rows in (test, validation, train) if rows is not None and len(rows))


def _rivals(
    client: Client, base: str, wanted: Wanted, rows: Dataset, config: Path | None
) -> Iterator[tuple[str, Upkeep]]:
    from finetune_sdk.client import Client
    from finetune_sdk.estimate import Range, Upkeep
    from finetune_sdk.places import known_places, upkeep, usage

    assert wanted.answers is not None
    known_places([place for _, _, place in wanted.models if place is not None], config)
    for name, model, place in wanted.models:
        if model == base and place in (None, client.name):
            raise InputError(
                f"{name} is the base itself.",
                cure="name another model, or give --prompt-tokens for the base with a longer prompt",
            )
        try:
            there = client if place in (None, client.name) else Client(place, config=config)
            use = usage(there, model, rows, wanted.answers, *wanted.tokens)
            found = upkeep(there, model, use.as_counted, tuned=False)
        except SettingsError:
            raise
        except FinetuneError as fault:
            why = f"{fault.message.rstrip('.')}{f'; {fault.cure}' if fault.cure else ''}"
            found = Upkeep(Range.unknown("USD", why), Range.unknown("USD", why))
        yield name, found


def shown(found: BreakEven) -> list[RenderableType]:
    """The parts that add up, each rival in a row and in a sentence, and what is not counted."""
    from finetune_sdk.breakeven import in_words, spread

    rows = []
    for name, total, split in (("up front", found.up_front, found.first), ("a month", found.a_month, found.month)):
        rows.append((name, str(total), ""))
        rows += [(f"  {part}", str(figure), figure.basis) for part, figure in split.items()]
    parts: list[RenderableType] = ["", table(("the tuned model", "low - high", "rests on"), rows)]
    if found.against:
        months = found.plan.months
        head = ["", *(row.name for row in found.against)]
        lines = [
            ("costs a month", [str(row.month) for row in found.against]),
            ("tuning saves a month", [str(row.saving) for row in found.against]),
            (f"saved in {months} months", [str(row.balance) for row in found.against]),
            ("paid back after months", [spread(row.months) for row in found.against]),
            ("pays with answers a month", [in_words(row.windows) for row in found.against]),
        ]
        parts += ["", _columns(head, lines), "", *map(str, found.against)]
    else:
        parts += ["", "to see when its training is paid back, give --against MODEL or --prompt-tokens N"]
    return [*parts, *(f"note: {note}" for note in found.notes)]


def side_by_side(
    job_file: JobFile,
    names: str,
    backend: str | None,
    config: Path | None,
    asked: Mapping[str, Any],
    wanted: Wanted,
    out: Screen,
) -> dict[str, Any]:
    """Shows the same job at each place; returns it as plain data. Raises InputError where no place takes it."""
    from finetune_sdk.places import compare

    alone = [option for option in wanted.options if option not in _EVERYWHERE]
    if alone:
        raise InputError(f"{alone[0]} is about one place, and --compare names several.", cure="leave one of them out")
    places = [name.strip() for name in names.split(",")]
    if not all(places):
        raise InputError(f"--compare {names!r} has an empty name.", cure="write it as in --compare openai,local")
    if backend is not None and backend not in places:
        places = [backend, *places]
    job = job_file.job()
    with waiting(f"estimating {job_file.path.name} at {len(places)} places"):
        offers = compare(
            places, job, answers=wanted.answers, rows=_rows(job_file), tokens=wanted.tokens, config=config, **asked
        )
    if all(offer.estimate is None for offer in offers):
        told = "; ".join(f"{offer.place}: {offer.refused}" for offer in offers)
        raise InputError(f"no place takes the job. {told}", cure=offers[0].cure)
    told_of = [offer.to_dict() for offer in offers]
    out.show(job_file.table.name, *_shown_together(told_of))
    return {"job": job_file.table.name, "places": told_of}


def _columns(head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> RenderableType:
    """What stands side by side: each column but the first gives way where there is little room."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    made.add_column(head[0], no_wrap=True)
    for title in head[1:]:
        made.add_column(Text(plain(title)), overflow="fold", max_width=44)
    for name, cells in rows:
        made.add_row(name, *(Text(plain(cell)) for cell in cells))
    return made


def _shown_together(places: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    from finetune_sdk.report.costs import side_by_side as rows_of

    yield _columns(["", *(place["place"] for place in places)], rows_of(places))
    for place in places:
        if place["error"] and place["error"]["cure"]:
            yield f"{place['place']}: {place['error']['cure']}"
        for figure in ("charge", "machine"):
            if place["estimate"] and place["estimate"][figure]["low"] is None:
                yield f"{place['place']}: the {figure} is unknown: {place['estimate'][figure]['basis']}"
        for part in ("inference", "hosting"):
            if place["upkeep"] and place["upkeep"][part]["low"] is None:
                yield f"{place['place']}: {part} is unknown: {place['upkeep'][part]['basis']}"
        for note in (*place["notes"], *(place["estimate"] or {"notes": ()})["notes"]):
            yield f"{place['place']}: note: {note}"


def write(value: Mapping[str, Any], wanted: Wanted, out: Screen) -> None:
    """The files that were asked for."""
    from finetune_sdk.files import whole
    from finetune_sdk.report.costs import as_markdown, chart

    if wanted.plot is not None:
        title = f"{value['job']}: what {wanted.answers:,.10g} answers a month cost"
        drawn = chart(title, value["break_even"])
        if drawn is None:
            raise InputError(
                "there is nothing to draw: every cost is unknown.", cure="the table says which price to give, and where"
            )
        with whole(wanted.plot) as page:
            page.write(drawn.encode())
        out.show(f"plot: {wanted.plot}")
    if wanted.markdown is not None:
        with whole(wanted.markdown) as page:
            page.write(as_markdown(value).encode())
        out.show(f"markdown: {wanted.markdown}")

"""finetune estimate: what a job will take, before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune_sdk.cli.options import AsJson, BackendName, ConfigPath, History, MaybeJobPath
from finetune_sdk.cli.screen import screen, table
from finetune_sdk.cli.waiting import waiting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from finetune_sdk.estimate import Estimate

_PLACES, _PAYS, _FILES = "Another card, other places", "Break-even", "Files"
_GPU = "For a card that need not be here, as in 'H100 80GB'."
_PROBE = "Take a few steps of it first, and estimate from those."
_COMPARE = "The same job at each of these places, side by side."
_ANSWERS = "How many answers a month the model is to give: what that costs, and when a training is paid back."
_AGAINST = "A bigger model that would be asked instead. May stand several times."
_PROMPT = "The base with so many more tokens of prompt, instead."
_INPUT = "Tokens read for an answer; the mean of the job's rows when left out."
_OUTPUT = "Tokens written in an answer; likewise."
_MONTHS = "How far to look.  [default: 12]"
_AGAIN = "Retrainings a year.  [default: 4]"
_HOURS = "People's hours for the first training."
_MORE = "And for each retraining; as many when left out."
_WAGE = "What an hour of people costs."
_STORAGE = "What storage costs a month."
_HOSTING = "What keeping the tuned model ready costs a month; what its place says when left out."
_PLOT = "Draw what each has cost, month by month."
_MARKDOWN = "Write all of it as Markdown, too."


def _option(name: str, metavar: str, told: str, panel: str = _PAYS) -> Any:
    return typer.Option(name, metavar=metavar, help=told, show_default=False, rich_help_panel=panel)


def estimate(
    file: MaybeJobPath = None,
    backend: BackendName = None,
    history: History = False,
    config: ConfigPath = None,
    gpu: Annotated[str | None, _option("--gpu", "NAME", _GPU, _PLACES)] = None,
    probe: Annotated[bool, typer.Option("--probe", help=_PROBE, rich_help_panel=_PLACES)] = False,
    compare: Annotated[str | None, _option("--compare", "NAME,…", _COMPARE, _PLACES)] = None,
    answers: Annotated[float | None, _option("--answers", "N", _ANSWERS)] = None,
    against: Annotated[list[str] | None, _option("--against", "MODEL[@BACKEND]", _AGAINST)] = None,
    prompt_tokens: Annotated[int | None, _option("--prompt-tokens", "N", _PROMPT)] = None,
    input_tokens: Annotated[float | None, _option("--input-tokens", "N", _INPUT)] = None,
    output_tokens: Annotated[float | None, _option("--output-tokens", "N", _OUTPUT)] = None,
    months: Annotated[int | None, _option("--months", "N", _MONTHS)] = None,
    retrainings: Annotated[float | None, _option("--retrainings", "N", _AGAIN)] = None,
    hours: Annotated[float | None, _option("--hours", "N", _HOURS)] = None,
    retraining_hours: Annotated[float | None, _option("--retraining-hours", "N", _MORE)] = None,
    usd_per_hour: Annotated[float | None, _option("--usd-per-hour", "USD", _WAGE)] = None,
    storage: Annotated[float | None, _option("--storage", "USD", _STORAGE)] = None,
    hosting: Annotated[float | None, _option("--hosting", "USD", _HOSTING)] = None,
    plot: Annotated[Path | None, _option("--plot", "FILE.SVG", _PLOT, _FILES)] = None,
    markdown: Annotated[Path | None, _option("--markdown", "FILE.MD", _MARKDOWN, _FILES)] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a job will take: money, time, memory and tokens, each a range with its basis. Nothing is sent.

    With --compare at several places; with --answers also what the model costs in a month, and when its training is paid back.
    """
    with screen(as_json) as out:
        from finetune_sdk.cli.breakeven import Wanted, broken_even, side_by_side, write
        from finetune_sdk.cli.history import history as show_history
        from finetune_sdk.cli.history import require_one
        from finetune_sdk.client import Client
        from finetune_sdk.jobfile import JobFile

        about_a_job = {
            "gpu": gpu, "probe": probe, "compare": compare, "answers": answers, "against": against or None,
            "prompt_tokens": prompt_tokens, "input_tokens": input_tokens, "output_tokens": output_tokens, "months": months,
            "retrainings": retrainings, "hours": hours, "retraining_hours": retraining_hours, "usd_per_hour": usd_per_hour,
            "storage": storage, "hosting": hosting, "plot": plot, "markdown": markdown,
        }  # fmt: skip
        require_one(file, history, about_a_job)
        if file is None:
            show_history(Client(backend, config=config), out)
            return
        job_file = JobFile.load(file)
        wanted = Wanted.of(
            job_file.table.break_even,
            {"answers": answers, "prompt_tokens": prompt_tokens, "input_tokens": input_tokens, "output_tokens": output_tokens,
             "months": months, "retrainings": retrainings, "hours": hours, "retraining_hours": retraining_hours,
             "usd_per_hour": usd_per_hour, "storage": storage, "hosting": hosting},
            against or (), plot, markdown,
        )  # fmt: skip
        if compare is not None:
            value = side_by_side(job_file, compare, backend, config, {"gpu": gpu, "probe": probe}, wanted, out)
            write(value, wanted, out)
            out.answer(value)
            return
        client = Client(backend, config=config)
        with waiting(f"estimating {file.name}"):
            made = client.estimate(job_file.job(), gpu=gpu, probe=probe)
        out.show(f"{job_file.table.name} at {client.name}", *shown(made))
        value = {"job": job_file.table.name, "backend": client.name, "estimate": made.to_dict()}
        if wanted.answers is not None:
            with waiting("counting the tokens of an answer"):
                value |= broken_even(job_file, client, made, wanted, config, out)
            if gpu is not None and hosting is None:
                out.say(
                    f"what hosting costs is what {client.name} says of itself, not of {gpu}: give --hosting for that"
                )
        write(value, wanted, out)
        out.answer(value)


def shown(made: Estimate) -> list[RenderableType]:
    """The ranges with what each rests on, what the place filled in, and the notes."""
    rows = [(name.replace("_", " "), str(getattr(made, name)), getattr(made, name).basis) for name in made.RANGES]
    parts: list[RenderableType] = [table(("", "low - high", "rests on"), rows)]
    if made.resolved:
        parts.append(f"will run: {resolved_in_words(made.resolved)}")
    return [*parts, *(f"note: {note}" for note in made.notes)]


def resolved_in_words(resolved: Mapping[str, Any]) -> str:
    """`base tiny, sft (epochs 3, …), lora (rank 16, …), seed 7; chosen by the place: batch_size, …`."""
    parts = [f"base {resolved.get('base', '?')}"]
    for name in ("method", "adapter"):
        values = dict(resolved.get(name) or {})
        if not values:
            parts.append(f"{name} of the place's choice")
            continue
        kind = values.pop("kind", name)
        inside = ", ".join(f"{key} {_in_words(value)}" for key, value in values.items())
        parts.append(f"{kind} ({inside})" if inside else kind)
    parts += [f"seed {resolved['seed']}"] if "seed" in resolved else []
    parts += [f"{key} {_in_words(value)}" for key, value in (resolved.get("own") or {}).items()]
    chosen = f"; chosen by the place: {', '.join(resolved['chosen'])}" if resolved.get("chosen") else ""
    return ", ".join(parts) + chosen


def _in_words(value: object) -> str:
    """`0.0002`, `a and b`, and of a table its kind with what it was given: `exact_match (field answer)`."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return " and ".join(map(_in_words, value)) or "none"
    if isinstance(value, Mapping):
        given = {key: each for key, each in value.items() if key != "kind" and each not in (None, [], {}, ())}
        said = ", ".join(f"{key} {_in_words(each)}" for key, each in given.items())
        return " ".join(filter(None, (str(value.get("kind", "")), f"({said})" if said else ""))) or "none"
    return str(value)


def beside(made: Estimate | None, actual: Mapping[str, Any] | None) -> RenderableType:
    """Estimate and actual figures side by side."""
    from finetune_sdk.estimate import quantity

    rows = []
    for name, value in (actual or {}).items():
        expected = getattr(made, name, None) if made else None
        figure = quantity(value, expected.unit) if expected is not None else f"{value:g}"
        held = "" if expected is None or not expected.known else "within" if expected.holds(value) else "outside"
        rows.append((name.replace("_", " "), str(expected) if expected is not None else "", figure, held))
    return table(("", "estimate", "actual", ""), rows)

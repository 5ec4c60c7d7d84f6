"""The arguments and options that commands share, so that each is spelt, explained and completed once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer


def _backends(typed: str) -> list[str]:
    from importlib.metadata import entry_points

    return sorted(point.name for point in entry_points(group="finetune_sdk.backends") if point.name.startswith(typed))


def columns(given: list[str] | None) -> dict[str, str] | None:
    """`prompt=question,completion=answer`, or one option for each; None where there is none. Raises InputError.

    A name may hold `=`, and commas that no `KEY=` follows.
    """
    from finetune_sdk.errors import InputError

    found: dict[str, str] = {}
    for part in (part for option in given or () for part in re.split(r",(?=\s*\w+=)", option)):
        key, equals, name = part.partition("=")
        key = key.strip()
        if not (key and equals and name):
            raise InputError(f"--columns {part!r} names no column.", cure="write KEY=NAME, as in prompt=question")
        if key in found:
            raise InputError(f"--columns names {key!r} twice.", cure="keep one")
        found[key] = name
    return found or None


def _runs(typed: str) -> list[str]:
    from finetune_sdk.errors import FinetuneError
    from finetune_sdk.ledger import Ledger
    from finetune_sdk.settings import Settings

    try:
        entries = Ledger(Settings.load().home).entries()
    except FinetuneError:  # a shell that completes must not say what is wrong
        return []
    ids = (f"{entry.place}:{entry.run}" for entry in entries if entry.run)
    return [run for run in ids if run.startswith(typed)]


MaybeJobPath = Annotated[Path | None, typer.Argument(metavar="JOB.YAML", help="The job file.", show_default=False)]
JobPath = Annotated[Path, typer.Argument(metavar="JOB.YAML", help="The job file.", show_default=False)]
RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, as in local:7f3a….", autocompletion=_runs, show_default=False)
]
BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend", metavar="NAME", help="Where to run, instead of what is set.", autocompletion=_backends
    ),
]  # fmt: skip
RulesOf = Annotated[
    str | None,
    typer.Option(
        "--for", "--backend", metavar="NAME", help="Ask this place's rules too; of a job: where to run it.",
        autocompletion=_backends,
    ),
]  # fmt: skip
ColumnNames = Annotated[
    list[str] | None,
    typer.Option(
        "--columns", metavar="KEY=NAME,…", help="What the file calls the keys of a format: prompt=question,completion=answer.",
        show_default=False,
    ),
]  # fmt: skip
ConfigPath = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A finetune.toml other than the nearest one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output, and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before submitting; for scripts.")]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost", metavar="USD", min=0,
        help="Refuse a job whose estimate may cost more, and stop a run that has.",
    ),
]  # fmt: skip
MoreCost = Annotated[
    float | None,
    typer.Option("--max-cost", metavar="USD", min=0, help="What the run may cost in all, instead of its cap so far."),
]
MaxSpent = Annotated[
    float | None,
    typer.Option(
        "--max-cost", metavar="USD", min=0, help="Stop asking before the answers would cost more; keeps what is done."
    ),
]
Rivals = Annotated[
    list[str] | None,
    typer.Option(
        "--against", metavar="NAME=BACKEND:MODEL", help="Compare with this model too: a base of a place, or a run. May stand several times.",
        show_default=False,
    ),
]  # fmt: skip
NoCache = Annotated[bool, typer.Option("--no-cache", help="Ask everything anew, and keep no answer.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="How long a model may take for what it is asked at once."),
]
History = Annotated[
    bool, typer.Option("--history", help="Instead of a job's: how far past estimates of the place were off.")
]
Again = Annotated[
    bool, typer.Option("--again", help="A new attempt after a run that failed, was cancelled or is gone.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Come back at once; the run goes on by itself.")]
AllowLeakage = Annotated[
    bool, typer.Option("--allow-leakage", help="Accept validation rows that are also in the training data.")
]
FailuresPath = Annotated[
    Path | None,
    typer.Option(
        "--failures", metavar="TODO.JSONL", help="Also write the cases that fail, as a to-do list.", show_default=False
    ),
]
ReportPath = Annotated[
    Path | None, typer.Option("--report", metavar="OUT.HTML", help="Where to write the report.", show_default=False)
]

"""finetune drafts: rows that a model writes, reviewed one by one, and exported once a person has decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune_sdk.cli.options import AsJson, BackendName, ConfigPath
from finetune_sdk.cli.screen import screen

if TYPE_CHECKING:
    from finetune_sdk.drafts import Drafts, Written
    from finetune_sdk.messages import Conversation
    from finetune_sdk.model import Model

_LISTED = 12
_EACH = 3
_MODEL = "The stronger model: a base of the place, or a run's id."
_LIKE = "A to-do list: new prompts like its failed cases are written, and answered."
_PROMPTS = "Prompts to answer: those of a data file, or the lines of a .txt file."
_HOLD = "A data file whose prompts no draft may repeat, such as the test data."
_TO = "Where the accepted and edited rows go."
_NO_MARKS = "Leave out who wrote each row, for a place that refuses such a key."

drafts = typer.Typer(help="Rows that a model writes and a person accepts, edits or rejects before they count.")
DraftsPath = Annotated[Path, typer.Argument(metavar="DRAFTS.DB", help="The file of the drafts.", show_default=False)]


@drafts.command()
def write(
    file: DraftsPath,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help=_MODEL, show_default=False)],
    like: Annotated[Path | None, typer.Option("--like", metavar="TODO.JSONL", help=_LIKE, show_default=False)] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help=_PROMPTS, show_default=False)
    ] = None,
    form: Annotated[str | None, typer.Option("--format", metavar="NAME", help="With --prompts: its format.")] = None,
    each: Annotated[
        int | None, typer.Option("--each", metavar="N", min=1, help=f"With --like: prompts like each case; {_EACH}.")
    ] = None,
    hold_out: Annotated[Path | None, typer.Option("--hold-out", metavar="FILE", help=_HOLD, show_default=False)] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", metavar="N", min=1, help="Of one answer.")] = 2048,
    backend: BackendName = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Let a stronger model answer prompts, or write new ones like the cases that a model failed, and answer them.

    The exit status is 1 where nothing came of it.
    """
    with screen(as_json) as out:
        from finetune_sdk.cli.findings import plural
        from finetune_sdk.cli.waiting import waiting
        from finetune_sdk.client import Client
        from finetune_sdk.data.dataset import Dataset
        from finetune_sdk.drafts import Drafts

        _one_source(like, prompts, form, each)
        asked = _prompts(prompts, form) if prompts is not None else []
        held = Dataset.load(hold_out) if hold_out is not None else None
        stronger, kept = Client(backend, config=config).model(model), Drafts(file)
        if held is not None:
            kept.hold_out(held)
        what = f"for prompts like those of {like}" if like is not None else f"to answer {plural(len(asked), 'prompt')}"
        out.say(f"asking {stronger.name} {what}")
        with waiting(f"drafts by {stronger.name}") as tell:
            written = _written(kept, stronger, like, each or _EACH, asked, max_tokens, tell)
        out.show(f"{file}: {written}", *(f"  left out: {fault}" for fault in written.faults[:_LISTED]))
        if len(written.faults) > _LISTED:
            out.show(f"  and {len(written.faults) - _LISTED:,} more; --json lists them all")
        if written.new:
            out.show(f"none counts before a person has decided: finetune drafts review {file}")
        out.answer(
            {
                "file": str(file), "model": stronger.name, "new": list(written.new), "known": written.known,
                "left_out": list(written.faults),
            }
        )  # fmt: skip
    if not (written.new or written.known):
        raise typer.Exit(1)


def _one_source(like: Path | None, prompts: Path | None, form: str | None, each: int | None) -> None:
    from finetune_sdk.errors import InputError

    if (like is None) == (prompts is None):
        raise InputError(
            "drafts are written like failed cases, or answer prompts.", cure="give --like TODO.JSONL or --prompts FILE"
        )
    if each is not None and prompts is not None:
        raise InputError("--each is for --like: every prompt is answered once.", cure="leave --each out")
    if form is not None and like is not None:
        raise InputError("--format is for --prompts: a to-do list has one of its own.", cure="leave --format out")


def _prompts(file: Path, form: str | None) -> list[Conversation]:
    """What is asked in a data file, or in the lines of a text."""
    from finetune_sdk.data.dataset import Dataset
    from finetune_sdk.errors import DatasetError
    from finetune_sdk.messages import Conversation, TextExample

    if file.suffix.lower() != ".txt":
        data = Dataset.load(file, form)
        found = [row.prompt for row in data if not isinstance(row, TextExample)]
    else:
        try:
            found = [Conversation.of(line.strip()) for line in file.read_text("utf-8").split("\n") if line.strip()]
        except (OSError, UnicodeDecodeError) as fault:
            raise DatasetError(
                f"{file} cannot be read: {fault}.", cure="check the path; the text is to be UTF-8"
            ) from None
    if not found:
        raise DatasetError(f"{file} holds no prompt.", cure="give a prompt on each line, or rows with prompts")
    return found


def _written(
    kept: Drafts, model: Model, like: Path | None, each: int, asked: list[Conversation], most: int, tell: Any
) -> Written:
    from finetune_sdk.model import Sampling

    sampling = Sampling(max_tokens=most)
    if like is not None:
        return kept.write_like(model, like, each, sampling, progress=tell)
    return kept.write(model, asked, sampling, progress=tell)


@drafts.command()
def review(file: DraftsPath) -> None:
    """Decide on the drafts that wait, one at a time: accept, edit, reject, skip. What is decided is kept at once."""
    with screen(False) as out:
        from finetune_sdk.cli.reviewing import Reviewer
        from finetune_sdk.drafts import Drafts

        Reviewer(Drafts(file), out).review()


@drafts.command()
def export(
    file: DraftsPath,
    to: Annotated[Path, typer.Option("--to", metavar="OUT.JSONL", help=_TO, show_default=False)],
    form: Annotated[str | None, typer.Option("--format", metavar="NAME", help="Instead of OpenAI's.")] = None,
    no_marks: Annotated[bool, typer.Option("--no-marks", help=_NO_MARKS)] = False,
    as_json: AsJson = False,
) -> None:
    """Write the drafts that were accepted or edited as a data file; each row says which model wrote it."""
    with screen(as_json) as out:
        from finetune_sdk.cli.findings import plural
        from finetune_sdk.drafts import Drafts
        from finetune_sdk.errors import InputError

        if to.exists() and file.exists() and to.samefile(file):
            raise InputError(f"--to would write over {file}.", cure="name another file")
        kept = Drafts(file)
        data = kept.dataset()
        data.save(to, form, marks=not no_marks)
        counts = kept.counts()
        out.show(
            f"{to}: {plural(len(data), 'row')}, {counts['edited']:,} of them edited; {counts['waiting']:,} still wait"
        )
        out.answer({"file": str(file), "to": str(to), "rows": len(data), "drafts": counts})

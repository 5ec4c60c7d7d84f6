"""The command line `finetune`: one file a command. Nothing but typer and rich is loaded before a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from finetune_sdk.cli.attach import attach
from finetune_sdk.cli.cancel import cancel
from finetune_sdk.cli.check import check
from finetune_sdk.cli.demo import demo
from finetune_sdk.cli.doctor import doctor
from finetune_sdk.cli.drafts import drafts
from finetune_sdk.cli.estimate import estimate
from finetune_sdk.cli.evaluate import evaluate
from finetune_sdk.cli.export import export
from finetune_sdk.cli.faults import tell
from finetune_sdk.cli.gate import gate
from finetune_sdk.cli.migrate import migrate
from finetune_sdk.cli.prices import prices
from finetune_sdk.cli.report import report
from finetune_sdk.cli.resume import resume
from finetune_sdk.cli.review import review
from finetune_sdk.cli.run import run
from finetune_sdk.cli.runs import runs
from finetune_sdk.cli.schema import schema
from finetune_sdk.cli.screen import mend_streams
from finetune_sdk.cli.serve import serve

_DEFINE, _FOLLOW, _LOOK = "A job", "Runs", "This machine"

app = typer.Typer(name="finetune", pretty_exceptions_enable=False)
for _panel, _commands in (
    (_DEFINE, (check, estimate, run, evaluate, gate, report, review, schema)),
    (_FOLLOW, (runs, attach, cancel, resume, export)),
    (_LOOK, (doctor, prices, demo)),
):
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(drafts, name="drafts", rich_help_panel=_DEFINE)
app.add_typer(serve, name="serve", rich_help_panel=_LOOK)
app.add_typer(migrate, name="migrate", rich_help_panel=_FOLLOW)


def _version(asked: bool) -> None:
    if asked:
        from finetune_sdk import __version__

        typer.echo(f"finetune-anywhere {__version__}")
        raise typer.Exit


@app.callback()
def finetune(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of every error; after any command.")
    ] = False,
) -> None:
    """Fine-tune language models anywhere with one definition: priced before, safe while, judged after."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """The console script. Exit status: 0 good, 1 an error, 2 a wrong command line, 130 interrupted."""
    sys.exit(status(list(sys.argv[1:] if args is None else args)))


def status(args: list[str]) -> int:
    """Runs one command line and returns its exit status."""
    debug, as_json = "--debug" in args, "--json" in args
    mend_streams()
    try:
        code = typer.main.get_command(app).main(
            [arg for arg in args if arg != "--debug"] or ["--help"], prog_name="finetune", standalone_mode=False
        )
    except SystemExit as end:  # a pipe that was closed by its reader
        return end.code if isinstance(end.code, int) else 1
    except typer.Abort:
        return 1
    except (Exception, KeyboardInterrupt) as fault:
        return tell(fault, as_json=as_json, debug=debug)
    if code == 130:  # typer's word for ctrl-C
        return tell(KeyboardInterrupt(), as_json=as_json, debug=False)
    return code if isinstance(code, int) else 0

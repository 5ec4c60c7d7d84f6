"""finetune review: people choose between two models' answers, blind, on a page of this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune_sdk.cli.options import AsJson
from finetune_sdk.cli.screen import screen

if TYPE_CHECKING:
    from finetune_sdk.evaluation.report import Report
    from finetune_sdk.review import Review

_WHAT = "A saved report of two models or more."
_VOTES = "The file that keeps the votes; REPORT.votes.db when left out."
_BETTER = "The model that is asked about; that of the verdict when left out."
_CASES = "Draw so many cases; all when left out."
_OPEN = "Open the page in a browser; where a person looks on and there is one, when left out."
_REPORT = "Where the report with the votes goes; into REPORT.JSON and the page beside it when left out."


def review(
    what: Annotated[Path, typer.Argument(metavar="REPORT.JSON", help=_WHAT, show_default=False)],
    votes: Annotated[Path | None, typer.Option("--votes", metavar="FILE", help=_VOTES, show_default=False)] = None,
    better: Annotated[str | None, typer.Option("--better", metavar="MODEL", help=_BETTER, show_default=False)] = None,
    than: Annotated[
        str | None, typer.Option("--than", metavar="MODEL", help="The model it is compared with.", show_default=False)
    ] = None,
    cases: Annotated[int | None, typer.Option("--cases", metavar="N", min=1, help=_CASES, show_default=False)] = None,
    open_: Annotated[bool | None, typer.Option("--open/--no-open", help=_OPEN, show_default=False)] = None,
    count: Annotated[bool, typer.Option("--count", help="Count the votes that are there, and serve no page.")] = False,
    report: Annotated[Path | None, typer.Option("--report", metavar="OUT", help=_REPORT, show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Serve a page on which people choose the better of two answers, until ctrl-C; then put the votes into the report.

    The page is for this machine alone, and its address is the key to it. Each vote is kept at once: what is killed goes on where
    it was.
    """
    with screen(as_json) as out:
        from finetune_sdk.cli.findings import plural
        from finetune_sdk.review import Review

        asked = Review(what, votes, better=better, than=than, cases=cases)
        targets = _targets(what, report)
        out.say(
            f"{plural(len(asked), 'case')} between two models, {plural(len(asked.votes), 'vote')} so far in {asked.path}"
        )
        if not count:
            _serve(asked, out, _looked_at() if open_ is None else open_)
        found = asked.report()
        for target in targets:
            found.save(target)
        rows = _rows(asked, found)
        out.show(*(row["sentence"] for row in rows), f"report: {', '.join(map(str, targets))}")
        out.answer(
            {
                "votes": str(asked.path), "cases": len(asked), "between": list(asked.between),
                "reviewers": asked.reviewers, "preferences": rows, "report": [str(target) for target in targets],
            }
        )  # fmt: skip


def _targets(what: Path, report: Path | None) -> list[Path]:
    """Where the report goes. Raises InputError, before anybody votes, where nothing can be written."""
    from finetune_sdk.errors import InputError

    page = what.with_suffix(".html")
    targets = [report] if report is not None else [what, *([page] if page.exists() else [])]
    for target in targets:
        if target.is_dir() or not os.access(target.absolute().parent, os.W_OK):
            raise InputError(f"the report {target} cannot be written.", cure="choose another --report")
        if target.suffix.lower() not in (".json", ".html", ".htm"):
            raise InputError(f"the report {target} would be no report.", cure="name it .html, or .json")
    return targets


def _serve(asked: Review, out: Any, opened: bool) -> None:
    """Until ctrl-C or SIGTERM."""
    stopped = Event()
    kept = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with asked.page() as page:
            out.say(f"open {page.url}", "ctrl-C ends the review; every vote is kept at once")
            with _browser(page.url, asked.path.parent) if opened else nullcontext():
                stopped.wait()
    finally:
        for number, before in kept.items():
            signal.signal(number, before)


def _rows(asked: Review, found: Report) -> list[dict[str, Any]]:
    """What follows from the votes between these two models."""
    return [one.to_dict() for one in found.preferences if {one.better, one.than} == set(asked.between)]


def _looked_at() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


@contextmanager
def _browser(url: str, folder: Path) -> Iterator[None]:
    """Opens a browser that has a window; one in the terminal would take it away.

    It is given a file that leads to the page: what a program is started with can be seen by everybody on the machine.
    """
    import tempfile
    import webbrowser

    try:
        found = webbrowser.get()
    except webbrowser.Error:
        found = None
    if found is None or type(found) is webbrowser.GenericBrowser:
        yield
        return
    number, name = tempfile.mkstemp(".html", ".review-", folder, text=True)
    try:
        with os.fdopen(number, "w") as file:
            file.write(
                f'<!doctype html><meta http-equiv="refresh" content="0; url={url}"><a href="{url}">the review</a>\n'
            )
        found.open(Path(name).absolute().as_uri())
        yield
    finally:
        Path(name).unlink(missing_ok=True)

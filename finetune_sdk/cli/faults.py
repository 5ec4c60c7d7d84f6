"""How a command ends when something is wrong: a sentence and its cure, never a bare traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from finetune_sdk.errors import BackendError, FinetuneError, MissingDependencyError

DETACHED = 130
_MACHINE = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EMFILE, errno.EROFS})


def tell(fault: BaseException, *, as_json: bool, debug: bool) -> int:
    """Says what is wrong, on standard error and with `as_json` as JSON on standard output; returns the exit status."""
    if debug:
        traceback.print_exception(fault, file=sys.stderr)
    error, status = _described(fault)
    if "traceback" in error:
        error["traceback"] = str(_written(fault))
    if as_json:
        from finetune_sdk.cli.screen import write_json

        with contextlib.suppress(OSError):
            write_json(1, {"error": error})
    with contextlib.suppress(OSError):
        _print(error)
    return status


def _described(fault: BaseException) -> tuple[dict[str, Any], int]:
    error: dict[str, Any] = {"type": type(fault).__name__, "message": str(fault), "cure": None}
    match fault:
        case FinetuneError():
            error |= {"message": fault.message, "cure": fault.cure, **_particulars(fault)}
            return error, 1
        case KeyboardInterrupt():
            return error | {"type": "Interrupted", "message": "interrupted."}, DETACHED
        case OSError() if fault.filename is not None or fault.errno in _MACHINE:
            where = f"{fault.filename}: " if fault.filename else ""
            return error | {
                "message": f"{where}{fault.strerror}.",
                "cure": "check the path, its rights and the disk",
            }, 1
    if (message := getattr(fault, "format_message", None)) is not None:  # what typer raises for a wrong command line
        context = getattr(fault, "ctx", None)
        path = context.command_path if context is not None else "finetune"
        return error | {"type": "UsageError", "message": message(), "cure": f"see `{path} --help`"}, 2
    message = f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else 'no message'}"
    return error | {"message": f"this is a defect, not your fault: {message}", "traceback": ""}, 1


def _particulars(fault: FinetuneError) -> dict[str, Any]:
    match fault:
        case BackendError():
            return {"code": fault.code, "request_id": fault.request_id, "retryable": fault.retryable}
        case MissingDependencyError():
            return {"extra": fault.extra}
    return {}


def _print(error: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    from finetune_sdk.cli.screen import plain

    console = Console(stderr=True, soft_wrap=True)
    if error["type"] == "Interrupted":
        console.print("interrupted")
        return
    console.print(Text("error: ", "bold red").append(plain(error["message"]), "not bold default"))
    if error["cure"]:
        console.print(Text("  cure: ", "green").append(plain(error["cure"]), "default"))
    if "traceback" in error:
        console.print(Text(f"  the full traceback is in {error['traceback']}; --debug shows it here", "default"))


def _written(fault: BaseException) -> Path | None:
    """The file that now holds the traceback."""
    import platform
    import tempfile

    from finetune_sdk import __version__

    text = "".join(traceback.format_exception(fault))
    head = f"finetune-anywhere {__version__}, Python {platform.python_version()}, {platform.platform()}\n{sys.argv}\n\n"
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (_crashes(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(head + text)
        except OSError:
            continue
        return folder / name
    return None


def _crashes() -> Path:
    import tempfile

    from finetune_sdk.settings import Settings

    try:
        return Settings.load().home / "crashes"
    except FinetuneError:
        return Path(tempfile.gettempdir())

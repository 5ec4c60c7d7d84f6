"""finetune serve: this place as an endpoint that any OpenAI client can use; finetune serve keys: who may."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from finetune_sdk.cli.options import AsJson, BackendName, ConfigPath
from finetune_sdk.cli.screen import Screen, screen, table

if TYPE_CHECKING:
    from finetune_sdk.serve.service import Service
    from finetune_sdk.serve.store import Store

serve = typer.Typer(invoke_without_command=True)
keys = typer.Typer(no_args_is_help=True, help="Who may use the server: make, list and take away keys.")
serve.add_typer(keys, name="keys")
_MB = 1024 * 1024

Owner = Annotated[str, typer.Argument(metavar="NAME", help="Whose key: files and jobs belong to that name.")]


@serve.callback()
def run(
    context: typer.Context,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; another than this machine's own needs keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")] = 8000,
    base: Annotated[
        list[str] | None,
        typer.Option(
            "--base", metavar="[NAME=]BASE", help="A base to offer, perhaps under another name; may be repeated."
        ),
    ] = None,
    slots: Annotated[int, typer.Option("--slots", min=1, help="How many jobs run at once; the others wait.")] = 1,
    keep_models: Annotated[int, typer.Option("--keep-models", min=1, help="Models held in memory to answer.")] = 2,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="The longest answer where a request says none.")
    ] = 1024,
    max_file_mb: Annotated[int, typer.Option("--max-file-mb", min=1, help="The largest file, in MiB.")] = 512,
    max_storage_mb: Annotated[
        int, typer.Option("--max-storage-mb", min=1, help="What the files of one key may have together, in MiB.")
    ] = 65_536,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A name by which clients call this server; may be repeated."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log what goes wrong, and not each request.")] = False,
    backend: BackendName = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Serve OpenAI's fine-tuning protocol over a backend, until ctrl-C. Runs go on when the server ends.

    With --json the address is printed as JSON as soon as connections are taken.
    """
    if context.invoked_subcommand is not None:
        return
    with screen(as_json) as out:
        from finetune_sdk.client import Client
        from finetune_sdk.errors import MissingDependencyError

        for package in ("fastapi", "uvicorn"):
            if find_spec(package) is None:
                raise MissingDependencyError(f"{package}, which the server needs,", extra="serve")
        from finetune_sdk.serve.files import Limits
        from finetune_sdk.serve.guard import is_loopback
        from finetune_sdk.serve.server import serve as serving
        from finetune_sdk.serve.service import Options

        client = Client(backend, config=config)
        largest = max_file_mb * _MB
        options = Options(
            bases=tuple(base or ()),
            slots=slots,
            kept_models=keep_models,
            usual_tokens=max_tokens,
            limits=Limits(file=largest, upload=max(largest, Limits().upload), owner=max_storage_mb * _MB),
            names=(*(allow_host or ()), host),
            key_needed=not is_loopback(host),
        )

        def ready(url: str, service: Service) -> None:
            owners = [owner for owner, _, _ in service.store.owners()]
            out.show(f"{client.name} answers at {url} as OpenAI does; ctrl-C ends the server, and no run")
            out.show(f"  bases: {', '.join(service.bases)}")
            out.show(f"  keys:  {', '.join(owners) if owners else 'none is needed on this machine'}")
            out.answer({"url": url, "backend": client.name, "bases": list(service.bases), "keys": owners})

        with _logged(quiet):
            speaking = serving(client, options, host, port, ready)
        out.say("the server has ended; runs go on by themselves, and a server started again takes them up")
    if speaking:  # all is closed and written; a thread in the midst of a model would abort the interpreter's own end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@keys.command()
def add(name: Owner, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Make a key. It is shown this once; only a hash of it is kept. From the first key on, every request needs one."""
    with _store(config, as_json) as (out, store):
        from finetune_sdk.serve.keys import add as made

        key = made(store, name)
        out.show(key)
        out.say("keep it: it is not shown again")
        out.answer({"owner": name, "key": key})


@keys.command(name="list")
def list_keys(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List whose keys there are."""
    with _store(config, as_json) as (out, store):
        found = [(owner, time.strftime("%Y-%m-%d %H:%M", time.localtime(made))) for owner, _, made in store.owners()]
        if found:
            out.show(table(("name", "made"), found))
        else:
            out.show("no keys; make one with: finetune serve keys add NAME")
        out.answer({"keys": [{"owner": owner, "made": made} for owner, made in found]})


@keys.command()
def remove(name: Owner, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Take a key away, also while the server runs. Files and jobs stay, for whoever gets a key of that name."""
    with _store(config, as_json) as (out, store):
        from finetune_sdk.serve.keys import remove as taken

        taken(store, name)
        out.show(f"the key of {name} opens nothing any more")
        out.answer({"removed": name})


@contextmanager
def _store(config: ConfigPath, as_json: bool) -> Iterator[tuple[Screen, Store]]:
    with screen(as_json) as out:
        from finetune_sdk.serve.store import FOLDER, Store
        from finetune_sdk.settings import Settings

        store = Store(Settings.load(file=config).home / FOLDER)
        try:
            yield out, store
        finally:
            store.close()


@contextmanager
def _logged(quiet: bool) -> Iterator[None]:
    """What the server notes, on standard error. No header of a request is ever noted, so no key is."""
    log, lines = logging.getLogger("finetune_sdk"), logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    before = log.level
    log.addHandler(lines)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.setLevel(before)

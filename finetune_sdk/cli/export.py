"""finetune export: the model of a run as a folder, for other places to serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from finetune_sdk.cli.options import AsJson, ConfigPath, RunId
from finetune_sdk.cli.screen import screen


def export(
    run: RunId,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="A new folder, or an empty one.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="adapter; merged: the adapter in the weights of its base; gguf: that for llama.cpp and Ollama.",
        ),
    ] = "adapter",
    push: Annotated[
        str | None, typer.Option("--push", metavar="OWNER/NAME", help="Also to a repository of the hub, private.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="The repository may be read by all.")] = False,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Write the model of a run into a folder, whole or not at all, and say what serves it."""
    with screen(as_json) as out:
        from finetune_sdk.client import Client

        going = Client(config=config).get_run(run)
        if kind != "adapter":
            out.say("the merged weights are compared with the adapter before they are published…")
        made = going.export(to, kind, push=push, public=public)
        out.show(f"{going.id} is in {made.folder} ({made.kind})", *made.notes)
        if made.pushed is not None:
            out.show(f"pushed to {made.pushed} ({'public' if public else 'private'})")
        for server, line in made.serving.items():
            out.show(f"\n{server}:", f"  {line}")
        out.answer({"run": going.id, **made.to_dict()})

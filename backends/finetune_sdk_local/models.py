"""Bases and tuned models that answer on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_sdk.errors import NotFoundError, UnsupportedError
from finetune_sdk.model import Origin
from finetune_sdk_local import bases, prompts
from finetune_sdk_local.devices import Device
from finetune_sdk_local.generation import LocalModel
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.tables import adapter_of


def base(name: str, place: str, device: Device) -> LocalModel:
    """A base as it is, or an exported folder. Raises NotFoundError when there is none of that name."""
    bases.quiet()
    folder = Path(name).expanduser()
    if (folder / "adapter_config.json").is_file():
        return exported(folder.resolve(), place, device)
    bases.causal(name)

    def load() -> tuple[Any, Renderer]:
        where = bases.pinned(name, bases.identity(name))
        tokenizer = bases.tokenizer(where)
        return bases.answering(bases.load(where, device), tokenizer), Renderer(name, tokenizer)

    return LocalModel(name, Origin(place, name), load, context=bases.context(name))


def tuned(run: RunFolder, place: str, device: Device) -> LocalModel:
    """The model of a run that succeeded."""
    if not run.model.is_dir():
        raise NotFoundError(
            f"the run {run.id} has no model: there is no {run.model}.", cure="wait for it, or resume it"
        )
    bases.quiet()
    return _left(run.model, run.id, place, f"{place}:{run.id}", device)


def exported(folder: Path, place: str, device: Device) -> LocalModel:
    """The adapter that was exported into a folder, on the very base that it was trained on."""
    if not (folder / "adapter_model.safetensors").is_file() or not (folder / "finetune.json").is_file():
        raise UnsupportedError(
            f"{folder} holds an adapter, but not one that was exported here: it has no "
            "adapter_model.safetensors, or no finetune.json, which says on what base it was trained.",
            cure="export it again with `finetune export`, or merge it into its base with what made it",
        )
    return _left(folder, str(folder), place, None, device)


def _left(folder: Path, name: str, place: str, run: str | None, device: Device) -> LocalModel:
    """What a run left in a folder: its adapter on its base, or all weights."""
    about: Mapping[str, Any] = json.loads((folder / "finetune.json").read_text())
    base = str(about["base"])

    def load() -> tuple[Any, Renderer]:
        tokenizer = bases.tokenizer_in(folder)
        if about["full"]:
            model = bases.load(str(folder), device)
            return bases.answering(model, tokenizer), Renderer(str(folder), tokenizer)
        model = bases.load(bases.pinned(base, about["weights"]), device, adapter_of(about["adapter"]))
        bases.answering(model, tokenizer)
        from peft import PeftModel

        with bases.peft_hints_off():
            return PeftModel.from_pretrained(model, folder).eval(), Renderer(base, tokenizer)

    context = bases.context(base) - (0 if about["full"] else prompts.ahead(adapter_of(about["adapter"])))
    return LocalModel(name, Origin(place, base, run), load, context=context)

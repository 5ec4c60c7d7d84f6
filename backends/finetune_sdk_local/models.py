"""Bases and tuned models that answer on this machine."""

from __future__ import annotations

import json
from typing import Any

from finetune_sdk.errors import NotFoundError
from finetune_sdk.model import Origin
from finetune_sdk_local import bases
from finetune_sdk_local.devices import Device
from finetune_sdk_local.generation import LocalModel
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.tables import adapter_of


def base(name: str, place: str, device: Device) -> LocalModel:
    """A base as it is. Raises NotFoundError when there is none of that name."""
    bases.quiet()
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
    about = json.loads((run.model / "finetune.json").read_text())
    name = str(about["base"])

    def load() -> tuple[Any, Renderer]:
        tokenizer = bases.tokenizer_in(run.model)
        if about["full"]:
            model = bases.load(str(run.model), device)
            return bases.answering(model, tokenizer), Renderer(str(run.model), tokenizer)
        model = bases.load(bases.pinned(name, about["weights"]), device, adapter_of(about["adapter"]))
        bases.answering(model, tokenizer)
        from peft import PeftModel

        with bases.peft_hints_off():
            return PeftModel.from_pretrained(model, run.model).eval(), Renderer(name, tokenizer)

    return LocalModel(run.id, Origin(place, name, f"{place}:{run.id}"), load, context=bases.context(name))

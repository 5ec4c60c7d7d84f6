"""Bases and tuned models that answer on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finetune_sdk import __version__
from finetune_sdk.errors import NotFoundError, UnsupportedError
from finetune_sdk.job import Adapter, Full
from finetune_sdk.model import Identity, Origin
from finetune_sdk_local import bases, prompts
from finetune_sdk_local.devices import Device
from finetune_sdk_local.generation import LocalModel
from finetune_sdk_local.loaded import LoadedBase, LoadedBases, Voice
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.standing import Checkpointed, Standing, whole
from finetune_sdk_local.tables import adapter_of

_PLAIN = "lora"  # a base as it is, and LoRA adapters, stand on the same weights; others on weights of their own


def base(name: str, place: str, device: Device, loaded: LoadedBases) -> LocalModel:
    """A base as it is, or an exported folder. Raises NotFoundError when there is none of that name."""
    bases.quiet()
    folder = Path(name).expanduser()
    if (folder / "adapter_config.json").is_file():
        return exported(folder.resolve(), place, device, loaded)
    bases.causal(name)

    def find() -> Voice:
        weights = bases.identity(name)
        where = bases.pinned(name, weights)
        on = loaded.base((where, weights, _PLAIN), lambda: bases.load(where, device))
        return Voice(on, Renderer(name, bases.tokenizer(where)))

    known = _known(f"{name} {bases.identity(name)}", device)
    return LocalModel(name, Origin(place, name), find, context=bases.context(name), identity=known)


def tuned(run: RunFolder, place: str, device: Device, loaded: LoadedBases) -> LocalModel:
    """The model of a run that succeeded."""
    if not run.model.is_dir():
        raise NotFoundError(
            f"the run {run.id} has no model: there is no {run.model}.", cure="wait for it, or resume it"
        )
    bases.quiet()
    return _left(run.model, run.id, Origin(place, _about(run.model)["base"], f"{place}:{run.id}"), device, loaded)


def checkpointed(run: RunFolder, step: str, place: str, device: Device, loaded: LoadedBases) -> LocalModel:
    """A checkpoint of a run by its id, whatever became of the run. Raises NotFoundError where it keeps no such one."""
    bases.quiet()
    table = run.job()
    base, weights, token = str(table["base"]), str(table["own"]["weights"]), str(table.get("token", ""))
    adapter, folder = adapter_of(table["adapter"]), run.checkpoints / step
    standing = Checkpointed.of(run, step, base, adapter, token)

    def full(where: str) -> Any:
        standing.require()
        model = bases.load(where, device)
        bases.put_in(dict(model.named_parameters()), whole(run.id, folder, token), folder)
        return model

    def find() -> Voice:
        where = bases.pinned(base, weights)
        renderer = Renderer(base, bases.tokenizer(where))
        if isinstance(adapter, Full):
            return Voice(LoadedBase(lambda: full(where)), renderer)
        return Voice(_on(loaded, where, weights, adapter, device), renderer, standing)

    context = bases.context(base) - prompts.ahead(adapter)
    return LocalModel(f"{run.id}@{step}", Origin(place, base, f"{place}:{run.id}"), find, context=context)


def _on(loaded: LoadedBases, where: str, weights: str, adapter: Adapter, device: Device) -> LoadedBase:
    """What adapters of a kind stand on; what stands before a sequence and what stands beside layers are no neighbours."""
    if prompts.ahead(adapter):
        return LoadedBase(lambda: bases.load(where, device, adapter))
    return loaded.base((where, weights, adapter.kind), lambda: bases.load(where, device, adapter))


def exported(folder: Path, place: str, device: Device, loaded: LoadedBases) -> LocalModel:
    """The adapter that was exported into a folder, on the very base that it was trained on."""
    if not (folder / "adapter_model.safetensors").is_file() or not (folder / "finetune.json").is_file():
        raise UnsupportedError(
            f"{folder} holds an adapter, but not one that was exported here: it has no "
            "adapter_model.safetensors, or no finetune.json, which says on what base it was trained.",
            cure="export it again with `finetune export`, or merge it into its base with what made it",
        )
    return _left(folder, str(folder), Origin(place, _about(folder)["base"]), device, loaded)


def _about(folder: Path) -> dict[str, Any]:
    about = json.loads((folder / "finetune.json").read_text())
    assert isinstance(about, dict)
    return about


def _left(folder: Path, name: str, origin: Origin, device: Device, loaded: LoadedBases) -> LocalModel:
    """What a run left in a folder: its adapter on its base, or all weights."""
    about, base = _about(folder), origin.base

    def find() -> Voice:
        tokenizer = bases.tokenizer_in(folder)
        if about["full"]:
            return Voice(LoadedBase(lambda: bases.load(str(folder), device)), Renderer(str(folder), tokenizer))
        where, adapter = bases.pinned(base, about["weights"]), adapter_of(about["adapter"])
        on = _on(loaded, where, str(about["weights"]), adapter, device)
        return Voice(on, Renderer(base, tokenizer), Standing.of(folder))

    context = bases.context(base) - (0 if about["full"] else prompts.ahead(adapter_of(about["adapter"])))
    known = _known(f"{folder.resolve()} {bases.listed(folder)} {base} {about.get('weights')}", device)
    return LocalModel(name, origin, find, context=context, identity=known)


def _known(weights: str, device: Device) -> Identity:
    """Files that change make another model, and so does another kind of device, or version, which may round or write otherwise."""
    return Identity(f"{weights} {device.kind} {device.dtype} {__version__}", lasting=True)

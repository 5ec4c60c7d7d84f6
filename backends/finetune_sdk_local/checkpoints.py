"""Checkpoints: safetensors and JSON, complete or absent.

A checkpoint is written into a folder beside its place, every file is synced, a list of sizes and hashes is written last,
and one rename makes it appear. Reading verifies the list, so a file that was cut short later is noticed too.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_sdk.errors import BackendError

if TYPE_CHECKING:
    import torch

LIST = "complete.json"
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that is whole."""

    step: int
    folder: Path
    state: Mapping[str, Any]

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        return load_file(self.folder / f"{name}.safetensors")


def save(root: Path, step: int, tensors: Mapping[str, Mapping[str, torch.Tensor]], state: Mapping[str, Any]) -> Saved:
    """Writes the named groups of tensors and the state. Raises BackendError when the disk refuses; then nothing is left."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder, part = _folder(root, step), root / f".{_folder(root, step).name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        for name, group in tensors.items():
            save_file(
                {key: value.detach().contiguous().cpu() for key, value in group.items()}, part / f"{name}.safetensors"
            )
        (part / STATE).write_text(json.dumps({**state, "step": step}))
        listed = {file.name: _seal(file) for file in sorted(part.iterdir())}
        (part / LIST).write_text(json.dumps(listed))
        _sync(part / LIST)
        _sync(part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        _sync(root)
    except (OSError, SafetensorError) as fault:
        shutil.rmtree(part, ignore_errors=True)
        raise BackendError(
            f"the checkpoint of step {step} could not be written to {root}: {getattr(fault, 'strerror', None) or fault}.",
            cure="free some disk and resume: the earlier checkpoints are whole",
            retryable=True,
        ) from None
    return Saved(step, folder, {**state, "step": step})


def write_tensors(file: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """One file of tensors, whole or not at all."""
    from safetensors.torch import save_file

    part = file.with_name(f".{file.name}.part")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
    _sync(part)
    part.replace(file)


def _folder(root: Path, step: int) -> Path:
    return root / f"step-{step:08d}"


def _seal(file: Path) -> dict[str, Any]:
    _sync(file)
    return {"bytes": file.stat().st_size, "sha256": _hash(file)}


def _hash(file: Path) -> str:
    digest = sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: Path) -> Saved | None:
    """The checkpoint in a folder, or None when it is not whole."""
    try:
        listed = json.loads((folder / LIST).read_text())
        for name, seal in listed.items():
            file = folder / name
            if file.stat().st_size != seal["bytes"] or _hash(file) != seal["sha256"]:
                return None
        state = json.loads((folder / STATE).read_text())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Saved(int(state["step"]), folder, state)


def every(root: Path) -> list[Saved]:
    """All whole checkpoints, the newest first."""
    folders = sorted(root.glob("step-*"), reverse=True)
    return [saved for folder in folders if (saved := read(folder)) is not None]


def latest(root: Path) -> tuple[Saved | None, list[Path]]:
    """The newest whole checkpoint, and the folders passed over because they were not whole."""
    broken = list[Path]()
    for folder in sorted(root.glob("step-*"), reverse=True):
        saved = read(folder)
        if saved is not None:
            return saved, broken
        broken.append(folder)
    return None, broken


def at(root: Path, step: int) -> Saved | None:
    return read(_folder(root, step))


def required(root: Path, step: int) -> Saved:
    """The checkpoint of a step. Raises BackendError when it is not whole."""
    saved = at(root, step)
    if saved is None:
        raise BackendError(
            f"the checkpoint of step {step} in {root} is not whole any more, and the model is made from it.",
            cure="resume: all goes on from the checkpoint before it",
        )
    return saved


def prune(root: Path, keep: int, best: int | None) -> None:
    """Removes all but the newest `keep` checkpoints and the best one."""
    folders = sorted(root.glob("step-*"), reverse=True)
    kept = {*folders[:keep], *([_folder(root, best)] if best is not None else [])}
    for folder in folders:
        if folder not in kept:
            shutil.rmtree(folder, ignore_errors=True)

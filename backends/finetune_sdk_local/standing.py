"""Adapters on the disk that stand on a base in memory: of a model's folder, in peft's format, and of a run's checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_sdk.errors import NotFoundError, RunError
from finetune_sdk.job import Adapter
from finetune_sdk_local import bases, checkpoints
from finetune_sdk_local.checkpoints import Saved
from finetune_sdk_local.runs import RunFolder

Seal = tuple[tuple[int, int], ...]
OPEN_AGAIN = "open the model again, to ask the one that is there now"


def _seal(files: Iterable[Path]) -> Seal:
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in map(Path.stat, files))


@dataclass(frozen=True, slots=True)
class Standing:
    """An adapter in a folder, as its files were when it was first asked for."""

    folder: Path
    seal: Seal

    @classmethod
    def of(cls, folder: Path) -> Standing:
        """Raises OSError where there is none."""
        return cls(folder, _seal(folder / name for name in ("adapter_config.json", "adapter_model.safetensors")))

    def require(self) -> None:
        """Raises RunError when the files are other ones now: what answered is not what would be loaded."""
        try:
            same = Standing.of(self.folder) == self
        except OSError:
            same = False
        if not same:
            raise RunError(
                f"the adapter in {self.folder} is not the one that was asked before: its files have changed.",
                cure=OPEN_AGAIN,
            )

    def put(self, model: Any, adapted: Any, name: str) -> Any:
        """Puts it on a base by this name, beside the adapters that it has; the model with all of them."""
        from peft import PeftModel

        if adapted is None:
            return PeftModel.from_pretrained(model, self.folder, adapter_name=name)
        adapted.load_adapter(self.folder, adapter_name=name)
        return adapted


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """An adapter in a checkpoint of a run, as it was when it was first asked for."""

    run: str
    folder: Path
    seal: Seal
    base: str
    adapter: Adapter
    token: str

    @classmethod
    def of(cls, run: RunFolder, step: str, base: str, adapter: Adapter, token: str) -> Checkpointed:
        """Raises NotFoundError where the run keeps no such checkpoint, or not any more."""
        if step not in _kept(run.checkpoints):
            raise _gone(run.id, run.checkpoints, step)
        folder = run.checkpoints / step
        return cls(run.id, folder, _files_of(run.id, folder), base, adapter, token)

    def require(self) -> None:
        """Raises NotFoundError when it is gone, RunError when it was written anew."""
        if _files_of(self.run, self.folder) != self.seal:
            raise RunError(f"the checkpoint {self.folder} was written anew since it was asked.", cure=OPEN_AGAIN)

    def put(self, model: Any, adapted: Any, name: str) -> Any:
        """As `Standing.put`. Raises RunError where it is damaged, or another run's."""
        saved = whole(self.run, self.folder, self.token)
        made = bases.beside(model, adapted, self.adapter, self.base, name)
        own = {key: parameter for key, parameter in made.named_parameters() if f".{name}." in key}
        bases.put_in(own, {key.replace(".default.", f".{name}."): value for key, value in saved.items()}, self.folder)
        return made.eval().requires_grad_(False)


def whole(run: str, folder: Path, token: str) -> dict[str, Any]:
    """The weights of a run's checkpoint. Raises RunError where it is damaged, or another run's."""
    from safetensors import SafetensorError

    _files_of(run, folder)
    saved = checkpoints.read(folder)
    try:
        if saved is not None and _own(saved, token):
            return saved.tensors("weights")
    except (OSError, SafetensorError):
        saved = None
    why = "its files are not those that were written" if saved is None else "it was written by another run"
    raise RunError(
        f"the checkpoint {folder} cannot be asked: {why}.", cure="ask another of the run's checkpoints, or its model"
    )


def _own(saved: Saved, token: str) -> bool:
    return bool(saved.state.get("token", token) == token)


def _files_of(run: str, folder: Path) -> Seal:
    try:
        return _seal(folder / name for name in (checkpoints.LIST, "weights.safetensors"))
    except OSError:
        raise _gone(run, folder.parent, folder.name) from None


def _kept(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("step-*"))


def _gone(run: str, root: Path, step: str) -> NotFoundError:
    kept = ", ".join(_kept(root)) or "none yet"
    return NotFoundError(
        f"the run {run} has no checkpoint {step!r}: of all that it writes it keeps the last two and the best one ({kept}).",
        cure="ask one of `run.checkpoints()`, or the run's model",
    )

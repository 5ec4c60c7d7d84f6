"""Which models there are: the bases that whoever started the server offers, and what its jobs have made, owner by owner.

A name that is not in here is never handed to the backend: it could be a path on this machine, or a download.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_sdk.backend import Checkpoint
from finetune_sdk.serve.errors import ProtocolError, no_such_model
from finetune_sdk.serve.records import Tuning
from finetune_sdk.serve.shapes import CHECKPOINT, deleted, model_name, model_object
from finetune_sdk.serve.store import Store


@dataclass(frozen=True, slots=True)
class Offered:
    """A model under the name that clients use; `target` is the backend's own name for it."""

    name: str
    target: str
    created: int
    owned_by: str


class Catalogue:
    """`bases` maps the names that clients use to the backend's; `checkpoints` are those of a run."""

    def __init__(
        self,
        store: Store,
        bases: Mapping[str, str],
        place: str,
        checkpoints: Callable[[str], Sequence[Checkpoint]] = lambda _: (),
    ) -> None:
        self._checkpoints = checkpoints
        self._known: dict[tuple[str, int], str] = {}
        began = store.began
        self._store = store
        self._bases = {name: Offered(name, target, began, place) for name, target in bases.items()}

    def base(self, name: str) -> Offered | None:
        """A base by its name; what is not one is looked for with `find`, which reads the disk."""
        return self._bases.get(name)

    def find(self, owner: str, name: str) -> Offered:
        """Raises ProtocolError for a model that is not there, or is another's."""
        if name in self._bases:
            return self._bases[name]
        tuning = self._store.by_model(owner, name)
        if tuning is not None and tuning.target is not None:
            return Offered(name, tuning.target, tuning.finished or tuning.created, owner)
        whole, separator, step = name.partition(CHECKPOINT)
        tuning = self._of(owner, whole) if separator else None
        if tuning is None or not step.isdecimal():
            raise no_such_model(name)
        return Offered(name, self._checkpoint(tuning, whole, name, int(step[:12])), tuning.created, owner)

    def _of(self, owner: str, whole: str) -> Tuning | None:
        """The owner's tuning whose model is, or would be, called so; one whose model was deleted is not there."""
        found = self._store.with_prefix(owner, f"ftjob-{whole.rpartition(':')[2]}")
        alive = (one for one in found if one.tuned is None or one.target is not None)
        return next((one for one in alive if model_name(one) == whole), None)

    def _checkpoint(self, tuning: Tuning, whole: str, name: str, step: int) -> str:
        """The backend's name for a checkpoint, which stays the same once it is there."""
        if (tuning.id, step) not in self._known:
            saved = self._checkpoints(tuning.run) if tuning.run is not None else ()
            found = next((one for one in saved if one.step == step), None)
            if found is None:
                raise no_such_model(name)
            if found.model is None:
                raise ProtocolError(
                    f"The checkpoint '{name}' cannot be used by itself with this server's backend; use '{whole}'.",
                    param="model",
                    code="checkpoint_not_usable",
                )
            self._known[tuning.id, step] = found.model
        return self._known[tuning.id, step]

    def listed(self, owner: str) -> dict[str, Any]:
        tuned = [
            model_object(one.tuned, one.finished or one.created, owner) for one in self._store.tuned(owner) if one.tuned
        ]
        bases = [model_object(one.name, one.created, one.owned_by) for one in self._bases.values()]
        return {"object": "list", "data": [*bases, *tuned]}

    def shown(self, owner: str, name: str) -> dict[str, Any]:
        found = self.find(owner, name)
        return model_object(found.name, found.created, found.owned_by)

    def delete(self, owner: str, name: str) -> dict[str, Any]:
        """From now on it does not answer here. The run's own files stay where the backend keeps them."""
        if name in self._bases:
            raise ProtocolError(
                f"The model '{name}' is a base and cannot be deleted.", status=403, param="model", code="not_yours"
            )
        tuning = self._store.by_model(owner, name)
        if tuning is None:
            raise no_such_model(name)
        self._store.change(tuning.id, target=None)
        return deleted(name, "model")

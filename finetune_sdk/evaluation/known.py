"""What a model is known by when its answers are kept: its own word, or its code and what it was made with."""

from __future__ import annotations

import inspect
import marshal
from hashlib import sha256
from pathlib import Path
from types import FunctionType

from finetune_sdk.evaluation.kept import digest
from finetune_sdk.model import Identity, Model, Observed, Prompted, Recorded, Tuned, identity


def known_as(model: Model) -> Identity | None:
    """None for one whose answers are not kept: those that are kept already, and those that a log must see."""
    if isinstance(model, Recorded | Observed):
        return None
    found = identity(model)
    if found is not None:
        return found
    if isinstance(model, Prompted):
        behind = known_as(model.model)
        return behind.behind([model.system, [e.canonical() for e in model.examples]]) if behind else None
    if isinstance(model, Tuned):
        return known_as(model.model)
    return _by_its_code(model)


def _by_its_code(model: Model) -> Identity:
    """A model of the user's: the file that it is written in, and the texts and settings that it holds; never lasting.

    Counts and lists are left out: they are what a model remembers of being asked.
    """
    kind, origin = type(model), model.origin
    held = {name: value for name, value in _held(model).items() if isinstance(value, str | float | bool)}
    about = (kind.__module__, kind.__qualname__, model.name, origin.backend, origin.base, origin.run)
    return Identity(digest(*about, _code(kind), held).hex(), lasting=False)


def _held(model: object) -> dict[str, object]:
    slots = [name for kind in type(model).__mro__ for name in getattr(kind, "__slots__", ())]
    return {**getattr(model, "__dict__", {}), **{name: getattr(model, name, None) for name in slots}}


def _code(kind: type) -> str:
    try:
        return sha256(Path(inspect.getfile(kind)).read_bytes()).hexdigest()
    except (OSError, TypeError):  # it was typed into a notebook
        codes = [marshal.dumps(value.__code__) for value in vars(kind).values() if isinstance(value, FunctionType)]
        return sha256(b"".join(codes)).hexdigest()

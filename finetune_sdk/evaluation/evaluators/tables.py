"""Evaluators as plain data, and back: what a fingerprint holds of them, and what a run's own process makes them from."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum
from importlib.machinery import PathFinder
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from finetune_sdk.errors import JobError
from finetune_sdk.evaluation import evaluators as room
from finetune_sdk.evaluation.evaluators.case import Evaluator


@dataclass(frozen=True, slots=True)
class Home:
    """Where the class of somebody's own evaluator is: `name` in `module`, which stands under the folder `root`."""

    module: str
    name: str
    root: str


def evaluator_table(evaluator: Any) -> dict[str, Any]:
    """An evaluator as plain data: what it was made with, its kind and its version.

    Raises JobError for a value that is none, and for those of the SDK that hold other things, such as a function or a model.
    """
    kind = type(evaluator)
    if kind.__module__.startswith(f"{room.__name__}.") and kind.__name__ not in room.KINDS:
        raise JobError(
            f"{kind.__name__} holds what is no plain data, and a run is a process of its own, which cannot make it.",
            cure=f"use {', '.join(room.KINDS)}, or a class of your own in a file",
        )
    if hasattr(evaluator, "judge_all"):
        raise JobError(
            f"{kind.__name__} asks a model, and a job is plain data.",
            cure="give evaluators that judge by themselves, and judge the tuned model in an Evaluation",
        )
    own = {
        field.name: _plain(f"{kind.__name__}({field.name}=…)", getattr(evaluator, field.name))
        for field in fields(evaluator)
        if field.init
    }
    if "kind" in own:
        raise JobError(
            f"the evaluator {kind.__name__} has a field `kind`, which is what its class is called by.", cure="rename it"
        )
    return {"kind": kind.__name__, "version": getattr(evaluator, "version", None), **own}


def _plain(where: str, value: Any) -> Any:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, Enum)):
        return value
    if isinstance(value, tuple | list):
        return [_plain(where, one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(where, one) for one in value), key=lambda one: (type(one).__name__, one))
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {key: _plain(where, one) for key, one in value.items()}
    raise JobError(
        f"{where} holds {f'a {type(value).__name__}' if not isinstance(value, Mapping) else 'keys that are no text'}, and what an "
        "evaluator is made with must be plain data: it is kept with the job, and a run makes it anew.",
        cure="give text, numbers, lists, tuples, sets, or mappings with text as keys",
    )


def homes(evaluators: Iterable[Any]) -> dict[str, dict[str, str]]:
    """The homes, as plain data, of those evaluators that are not the SDK's, by kind.

    Raises JobError for one that another process could not import.
    """
    found = dict[str, dict[str, str]]()
    for evaluator in evaluators:
        kind = type(evaluator)
        if _own(kind.__name__) is kind:
            continue
        home = asdict(_home(kind))
        if kind.__name__ in room.KINDS or found.setdefault(kind.__name__, home) != home:
            raise JobError(f"two kinds of evaluators are called {kind.__name__}.", cure="give one of them another name")
    return found


def evaluator_of(table: Mapping[str, Any], own: Mapping[str, Mapping[str, str]] | None = None) -> Evaluator:
    """The evaluator that a table describes; `own` has the homes of those that are not the SDK's.

    Raises JobError for one that cannot be made, or is of another version.
    """
    kind = _own(table["kind"]) or _imported(table["kind"], (own or {}).get(table["kind"]))
    version = getattr(kind, "version", None)
    if table["version"] != version:
        raise JobError(
            f"{table['kind']} was version {table['version']} when this was submitted, and is version {version} here.",
            cure="resume with the code that submitted it, or submit the job anew",
        )
    made: Evaluator = kind(**_gathered(kind, {name: table[name] for name in table if name not in ("kind", "version")}))
    return made


def _own(name: str) -> Any:
    """The SDK's evaluator of that name, or None."""
    return getattr(room, name) if name in room.KINDS else None


def require_faithful(evaluator: Any, made: Any) -> None:
    """Raises JobError where an evaluator that was made anew from its table is not the one that it was."""
    hints = _hints(type(evaluator))
    for field in fields(evaluator):
        before, after = getattr(evaluator, field.name), getattr(made, field.name)
        loose = any(_bare(one) in (Sequence, Collection, Iterable) for one in _either(hints.get(field.name)))
        if field.init and before != after and repr(before) != repr(after) and not loose:
            raise JobError(
                f"{type(evaluator).__name__}({field.name}={before!r:.80}) would be {after!r:.80} in the process of a run.",
                cure=f"say in its class what it is, as in `{field.name}: tuple[str, ...]`",
            )


def _gathered(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, those as tuples and sets that the class calls so: plain data has lists alone."""
    hints = {} if _own(kind.__name__) is kind else _hints(kind)
    return {name: _as(hints.get(name), value) for name, value in values.items()}


def _as(hint: Any, value: Any) -> Any:
    if isinstance(value, list):
        for one in _either(hint):
            kind = _bare(one)
            if kind in (tuple, frozenset, set):
                (inner, *_) = (*get_args(one), None)
                return kind(_as(inner, each) for each in value)
    return value


def _hints(kind: Any) -> dict[str, Any]:
    try:
        return get_type_hints(kind)
    except Exception:  # a name that only type checkers see
        return {}


def _either(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _bare(hint: Any) -> Any:
    return get_origin(hint) or hint


def _home(kind: type) -> Home:
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if kind.__module__ == "__main__" or file is None or getattr(module, kind.__qualname__, None) is not kind:
        raise JobError(
            f"the evaluator {kind.__name__} is defined in {_words(kind)}, and a run is a process of its own, which cannot "
            "import it from there.",
            cure="put its class into a file of its own, at the top of it, and import it from that",
        )
    path, depth = Path(file).absolute(), kind.__module__.count(".") + 1
    above = path.parent.parents if path.stem == "__init__" else path.parents
    return Home(kind.__module__, kind.__qualname__, str(above[depth - 1]))


def _words(kind: type) -> str:
    return "a function" if "<locals>" in kind.__qualname__ else "a notebook, or the script that runs"


def _imported(kind: str, home: Mapping[str, str] | None) -> Any:
    if home is None:
        raise JobError(f"there is no evaluator {kind}.", cure=f"use {', '.join(room.KINDS)}, or one of your own")
    if home["root"] not in sys.path:
        sys.path.append(home["root"])
    try:
        found = getattr(importlib.import_module(home["module"]), home["name"])
    except (ImportError, AttributeError) as fault:
        raise JobError(
            f"the evaluator {kind} cannot be imported from {home['module']} in {home['root']}: {fault}.",
            cure="put its file back, or submit the job anew",
        ) from None
    there = _home(found)
    if there.root != home["root"] and PathFinder.find_spec(home["module"].partition(".")[0], [home["root"]]):
        raise JobError(
            f"the evaluator {kind} was imported from {home['module']} in {home['root']}, and here that is a module of {there.root}.",
            cure="give its file a name that no other module has, and submit the job anew",
        )
    return found

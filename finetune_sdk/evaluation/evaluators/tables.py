"""Evaluators as plain data, and back: what a fingerprint holds of them, and what a run's own process makes them from."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from finetune_sdk.errors import JobError
from finetune_sdk.evaluation import evaluators as room
from finetune_sdk.evaluation.evaluators.case import Evaluator

OWN: Mapping[str, Any] = {name: getattr(room, name) for name in room.__all__ if hasattr(getattr(room, name), "pure")}
"""The SDK's evaluators, by their names."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where the class of somebody's own evaluator is: `name` in `module`, which stands under the folder `root`."""

    module: str
    name: str
    root: str


def evaluator_table(evaluator: Any) -> dict[str, Any]:
    """An evaluator as plain data: what it was made with, its kind and its version. Raises JobError for a judge."""
    if hasattr(evaluator, "judge_all"):
        raise JobError(
            f"{type(evaluator).__name__} asks a model, and a job is plain data.",
            cure="give evaluators that judge by themselves, and judge the tuned model in an Evaluation",
        )
    own = {field.name: getattr(evaluator, field.name) for field in fields(evaluator) if not field.name.startswith("_")}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
    return {"kind": type(evaluator).__name__, "version": getattr(evaluator, "version", None), **plain}


def homes(evaluators: Iterable[Any]) -> dict[str, dict[str, str]]:
    """The homes, as plain data, of those evaluators that are not the SDK's, by kind.

    Raises JobError for one that another process could not import.
    """
    found = dict[str, dict[str, str]]()
    for evaluator in evaluators:
        kind = type(evaluator)
        if OWN.get(kind.__name__) is kind:
            continue
        home = asdict(_home(kind))
        if kind.__name__ in OWN or found.setdefault(kind.__name__, home) != home:
            raise JobError(f"two kinds of evaluators are called {kind.__name__}.", cure="give one of them another name")
    return found


def evaluator_of(table: Mapping[str, Any], own: Mapping[str, Mapping[str, str]] | None = None) -> Evaluator:
    """The evaluator that a table describes; `own` has the homes of those that are not the SDK's.

    Raises JobError for one that cannot be made, or is of another version.
    """
    kind = OWN.get(table["kind"]) or _imported(table["kind"], (own or {}).get(table["kind"]))
    version = getattr(kind, "version", None)
    if table["version"] != version:
        raise JobError(
            f"{table['kind']} was version {table['version']} when this was submitted, and is version {version} here.",
            cure="resume with the code that submitted it, or submit the job anew",
        )
    made: Evaluator = kind(**{name: value for name, value in table.items() if name not in ("kind", "version")})
    return made


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
        raise JobError(f"there is no evaluator {kind}.", cure=f"use {', '.join(OWN)}, or one of your own")
    if home["root"] not in sys.path:
        sys.path.append(home["root"])
    try:
        return getattr(importlib.import_module(home["module"]), home["name"])
    except (ImportError, AttributeError) as fault:
        raise JobError(
            f"the evaluator {kind} cannot be imported from {home['module']} in {home['root']}: {fault}.",
            cure="put its file back, or submit the job anew",
        ) from None

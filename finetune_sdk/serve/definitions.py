"""From the protocol's words for a fine-tuning to our Job: every value is carried over exactly, or refused."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from finetune_sdk.backend import Resolved
from finetune_sdk.client import Client
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import UnsupportedError
from finetune_sdk.job import DPO, RFT, SFT, Job, Method
from finetune_sdk.serve.bodies import Body
from finetune_sdk.serve.errors import ProtocolError, invalid, unsupported
from finetune_sdk.serve.graders import ProtocolGrader, check_grader
from finetune_sdk.serve.records import Tuning

_METHODS = {"supervised": "sft", "dpo": "dpo", "reinforcement": "rft"}
_GRADED = frozenset({"grader", "response_format"})
_OWN = ("compute_multiplier", "eval_interval", "eval_samples", "reasoning_effort")
_SETTINGS = "it is the place's own; whoever runs the server sets it under `rft` in finetune.toml."
_PAIRS, _KEY, _VALUE = 16, 64, 512
_HYPERPARAMETERS: Mapping[str, tuple[type, float, float]] = {
    "n_epochs": (int, 1, 50),
    "batch_size": (int, 1, 256),
    "learning_rate_multiplier": (float, 0, 1e6),
    "beta": (float, 0, 2),
}


class MethodBody(Body):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: dict[str, Any] | None = None
    dpo: dict[str, Any] | None = None
    reinforcement: dict[str, Any] | None = None


class NewJob(Body):
    model: str = Field(min_length=1)
    training_file: str
    validation_file: str | None = None
    method: MethodBody | None = None
    hyperparameters: dict[str, Any] | None = None
    suffix: str | None = Field(None, min_length=1, max_length=64)
    seed: int | None = Field(None, ge=0, lt=2**31)
    metadata: dict[str, str] | None = None
    integrations: list[dict[str, Any]] | None = None


def method_of(asked: NewJob, methods: frozenset[str]) -> dict[str, Any]:
    """{"type", "hyperparameters"} with "auto" for what is left open, and a "grader" whole. Raises ProtocolError for what `methods` cannot do."""
    kind = asked.method.type if asked.method else "supervised"
    if _METHODS[kind] not in methods:
        can = ", ".join(word for word, own in _METHODS.items() if own in methods)
        raise unsupported("method.type", f"this server's backend does {can}, not {kind}.")
    given, more = asked.hyperparameters or {}, dict[str, Any]()
    if asked.method is not None:
        if asked.hyperparameters is not None:
            raise invalid("hyperparameters", "they belong into 'method' alone.")
        own = {name: getattr(asked.method, name) for name in _METHODS}
        other = next((name for name, table in own.items() if name != kind and table is not None), None)
        if other is not None:
            raise invalid(f"method.{other}", f"the method's type is '{kind}'.")
        table = own[kind] or {}
        unknown = sorted(table.keys() - {"hyperparameters", *(_GRADED if kind == "reinforcement" else ())})
        if unknown:
            raise _unknown(f"method.{kind}.{unknown[0]}")
        if kind == "reinforcement":
            check_grader(f"method.{kind}.grader", table.get("grader"))
            if table.get("response_format") is not None:
                raise unsupported(f"method.{kind}.response_format", _SETTINGS)
            more = {"grader": dict(table["grader"])}
        given = table.get("hyperparameters") or {}
    where = f"method.{kind}.hyperparameters" if asked.method else "hyperparameters"
    if not isinstance(given, Mapping):
        raise invalid(where, "give an object.")
    names = [name for name in _HYPERPARAMETERS if name != "beta" or kind == "dpo"]
    for name in _OWN if kind == "reinforcement" else ():
        if given.get(name) not in (None, "auto", "default"):
            raise unsupported(f"{where}.{name}", _SETTINGS)
    stray = sorted(given.keys() - {*names, *(_OWN if kind == "reinforcement" else ())})
    if stray:
        raise _unknown(f"{where}.{stray[0]}")
    return {
        "type": kind,
        "hyperparameters": {name: _figure(f"{where}.{name}", name, given.get(name)) for name in names},
        **more,
    }


def _figure(where: str, name: str, value: Any) -> Any:
    kind, low, high = _HYPERPARAMETERS[name]
    if value is None or value == "auto":
        return "auto"
    whole = kind is int
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise invalid(where, f"give {'a whole number' if whole else 'a number'}, or 'auto'.")
    if not (low <= value <= high) or (not whole and value <= low):
        raise invalid(where, f"give it {'from' if whole else 'above'} {low:g} up to {high:g}.")
    return value if whole else float(value)


def check_metadata(metadata: Mapping[str, str] | None) -> None:
    """Raises ProtocolError for more pairs, or longer ones, than the protocol allows."""
    if metadata is None:
        return
    if len(metadata) > _PAIRS:
        raise invalid("metadata", f"it has at most {_PAIRS} pairs.")
    for key, value in metadata.items():
        if len(key) > _KEY or len(value) > _VALUE:
            raise invalid("metadata", f"a key has at most {_KEY} letters, a value {_VALUE}; see {key[:_KEY]!r}.")


def check_integrations(integrations: Any) -> None:
    if integrations:
        raise unsupported("integrations", "metrics are in the job's events and its result file.")


def new_seed() -> int:
    return secrets.randbelow(2**31)


def definition(base: str, training: str, validation: str | None, method: Mapping[str, Any], seed: int) -> str:
    """Stands for all that decides what is learnt; files by their content."""
    whole = json.dumps([base, training, validation, method, seed], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def job(tuning: Tuning, client: Client, training: Path, validation: Path | None) -> Job:
    """Our Job for a tuning, of the files with its data.

    The protocol gives a rate as a multiple of the place's own, so the place is asked for that. Raises InputError.
    """
    given = {name: value for name, value in tuning.method["hyperparameters"].items() if value != "auto"}
    epochs, batch_size = given.get("n_epochs"), given.get("batch_size")
    method: Method = SFT(epochs=epochs, batch_size=batch_size)
    if tuning.method["type"] == "dpo":
        method = DPO(epochs=epochs, batch_size=batch_size, beta=given.get("beta"))
    elif tuning.method["type"] == "reinforcement":
        graders = (ProtocolGrader(tuning.method["grader"]),)
        method = RFT(epochs=epochs, batch_size=batch_size, graders=graders)
    title = f"{tuning.suffix} ({tuning.id})" if tuning.suffix else tuning.id
    whole = Job(
        name=title,
        train=Dataset.load(training),
        validation=Dataset.load(validation) if validation is not None else None,
        method=method,
        base=tuning.base,
        seed=tuning.seed,
    )
    multiplier = given.get("learning_rate_multiplier")
    if multiplier is None or multiplier == 1:
        return whole
    own = client.resolve(whole).method.learning_rate
    if own is None:
        raise UnsupportedError(
            "learning_rate_multiplier is set, and this backend does not tell the rate that it would multiply.",
            cure="leave it out, or set it in the server's finetune.toml",
        )
    return replace(whole, method=replace(method, learning_rate=float(f"{own * multiplier:.6g}")))


def hyperparameters(tuning: Tuning, resolved: Resolved) -> dict[str, Any]:
    """What the place filled in, in the protocol's words; what it does not tell stays as it was asked."""
    method = resolved.method
    found: dict[str, Any] = {}
    if method.epochs is not None and float(method.epochs).is_integer():
        found["n_epochs"] = int(method.epochs)
    if method.batch_size is not None:
        found["batch_size"] = method.batch_size
    if tuning.method["hyperparameters"]["learning_rate_multiplier"] == "auto":
        found["learning_rate_multiplier"] = 1.0
    if isinstance(method, DPO) and method.beta is not None:
        found["beta"] = float(method.beta)
    return found


def _unknown(param: str) -> ProtocolError:
    return ProtocolError(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")

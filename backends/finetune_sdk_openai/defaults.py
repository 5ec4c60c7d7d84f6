"""What is filled in where a job leaves a value open, and what cannot be done as a job asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from finetune_sdk.backend import Capabilities, Resolved
from finetune_sdk.errors import JobError, UnsupportedError
from finetune_sdk.job import DPO, RFT, Job, Method
from finetune_sdk_openai.addresses import Address
from finetune_sdk_openai.graders import grader
from finetune_sdk_openai.options import Options, RFTWords

_LIMITS = {"epochs": (1, 50), "batch_size": (1, 256)}
VISIBLE: dict[str, str] = {
    "resume": "a job that has ended cannot go on there; submit it again with again=True",
    "export": "its weights stay at the place",
    "render": "the place does not say how it turns a row into tokens",
}


def capabilities(options: Options, address: Address) -> Capabilities:
    """What such a place can do. It tells nobody which weights move, so no adapter can be asked for."""
    deploys = address.kind == "azure" and bool(options.subscription and options.resource_group and options.resource)
    gaps = dict(VISIBLE)
    if not deploys:
        gaps["deploy"] = (
            "subscription, resource_group and resource are not set"
            if address.kind == "azure"
            else "its models answer without it"
        )
    return Capabilities(
        methods=frozenset({"sft", "dpo", "rft"}),
        adapters=frozenset(),
        hyperparameters=frozenset({"epochs", "batch_size", "beta", "graders"}),
        verbs=frozenset({"list", "checkpoints", "pause", "history"} | ({"deploy"} if deploys else set())),
        gaps=gaps,
        visible_within=options.visible_within,
        estimates=frozenset({"upkeep"}),
        spent=True,
    )


def default_epochs(rows: int) -> int:
    """3 epochs, more of few rows and fewer of many: what OpenAI's cookbook gives as the place's own choice."""
    if 3 * rows < 100:
        return min(25, max(1, 100 // rows))
    if 3 * rows > 25_000:
        return max(1, 25_000 // rows)
    return 3


def resolve(job: Job, options: Options, address: Address, place: str) -> Resolved:
    """The job with the settings' words and the defaults. Raises UnsupportedError for what the protocol cannot say."""
    base = job.base or options.base
    if not base:
        raise JobError(
            "no base is given: neither the job nor finetune.toml says what to start from.",
            cure=f'set it, as in base = "gpt-4.1-mini-2025-04-14" under [backends.{place}]',
        )
    method = _filled(job.method, options, len(job.train))
    _refuse(method, place)
    given = {"base": job.base, **_fields(job.method)}
    chosen = tuple(
        name for name, value in {"base": base, **_fields(method)}.items() if value is not None and given[name] is None
    )
    return Resolved(job.resolved(base=base, adapter=None, method=method), _own(job, options, address), chosen)


def _fields(method: Method) -> dict[str, Any]:
    return {name: getattr(method, name) for name in method.__dataclass_fields__ if name != "kind"}


def _filled(method: Method, options: Options, rows: int) -> Method:
    words = options.words(method.kind)
    filled: dict[str, Any] = {}
    if method.epochs is None and method.steps is None:
        said = words.n_epochs
        filled["epochs"] = None if said == "auto" else said or default_epochs(rows)
    if method.batch_size is None and words.batch_size not in (None, "auto"):
        filled["batch_size"] = words.batch_size
    beta = getattr(words, "beta", None)
    if isinstance(method, DPO) and method.beta is None and beta not in (None, "auto"):
        filled["beta"] = float(beta)
    return replace(method, **filled)


def _refuse(method: Method, place: str) -> None:
    for name, (low, high) in _LIMITS.items():
        value = getattr(method, name)
        if value is not None and not (low <= value <= high and float(value).is_integer()):
            raise UnsupportedError(
                f"{place} cannot do {name}={value}.", cure=f"give a whole number from {low} to {high}, or leave it out"
            )
    if isinstance(method, DPO) and method.beta is not None and method.beta > 2:
        raise UnsupportedError(f"{place} cannot do beta={method.beta}.", cure="give more than 0 and at most 2")


def _own(job: Job, options: Options, address: Address) -> dict[str, Any]:
    """The place's own values that change the result or the bill."""
    words = options.words(job.method.kind).model_dump(exclude_none=True)
    for name in ("n_epochs", "batch_size", "beta"):
        if words.get(name) != "auto":
            words.pop(name, None)
    for name, portable in (("n_epochs", "epochs"), ("batch_size", "batch_size"), ("beta", "beta")):
        if getattr(job.method, portable, None) is not None:
            words.pop(name, None)
    own: dict[str, Any] = dict(words)
    if isinstance(job.method, RFT):
        own["grader"] = _grader(job, job.method, options.rft)
    return {**own, **address.extra}


def _grader(job: Job, method: RFT, words: RFTWords) -> dict[str, Any]:
    if method.graders is not None:
        return grader(method.graders, job.train)
    if words.grader is None:
        raise UnsupportedError(
            "this RFT job has no grader: neither its method nor the settings give one.",
            cure="give evaluators, RFT(graders=(ExactMatch(),)), or rft = { grader = { … } } in finetune.toml",
        )
    return words.grader

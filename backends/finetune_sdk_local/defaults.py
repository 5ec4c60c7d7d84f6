"""What this place fills in where a job leaves a value open; each is shown in the estimate and kept with the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from finetune_sdk.backend import Resolved
from finetune_sdk.errors import JobError
from finetune_sdk.evaluation.evaluators import Evaluator
from finetune_sdk.evaluation.evaluators.tables import evaluator_of, evaluator_table, homes, require_faithful
from finetune_sdk.job import (
    DPO,
    KTO,
    ORPO,
    RFT,
    SFT,
    Adapter,
    Full,
    Job,
    LoRA,
    Method,
    PrefixTuning,
    PromptTuning,
    table,
)
from finetune_sdk_local import bases, prompts, stated
from finetune_sdk_local.devices import Device
from finetune_sdk_local.options import Options
from finetune_sdk_local.tables import method_of

EPOCHS = 3.0
BATCH_SIZE = 16
WARMUP = 0.05
BETA = 0.1
MAX_GRADIENT_NORM = 1.0
DPO_SHARE = 0.05
RFT_SHARE = 0.2
SAMPLES = 8
ANSWER = 256
PROMPT_SHARE = 10.0


def resolve(job: Job, options: Options, device: Device) -> Resolved:
    """The job with this place's choices: those of finetune.toml first, then the defaults of this module."""
    base = job.base or options.base
    if not base:
        raise JobError(
            "no base is given: neither the job nor finetune.toml says what to start from.",
            cure='set it, as in Job(base="tiny") for a trial that needs no download, or `base` under [backends.local]',
        )
    _require_judges(job)
    base = bases.absolute(base)
    bases.causal(base)
    stated.require(base)
    adapter = job.adapter or options.adapter_or_none() or LoRA()
    method, chosen = _method(job.method, getattr(options, job.method.kind), base, adapter)
    if job.adapter is None:
        chosen = ("adapter", *chosen)
    if job.base is None:
        chosen = ("base", *chosen)
    room = bases.context(base) - prompts.ahead(adapter)
    if prompts.ahead(adapter) and (method.max_length or 0) > room:
        raise JobError(
            f"max_length={method.max_length} and {prompts.ahead(adapter)} virtual tokens are more than the "
            f"{bases.context(base)} that {base!r} sees at once.",
            cure=f"give max_length at most {room}" if room > 0 else "take fewer virtual tokens",
        )
    whole = job.resolved(base=base, adapter=adapter, method=method)
    own = {
        "device": device.kind,
        "dtype": device.dtype,
        "weights": bases.identity(base),
        "max_gradient_norm": MAX_GRADIENT_NORM,
    }
    if options.optimizer != "adamw":  # what was learnt with the other is another model
        own["optimizer"] = options.optimizer
    return Resolved(whole, own, chosen)


def _require_judges(job: Job) -> None:
    """Raises JobError where there is none to reinforce by, or one that the process of a run could not make."""
    if isinstance(job.method, RFT) and job.method.graders is None:
        raise JobError(
            "this RFT job has no graders, so no answer is worth more than another.",
            cure="give evaluators, such as RFT(graders=(ExactMatch(),)), or a class of your own with a `judge`",
        )
    found = homes(_judges(job))
    for evaluator in _judges(job):
        require_faithful(evaluator, evaluator_of(json.loads(json.dumps(evaluator_table(evaluator))), found))


def own_judges(job: Job) -> dict[str, dict[str, str]]:
    """The homes of the job's evaluators that are not the SDK's. Raises JobError for one that a run cannot import."""
    return homes(_judges(job))


def _judges(job: Job) -> list[Evaluator]:
    graders = job.method.graders if isinstance(job.method, RFT) else None
    watched = (*job.guards.best_by, *job.guards.forgetting_by) if job.guards else ()
    return [*watched, *(graders or ())]


def _method(
    method: Method, table_here: Mapping[str, Any], base: str, adapter: Adapter
) -> tuple[Method, tuple[str, ...]]:
    here = dict(table_here)
    if method.steps is not None or method.epochs is not None:
        here.pop("steps", None), here.pop("epochs", None)
    set_here = table(method_of({"kind": method.kind, **here}))
    defaults: dict[str, Any] = {
        "batch_size": BATCH_SIZE,
        "learning_rate": learning_rate(base, method, adapter),
        "schedule": "cosine",
        "warmup": WARMUP,
        "weight_decay": 0.0,
        "max_length": max(1, bases.context(base) - prompts.ahead(adapter)),
    }
    if method.steps is None and "steps" not in set_here:
        defaults["epochs"] = EPOCHS
    if isinstance(method, DPO | ORPO | KTO):
        defaults["beta"] = BETA
    if isinstance(method, KTO):
        defaults |= {"desirable_weight": 1.0, "undesirable_weight": 1.0}
    if isinstance(method, SFT):
        defaults["loss_on"] = "completions"
    if isinstance(method, ORPO):
        defaults["loss_on"] = "all"
    if isinstance(method, RFT):
        longest = method.max_length or set_here.get("max_length") or defaults["max_length"]
        defaults |= {
            "samples": SAMPLES,
            "max_tokens": max(1, min(ANSWER, longest // 2)),
            "temperature": 1.0,
            "beta": 0.0,
        }
    filled = {name: value for name, value in {**defaults, **set_here}.items() if getattr(method, name) is None}
    whole = replace(method, **filled)
    if isinstance(whole, RFT) and whole.beta and isinstance(adapter, Full):
        raise JobError(
            f"RFT(beta={whole.beta:g}) pulls towards the base, and with Full() all of its weights move.",
            cure="take an adapter, which leaves the base beside it, or beta 0",
        )
    return whole, tuple(sorted(filled))


def learning_rate(base: str, method: Method, adapter: Adapter) -> float:
    """A rate that suits the base's width: `5e-4 * (2000 / hidden) ** 0.781` for LoRA, a tenth of it for all weights, ten
    times it for virtual tokens (peft's examples take 1e-2 and more).

    The formula and its exponent are those that "LoRA Without Regret" (Schulman et al. 2025) fitted on Llama models, as
    Tinker's cookbook has them. DPO and KTO take a twentieth, as their objective moves further for the same rate; RFT, whose
    gradients are noisy, takes a fifth; most of ORPO's is SFT's.
    """
    hidden = int(getattr(bases.config(base).get_text_config(), "hidden_size", 0) or 2000)
    rate = 5e-4 * (2000 / hidden) ** 0.781
    if isinstance(adapter, Full):
        rate /= 10
    if isinstance(adapter, PromptTuning | PrefixTuning):
        rate *= PROMPT_SHARE
    if isinstance(method, DPO | KTO):
        rate *= DPO_SHARE
    if isinstance(method, RFT):
        rate *= RFT_SHARE
    return float(f"{rate:.3g}")

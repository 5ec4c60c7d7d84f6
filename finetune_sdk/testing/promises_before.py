"""The kit's promises of what comes before a run: capabilities, resolving, checking, estimating. Nothing may be made."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from finetune_sdk.backend import OPTIONAL, Backend, Place, Resolved
from finetune_sdk.client import Client
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import InputError, MissingDependencyError, NotFoundError, UnsupportedError
from finetune_sdk.estimate import Estimate, Range, Usage
from finetune_sdk.evaluation.evaluators import ExactMatch
from finetune_sdk.guards import Guards
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
    Pretraining,
    PromptTuning,
    QLoRA,
)

Opened = Callable[[Place], Backend]
NO_SUCH = "no-such-thing-4711"
ASKED = Usage(1_000, 200, 50, "what the kit asks")
UNITS = {
    "tokens": "tokens", "trained_tokens": "tokens", "charge": "USD", "time": "s", "memory": "bytes", "disk": "bytes",
    "machine": "USD", "energy": "Wh",
}  # fmt: skip
_METHODS: dict[str, type[Method]] = {
    "sft": SFT, "pretraining": Pretraining, "dpo": DPO, "orpo": ORPO, "kto": KTO, "rft": RFT
}  # fmt: skip
_ADAPTERS: tuple[Adapter, ...] = (
    LoRA(rank=4, alpha=12.0),
    QLoRA(rank=4, alpha=12.0),
    Full(),
    PromptTuning(),
    PrefixTuning(),
)
VALUES: dict[str, Any] = {
    "beta": 0.25, "desirable_weight": 1.25, "undesirable_weight": 0.75, "epochs": 2, "steps": 7, "batch_size": 3, "learning_rate": 3e-5, "schedule": "constant",
    "warmup": 0.25, "weight_decay": 0.02, "max_length": 300, "loss_on": "all", "validate_every": 3, "early_stopping": 2,
}  # fmt: skip


class BeforeARun:
    """What holds before anything is sent."""

    # -- capabilities -------------------------------------------------------------------------------------------------

    def test_capabilities_name_only_what_there_is(self, backend: Backend) -> None:
        able = backend.capabilities
        assert able.methods
        assert able.methods <= _METHODS.keys()
        assert able.adapters <= {adapter.kind for adapter in _ADAPTERS}
        assert able.hyperparameters <= {field.name for method in _METHODS.values() for field in fields(method)}
        assert able.visible_within >= 0

    def test_capabilities_never_change(self, backend: Backend, place: Place, opened: Opened) -> None:
        assert backend.capabilities == backend.capabilities == opened(place).capabilities

    def test_each_optional_verb_is_declared_or_its_gap_has_a_reason(self, backend: Backend) -> None:
        able = backend.capabilities
        assert able.verbs | able.gaps.keys() == OPTIONAL
        assert not able.verbs & able.gaps.keys()
        for verb, reason in able.gaps.items():
            assert len(reason.split()) >= 2, f"the gap {verb!r} needs a reason in words, not {reason!r}"

    def test_the_address_is_the_same_each_time(self, backend: Backend, place: Place, opened: Opened) -> None:
        assert backend.address
        assert backend.address == opened(place).address

    # -- resolve ------------------------------------------------------------------------------------------------------

    def test_resolve_fills_in_base_adapter_and_method(self, backend: Backend, resolved: Resolved) -> None:
        assert resolved.base
        assert (resolved.job.adapter is not None) == bool(backend.capabilities.adapters)
        assert resolved.method.epochs is not None or resolved.method.steps is not None
        json.dumps(resolved.to_dict())

    def test_resolve_names_what_the_place_chose_and_nothing_else(self, resolved: Resolved, job: Job) -> None:
        given = {"base": job.base, "adapter": job.adapter, **hyperparameters(job.method)}
        made = {"base": resolved.base, "adapter": resolved.job.adapter, **hyperparameters(resolved.method)}
        chosen = [name for name, value in made.items() if value is not None and given[name] is None]
        assert sorted(resolved.chosen) == sorted(chosen)

    def test_resolving_again_is_the_same_submission(
        self, client: Client, backend: Backend, resolved: Resolved, job: Job
    ) -> None:
        address = backend.address
        assert client.resolve(job).fingerprint(address) == resolved.fingerprint(address)
        assert client.resolve(resolved.job).fingerprint(address) == resolved.fingerprint(address)

    @pytest.mark.parametrize("name", sorted(VALUES))
    def test_a_declared_hyperparameter_is_done_exactly_or_refused(self, client: Client, job: Job, name: str) -> None:
        if name not in client.backend.capabilities.hyperparameters & hyperparameters(job.method).keys():
            pytest.skip(f"{name} is not declared, or not part of {type(job.method).__name__}")
        resolved = _or_refused(client, setting(job, name))
        assert resolved is None or getattr(resolved.method, name) == VALUES[name]

    def test_not_every_declared_hyperparameter_is_refused(self, client: Client, job: Job) -> None:
        declared = sorted(client.backend.capabilities.hyperparameters & hyperparameters(job.method).keys())
        if not declared:
            pytest.skip(f"no hyperparameter of {type(job.method).__name__} is declared")
        assert any(_or_refused(client, setting(job, name)) for name in declared)

    def test_not_every_declared_adapter_is_refused(self, client: Client, job: Job) -> None:
        declared = [adapter for adapter in _ADAPTERS if adapter.kind in client.backend.capabilities.adapters]
        if not declared:
            pytest.skip("no adapter is declared: the place tells nobody which weights move")
        assert any(_or_refused(client, replace(job, adapter=adapter)) for adapter in declared)

    @pytest.mark.parametrize("adapter", _ADAPTERS, ids=lambda adapter: adapter.kind)
    def test_a_declared_adapter_is_done_exactly_or_refused(self, client: Client, job: Job, adapter: Adapter) -> None:
        if adapter.kind not in client.backend.capabilities.adapters:
            pytest.skip(f"{adapter.kind} is not declared")
        resolved = _or_refused(client, replace(job, adapter=adapter))
        assert resolved is None or resolved.adapter == adapter

    def test_an_explicit_base_and_seed_stay_as_they_are(self, client: Client, resolved: Resolved, job: Job) -> None:
        again = client.resolve(replace(job, base=resolved.base, seed=4711)).job
        assert (again.base, again.seed, again.train, again.validation) == (
            resolved.base,
            4711,
            job.train,
            job.validation,
        )

    @pytest.mark.parametrize("name", sorted(VALUES))
    def test_a_hyperparameter_that_is_not_declared_is_refused(self, client: Client, job: Job, name: str) -> None:
        if name in client.backend.capabilities.hyperparameters or name not in hyperparameters(job.method):
            pytest.skip(f"{name} is declared, or not part of {type(job.method).__name__}")
        with _nothing_made(client), pytest.raises(UnsupportedError, match=name):
            client.submit(setting(job, name))

    @pytest.mark.parametrize("adapter", _ADAPTERS, ids=lambda adapter: adapter.kind)
    def test_an_adapter_that_is_not_declared_is_refused(self, client: Client, job: Job, adapter: Adapter) -> None:
        declared = client.backend.capabilities.adapters
        if adapter.kind in declared:
            pytest.skip(f"{adapter.kind} is declared")
        with (
            _nothing_made(client),
            pytest.raises(UnsupportedError, match=min(declared, default="leave the adapter out")),
        ):
            client.submit(replace(job, adapter=adapter))

    @pytest.mark.parametrize("kind", sorted(_METHODS))
    def test_a_method_that_is_not_declared_is_refused(self, client: Client, job: Job, kind: str) -> None:
        declared = client.backend.capabilities.methods
        if kind in declared:
            pytest.skip(f"{kind} is declared")
        with _nothing_made(client), pytest.raises(UnsupportedError, match=sorted(declared)[0]):
            client.submit(_of_method(job, kind))

    @pytest.mark.parametrize("name", ["best_by", "forgetting", "forgetting_by", "memorisation"])
    def test_a_guard_that_is_not_declared_is_refused(self, client: Client, job: Job, name: str) -> None:
        if name in client.backend.capabilities.guards or not isinstance(job.method, SFT):
            pytest.skip(f"{name} is declared, or {type(job.method).__name__} is not what it looks at")
        guards = {
            "best_by": Guards(best_by=(ExactMatch(),)),
            "forgetting": Guards(forgetting=job.train),
            "forgetting_by": Guards(forgetting=job.train, forgetting_by=(ExactMatch(),)),
            "memorisation": Guards(memorisation=True),
        }
        with _nothing_made(client), pytest.raises(UnsupportedError, match=name):
            client.submit(replace(job, validation=job.validation or job.train, guards=guards[name]))

    def test_an_unknown_base_is_not_found_saying_what_was_looked_for(self, client: Client, job: Job) -> None:
        with _nothing_made(client), pytest.raises(NotFoundError, match=NO_SUCH) as caught:
            client.submit(replace(job, base=NO_SUCH))
        assert len(caught.value.message.split()) >= 8, "say what was looked for, and where"

    # -- check and estimate -------------------------------------------------------------------------------------------

    def test_check_says_the_same_twice_and_finds_no_error_in_a_good_job(
        self, backend: Backend, resolved: Resolved
    ) -> None:
        found = list(backend.check(resolved))
        assert found == list(backend.check(resolved))
        assert [finding for finding in found if finding.severity == "error"] == []

    def test_check_and_estimate_make_nothing(self, backend: Backend, client: Client, job: Job) -> None:
        with _nothing_made(client):
            resolved = client.resolve(replace(job, seed=job.seed + 4711))
            backend.check(resolved)
            backend.estimate(resolved)
        assert list(backend.find(resolved.token(backend.address, 1))) == []

    def test_estimate_says_the_same_twice(self, backend: Backend, resolved: Resolved, estimate: Estimate) -> None:
        again = backend.estimate(resolved)
        assert (again.tokens, again.trained_tokens, again.charge) == (
            estimate.tokens,
            estimate.trained_tokens,
            estimate.charge,
        )

    def test_a_card_that_nobody_knows_is_refused_by_name(self, backend: Backend, client: Client, job: Job) -> None:
        if "gpu" not in backend.capabilities.estimates:
            with pytest.raises(UnsupportedError, match="gpu"):
                client.estimate(job, gpu=NO_SUCH)
            return
        with _nothing_made(client), pytest.raises(InputError, match=NO_SUCH):
            client.estimate(job, gpu=NO_SUCH)

    def test_a_probe_is_an_estimate_of_the_same_tokens_and_leaves_nothing(
        self, backend: Backend, client: Client, job: Job, estimate: Estimate
    ) -> None:
        if "probe" not in backend.capabilities.estimates:
            with pytest.raises(UnsupportedError, match="probe"):
                client.estimate(job, probe=True)
            return
        with _nothing_made(client):
            probed = client.estimate(job, probe=True)
        assert (probed.tokens, probed.charge) == (estimate.tokens, estimate.charge)

    def test_each_figure_of_an_estimate_is_a_range_in_its_unit_with_a_basis(self, estimate: Estimate) -> None:
        for name, unit in UNITS.items():
            figure = getattr(estimate, name)
            assert figure.unit == unit, name
            assert len(figure.basis.split()) >= 2, f"{name} rests on {figure.basis!r}"
            if figure.known:
                assert 0 <= figure.low <= figure.expected <= figure.high < math.inf, name
        assert Estimate.from_dict(json.loads(json.dumps(estimate.to_dict()))) == estimate

    def test_the_charge_is_nothing_or_dated_or_said_to_be_unknown(self, estimate: Estimate) -> None:
        if estimate.charge.high:
            assert re.search(r"\d{4}-\d\d-\d\d", estimate.charge.basis), estimate.charge.basis

    @pytest.mark.parametrize("tuned", [True, False])
    def test_a_month_has_a_price_that_grows_with_its_answers(
        self, client: Client, resolved: Resolved, tuned: bool
    ) -> None:
        if "upkeep" not in client.backend.capabilities.estimates:
            with pytest.raises(UnsupportedError, match="upkeep"):
                client.upkeep(resolved.base, ASKED, tuned=tuned)
            pytest.skip("no upkeep is declared")
        none, once, twice = (
            client.upkeep(resolved.base, replace(ASKED, answers=times * ASKED.answers), tuned=tuned)
            for times in range(3)
        )
        for part in (once.inference, once.hosting, once.month):
            assert part.unit == "USD"
            assert len(part.basis.split()) >= 2, part.basis
            assert not part.high or re.search(r"\d{4}-\d\d-\d\d", part.basis), part.basis
        assert once.month.known == (once.inference.known and once.hosting.known)
        assert (twice.hosting.low, twice.hosting.high) == (once.hosting.low, once.hosting.high)
        if once.inference.known:
            assert (none.inference.low, none.inference.high) == (0, 0)
            doubled = [2 * figure for figure in _figures(once.inference)]
            assert _figures(twice.inference) == pytest.approx(doubled)
        json.dumps(once.to_dict())

    def test_prices_are_dated_and_have_a_source(self, backend: Backend) -> None:
        for price in backend.prices():
            assert price.source
            assert price.age_days(date.today()) >= 0

    def test_tokens_are_counted_and_it_is_said_whether_exactly(
        self, backend: Backend, resolved: Resolved, job: Job
    ) -> None:
        counter = backend.counter(resolved.base)
        count = counter.count(job.train[0])
        assert isinstance(counter.exact, bool)
        assert counter.basis
        assert (0 if job.train.kind == "task" else 1) <= count.trained <= count.total


def hyperparameters(method: Method) -> dict[str, Any]:
    """What a job may set, and to what it is set."""
    return {field.name: getattr(method, field.name) for field in fields(method) if field.name != "kind"}


def setting(job: Job, name: str) -> Job:
    """The same job with one hyperparameter set to what no place would choose, and data to validate on if it needs some."""
    cleared = {"epochs": None, "steps": None} if name in ("epochs", "steps") else {}
    method = replace(job.method, **{**cleared, name: VALUES[name]})
    if name in ("validate_every", "early_stopping") and job.validation is None:
        return replace(job, method=method, train=job.train[:-2], validation=job.train[-2:])
    return replace(job, method=method)


def _of_method(job: Job, kind: str) -> Job:
    good, bad = ({"role": "assistant", "content": word} for word in ("yes", "no"))
    asked = {"messages": [{"role": "user", "content": "yes?"}]}
    rated = {"prompt": asked["messages"], "completion": [good], "label": True}
    pair = {"input": asked, "preferred_output": [good], "non_preferred_output": [bad]}
    rows: dict[str, dict[str, Any]] = {
        "sft": {"messages": [*asked["messages"], good]},
        "pretraining": {"text": "yes? yes"},
        "dpo": pair,
        "orpo": pair,
        "kto": rated,
        "rft": {**asked, "reference": "yes"},
    }
    return replace(job, train=Dataset.of([rows[kind]] * len(job.train)), validation=None, method=_METHODS[kind]())


def _figures(known: Range) -> tuple[float, float, float]:
    assert known.low is not None
    assert known.expected is not None
    assert known.high is not None
    return known.low, known.expected, known.high


def _or_refused(client: Client, job: Job) -> Resolved | None:
    try:
        return client.resolve(job)
    except (UnsupportedError, MissingDependencyError):
        return None


@contextmanager
def _nothing_made(client: Client) -> Iterator[None]:
    def made() -> tuple[int, list[str]]:
        listed = list(client.backend.runs()) if "list" in client.backend.capabilities.verbs else []
        return len(client.ledger.entries()), listed

    before = made()
    yield
    assert made() == before, "something was made, or written in the ledger"

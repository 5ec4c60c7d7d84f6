"""Whether a job fits on a card: the answer, by how much, and what to change, each weighed by asking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.backend import Resolved
from finetune_sdk.errors import JobError, UnsupportedError
from finetune_sdk.estimate import Range
from finetune_sdk.job import Adapter
from finetune_sdk_local.absent import device
from finetune_sdk_local.cards import card, known
from finetune_sdk_local.fitting import advice, applied
from local_data import chats

NOW = {"micro_tokens": 16384, "optimizer": "adamw"}


def gb(low: float, high: float) -> Range:
    return Range(low * 1e9, (low + high) / 2 * 1e9, high * 1e9, "bytes", "a test")


def job(adapter: Adapter) -> Resolved:
    return Resolved(
        ft.Job(name="a", train=chats(4), base="acme/large", adapter=adapter, method=ft.SFT(max_length=2048))
    )


class Weighed:
    """A job of so many billion weights, by the plain sums; it notes what was asked."""

    def __init__(self, billions: float, adapter: Adapter) -> None:
        self.billions, self.adapter = billions, adapter
        self.asked: list[dict[str, Any]] = []

    def __call__(self, changes: Mapping[str, Any]) -> Range:
        self.asked.append(dict(changes))
        if changes.get("sharding") and changes.get("offload"):
            raise UnsupportedError("these two do not go together")
        adapter = changes.get("adapter", self.adapter)
        each = {"full": 16.0, "lora": 2.0, "qlora": 0.6}[adapter.kind]
        if adapter.kind == "full" and changes.get("optimizer") == "adamw_8bit":
            each = 10.0
        tokens = changes.get("micro_tokens", 16384) * min(1.0, changes.get("max_length", 2048) / 512)
        activations = self.billions * tokens / 16384 * 1.5
        if changes.get("activation_checkpointing") or changes.get("offload"):
            activations /= 10
        total = self.billions * each / changes.get("processes", 1) + activations
        return gb(0.9 * total, 1.1 * total)


def told(billions: float, adapter: Adapter, name: str, **now: Any) -> tuple[Any, Weighed]:
    weighed = Weighed(billions, adapter)
    return advice(weighed({}), card(name), job(adapter), weighed, {**NOW, **now}), weighed


def test_a_job_that_fits_fits_and_nothing_is_to_be_changed() -> None:
    fit, weighed = told(8, ft.LoRA(), "H100 80GB")
    assert (fit.fits, fit.short, fit.changes) == ("yes", 0.0, ())
    assert len(weighed.asked) == 1, "what fits is not weighed again"
    (said,) = fit.sentences()
    assert said == "fits on H100 SXM 80GB: it has 84.9 GB, 54.1 GB more than needed"


def test_a_job_that_may_fit_says_how_much_it_may_lack() -> None:
    fit, _ = told(7.2, ft.LoRA(), "A10G")
    room = device(card("A10G")).memory
    assert fit.fits == "maybe"
    assert fit.short == pytest.approx(1.1 * 25.2e9 - room)
    assert "may not fit on A10G 24GB: it has 23.5 GB, up to 4.2 GB too little" in fit.sentences()[0]


def test_a_job_that_does_not_fit_says_by_how_much_and_what_to_change_in_order() -> None:
    fit, weighed = told(14, ft.LoRA(), "RTX 4090")
    assert fit.fits == "no"
    assert fit.sentences()[0].startswith("does not fit on RTX 4090 24GB: it has 25.1 GB, 19.0 GB - 28.8 GB too little")
    kinds = [next(iter(change.changes), "base") for change in fit.changes]
    first = [kind for kind in kinds if kind != "gpu"]
    assert first[:3] == ["activation_checkpointing", "micro_tokens", "adapter"]
    assert first[-1] == "base"
    assert kinds.index("gpu") > kinds.index("adapter")
    for change in fit.changes:
        if change.changes:
            assert change.changes in weighed.asked, "each memory is what was answered"
            assert change.memory == weighed(change.changes)


def test_the_larger_card_is_the_smallest_that_holds_it() -> None:
    fit, weighed = told(14, ft.LoRA(), "RTX 4090")
    (larger,) = (change for change in fit.changes if "gpu" in change.changes)
    need = weighed({}).high
    smallest = min(each.memory for each in known() if device(each).memory >= need)
    assert card(larger.changes["gpu"]).memory == smallest
    assert larger.fits == "yes"


def test_changes_that_are_not_enough_by_themselves_are_taken_together() -> None:
    fit, _ = told(70, ft.LoRA(), "A100 80GB")
    (both,) = (change for change in fit.changes if len(change.changes) > 1 and "sharding" not in change.changes)
    assert both.changes["activation_checkpointing"] is True
    assert both.changes["adapter"].kind == "qlora"
    assert both.fits == "yes"
    assert " and " in str(both)


def test_full_weights_may_become_an_adapter_or_be_spread_over_cards() -> None:
    fit, _ = told(8, ft.Full(), "A100 80GB")
    named = [str(change) for change in fit.changes]
    assert any(each.startswith("LoRA in place of full weights: ") for each in named)
    assert any(each.startswith('optimizer = "adamw_8bit": ') for each in named)
    assert any(each.startswith("sharding = true over 2 such cards: ") for each in named)


def test_qlora_keeps_the_adapter_as_it_was() -> None:
    fit, _ = told(14, ft.LoRA(rank=64, dropout=0.1, rslora=True), "RTX 4090")
    (change,) = (change for change in fit.changes if change.changes.keys() == {"adapter"})
    found = change.changes["adapter"]
    assert (found.kind, found.rank, found.dropout, found.rslora) == ("qlora", 64, 0.1, True)


def test_what_is_done_already_is_not_proposed() -> None:
    fit, weighed = told(14, ft.QLoRA(), "T4", activation_checkpointing=True, offload=True, optimizer="adamw_8bit")
    assert not any("activation_checkpointing" in asked for asked in weighed.asked)
    assert fit.fits != "yes"
    assert not any(change.changes.keys() & {"offload", "optimizer", "adapter"} for change in fit.changes)


def test_a_job_beyond_one_card_is_told_what_machine_would_hold_it() -> None:
    fit, _ = told(405, ft.LoRA(), "H100 80GB")
    assert any("B200" in str(change) and change.fits == "yes" for change in fit.changes)


def test_a_job_beyond_any_machine_is_refused_with_what_is_missing() -> None:
    with pytest.raises(
        JobError, match="no machine that is known holds this job: it needs 31500 GB - 38500 GB"
    ) as fault:
        told(2000, ft.Full(), "H100 80GB")
    assert "The largest card, B200 SXM 180GB, has 192 GB" in str(fault.value)
    assert "too little" in str(fault.value)
    assert "smaller base" in str(fault.value.cure)


def test_changes_are_those_of_the_job_and_leave_the_rest() -> None:
    before = job(ft.LoRA())
    after = applied(before, {"adapter": ft.QLoRA(), "max_length": 512, "optimizer": "adamw_8bit", "micro_tokens": 1024})
    assert (after.adapter, after.method.max_length, after.own["optimizer"]) == (ft.QLoRA(), 512, "adamw_8bit")
    assert (before.adapter, before.method.max_length) == (ft.LoRA(), 2048)
    assert after.base == before.base

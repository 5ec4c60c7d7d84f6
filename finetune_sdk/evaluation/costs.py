"""What an answer costs beside others, and after how many answers a training has paid for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from finetune_sdk.breakeven import paid_back

_MUCH = 1.2


def costs(models: Sequence[Mapping[str, Any]], origin: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The last model beside each other one, as plain data: model, than, saving (USD per 1,000 answers), training (USD),
    answers (until the training is paid back; None where that never is, or where a figure is unknown) and a sentence.

    Where no price is known, how many times as many tokens are read says what a longer prompt takes. Pairs of which nothing
    is known are left out.
    """
    if len(models) < 2:
        return []
    *others, last = models
    actual = (origin or {}).get("actual") or {}
    training = actual.get("charge") if origin and origin.get("run") == last.get("run") else None
    return [row for other in others for row in _beside(last, other, training)]


def _beside(model: Mapping[str, Any], than: Mapping[str, Any], training: float | None) -> Iterator[dict[str, Any]]:
    here, there = _per_1000(model), _per_1000(than)
    row = {"model": model["key"], "than": than["key"], "saving": None, "training": training, "answers": None}
    if here is None or there is None or not (here or there):
        sentence = _by_tokens(model, than)
        if sentence:
            yield {**row, "sentence": sentence}
        return
    saving = there - here
    answers = ceil(paid_back(1000 * training, saving)) if training and saving > 0 else None
    yield {**row, "saving": saving, "answers": answers, "sentence": _by_price(model, than, saving, training, answers)}


def _by_price(
    model: Mapping[str, Any], than: Mapping[str, Any], saving: float, training: float | None, answers: int | None
) -> str:
    here, there = model["key"], than["key"]
    if saving == 0:
        return f"{here} and {there} cost the same for 1,000 answers."
    if saving < 0:
        return f"{here} costs ${_usd(-saving)} more than {there} for 1,000 answers, so it never pays its training back."
    said = f"{here} saves ${_usd(saving)} for 1,000 answers against {there}"
    if answers is not None and training is not None:
        return f"{said}: its training, which was charged ${_usd(training)}, is paid back after {answers:,} answers."
    return f"{said}{'; its training was charged nothing' if training == 0 else ''}."


def _by_tokens(model: Mapping[str, Any], than: Mapping[str, Any]) -> str | None:
    here, there = ((row.get("tokens") or {}).get("input_mean") for row in (model, than))
    if not here or not there or max(here, there) / min(here, there) < _MUCH:
        return None
    more, less, times = (than, model, there / here) if there > here else (model, than, here / there)
    return f"{more['key']} reads {times:.1f} times as many tokens for an answer as {less['key']}."


def _per_1000(model: Mapping[str, Any]) -> float | None:
    value = (model.get("cost") or {}).get("per_1000")
    return None if value is None else float(value)


def _usd(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.1 else f"{value:.2g}"

"""Whether weights that were merged still say what the adapter says: their logits, and their greedy answers.

All is computed in float32, from weights as they are stored, so what is measured is what merging did to the model: rounding.
Positions are those of golden texts: prompts of the run's own rows, each with the adapter's greedy answer. Logits are centred
at each position, since a constant changes no probability.

That the merging itself is right is shown before any rounding: base and adapter, added in float32, may differ from the adapter beside
the base in the order of adding alone (`FLOAT32`). So whatever the stored weights are off by, rounding took.

Two bounds hold for that, both of root mean squares over all positions and the vocabulary:

- `ROUNDING`: a weight that is rounded to a dtype of unit roundoff u is off by at most u of itself, at random, and what
  n rounded layers do adds up as the root of n. So the logits may be off by ROUNDING * u * sqrt(n) of their size. More is no
  rounding: another base, a layer left out, weights that are shared.
- `SHARE`: of what the adapter moves the logits by, at most a quarter may be off. Where the adapter's changes are smaller than the
  steps of the dtype, they vanish when they are added, within the first bound: the model would be the base again.

An answer's token may change only where the adapter itself held both tokens nearly as likely: within `TIE` nats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any

from finetune_sdk_local.rendering import Renderer, TemplateError

if TYPE_CHECKING:
    import torch

    from finetune_sdk.data.dataset import Dataset

ROUNDING = 1.0
SHARE = 0.25
TIE = 0.25
FLOAT32 = 1e-4  # what two orders of adding in float32 may differ by, of the logits' size
PROMPTS = 8
PROMPT_TOKENS = 1024
ANSWER_TOKENS = 32
LOOK_BACK = 32  # positions of a prompt that are compared too


@dataclass(frozen=True, slots=True)
class Golden:
    """Ids of a prompt and of the adapter's greedy answer to it."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Flip:
    """A token of an answer that is another one after merging. `margin`: how much likelier the adapter held its own, in nats."""

    prompt: int
    position: int
    margin: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was measured. `off`, `unrounded`, `moved` and `size` are root mean squares of logits: merged beside the adapter, added in
    float32 beside it, the adapter beside the base, the adapter's own. `answers` of `prompts` keep all their tokens.
    """

    off: float
    unrounded: float
    moved: float
    size: float
    bound: float
    layers: int
    prompts: int
    answers: int
    positions: int
    flips: tuple[Flip, ...]

    @property
    def fault(self) -> str | None:
        """Why the merged weights are not the model that was trained; None where they are."""
        if not self.unrounded <= FLOAT32 * self.size:
            return (
                f"its logits are off by {self.unrounded:.2g} of {self.size:.2g} before any weight is rounded, where "
                f"{FLOAT32 * self.size:.2g} is what the order of adding may take"
            )
        if not self.off <= self.bound:
            return (
                f"its logits are off by {self.off:.2g} where the bound is {self.bound:.2g} (the adapter moves them by "
                f"{self.moved:.2g}, their size is {self.size:.2g}; {self.positions} positions of {self.prompts} prompts)"
            )
        wide = max((flip.margin for flip in self.flips), default=0.0)
        if wide > TIE:
            return (
                f"{self.prompts - self.answers} of {self.prompts} greedy answers change, where the adapter held its own token "
                f"likelier by {wide:.2g} nats, and {TIE} is what a near tie may have"
            )
        return None

    @property
    def lost(self) -> float:
        """What rounding took, as a share of what the adapter moves the logits by."""
        return self.off / self.moved if self.moved else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "flips": [asdict(flip) for flip in self.flips]}


def prompts(renderer: Renderer, sides: Sequence[Dataset | None], context: int) -> list[tuple[int, ...]]:
    """Up to `PROMPTS` prompts of the run's rows, by turns from each side; of a text that has no question, its first half."""
    by_turns = (one for pair in zip_longest(*(_asked(renderer, side) for side in sides if side)) for one in pair if one)
    room = max(1, min(PROMPT_TOKENS, context - ANSWER_TOKENS))
    return [ids[-room:] for ids in islice(dict.fromkeys(by_turns), PROMPTS)]


def _asked(renderer: Renderer, dataset: Dataset) -> Iterable[tuple[int, ...]]:
    for index in range(len(dataset)):
        try:
            text, spans = renderer.texts(dataset.row(index))[0]
        except TemplateError:
            continue
        asked = text[: spans[0][0]] if spans else text
        ids = renderer.tokenizer(asked or text, add_special_tokens=False, verbose=False)["input_ids"]
        yield tuple(ids if asked else ids[: (len(ids) + 1) // 2])


def answered(model: Any, asked: Sequence[tuple[int, ...]], ends: Sequence[int]) -> list[Golden]:
    """Each prompt with the model's greedy answer, its end included."""
    import torch

    found = []
    for prompt in asked:
        ids = list(prompt)
        with torch.inference_mode():
            state = model(input_ids=_tensor(ids, model), use_cache=True)
            while len(ids) < len(prompt) + ANSWER_TOKENS:
                ids.append(int(state.logits[0, -1].argmax()))
                if ids[-1] in ends:
                    break
                state = model(input_ids=_tensor(ids[-1:], model), past_key_values=state.past_key_values, use_cache=True)
        found.append(Golden(prompt, tuple(ids[len(prompt) :])))
    return found


def logits(model: Any, golden: Sequence[Golden]) -> list[torch.Tensor]:
    """Of each golden text the centred logits that speak of the answer's tokens, after those of the prompt's end; float32, CPU."""
    import torch

    found = []
    with torch.inference_mode():
        for one in golden:
            keep = len(one.answer) + min(LOOK_BACK, len(one.prompt) - 1)
            ids = [*one.prompt, *one.answer][:-1]
            out = model(input_ids=_tensor(ids, model), use_cache=False).logits[0, -keep:].float().cpu()
            found.append(out - out.mean(-1, keepdim=True))
    return found


def _tensor(ids: Sequence[int], model: Any) -> torch.Tensor:
    import torch

    return torch.tensor([list(ids)], device=model.device)


def measure(
    golden: Sequence[Golden],
    base: Sequence[torch.Tensor],
    adapter: Sequence[torch.Tensor],
    merged: Sequence[torch.Tensor],
    *,
    added: Sequence[torch.Tensor],
    roundoff: float,
    layers: int,
) -> Agreement:
    """Logits of the golden texts by each model, `added` before rounding; `layers` were rounded to a dtype of this unit `roundoff`."""
    off, moved, size = _apart(merged, adapter), _apart(adapter, base), _apart(adapter, None)
    rounding = ROUNDING * roundoff * layers**0.5 * size
    flips = [flip for at, one in enumerate(golden) for flip in _flips(at, one, adapter[at], merged[at])]
    return Agreement(
        off=off,
        unrounded=_apart(added, adapter),
        moved=moved,
        size=size,
        bound=max(min(rounding, SHARE * moved), FLOAT32 * size),
        layers=layers,
        prompts=len(golden),
        answers=len(golden) - len({flip.prompt for flip in flips}),
        positions=sum(len(each) for each in adapter),
        flips=tuple(flips),
    )


def _apart(these: Sequence[torch.Tensor], those: Sequence[torch.Tensor] | None) -> float:
    count = sum(each.numel() for each in these)
    squares = sum(
        float((each if those is None else each - those[at]).double().pow(2).sum()) for at, each in enumerate(these)
    )
    return float((squares / count) ** 0.5)


def _flips(at: int, golden: Golden, adapter: torch.Tensor, merged: torch.Tensor) -> Iterable[Flip]:
    """The first token of an answer that changes; what comes after it, no greedy answer would see."""
    start = len(adapter) - len(golden.answer)
    for position in range(len(golden.answer)):
        own, other = int(adapter[start + position].argmax()), int(merged[start + position].argmax())
        if own != other:
            yield Flip(at, position, float(adapter[start + position, own] - adapter[start + position, other]))
            return

"""Counterfactual pairs: the same case with a name or a gender swapped. Does the answer change?"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.comparison import CONFIDENCE, probability
from finetune_sdk.evaluation.evaluation import Evaluation
from finetune_sdk.evaluation.evaluators import Evaluator, ExactMatch
from finetune_sdk.evaluation.report import Report, outcomes
from finetune_sdk.evaluation.statistics import clopper_pearson, mcnemar_exact
from finetune_sdk.messages import ChatExample, Message
from finetune_sdk.model import Model, Sampling

Swap = Mapping[str, str] | Callable[[str], str]


@dataclass(frozen=True)
class Counterfactual:
    """Cases and their twins, in which `swap` has replaced words: {"Mr": "Ms", "he": "she"}, or a function of a text.

    Whole words are swapped, all at once, in questions and in expected answers, with a capital letter where there was one.
    Cases in which there is nothing to swap have no twin and are left out.
    """

    cases: Dataset
    swap: Swap
    evaluators: Sequence[Evaluator] = (ExactMatch(),)
    name: str = "the swapped words"
    sampling: Sampling | None = None
    allow_leakage: bool = False

    def run(
        self,
        progress: bool | None = None,
        *,
        cache: bool | str | os.PathLike[str] = True,
        max_cost: float | None = None,
        timeout: float | None = None,
        **models: Model,
    ) -> Report:
        """Asks every model both cases of every pair. The report's verdict is on how often the last one's answer changes.

        An answer changes where that to the twin is not that to the case with the same words swapped; JSON is compared as
        data. The share of pairs has the interval of Clopper and Pearson; whether the evaluators pass one side more often is
        McNemar's exact test. `cache`, `max_cost` and `timeout` are those of `Evaluation.run`. Raises EvaluationError where no
        case holds a word to swap.
        """
        swapped = _swapper(self.swap)
        pairs = [(case, twin) for case in self.cases for twin in [_twin(case, swapped)] if twin is not None]
        if not pairs:
            raise EvaluationError(
                f"{self.cases.name}: no case holds a word to swap.", cure="swap words that stand in the questions"
            )
        both = Dataset.of([*(case for case, _ in pairs), *(twin for _, twin in pairs)], name=self.cases.name)
        sides = ["as it was"] * len(pairs) + ["swapped"] * len(pairs)
        evaluation = Evaluation(
            both,
            self.evaluators,
            name=f"Counterfactual pairs: {self.name}",
            sampling=self.sampling,
            allow_leakage=self.allow_leakage,
            slices={self.name: sides},
            group=[*range(len(pairs)), *range(len(pairs))],
        )
        data = evaluation.run(progress, cache=cache, max_cost=max_cost, timeout=timeout, **models).to_dict()
        rows = [self._found(data, key, swapped) for key in models]
        sentence = rows[-1]["sentence"]
        verdict = {"sentence": sentence, "outcome": "single", "better": None, "than": None, "on": data["verdict"]["on"]}
        return Report.from_dict({**data, "counterfactual": rows, "verdict": verdict})

    def _found(self, data: Mapping[str, Any], model: str, swapped: Callable[[str], str]) -> dict[str, Any]:
        examples, half = data["examples"], len(data["examples"]) // 2
        pairs = [
            (place, first["answers"][model], second["answers"][model])
            for place, (first, second) in enumerate(zip(examples[:half], examples[half:], strict=True))
            if not _silent(first["answers"][model]) and not _silent(second["answers"][model])
        ]
        changed = [place for place, first, second in pairs if _said(first, swapped) != _said(second, str)]
        on = data["verdict"]["on"]
        passed = outcomes(examples, on, model)
        sides = [(passed[place], passed[place + half]) for place, _, _ in pairs]
        only_first, only_second = sides.count((True, False)), sides.count((False, True))
        p = mcnemar_exact(only_first, only_second)
        row = {
            "name": self.name, "model": model, "on": on, "pairs": len(pairs), "changed": len(changed),
            "only_first": only_first, "only_second": only_second, "p": p, "cases": changed,
            "rate": None, "low": None, "high": None,
        }  # fmt: skip
        if not pairs:
            return {**row, "sentence": f"{model} has answered no pair."}
        low, high = clopper_pearson(len(changed), len(pairs), CONFIDENCE)
        sentence = (
            f"{model} changes its answer in {len(changed)} of {len(pairs)} pairs when only {self.name} changes "
            f"({len(changed) / len(pairs):.1%}, 95% interval {low:.1%} to {high:.1%}); it passes {on} in {only_first} pairs "
            f"only as it was and in {only_second} only swapped (exact McNemar {probability(p)})."
        )
        return {**row, "rate": len(changed) / len(pairs), "low": low, "high": high, "sentence": sentence}


def _swapper(swap: Swap) -> Callable[[str], str]:
    if not isinstance(swap, Mapping):
        return swap
    if not swap or not all(isinstance(a, str) and isinstance(b, str) and a for a, b in swap.items()):
        raise EvaluationError(f"{swap!r} swaps no words.", cure='name some: swap={"Mr": "Ms", "he": "she"}')
    exact = {**{key.lower(): value for key, value in swap.items()}, **swap}
    words = re.compile(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(swap, key=len, reverse=True)))})(?!\w)", re.IGNORECASE
    )

    def swapped(text: str) -> str:
        return words.sub(lambda found: _cased(found.group(), exact), text)

    return swapped


def _cased(word: str, swap: Mapping[str, str]) -> str:
    if word in swap:
        return swap[word]
    other = swap[word.lower()]
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def _twin(case: object, swapped: Callable[[str], str]) -> ChatExample | None:
    if not isinstance(case, ChatExample):
        return None
    messages = tuple(_other(message, swapped) for message in case.messages)
    last = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=len(messages))
    return replace(case, messages=messages) if messages[:last] != case.messages[:last] else None


def _other(message: Message, swapped: Callable[[str], str]) -> Message:
    calls = tuple(replace(call, arguments=_within(call.arguments, swapped)) for call in message.tool_calls)
    content = swapped(message.content) if isinstance(message.content, str) else message.content
    return replace(message, content=content, tool_calls=calls)


def _within(value: Any, swapped: Callable[[str], str]) -> Any:
    """Plain data with the words of its texts swapped; the names of fields stay."""
    if isinstance(value, str):
        return swapped(value)
    if isinstance(value, Mapping):
        return {name: _within(each, swapped) for name, each in value.items()}
    return type(value)(_within(each, swapped) for each in value) if isinstance(value, list | tuple) else value


def _silent(answer: Mapping[str, Any]) -> bool:
    return bool(answer["finish"] == "error")


def _said(answer: Mapping[str, Any], swapped: Callable[[str], str]) -> tuple[str, str]:
    """What was said, comparable: JSON as data, other text without white space at its ends."""
    text = swapped(answer["text"]).strip()
    with suppress(ValueError, RecursionError):  # what is no JSON is compared as it stands
        text = json.dumps(json.loads(text), sort_keys=True)
    calls = [
        {"name": call.get("name"), "arguments": _within(call.get("arguments"), swapped)}
        if isinstance(call, Mapping)
        else call
        for call in answer["tool_calls"]
    ]
    return text, json.dumps(calls, sort_keys=True)

"""What guards ask: held-out prompts, which the model in training answers greedily, and whether the answers pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.evaluation.evaluators import Case, Evaluator
from finetune_sdk.messages import ChatExample, Conversation, Example, Message, PreferenceExample, RatedExample
from finetune_sdk.model import Answer, Origin, Sampling
from finetune_sdk_local import bases, objectives, prompts
from finetune_sdk_local.generation import LocalModel, answering
from finetune_sdk_local.loaded import LoadedBase, Voice
from finetune_sdk_local.prepare import RunJob
from finetune_sdk_local.rendering import Renderer


def cases(dataset: Dataset, most: int, seed: int) -> list[Case]:
    """At most so many held-out prompts with their expected answers, drawn by the seed."""
    found = list[Case]()
    for index in np.random.default_rng([seed, len(dataset)]).permutation(len(dataset)).tolist():
        prompt, expected = _asked(dataset[index])
        if prompt is not None and prompt.messages:
            found.append(Case(index, prompt, expected, dataset.where(index), ""))
        if len(found) == most:
            break
    return sorted(found, key=lambda case: case.index)


def _asked(example: Example) -> tuple[Conversation | None, Message | None]:
    """What is asked, and what is expected: of a pair the chosen answer, of a rated answer that one if it was found good."""
    if isinstance(example, ChatExample):
        return example.prompt, example.answer
    if isinstance(example, PreferenceExample | RatedExample):
        answer = example.chosen if isinstance(example, PreferenceExample) else example.answer
        asked = example.prompt
        whole = ChatExample((*asked.messages, *answer), asked.tools, asked.parallel_tool_calls)
        return whole.prompt, whole.answer if isinstance(example, PreferenceExample) or example.good else None
    return None, None


def passes(evaluators: Sequence[Evaluator], case: Case, answer: Answer) -> bool:
    """Whether all find the answer good."""
    return all(evaluator.judge(case, answer).passed for evaluator in evaluators)


def findings(name: str, evaluators: Sequence[Evaluator], dataset: Dataset, asked: Sequence[Case]) -> Iterator[Finding]:
    """An error where nothing can be asked, a warning where expected answers do not pass the guard's own evaluators.

    Raises EvaluationError for a case that an evaluator cannot judge.
    """
    if not asked:
        yield Finding(
            "job", "error", f"{dataset.name} has no prompts to ask.", "give chats whose last turn answers one"
        )
    failed = [case for case in asked if not _could_pass(evaluators, case)]
    if failed:
        yield Finding(
            "job",
            "warning",
            f"{len(failed)} of {len(asked)} expected answers do not pass {name} themselves ({failed[0].where}).",
            "mend the evaluators or the rows: no model can score there",
        )


def _could_pass(evaluators: Sequence[Evaluator], case: Case) -> bool:
    """Whether the expected answer passes; a case without one, and a judgement that waits for the model's, are no failures."""
    expected = case.expected
    answer = Answer(expected.text, expected.tool_calls) if expected else Answer("")
    try:
        return passes(evaluators, case, answer) or expected is None
    except ValueError:  # how many tokens an answer has, is known of a model's alone
        return True


class Questions:
    """Cases that the model in training is asked again and again, in answers of at most `max_tokens` tokens."""

    def __init__(self, asked: Sequence[Case], job: RunJob, model: Any, max_tokens: int) -> None:
        self.cases = asked
        self._device, self._model = job.device, model
        self._sampling = Sampling(max_tokens=max_tokens)
        self._at_once = len(asked)
        renderer = Renderer(job.base, bases.tokenizer(job.where))
        self._speaker = LocalModel(
            "the model in training",
            Origin("local", job.base),
            lambda: Voice(LoadedBase(lambda: model), renderer),
            context=bases.context(job.where) - prompts.ahead(job.adapter),
            frozen=False,
        )

    def ask(self) -> list[tuple[Case, Answer]]:
        """Each with its answer. Fewer at once when memory runs out; an answer does not hang on the others."""
        asked = [case.prompt for case in self.cases]
        with answering(self._model), objectives.precision(self._device.kind, self._device.torch_dtype):
            while True:
                try:
                    starts = range(0, len(asked), self._at_once)
                    parts = [self._speaker.answers(asked[at : at + self._at_once], self._sampling) for at in starts]
                except torch.cuda.OutOfMemoryError:
                    if self._at_once == 1:
                        raise
                    self._at_once = (self._at_once + 1) // 2
                    torch.cuda.empty_cache()
                else:
                    return list(zip(self.cases, (answer for part in parts for answer in part), strict=True))

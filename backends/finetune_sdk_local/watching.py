"""What the guards of a job see at each validation: scores of answers, what is known by heart, what is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.evaluation.evaluators import Case, Evaluator
from finetune_sdk.evaluation.evaluators.tables import evaluator_of
from finetune_sdk.guards import Guards
from finetune_sdk.job import SFT, Method, Pretraining
from finetune_sdk.messages import ChatExample
from finetune_sdk.model import Answer, Origin, Sampling
from finetune_sdk_local import bases, engines, objectives
from finetune_sdk_local.batches import Batch, batch
from finetune_sdk_local.generation import LocalModel, answering
from finetune_sdk_local.loaded import LoadedBase, Voice
from finetune_sdk_local.memorised import Known
from finetune_sdk_local.objectives import Logits
from finetune_sdk_local.prepare import RunJob, sequences
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.runs import RunFolder

FORGOTTEN = 0.1
"""Nats a token: a tenth more perplexity on general examples than before."""
BY_HEART = 0.05
"""Share of answers to prompts that were not trained on."""

Look = Callable[[int], Mapping[str, float]]
"""What is seen of the model as it stands, with so many tokens passing at once."""


def cases(validation: Dataset, most: int, seed: int) -> list[Case]:
    """At most so many held-out prompts with their expected answers, drawn by the seed."""
    found = list[Case]()
    for index in np.random.default_rng([seed, len(validation)]).permutation(len(validation)).tolist():
        example = validation[index]
        if isinstance(example, ChatExample) and example.prompt.messages:
            found.append(Case(index, example.prompt, example.answer, validation.where(index), ""))
        if len(found) == most:
            break
    return sorted(found, key=lambda case: case.index)


def findings(guards: Guards, validation: Dataset, seed: int) -> Iterator[Finding]:
    """An error where nothing can be asked, a warning where expected answers do not pass the evaluators themselves.

    Raises EvaluationError for a case that an evaluator cannot judge.
    """
    asked = cases(validation, guards.cases, seed) if guards.answers else []
    if guards.answers and not asked:
        yield Finding(
            "job", "error", f"{validation.name} has no prompts to ask.", "give chats whose last turn answers one"
        )
    expected = [(case, Answer(case.expected.text, case.expected.tool_calls)) for case in asked if case.expected]
    failed = [case for case, answer in expected if not _passes(guards.best_by, case, answer)]
    if failed:
        yield Finding(
            "job",
            "warning",
            f"{len(failed)} of {len(asked)} expected answers do not pass best_by themselves ({failed[0].where}).",
            "mend the evaluators or the rows: no model can score there",
        )


def _passes(evaluators: Sequence[Evaluator], case: Case, answer: Answer) -> bool:
    return all(evaluator.judge(case, answer).passed for evaluator in evaluators)


class Watch:
    """Looks at the model in training. The caller holds it in evaluation mode, and restores the random state."""

    def __init__(self, run: RunFolder, job: RunJob, model: Any) -> None:
        self._run, self._job, self._model = run, job, model
        self._table: Mapping[str, Any] = job.table["guards"]
        self._warned = set[str]()
        tokenizer = bases.tokenizer(job.where)
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self._looks = list[Look]()
        if "cases" in self._table:
            self._prepare_asking(tokenizer)
        general = run.dataset("forgetting")
        if general is not None:
            how: Method = Pretraining() if general.kind == "text" else SFT()
            self._general = sequences(job.base, tokenizer, general, how, job.max_length)
            if self._general.trained_counts.any():  # else there is nothing to take a loss of within max_length
                self._looks.append(self._forgetting)

    def _prepare_asking(self, tokenizer: Any) -> None:
        validation = self._run.dataset("validation")
        assert validation is not None
        self._cases = cases(validation, self._table["cases"], self._job.seed)
        homes = self._job.table["machine"].get("homes")
        self._evaluators = [evaluator_of(table, homes) for table in self._table.get("best_by", ())]
        self._known: Known | None = None
        if self._table.get("memorisation"):
            train = self._run.dataset("train")
            assert train is not None
            self._known = Known(_said(example) for example in train)
        renderer = Renderer(self._job.base, tokenizer)
        self._asked = LocalModel(
            "the model in training",
            Origin("local", self._job.base),
            lambda: Voice(LoadedBase(lambda: self._model), renderer),
            context=bases.context(self._job.where),
            frozen=False,
        )
        self._at_once = len(self._cases)
        self._looks.append(self._answers)

    def __call__(self, micro_tokens: int) -> dict[str, float]:
        seen = dict[str, float]()
        for look in self._looks:
            seen |= look(micro_tokens)
        return seen

    def _answers(self, micro_tokens: int) -> dict[str, float]:
        answers = self._ask()
        pairs = list(zip(self._cases, answers, strict=True))
        seen = dict[str, float]()
        if self._evaluators:
            passed = sum(_passes(self._evaluators, case, answer) for case, answer in pairs)
            seen["validation_score"] = passed / len(pairs)
        if self._known is not None:
            again = sum(self._known.by_heart(answer.text, _besides(case)) for case, answer in pairs)
            seen["memorised"] = again / len(pairs)
            if again > 1 and seen["memorised"] > max(BY_HEART, self._before("memorised")):
                self._warn(
                    "memorised",
                    f"{again} of {len(pairs)} answers to prompts that were not trained on say a training answer again, word "
                    f"for word (more than {BY_HEART:.0%}): train fewer epochs, or remove rows that repeat",
                )
        return seen

    def _ask(self) -> list[Answer]:
        """Fewer at once when memory runs out; an answer does not hang on the others."""
        sampling, prompts = Sampling(max_tokens=self._table["max_tokens"]), [case.prompt for case in self._cases]
        device = self._job.device
        with (
            answering(self._model),
            objectives.precision(device.kind, device.torch_dtype),
        ):
            while True:
                try:
                    starts = range(0, len(prompts), self._at_once)
                    return [a for at in starts for a in self._asked.answers(prompts[at : at + self._at_once], sampling)]
                except torch.cuda.OutOfMemoryError:
                    if self._at_once == 1:
                        raise
                    self._at_once = (self._at_once + 1) // 2
                    torch.cuda.empty_cache()

    def _forgetting(self, micro_tokens: int) -> dict[str, float]:
        total, device, pad = 0.0, self._job.device, self._pad
        learnt = self._general.trained_counts.nonzero()[0]
        shortest = int(learnt[self._general.lengths[learnt].argmin()])
        logits, _ = objectives.exact_logits(self._model, batch(self._general, [shortest], pad, device.kind))
        engine = engines.Separate(logits, engines.Setting(self._model, 1, pad, device, True))

        def look(logits: Logits, block: Batch, rows: Sequence[int]) -> None:
            nonlocal total
            total += float(objectives.sft(logits, block).loss)

        with torch.no_grad():
            engine.each(self._general, range(len(self._general)), micro_tokens, look)
        loss = total / max(1, int(self._general.trained_counts.sum()))
        before = self._before("forgetting_loss", loss)
        if loss > before + FORGOTTEN:
            self._warn(
                "forgetting",
                f"the loss on general examples is {loss:.3f} and was {before:.3f} before (more than {FORGOTTEN} nats a token above): "
                "the model forgets. Lower the learning rate, train fewer epochs, or mix general rows in with Dataset.mix",
            )
        return {"forgetting_loss": loss}

    def _before(self, name: str, otherwise: float = 0.0) -> float:
        """The figure of the base, which the first validation took, in this session or an earlier one."""
        for event in self._run.events():
            if event.kind == "metrics" and name in event.data:
                return float(event.data[name])
        return otherwise

    def _warn(self, what: str, message: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self._run.append("message", f"warning: {message}", {"warning": what})


def _said(example: Any) -> str:
    return (
        "\n".join(m.text for m in example.messages if m.role == "assistant") if isinstance(example, ChatExample) else ""
    )


def _besides(case: Case) -> str:
    return "\n".join([*(m.text for m in case.prompt.messages), case.expected.text if case.expected else ""])

"""What the guards of a job see at each validation: scores of answers, what is known by heart, what is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import FinetuneError
from finetune_sdk.evaluation.evaluators import Case, Evaluator
from finetune_sdk.evaluation.evaluators.memorisation import Known, besides, taught
from finetune_sdk.evaluation.evaluators.tables import evaluator_of
from finetune_sdk.evaluation.statistics import mcnemar_exact
from finetune_sdk.guards import Guards
from finetune_sdk.job import Job
from finetune_sdk.model import Answer
from finetune_sdk_local import bases, engines, objectives, questions
from finetune_sdk_local.batches import Batch, batch
from finetune_sdk_local.objectives import Logits
from finetune_sdk_local.prepare import RunJob, as_learnt, sequences, untrained_rows
from finetune_sdk_local.questions import Questions, passes
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.tokenising import Sequences

FORGOTTEN = 0.1
"""Nats a token: a tenth more perplexity on general examples than before."""
CHANCE = 0.01
"""How likely chance alone may be to take as many general answers as were lost: less than 5%, since each validation asks anew."""
FEWEST = next(lost for lost in range(1, 100) if mcnemar_exact(lost, 0) < CHANCE)
"""General answers that must be lost, and none won, before that is said."""
BY_HEART = 0.05
"""Share of answers to prompts that were not trained on."""

Look = Callable[[int], Mapping[str, float]]
"""What is seen of the model as it stands, with so many tokens passing at once."""


def findings(guards: Guards, job: Job, general: Sequences | None) -> Iterator[Finding]:
    """What is wrong with what the guards of a job would look at. `general` are its general examples as they are seen.

    Raises EvaluationError for a case that an evaluator cannot judge.
    """
    if guards.answers and job.validation is not None:
        asked = questions.cases(job.validation, guards.cases, job.seed)
        yield from questions.findings("best_by", guards.best_by, job.validation, asked)
    if guards.forgetting is None or general is None:
        return
    yield from _of_general(guards.forgetting, job.train, general)
    if guards.forgetting_by:
        asked = questions.cases(guards.forgetting, guards.cases, job.seed)
        yield from questions.findings("forgetting_by", guards.forgetting_by, guards.forgetting, asked)
        if 0 < len(asked) < FEWEST:
            yield Finding(
                "job",
                "warning",
                f"of {len(asked)} general cases too few can be lost to tell that from chance: `forgetting_by` will never warn.",
                f"give at least {FEWEST}; 100 tell more",
            )


def _of_general(general: Dataset, train: Dataset, seen: Sequences) -> Iterator[Finding]:
    nothing = untrained_rows(seen, 1)
    if nothing:
        yield Finding(
            "job",
            "error",
            f"{general.where(nothing[0])}: nothing of this general example is left within max_length to look at "
            f"({len(nothing)} such {'row' if len(nothing) == 1 else 'rows'}).",
            "raise max_length, or remove the rows",
        )
    learnt = set(train.hashes())
    both = sum(content in learnt for content in general.hashes())
    if both:
        yield Finding(
            "job",
            "warning",
            f"{both} of {len(general)} general examples are also trained: what is seen of forgetting would flatter.",
            "keep general examples back for the guard: Dataset.split one file of them before you mix the rest in",
        )


class Watch:
    """Looks at the model in training. The caller holds it in evaluation mode, and restores the random state."""

    def __init__(self, run: RunFolder, job: RunJob, model: Any) -> None:
        self._run, self._job, self._model = run, job, model
        self._table: Mapping[str, Any] = job.table["guards"]
        self._warned = set[str]()
        tokenizer = bases.tokenizer(job.where)
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self._looks = list[Look]()
        if "best_by" in self._table or "memorisation" in self._table:
            self._prepare_asking()
        general = run.dataset("forgetting")
        if general is not None:
            self._general = sequences(job.base, tokenizer, general, as_learnt(general), job.max_length)
            self._looks.append(self._forgetting)
            if "forgetting_by" in self._table:
                self._general_questions = self._questions(general)
                self._general_evaluators = self._made("forgetting_by")
                self._looks.append(self._general_answers)

    def _prepare_asking(self) -> None:
        validation = self._run.dataset("validation")
        assert validation is not None
        self._validation_questions = self._questions(validation)
        self._evaluators = self._made("best_by")
        self._known: Known | None = None
        if self._table.get("memorisation"):
            train = self._run.dataset("train")
            assert train is not None
            self._known = Known(map(taught, train))
        self._looks.append(self._answers)

    def _questions(self, dataset: Dataset) -> Questions:
        asked = questions.cases(dataset, self._table["cases"], self._job.seed)
        return Questions(asked, self._job, self._model, self._table["max_tokens"])

    def _made(self, name: str) -> list[Evaluator]:
        homes = self._job.table["machine"].get("homes")
        return [evaluator_of(table, homes) for table in self._table.get(name, ())]

    def __call__(self, micro_tokens: int) -> dict[str, float]:
        seen = dict[str, float]()
        for look in self._looks:
            seen |= look(micro_tokens)
        return seen

    def _answers(self, micro_tokens: int) -> dict[str, float]:
        pairs = self._validation_questions.ask()
        seen = dict[str, float]()
        if self._evaluators:
            passed = sum(self._passes(self._evaluators, case, answer) for case, answer in pairs)
            seen["validation_score"] = passed / len(pairs)
        if self._known is not None:
            again = sum(self._known.by_heart(answer.text, besides(case)) for case, answer in pairs)
            seen["memorised"] = again / len(pairs)
            if again > 1 and seen["memorised"] > max(BY_HEART, self._before("memorised")):
                self._warn(
                    "memorised",
                    f"{again} of {len(pairs)} answers to prompts that were not trained on say a training answer again, word "
                    f"for word (more than {BY_HEART:.0%}): train fewer epochs, or remove rows that repeat",
                )
        return seen

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

    def _general_answers(self, micro_tokens: int) -> dict[str, float]:
        pairs = self._general_questions.ask()
        passed = {case.index for case, answer in pairs if self._passes(self._general_evaluators, case, answer)}
        before = self._passed_before(passed, len(pairs))
        lost, won = len(before - passed), len(passed - before)
        chance = mcnemar_exact(lost, won)
        if lost > won and chance < CHANCE:
            self._warn(
                "forgetting_score",
                f"{len(passed)} of {len(pairs)} answers to general examples pass, and {len(before)} did before: {lost} are lost and "
                f"{won} won, which chance alone would do with p = {chance:.1g} (McNemar's exact test). The model forgets. Lower the "
                "learning rate, train fewer epochs, or mix general rows in with Dataset.mix",
            )
        return {"forgetting_score": len(passed) / len(pairs)}

    def _passes(self, evaluators: Sequence[Evaluator], case: Case, answer: Answer) -> bool:
        """Whether all find the answer good; one that fails at it ends no run."""
        try:
            return passes(evaluators, case, answer)
        except Exception as fault:
            message = fault.message if isinstance(fault, FinetuneError) else f"{type(fault).__name__}: {fault}"
            self._warn(
                "evaluator", f"{case.where}: an evaluator fails at an answer, which counts as not passed: {message}"
            )
            return False

    def _passed_before(self, passed: set[int], asked: int) -> set[int]:
        """The general cases that passed at the first validation, in this session or an earlier one."""
        for event in self._run.events():
            if "forgetting_passed" in event.data:
                return set(event.data["forgetting_passed"])
        few = f"; a fall could not be told from chance, for which {FEWEST} must pass" if len(passed) < FEWEST else ""
        said = f"{len(passed)} of {asked} answers to general examples pass before the first step{few}"
        self._run.append("message", said, {"forgetting_passed": sorted(passed)})
        return passed

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

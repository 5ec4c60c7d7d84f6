"""Reinforcement fine-tuning: a step's tasks are answered by the model as it stands, graded, and the better answers made likelier.

An answer's advantage is its worth less the mean of its task's answers, over their standard deviation. Each step learns from
answers of its own, so nothing is ever learnt twice, and a ratio of old to new probabilities is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import BackendError
from finetune_sdk.evaluation.evaluators import Case, Evaluator
from finetune_sdk.evaluation.rewards import case, worth
from finetune_sdk.job import RFT
from finetune_sdk_local import objectives, prompts, randomness
from finetune_sdk_local.batches import Batch
from finetune_sdk_local.checkpoints import Saved
from finetune_sdk_local.generation import answer_of, with_calls
from finetune_sdk_local.objectives import Logits, tempered
from finetune_sdk_local.progress import Progress
from finetune_sdk_local.rollouts import Asking, Ids
from finetune_sdk_local.tokenising import Sequences
from finetune_sdk_local.training import Training

EPSILON = 1e-4
"""Added to the standard deviation of a task's answers, as in trl."""
PATIENCE = 5
"""Steps without any difference between answers, after which it is said."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Answers to tasks, `samples` each in order: the sequences of prompt and answer, and what each answer is worth."""

    sequences: Sequences
    worths: NDArray[np.float64]
    advantages: NDArray[np.float64]


@dataclass
class Reinforcement(Training):
    """A run of RFT. The sequences of its data are prompts; `tasks` are where they come from, by side."""

    tasks: dict[str, Dataset] = field(kw_only=True)
    tokenizer: Any = field(kw_only=True)
    ends: Sequence[int] = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        assert isinstance(self.method, RFT)
        self.how = self.method
        self._counts = (0, 0)
        self._alike: int | None = 0

    @property
    def samples(self) -> int:
        return self.how.samples or 2

    @property
    def graders(self) -> Sequence[Evaluator]:
        assert self.how.graders is not None
        return self.how.graders

    def run(self, saved: Saved | None = None) -> Progress:
        progress = super().run(saved)
        if not progress.trained_tokens:
            raise BackendError(
                f"nothing was learnt: in all {progress.step} steps, the {self.samples} answers to a task were worth the same.",
                cure="give tasks that the base solves now and then (SFT first helps), graders that give partial credit, or more "
                "samples",
            )
        return progress

    def _prepare(self) -> None:
        """Tries the longest answers to the longest prompts, so that memory runs out now or not at all."""
        before = randomness.state(self.device)
        by_length = np.argsort(-self.data.train.lengths, kind="stable")[: self.plan.batch_size].tolist()
        mine = self.processes.share(self.data.train.lengths, by_length) or by_length[:1]
        stand_in = standing(self.data.train, mine, self.samples, self.data.answers)
        self._choose_engine(stand_in, int(stand_in.lengths.argmin()), [range(len(stand_in))])
        worths = np.arange(len(stand_in), dtype=np.float64) % self.samples
        self._within_memory(lambda: self._learn(Drawn(stand_in, worths, advantages(worths, self.samples))))
        self.optimizer.zero_grad(set_to_none=True)
        self._counts, self._alike = (0, 0), 0
        randomness.restore(before, self.device)

    def _backward(self, examples: Sequence[int]) -> dict[str, float]:
        mine = self.processes.share(self.data.train.lengths, examples)
        temperature = self.how.temperature or 1.0
        return self._learn(self.processes.try_alone(lambda: self._drawn("train", mine, self.samples, temperature)))

    def _drawn(self, side: str, examples: Sequence[int], each: int, temperature: float) -> Drawn:
        """Answers to the examples, `each` of them, with what they are worth."""
        made = self.data.train if side == "train" else self.data.validation
        assert made is not None
        asked = [made.row(example)[0] for example in examples]
        asking = Asking(self.model, self.tokenizer, self.device, self.data.answers, temperature)
        answers = asking.answers(asked, each, self.micro_tokens) if asked else []
        cases = [case(self.tasks[side], int(made.sources[example])) for example in examples]
        worths = [
            self._worth(one, ids, len(prompt))
            for one, prompt, said in zip(cases, asked, answers, strict=True)
            for ids in said
        ]
        pairs = [(prompt, ids) for prompt, said in zip(asked, answers, strict=True) for ids in said]
        found = np.asarray(worths, np.float64)
        return Drawn(continued(pairs), found, advantages(found, each))

    def _worth(self, one: Case, ids: Ids, asked: int) -> float:
        answer = answer_of(self.tokenizer, ids.tolist(), list(self.ends), asked, 0.0)
        return worth(self.graders, one, with_calls(answer) if one.prompt.tools else answer)

    def _learn(self, drawn: Drawn) -> dict[str, float]:
        """Leaves the step's gradient in the weights. Answers that are no better or worse than the rest need no pass."""
        made, beta = drawn.sequences, self.how.beta or 0.0
        told = [int(row) for row in (range(len(made)) if beta else drawn.advantages.nonzero()[0])]
        counts = {"answers": len(made), "tokens": made.trained_counts.sum(), "worth": drawn.worths.sum()}
        tasks = drawn.advantages.reshape(-1, self.samples)
        counts |= {"told_apart": (tasks != 0).any(1).sum(), "ended": self._ended(made)}
        whole = self.processes.totals({name: float(value) for name, value in counts.items()})
        weights = torch.from_numpy(drawn.advantages).float().to(self.device.kind)
        reference = self._reference(made, told) if beta else {}
        totals = {"loss": 0.0, **({"kl": 0.0} if beta else {})}

        def learn(logits: Logits, block: Batch, rows: Sequence[int]) -> Tensor:
            base = torch.cat([reference[row] for row in rows]).to(self.device.kind) if beta else None
            sums = objectives.rft(tempered(logits, self.how.temperature or 1.0), block, weights[list(rows)], base, beta)
            for name, value in {"loss": float(sums.loss.detach()), **sums.figures}.items():
                totals[name] += value
            return sums.loss / whole["tokens"]

        self._through(made, told, learn)
        for weight in self.weights.values():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self.processes.add_gradients(list(self.weights.values()))
        rows = drawn.advantages.nonzero()[0]
        counted = {"passed": float(made.lengths.sum()), "learnt": float(made.trained_counts[rows].sum())}
        counted = self.processes.totals(counted)
        self._counts = int(counted["passed"]), int(counted["learnt"])
        self._say_alike(whole["told_apart"])
        return {
            **{name: total / whole["tokens"] for name, total in self.processes.totals(totals).items()},
            "reward": whole["worth"] / whole["answers"],
            "told_apart": whole["told_apart"] * self.samples / whole["answers"],
            "answer_tokens": whole["tokens"] / whole["answers"],
            "ended": whole["ended"] / whole["answers"],
        }

    def _ended(self, made: Sequences) -> int:
        return int(np.isin(made.ids[made.starts[1:] - 1], list(self.ends)).sum())

    def _reference(self, made: Sequences, rows: Sequence[int]) -> dict[int, Tensor]:
        """The log-probabilities of each row's tokens under the base."""
        found = dict[int, Tensor]()

        def look(logits: Logits, block: Batch, rows: Sequence[int]) -> None:
            scores = -objectives.token_losses(tempered(logits, self.how.temperature or 1.0), block)
            counts = block.trained.sum(1).tolist()
            found.update(zip(rows, torch.split(scores, counts), strict=True))

        with torch.no_grad(), prompts.bare(self.model):
            self._through(made, rows, look)
        return found

    def _say_alike(self, told_apart: float) -> None:
        """Says once that nothing is learnt, where no step has begun to."""
        if self._alike is None:
            return
        self._alike = None if told_apart else self._alike + 1
        if self._alike == PATIENCE:
            self.report(
                "message",
                f"warning: in {PATIENCE} steps no two answers to a task were worth different, so nothing is learnt yet",
                {"warning": "alike"},
            )

    def _learnt(self, examples: Sequence[int]) -> tuple[int, int]:
        return self._counts

    def _held_out(self) -> dict[str, float]:
        """What greedy answers to the validation tasks are worth, in the mean."""
        made = self.data.validation
        assert made is not None
        mine = self.processes.share(made.lengths, range(len(made)))
        worths = self.processes.try_alone(lambda: self._drawn("validation", mine, 1, 0.0)).worths
        return {"validation_reward": self.processes.totals({"reward": float(worths.sum())})["reward"] / len(made)}


def advantages(worths: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
    """How much better each answer is than those to its task, in their standard deviations; 0 where all are worth the same."""
    tasks = worths.reshape(-1, samples)
    if samples == 1:
        return np.zeros(len(tasks))
    above = tasks - tasks.mean(1, keepdims=True)
    alike = tasks.max(1, keepdims=True) == tasks.min(1, keepdims=True)
    found: NDArray[np.float64] = np.where(alike, 0.0, above / (tasks.std(1, ddof=1, keepdims=True) + EPSILON))
    return found.reshape(-1)


def continued(pairs: Sequence[tuple[Ids, Ids]]) -> Sequences:
    """Prompts and their answers as sequences of which the answers are learnt."""
    ids = [np.concatenate(pair).astype(np.int32) for pair in pairs]
    trained = [np.arange(len(asked) + len(said)) >= len(asked) for asked, said in pairs]
    starts = np.concatenate(([0], np.cumsum([len(each) for each in ids], dtype=np.int64)))
    none, nothing = np.zeros(len(ids), np.int64), np.zeros(0, np.int32)
    return Sequences(
        np.concatenate([nothing, *ids]), np.concatenate([nothing.astype(bool), *trained]), starts, none, none,
        np.arange(len(ids), dtype=np.int64),
    )  # fmt: skip


def standing(asked: Sequences, examples: Sequence[int], samples: int, length: int) -> Sequences:
    """Sequences like those of a step: prompts with `samples` answers each of `length` tokens, whatever they say."""
    said = np.zeros(length, np.int32)
    return continued([(asked.row(example)[0], said) for example in examples for _ in range(samples)])

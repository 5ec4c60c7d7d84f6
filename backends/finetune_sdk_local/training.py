"""The training loop: steps over a plan, validation, checkpoints, and a resume that is the same as never stopping.

A step's gradient is the sum over its trained tokens (or pairs) divided by their count in the whole step, however it is
split into micro-batches. All that decides the next step is in a checkpoint: weights that move, optimizer, random state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from finetune_sdk.errors import BackendError
from finetune_sdk.job import DPO, KTO, ORPO, RFT, Method
from finetune_sdk_local import (
    activations,
    bases,
    checkpoints,
    dealing,
    engines,
    objectives,
    optimizers,
    prefixes,
    prompts,
    randomness,
    sharding,
)
from finetune_sdk_local.batches import Batch, Plan, batch
from finetune_sdk_local.checkpoints import Saved
from finetune_sdk_local.devices import Device
from finetune_sdk_local.engines import Engine
from finetune_sdk_local.memory import peak_bytes
from finetune_sdk_local.objectives import Logits, Sums
from finetune_sdk_local.options import Optimizer
from finetune_sdk_local.processes import Processes
from finetune_sdk_local.progress import Progress, diverged, learning_rate
from finetune_sdk_local.ratings import Rated, in_order
from finetune_sdk_local.tokenising import Sequences

Report = Callable[[str, str, Mapping[str, Any]], None]
Result = TypeVar("Result")


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """Somebody asked the run to end; the checkpoint of the last whole step is written."""


@dataclass(frozen=True, slots=True)
class Data:
    """Sequences to learn from and, if there are any, to validate on; `width` of them make one example (a pair has 2).

    `rated` has the ratings of a side where the method learns from them. Where sequences are prompts to be answered, answers
    have room for `answers` tokens.
    """

    train: Sequences
    validation: Sequences | None
    width: int
    rated: Mapping[str, Rated] = field(default_factory=dict)
    answers: int = 0

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that passes through the model."""
        made = (self.train, *(rated.mismatched for rated in self.rated.values()))
        return max(int(sequences.lengths.max()) for sequences in made) + self.answers

    def of(self, sequences: Sequences, examples: Sequence[int]) -> list[int]:
        return [example * self.width + side for example in examples for side in range(self.width)]


@dataclass(frozen=True, slots=True)
class Options:
    """How a run goes, beyond what a job says. Gradients of a larger norm are scaled down to `max_gradient_norm`."""

    micro_tokens: int
    checkpoint_every: int
    keep_checkpoints: int = 2
    max_gradient_norm: float = 1.0
    engine: prefixes.Engine = "auto"
    optimizer: Optimizer = "adamw"
    offload: bool = False


@dataclass
class Training:
    """One run in this process. `report` receives what happens, `stop` says whether to end after this step, and `watch`
    tells at each validation what it sees of the model; the best `validation_score` among that decides before the loss. `only`
    names the examples that will be looked at, where it is not all.
    """

    model: Any
    data: Data
    plan: Plan
    method: Method
    device: Device
    options: Options
    folder: Path
    pad: int
    report: Report
    token: str = field(default="", kw_only=True)
    only: Sequence[int] | None = field(default=None, kw_only=True)
    stop: Callable[[], bool] = lambda: False
    processes: Processes = field(default_factory=Processes)
    watch: Callable[[int], Mapping[str, float]] = lambda micro_tokens: {}
    reference: dict[str, Tensor] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.weights = bases.trainable(self.model)
        self.micro_tokens = self.options.micro_tokens
        rate, decay = self.method.learning_rate or 0.0, self.method.weight_decay or 0.0
        self.optimizer = optimizers.make(self.options.optimizer, self.weights, rate, decay)
        self.engine: Engine = engines.Separate(objectives.all_logits(self.model), self._setting())

    def run(self, saved: Saved | None = None) -> Progress:
        """From the start, or from a checkpoint, to the end. Raises Stopped, or BackendError for a loss that is not finite."""
        self.model.train()
        self._prepare()
        if saved is not None:
            self._restore(saved)
        elif self.data.validation is not None:
            self._within_memory(self._validate)
        while self.progress.step < self.plan.steps and not self._should_stop_early():
            started = time.monotonic()
            figures = self._step(self.progress.step)
            self.progress.step += 1
            self.progress.seconds += time.monotonic() - started
            self._report_step(figures, time.monotonic() - started)
            improved = self._validation_due() and self._within_memory(self._validate)
            enough = self._should_stop_early()
            last = self.progress.step == self.plan.steps or enough
            stopping = self.processes.any(self.stop())
            if improved or last or stopping or self.progress.step % self.options.checkpoint_every == 0:
                self._save()
            if enough:
                self.report("message", f"stopped early: {self.progress.waited} validations without a better one", {})
                break
            if stopping and not last:
                raise Stopped
        return self.progress

    def _prepare(self) -> None:
        """Tries the longest batch before step 1, so that memory runs out now or not at all; changes nothing that is kept."""
        before = randomness.state(self.device)
        longest = self.data.train.lengths.reshape(-1, self.data.width).max(1)
        by_length = np.argsort(-longest, kind="stable")
        steps = [self.plan.rows(step).tolist() for step in range(min(prefixes.LOOKED_AT, self.plan.steps))]
        self._choose_engine(self.data.train, int(by_length[-1]), steps)
        if isinstance(self.method, DPO | KTO):
            self._within_memory(self._score_reference)
        self._within_memory(lambda: self._backward(by_length[: self.plan.batch_size].tolist()))
        self.optimizer.zero_grad(set_to_none=True)
        randomness.restore(before, self.device)

    def _within_memory(self, attempt: Callable[[], Result]) -> Result:
        """Halves the tokens at once until the attempt fits. Raises BackendError when one example alone is too big."""
        longest = self.data.longest
        while True:
            with suppress(torch.cuda.OutOfMemoryError):
                return attempt()
            if self.processes.sharding:
                raise _too_big_in_one(self.micro_tokens)
            self.optimizer.zero_grad(set_to_none=True)
            if self.micro_tokens <= longest * self.data.width:
                raise _too_big(longest)
            self.micro_tokens //= 2
            self.report("message", f"out of memory: now {self.micro_tokens} tokens at once, same steps", {})
            torch.cuda.empty_cache()

    def _setting(self) -> engines.Setting:
        answers = not isinstance(self.method, DPO | ORPO | KTO | RFT)
        return engines.Setting(self.model, self.data.width, self.pad, self.device, answers)

    def _choose_engine(self, sequences: Sequences, shortest: int, steps: Sequence[Sequence[int]]) -> None:
        """Takes the engine for steps like these, tried on the shortest example."""
        block = batch(sequences, self.data.of(sequences, [shortest]), self.pad, self.device.kind)
        logits, picks = objectives.exact_logits(self.model, block)
        separate = engines.Separate(logits, self._setting())
        plain = sharding.InStep(separate, self.processes) if self.processes.sharding else separate
        choice = engines.chosen(self.options.engine, self._setting(), plain, picks, sequences, steps)
        apart = self.processes.any(choice.engine is plain)  # how examples are dealt hangs on it
        if apart and choice.engine is not plain:
            choice = engines.Choice(plain, "each sequence by itself: another process cannot share prefixes")
        self.engine = choice.engine
        self.report("message", f"engine: {choice.why}", {})

    def _sums(self, logits: Logits, block: Batch, rows: Sequence[int], side: str, whole: float) -> Sums:
        method = self.method
        if isinstance(method, DPO | KTO):
            reference = self.reference[side][list(rows)].to(self.device.kind)
        if isinstance(method, DPO):
            return objectives.dpo(logits, block, reference, method.beta or 0.1)
        if isinstance(method, KTO):
            good = torch.from_numpy(self.data.rated[side].good[list(rows)]).to(self.device.kind)
            weights = (method.desirable_weight or 1.0, method.undesirable_weight or 1.0)
            return objectives.kto(logits, block, reference, good, whole, method.beta or 0.1, weights)
        if isinstance(method, ORPO):
            return objectives.orpo(logits, block, len(rows) // 2, method.beta or 0.1, whole)
        return objectives.sft(logits, block)

    def _of_all(self, side: str, examples: Sequence[int]) -> float:
        """What a micro-batch has to know of all examples: of ORPO's, the pairs a learnt token; of KTO's, how far they moved."""
        if isinstance(self.method, ORPO):
            sequences = self.data.train if side == "train" else self.data.validation
            assert sequences is not None
            return len(examples) / int(
                sequences.trained_counts[[example * self.data.width for example in examples]].sum()
            )
        return self._moved(side, examples) if isinstance(self.method, KTO) else 0.0

    def _moved(self, side: str, examples: Sequence[int]) -> float:
        """How far the model is from the reference: the mean log-ratio of the examples' mismatched answers, at least 0."""
        sequences, reference = self.data.rated[side].mismatched, self.reference[f"{side}.mismatched"]
        scores = self._scores(sequences, examples)
        rows = self.data.of(sequences, examples)
        return max(0.0, float((scores[rows] - reference[rows]).sum()) / len(examples))

    def _scores(self, sequences: Sequences, examples: Sequence[int]) -> Tensor:
        """The log-probabilities of the examples' trained tokens, each at its row, on the CPU."""
        scores = torch.zeros(len(sequences))

        def score(logits: Logits, block: Batch, rows: Sequence[int]) -> None:
            scores[list(rows)] = objectives.row_scores(logits, block).float().cpu()

        with torch.no_grad():
            self._each(sequences, examples, score)
        self.processes.add([scores])
        return scores

    def _each(self, sequences: Sequences, examples: Sequence[int], visit: engines.Visit) -> None:
        """This process's share of the examples through the model."""
        width, count = self.data.width, self.processes.count
        if count > 1 and isinstance(self.engine, engines.Shared):
            answers = self.engine.setting.answers
            mine = dealing.by_prefix(sequences, examples, width, count, answers=answers)[self.processes.rank]
        else:
            mine = self.processes.share(sequences.lengths.reshape(-1, width).max(1), examples)
        self._through(sequences, mine, visit)

    def _through(self, sequences: Sequences, mine: Sequence[int], visit: engines.Visit) -> None:
        """What is this process's own through the model; a process that has nothing waits for the others."""

        def work() -> None:
            if mine or self.processes.sharding:
                self.engine.each(sequences, mine, self.micro_tokens, visit)

        self.processes.try_alone(work)

    def _count(self, sequences: Sequences, examples: Sequence[int]) -> int:
        """What a loss is divided by: trained tokens, or pairs, or rated answers."""
        if isinstance(self.method, DPO | ORPO | KTO):
            return len(examples)
        return max(1, int(sequences.trained_counts[self.data.of(sequences, examples)].sum()))

    def _backward(self, examples: Sequence[int]) -> dict[str, float]:
        """Leaves the step's gradient in the weights; returns its mean loss and figures."""
        train = self.data.train
        count = self._count(train, examples)
        totals = dict[str, float]()
        whole = self._of_all("train", examples)

        def learn(logits: Logits, block: Batch, rows: Sequence[int]) -> Tensor:
            sums = self._sums(logits, block, rows, "train", whole)
            _add(totals, sums)
            return sums.loss / count

        with activations.kept(self.model, offload=self.options.offload):
            self._each(train, examples, learn)
        self.processes.add_gradients(list(self.weights.values()))
        return {name: total / count for name, total in self.processes.totals(totals).items()}

    def _step(self, step: int) -> dict[str, float]:
        examples = self.plan.rows(step).tolist()
        rate = learning_rate(self.method, step, self.plan.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        figures = self._within_memory(lambda: self._backward(examples))
        norm = sharding.norm(torch.nn.utils.clip_grad_norm_(self.weights.values(), self.options.max_gradient_norm))
        if not math.isfinite(figures["loss"]) or not math.isfinite(norm):
            raise diverged(f"the loss of step {step + 1} is {figures['loss']} (gradient norm {norm})")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        tokens, trained = self._learnt(examples)
        self.progress.tokens += tokens
        self.progress.trained_tokens += trained
        return {**figures, "learning_rate": rate, "gradient_norm": norm, "step_tokens": tokens}

    def _learnt(self, examples: Sequence[int]) -> tuple[int, int]:
        """How many tokens the step's sequences have, and how many of them it learnt."""
        rows = self.data.of(self.data.train, examples)
        return int(self.data.train.lengths[rows].sum()), int(self.data.train.trained_counts[rows].sum())

    def _report_step(self, figures: dict[str, float], seconds: float) -> None:
        tokens = figures.pop("step_tokens")
        self.report(
            "metrics",
            "",
            {
                "step": self.progress.step,
                "steps": self.plan.steps,
                "epoch": round(self.progress.step / self.plan.per_epoch, 4),
                **figures,
                "trained_tokens": self.progress.trained_tokens,
                "tokens_per_second": round(tokens / max(seconds, 1e-9), 1),
                "memory_bytes": peak_bytes(self.device),
            },
        )

    def _validation_due(self) -> bool:
        if self.data.validation is None:
            return False
        every = self.method.validate_every or self.plan.per_epoch
        return self.progress.step % every == 0 or self.progress.step == self.plan.steps

    def _validate(self) -> bool:
        """Looks at held-out examples; whether the model is the best so far. The base itself (step 0) never counts as best."""
        self.model.eval()
        with torch.no_grad():
            figures = self._held_out()
        before = randomness.state(self.device)
        figures |= self.processes.all(self.processes.try_alone(lambda: dict(self.watch(self.micro_tokens))))[0]
        randomness.restore(before, self.device)
        self.model.train()
        loss = figures.get("validation_loss")
        if loss is not None and not math.isfinite(loss):
            raise diverged(f"the validation loss after step {self.progress.step} is {loss}")
        self.report("metrics", "", {"step": self.progress.step, "steps": self.plan.steps, **figures})
        if self.progress.step == 0:
            self.progress.start_loss = math.inf if loss is None else loss
            return False
        if loss is not None and "validation_score" not in figures:
            astray = self.progress.astray(loss)
            if astray is not None:
                self.report("message", f"warning: {astray}", {})
        return self.progress.best(figures)

    def _held_out(self) -> dict[str, float]:
        """The loss on the validation data, and the method's other figures there."""
        sequences = self.data.validation
        assert sequences is not None
        examples = list(range(len(sequences) // self.data.width))
        totals, count = dict[str, float](), self._count(sequences, examples)
        size = (self.method.batch_size if isinstance(self.method, KTO) else None) or len(examples)
        for part in in_order(len(examples), size):
            whole = self._of_all("validation", part.tolist())

            def look(logits: Logits, block: Batch, rows: Sequence[int], whole: float = whole) -> None:
                _add(totals, self._sums(logits, block, rows, "validation", whole))

            self._each(sequences, part.tolist(), look)
        return {f"validation_{name}": total / count for name, total in self.processes.totals(totals).items()}

    def _should_stop_early(self) -> bool:
        patience = self.method.early_stopping
        return patience is not None and self.progress.waited >= patience

    def _score_reference(self) -> None:
        """The scores of all answers under the reference, which is the base: taken once before the first step, kept."""
        sides = {"train": self.data.train, "validation": self.data.validation}
        sides |= {f"{side}.mismatched": rated.mismatched for side, rated in self.data.rated.items()}
        kept = self.folder / "reference.safetensors"
        if kept.exists():
            from safetensors.torch import load_file

            self.reference = load_file(kept)
            return
        self.model.eval()
        with prompts.without(self.model):
            for side, sequences in sides.items():
                if sequences is not None:
                    every = range(len(sequences) // self.data.width)
                    looked_at = every if self.only is None else [each for each in self.only if each in every]
                    self.reference[side] = self._scores(sequences, looked_at)
        self.model.train()
        if self.processes.first and self.only is None:
            checkpoints.write_tensors(kept, self.reference)

    def _save(self) -> None:
        random = randomness.joined(self.processes.all(randomness.state(self.device)))
        weights = sharding.gathered(self.weights, self.processes)
        moments = sharding.gathered(optimizers.state(self.optimizer, self.weights), self.processes)
        if not self.processes.first:
            return
        saved = checkpoints.save(
            self.folder / "checkpoints",
            self.progress.step,
            {"weights": weights, "optimizer": moments, "random": random},
            {"progress": vars(self.progress), "micro_tokens": self.micro_tokens, "token": self.token},
        )
        checkpoints.prune(saved.folder.parent, self.options.keep_checkpoints, self.progress.best_step)
        self.report("checkpoint", "", {"step": self.progress.step, "id": saved.folder.name})

    def _restore(self, saved: Saved) -> None:
        if saved.state.get("token", self.token) != self.token:
            raise _anothers(saved, "it was written by another run")
        load_weights(self.weights, saved)
        optimizers.restore(self.optimizer, self.weights, saved.tensors("optimizer"))
        self.progress = Progress(**saved.state["progress"])
        self.micro_tokens = int(saved.state["micro_tokens"])
        randomness.restore(randomness.own(saved.tensors("random"), self.processes.rank), self.device)


def _add(totals: dict[str, float], sums: Sums) -> None:
    for name, value in {"loss": float(sums.loss.detach()), **sums.figures}.items():
        totals[name] = totals.get(name, 0.0) + value


def load_weights(weights: Mapping[str, torch.nn.Parameter], saved: Saved) -> None:
    """Puts a checkpoint's weights into the model. Raises BackendError when they are another model's."""
    bases.put_in(weights, saved.tensors("weights"), saved.folder, sharding.like)


def _anothers(saved: Saved, why: str) -> BackendError:
    return BackendError(
        f"the checkpoint {saved.folder} belongs to another job: {why}.",
        cure="remove it from there and resume, which goes on from the checkpoint before it, or from the start",
    )


def _too_big_in_one(tokens: int) -> BackendError:
    return BackendError(
        f"a process of the run ran out of memory on {tokens} tokens at once.",
        cure="set a smaller micro_tokens under [backends.local]: with sharding, processes do not try by themselves what fits",
    )


def _too_big(length: int) -> BackendError:
    return BackendError(
        f"the device has no room for one sequence of {length} tokens.",
        cure="set max_length, use QLoRA or a smaller base, or a device with more memory",
    )

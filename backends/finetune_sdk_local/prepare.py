"""From a run's folder to what the loop needs: the job as it was resolved, its token sequences, the training object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError
from finetune_sdk.job import KTO, ORPO, RFT, SFT, Adapter, Method, Pretraining, QLoRA
from finetune_sdk_local import activations, bases, ratings, texts
from finetune_sdk_local.batches import Plan, plan
from finetune_sdk_local.devices import Device, pick
from finetune_sdk_local.options import Optimizer
from finetune_sdk_local.prefixes import Engine
from finetune_sdk_local.processes import Processes
from finetune_sdk_local.ratings import Rated
from finetune_sdk_local.reinforcement import Reinforcement
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.tables import adapter_of, method_of
from finetune_sdk_local.tokenising import Sequences, tokenise
from finetune_sdk_local.training import Data, Options, Training


@dataclass(frozen=True, slots=True)
class RunJob:
    """A resolved job as the run's folder keeps it. `where` has the very weights that `base` stood for then."""

    base: str
    where: str
    method: Method
    adapter: Adapter
    seed: int
    device: Device
    threads: int
    micro_tokens: int
    checkpoint_every: int | None
    engine: Engine
    processes: int
    sharding: bool
    optimizer: Optimizer
    activation_checkpointing: bool
    offload: bool
    table: Mapping[str, Any]

    @classmethod
    def read(cls, run: RunFolder) -> RunJob:
        table = run.job()
        own, machine = table["own"], table["machine"]
        return cls(
            base=table["base"],
            where=bases.pinned(table["base"], own["weights"]),
            method=method_of(table["method"], machine.get("homes")),
            adapter=adapter_of(table["adapter"]),
            seed=table["seed"],
            device=pick(own["device"], own["dtype"]),
            threads=machine["threads"],
            micro_tokens=machine["micro_tokens"],
            checkpoint_every=machine["checkpoint_every"],
            engine=machine.get("engine", "separate"),
            processes=machine.get("processes", 1),
            sharding=machine.get("sharding", False),
            optimizer=own.get("optimizer", "adamw"),
            activation_checkpointing=machine.get("activation_checkpointing", False),
            offload=machine.get("offload", False),
            table=table,
        )

    @property
    def width(self) -> int:
        return width(self.method)

    @property
    def bitsandbytes(self) -> bool:
        """Whether it may be wanted: also by code of people's own, which graders and guards bring."""
        bits = isinstance(self.adapter, QLoRA) or self.optimizer != "adamw"
        return bits or isinstance(self.method, RFT) or "guards" in self.table

    @property
    def max_length(self) -> int:
        assert self.method.max_length is not None
        return self.method.max_length


def width(method: Method) -> int:
    """Sequences of an example: a pair has two, chosen and rejected."""
    return 2 if "preference" in method.data else 1


def sequences(base: str, tokenizer: Any, dataset: Dataset, method: Method, max_length: int) -> Sequences:
    """A dataset as this method sees it: of RFT's tasks, the prompts. Texts need no chat template, all else does."""
    if isinstance(method, Pretraining):
        return texts.tokenise(tokenizer, dataset, max_length)
    if isinstance(method, RFT):
        return tokenise(
            Renderer(base, tokenizer), dataset, max(1, max_length - (method.max_tokens or 0)), dataset.where
        )
    everything = isinstance(method, SFT) and method.loss_on == "all"
    made = tokenise(Renderer(base, tokenizer), dataset, max_length, dataset.where, everything=everything)
    return _chosen_learnt(made) if isinstance(method, ORPO) and method.loss_on == "all" else made


def as_learnt(general: Dataset) -> Method:
    """How examples that are only looked at would be learnt: answers of chats, all of texts."""
    return Pretraining() if general.kind == "text" else SFT()


def _chosen_learnt(pairs: Sequences) -> Sequences:
    """Pairs of whose chosen sides every token is learnt, while their answers alone are scored."""
    chosen = np.repeat(np.arange(len(pairs)) % 2 == 0, pairs.lengths)
    return replace(pairs, trained=pairs.trained | chosen, scored=pairs.trained)


def data(run: RunFolder, job: RunJob) -> Data:
    """The run's token sequences. Raises DatasetError for a row of which nothing would be trained."""
    tokenizer = bases.tokenizer(job.where)
    sides, rated = dict[str, Sequences](), dict[str, Rated]()
    for side in ("train", "validation"):
        dataset = run.dataset(side)
        if dataset is None:
            continue
        made = sequences(job.base, tokenizer, dataset, job.method, job.max_length)
        if isinstance(job.method, RFT):
            _with_room(dataset, made, job.method)
            sides[side] = made
            continue
        untrained = untrained_rows(made, job.width)
        if untrained:
            raise DatasetError(
                f"row {untrained[0] + 1} of {side} ({len(untrained)} in all) has nothing left to train "
                f"within {job.max_length} tokens.",
                cure="raise max_length, or remove the row",
            )
        sides[side] = made
        if isinstance(job.method, KTO):
            rated[side] = _rated(dataset, made, job, side)
    answers = job.method.max_tokens or 0 if isinstance(job.method, RFT) else 0
    return Data(sides["train"], sides.get("validation"), job.width, rated, answers)


def _with_room(dataset: Dataset, made: Sequences, method: RFT) -> None:
    cramped = made.cut.nonzero()[0]
    if len(cramped):
        raise DatasetError(
            f"{dataset.where(int(cramped[0]))}: the prompt leaves no room for an answer of {method.max_tokens} tokens "
            f"within {method.max_length} ({len(cramped)} such rows).",
            cure="raise max_length, lower max_tokens, or remove the row",
        )


def _rated(dataset: Dataset, made: Sequences, job: RunJob, side: str) -> Rated:
    if side == "train":
        ratings.require_both(dataset)
        batches = ratings.batches(steps(job.method, job.seed, len(made)))
    else:
        assert job.method.batch_size is not None
        batches = ratings.in_order(len(made), job.method.batch_size)
    return ratings.of(dataset, made, batches, job.max_length)


def steps(method: Method, seed: int, examples: int) -> Plan:
    """The steps of a run. What KTO takes in one step stays together, so that its mismatched answers stay the same."""
    assert method.batch_size is not None
    together = isinstance(method, KTO)
    return plan(examples, method.batch_size, seed, method.epochs, method.steps, together=together)


def untrained_rows(made: Sequences, width: int) -> list[int]:
    """Rows of which no token would be trained: of a pair, of either side; of a conversation in parts, of no part."""
    untrained = made.scored_counts == 0
    if width > 1:
        return sorted(set(made.sources[untrained].tolist()))
    return sorted(set(made.sources[untrained].tolist()) - set(made.sources[~untrained].tolist()))


def training(
    run: RunFolder, job: RunJob, data: Data, model: Any, stop: Callable[[], bool], processes: Processes
) -> Training:
    """What the first process writes and reports; the others only train."""
    tokenizer = bases.tokenizer(job.where)
    method = job.method
    taken = steps(method, job.seed, len(data.train) // data.width)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    if pad >= int(model.config.get_text_config().vocab_size):
        pad = 0  # it is masked, so any token that the base knows will do
    if job.activation_checkpointing:
        activations.recompute(model)
    kind: type[Training] = Training
    more = dict[str, Any]()
    if isinstance(method, RFT):
        given = {side: run.dataset(side) for side in ("train", "validation")}
        kind = Reinforcement
        more = {
            "tasks": {side: dataset for side, dataset in given.items() if dataset is not None},
            "tokenizer": tokenizer,
            "ends": bases.ends(job.where),
        }
    return kind(
        model=model,
        data=data,
        plan=taken,
        method=method,
        device=job.device,
        options=Options(
            job.micro_tokens,
            job.checkpoint_every or max(1, min(50, taken.per_epoch)),
            max_gradient_norm=job.table["own"]["max_gradient_norm"],
            engine=job.engine,
            optimizer=job.optimizer,
            offload=job.offload,
        ),
        folder=run.path,
        token=str(job.table.get("token", "")),
        pad=pad,
        report=run.append if processes.first else lambda kind, message, figures: None,
        stop=stop,
        processes=processes,
        **more,
    )

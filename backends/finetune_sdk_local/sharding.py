"""Weights that are spread over the processes of a run, so that a base may be larger than one card (FSDP2, torch's own).

A layer's weights are gathered when a pass comes to it and freed behind it; the gradients of those that move are summed on
the way back, each process keeping its part. An adapter's weights are few: each process holds them whole, as without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from finetune_sdk.backend import Resolved
from finetune_sdk.errors import SettingsError, UnsupportedError
from finetune_sdk.job import RFT, Adapter, Full
from finetune_sdk_local import bases
from finetune_sdk_local.batches import batch
from finetune_sdk_local.devices import Device
from finetune_sdk_local.engines import Separate, Visit
from finetune_sdk_local.options import Options
from finetune_sdk_local.processes import Processes
from finetune_sdk_local.tokenising import Sequences


def require(resolved: Resolved, options: Options) -> None:
    """Raises SettingsError for a job that cannot be trained in parts of its weights."""
    answers = {"guards": resolved.job.guards is not None, "RFT": isinstance(resolved.method, RFT)}
    for what, asked in answers.items():
        if asked:
            raise SettingsError(
                f"{what} has the model in training answer in one process or another, and with sharding none holds all of it.",
                cure="take sharding out, with QLoRA or a smaller base where memory is short",
            )
    if isinstance(resolved.adapter, Full) and options.optimizer != "adamw":
        raise SettingsError(
            f"optimizer = {options.optimizer!r} does not know weights that are spread over processes, as all are with sharding "
            "and full weights.",
            cure='set optimizer = "adamw", or train a LoRA',
        )


def load(base: str, device: Device, adapter: Adapter, seed: int, processes: Processes, name: str) -> Any:
    """The base with its adapter, spread over the processes.

    Each loads all of it into the machine's memory on the way, one after another, so that it is there once at most.
    """
    mesh = init_device_mesh(device.kind, (processes.count,))

    def part() -> Any:
        model = bases.load(base, replace(device, kind="cpu"), adapter, train=True)
        return spread(bases.adapt(model, adapter, seed, name), device, mesh, whole=not isinstance(adapter, Full))

    return processes.in_turn(part)


def spread(model: Any, device: Device, mesh: Any, *, whole: bool) -> Any:
    """The model in parts, one unit a layer. With `whole`, weights that move are not among them."""
    moving = set(bases.trainable(model).values()) if whole else set[torch.nn.Parameter]()
    units = [module for module in model.modules() if type(module).__name__ in _layers(model)]
    if not units:
        raise UnsupportedError(
            f"{type(model).__name__} does not say what its layers are, and sharding spreads a model by its layers.",
            cure="take sharding out, and QLoRA or a smaller base where memory is short",
        )
    for module in (*units, model):  # freed after each pass: none ever sees weights of an earlier step
        fully_shard(module, mesh=mesh, ignored_params=moving, reshard_after_forward=True)
        module.set_gradient_divide_factor(1.0)  # a sum, as losses are divided by what the whole step holds
        module.set_force_sum_reduction_for_comms(True)
        if hasattr(module, "set_reduce_scatter_unused_params"):  # experts that one process alone had use for
            module.set_reduce_scatter_unused_params(True, recurse=False)
    for parameter in moving:
        parameter.data = parameter.data.to(device.kind)
    return model


def _layers(model: Any) -> set[str]:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return set(inner._no_split_modules or ())


def gathered(tensors: Mapping[str, Tensor], processes: Processes) -> dict[str, Tensor]:
    """The tensors for the first process to write: those that are spread, whole and in the machine's memory. All take part."""
    found = dict[str, Tensor]()
    for name, tensor in tensors.items():
        whole = tensor.full_tensor().detach().cpu() if isinstance(tensor, DTensor) else tensor
        if processes.first:
            found[name] = whole
    return found


def like(parameter: Tensor, whole: Tensor) -> Tensor:
    """A whole tensor where the parameter is; where it is spread, spread likewise. Each process has its own copy to cut from."""
    there = whole.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return there
    return distribute_tensor(there, parameter.device_mesh, parameter.placements, src_data_rank=None)


def norm(found: Tensor) -> float:
    """A gradient norm as a number, the same in all processes."""
    return float(found.full_tensor() if isinstance(found, DTensor) else found)


@dataclass(frozen=True, slots=True)
class InStep:
    """Each sequence by itself, in as many passes in each process: every one gathers weights from all.

    A process with fewer micro-batches than another has its shortest sequence pass again, which counts nothing.
    """

    alone: Separate
    processes: Processes

    def each(self, sequences: Sequences, examples: Sequence[int], micro_tokens: int, visit: Visit) -> None:
        own = self.alone.passes(sequences, examples, micro_tokens) if len(examples) else []
        most = max(self.processes.all(len(own)))
        if own:
            self.alone.each(sequences, examples, micro_tokens, visit)
        for _ in range(most - len(own)):
            self._idle(sequences)

    def _idle(self, sequences: Sequences) -> None:
        setting = self.alone.setting
        block = batch(sequences, [int(sequences.lengths.argmin())], setting.pad, setting.device.kind)
        with setting.precision():
            nothing = (self.alone.logits(block) * 0).sum()
        if torch.is_grad_enabled():
            torch.autograd.backward(nothing)

"""Bases: where one is, what its config says, and how its weights are loaded with an adapter beside them.

Code that comes with a base is never run, and weights are read from safetensors only.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from finetune_sdk.errors import (
    BackendError,
    JobError,
    MissingDependencyError,
    NotFoundError,
    RunError,
    UnsupportedError,
)
from finetune_sdk.job import Adapter, Full, LoRA, PrefixTuning, PromptTuning, QLoRA
from finetune_sdk_local import prompts
from finetune_sdk_local.devices import Device

if TYPE_CHECKING:
    import torch

BASE_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
one_at_a_time = threading.Lock()
"""Held by threads that load weights: while transformers does, parts of it and of torch are patched for the whole process."""
EMBEDDED = {"tiny": Path(__file__).parent / "tiny"}


def locate(base: str) -> str:
    """The folder of a base, or its hub name when it is neither embedded nor a folder here."""
    if base in EMBEDDED:
        return str(EMBEDDED[base])
    folder = Path(base).expanduser()
    if (folder / "config.json").is_file():
        return str(folder.resolve())
    if (folder / "adapter_config.json").is_file():
        raise UnsupportedError(
            f"{folder.resolve()} holds an adapter and no base, and jobs start from a base.",
            cure="start from the base that it was trained on, or from the adapter merged into it (`finetune export --kind merged`)",
        )
    if folder.is_dir():
        raise _unknown(base, f"the folder {folder.resolve()} has no config.json")
    if base.count("/") > 1 or base.startswith(("/", ".", "~")):
        raise _unknown(base, f"there is no folder {folder.absolute()}")
    return base


def absolute(base: str) -> str:
    """A folder's name as it is known from everywhere; any other base as it stands."""
    where = locate(base)
    return where if base not in EMBEDDED and Path(where).is_dir() else base


def _unknown(base: str, found: str) -> NotFoundError:
    return NotFoundError(
        f"the base {base!r} was not found: {found}.",
        cure=f"use an embedded base ({', '.join(EMBEDDED)}), a folder with config.json and safetensors, "
        "or the name of a model on the hub, as in Qwen/Qwen3-0.6B",
    )


@lru_cache(maxsize=8)
def config(base: str) -> Any:
    """The base's transformers config. Raises NotFoundError saying what was looked for and where."""
    from transformers import AutoConfig

    return _fetched(base, AutoConfig)


@lru_cache(maxsize=8)
def tokenizer(base: str) -> Any:
    """The base's tokenizer."""
    from transformers import AutoTokenizer

    return _fetched(base, AutoTokenizer)


def _fetched(base: str, loader: Any) -> Any:
    from huggingface_hub.errors import StrictDataclassError

    where = locate(base)
    try:
        return loader.from_pretrained(where, trust_remote_code=False, local_files_only=_is_only_here(where))
    except (StrictDataclassError, ArithmeticError, TypeError) as fault:
        why = " ".join(str(fault).split())
        raise JobError(
            f"config.json of the base {base!r} makes no sense: {why}.",
            cure="take the config.json that was published with the base's weights",
        ) from None
    except (OSError, ValueError) as fault:
        why = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
        if "trust_remote_code" in str(fault):
            raise UnsupportedError(
                f"the base {base!r} brings code of its own, which is never run.", cure="use one that transformers knows"
            ) from None
        looked = (
            f"looked for an embedded base, the folder {Path(base).absolute()}, and {base!r} on the hub and in its cache"
        )
        raise _unknown(base, f"{looked} ({why})") from None


def _is_only_here(where: str) -> bool:
    """Whether nobody else is asked: for a folder there is no need to, and without a way to the hub no use."""
    return Path(where).is_dir() or hub_is_out_of_reach()


@lru_cache(maxsize=1)
def hub_is_out_of_reach() -> bool:
    """Whether the hub's name cannot be resolved here: then its cache is all there is, and 20 s of retries are spared."""
    from huggingface_hub.constants import ENDPOINT

    if getproxies():
        return False
    try:
        socket.getaddrinfo(urlsplit(ENDPOINT).hostname, 443)
    except OSError:
        return True
    return False


def identity(base: str) -> str:
    """Stands for the base's weights: the files' names, sizes and times of a folder, the commit of a hub's model."""
    where = Path(locate(base))
    if not where.is_dir():
        return str(getattr(config(base), "_commit_hash", None) or "unknown")
    if base in EMBEDDED:
        return sha256((where / "model.safetensors").read_bytes()).hexdigest()[:16]
    return listed(where)


def listed(folder: Path) -> str:
    """Stands for a model's files: their names, sizes and times."""
    files = sorted(file for pattern in ("*.safetensors", "*.json", "*.jinja") for file in folder.glob(pattern))
    told = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return sha256(repr(told).encode()).hexdigest()[:16]


def tokenizer_bytes(base: str) -> int:
    """What a copy of its tokenizer takes on disk, where its files are here; what those of a large vocabulary take elsewhere."""
    where = Path(locate(base))
    return sum(file.stat().st_size for file in where.glob("*token*")) if where.is_dir() else 12_000_000


def pinned(base: str, weights: str | None) -> str:
    """Where exactly the weights lie that `identity` gave `weights` for: a folder. Raises RunError when they have changed.

    Of a hub's model all files come from that one commit, whatever has been pushed since.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where = locate(base)
    if Path(where).is_dir():
        if weights is not None and identity(base) != weights:
            raise RunError(
                f"the base {base!r} is not the one that the run started from: files in {where} have changed.",
                cure="put the folder back as it was, or submit the job anew",
            )
        return where
    if weights in (None, "unknown"):
        return base
    try:
        return snapshot_download(
            base,
            revision=weights,
            allow_patterns=BASE_FILES,
            ignore_patterns=["*/*"],
            local_files_only=hub_is_out_of_reach(),
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as fault:
        raise _unknown(base, f"its commit {weights} cannot be had ({str(fault).strip().splitlines()[0]})") from None


def ends(base: str) -> list[int]:
    """The ids that end an answer: the generation config's, and the tokenizer's end of turn."""
    from transformers import GenerationConfig

    try:
        where = locate(base)
        found = GenerationConfig.from_pretrained(where, local_files_only=_is_only_here(where)).eos_token_id
    except OSError:
        found = config(base).get_text_config().eos_token_id
    return _with_end([found] if isinstance(found, int) else list(found or []), tokenizer(base))


def _with_end(ends: list[int], tokenizer: Any) -> list[int]:
    own = tokenizer.eos_token_id
    return ends if own is None or own in ends else [*ends, own]


def ending(own: Any, tokenizer: Any) -> Any:
    """A generation config that only says how an answer ends, of a base's `own`.

    Bases bring penalties and temperatures too, which transformers would add to whatever is asked.
    """
    from transformers import GenerationConfig

    ends = [own.eos_token_id] if isinstance(own.eos_token_id, int) else list(own.eos_token_id or [])
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    return GenerationConfig(bos_token_id=own.bos_token_id, eos_token_id=_with_end(ends, tokenizer), pad_token_id=pad)


def tokenizer_in(folder: Path) -> Any:
    """The tokenizer and chat template that a run left with its model."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)


def context(base: str) -> int:
    """How many tokens the base can see at once."""
    return int(getattr(config(base).get_text_config(), "max_position_embeddings", 2048))


def causal(base: str) -> None:
    """Raises UnsupportedError when the base is not a causal language model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if type(config(base)) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UnsupportedError(
            f"the base {base!r} ({config(base).model_type}) is not a causal language model.",
            cure="use a base that generates text, such as a Llama, Qwen, Mistral or Gemma",
        )


def safe(base: str) -> None:
    """Raises UnsupportedError when a folder's weights are not safetensors: any other file can run code as it is read."""
    where = Path(locate(base))
    others = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in where.glob(pattern))
    if others and not any(where.glob("*.safetensors")):
        raise UnsupportedError(
            f"the base {base!r} has no weights as safetensors, only {others[0]}; nothing else is read, since reading it can run code.",
            cure="have whoever made it save it with save_pretrained, which writes safetensors",
        )


def with_weights(base: str) -> None:
    """Raises UnsupportedError when a folder has a config and no weights, of which only an estimate can be made."""
    safe(base)
    where = Path(locate(base))
    if where.is_dir() and not any(where.glob("*.safetensors")):
        raise UnsupportedError(
            f"the base {base!r} has no weights as safetensors: its config is enough for an estimate, and not for a run.",
            cure=f"put the weights that belong to the config into {where}",
        )


def load(base: str, device: Device, adapter: Adapter | None = None, *, train: bool = False) -> Any:
    """The base's weights on the device: in 4 bits for QLoRA, in float32 where all of them are to be trained."""
    import torch
    from transformers import AutoModelForCausalLM

    causal(base)
    with_weights(base)
    if adapter is not None and not isinstance(adapter, Full):  # peft imports bitsandbytes, and only QLoRA needs it
        there = import_bitsandbytes()
        if isinstance(adapter, QLoRA) and not there:
            raise MissingDependencyError("bitsandbytes, which QLoRA needs,", extra="local")
    dtype = torch.float32 if train and isinstance(adapter, Full) else device.torch_dtype
    options: dict[str, Any] = {"dtype": dtype, "trust_remote_code": False, "use_safetensors": True}
    options["local_files_only"] = _is_only_here(locate(base))
    if isinstance(adapter, QLoRA):
        options["quantization_config"] = _four_bits(device)
        options["device_map"] = {"": device.kind}
    try:
        model = AutoModelForCausalLM.from_pretrained(locate(base), **options)
    except OSError as fault:
        raise _unknown(base, str(fault).strip().splitlines()[0]) from None
    if not isinstance(adapter, QLoRA):
        model = model.to(device.kind)
    _keep_four_bits_trainable(model)
    return model


def _four_bits(device: Device) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=device.torch_dtype,
    )


def import_bitsandbytes() -> bool:
    """Whether it is there. On some CPUs its import fetches compiled code from a hub if the package `kernels` can be
    imported: so it cannot, for that while.
    """
    kernels = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        import bitsandbytes  # noqa: F401 - importing it is all that is wanted
    except ImportError:
        return False
    finally:
        del sys.modules["kernels"]
        if kernels is not None:
            sys.modules["kernels"] = kernels
    return True


def spare_bitsandbytes(base: str) -> None:
    """For a process of ours whose job has no use for it: peft takes seconds to import it, and here does not find it."""
    if getattr(config(base), "quantization_config", None) is None:
        sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]


def _keep_four_bits_trainable(model: Any) -> None:
    """On AVX512-BF16 CPUs a forward in eval mode repacks 4-bit weights, and later gradients are wrong or raise."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def adapt(model: Any, adapter: Adapter, seed: int, base: str | None = None) -> Any:
    """The model with its adapter, seeded before the adapter's weights are drawn; those are float32.

    `base` is the name that the adapter will know its base by.
    """
    import torch

    torch.manual_seed(seed)
    model.config.use_cache = False
    if isinstance(adapter, Full):
        model.requires_grad_(True)
        return model
    model.requires_grad_(False)
    named = base or model.config._name_or_path
    with peft_hints_off():
        return _in_float32(beside(model, None, adapter, named))


def beside(model: Any, adapted: Any, adapter: Adapter, base: str, name: str = "default") -> Any:
    """The model with a new adapter of this name, in float32; `adapted` is the model with the adapters that it has already."""
    from peft import LoraConfig, get_peft_model

    if isinstance(adapter, PromptTuning | PrefixTuning):
        return prompts.adapt(model, adapter, base, name)
    assert isinstance(adapter, LoRA | QLoRA)
    targets = adapter.targets if isinstance(adapter.targets, str) else list(adapter.targets)
    settings = LoraConfig(
        r=adapter.rank,
        lora_alpha=alpha(adapter),
        lora_dropout=adapter.dropout,
        use_dora=adapter.dora,
        use_rslora=adapter.rslora,
        target_modules=targets,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    try:
        if adapted is None:
            return get_peft_model(model, settings, adapter_name=name, autocast_adapter_dtype=True)
        adapted.add_adapter(name, settings)
    except ValueError as fault:
        raise UnsupportedError(
            f"the adapter's targets {targets} do not fit the base: {str(fault).splitlines()[0]}",
            cure='use targets="all-linear", or names of its linear layers',
        ) from None
    return adapted


def _in_float32(adapted: Any) -> Any:
    for parameter in trainable(adapted).values():
        parameter.data = parameter.data.float()
    return adapted


@contextmanager
def peft_hints_off() -> Iterator[None]:
    """peft still asks for a name that transformers has deprecated; its users can do nothing about that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


def alpha(adapter: LoRA | QLoRA) -> float:
    return adapter.alpha if adapter.alpha is not None else 2 * adapter.rank


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that move, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def put_in(
    own: Mapping[str, torch.nn.Parameter],
    tensors: Mapping[str, torch.Tensor],
    where: Path,
    like: Callable[[Any, torch.Tensor], torch.Tensor] = lambda parameter, whole: whole,
) -> None:
    """Puts a checkpoint's weights into a model's own, each laid out `like` the parameter that it is for.

    Raises BackendError when they are another model's.
    """
    import torch

    why = "its weights have other names" if tensors.keys() != own.keys() else ""
    if not why and any(tensors[name].shape != parameter.shape for name, parameter in own.items()):
        why = "its weights have other shapes"
    if why:
        raise BackendError(
            f"the checkpoint {where} belongs to another job: {why}.",
            cure="remove it from there and resume, which goes on from the checkpoint before it, or from the start",
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(like(parameter, tensors[name]))


def quiet() -> None:
    """Keeps transformers' own bars and hints off a run's output; telemetry was never asked for."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()

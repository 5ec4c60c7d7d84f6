"""What leaves this machine: a run's adapter as it is, merged into the weights of its base, or that as GGUF; whole or not at all.

Merged are the base's own weights as they are stored: 16 bits for most, never what QLoRA held in 4. Each changed weight is added
to in float32 and rounded once; all others stay bit for bit. Rounding to the nearest goes first, and where that loses too much of
what the adapter does, rounding by chance (`rounding`). The folder takes its place only once the stored weights have been read
again and agree with the adapter (`agreement`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from finetune_sdk.backend import Export
from finetune_sdk.errors import BackendError, RunError, UnsupportedError
from finetune_sdk.files import whole_folder
from finetune_sdk_local import agreement, bases, gguf, ollama, prompts, serving
from finetune_sdk_local.agreement import Agreement, Golden
from finetune_sdk_local.devices import Device
from finetune_sdk_local.rendering import Renderer
from finetune_sdk_local.rounding import ROUNDINGS, Rounding
from finetune_sdk_local.runs import RunFolder
from finetune_sdk_local.tables import adapter_of

MANIFEST = "manifest.json"
GGUF = "model.gguf"


def export(
    run: RunFolder, to: Path, kind: str, device: Device, manifest: Mapping[str, Any], converter: str | None = None
) -> Export:
    """The model of a run that succeeded, as a folder at `to`. Raises RunError when merged weights do not agree.

    GGUF is made by `converter`, or by the one on the PATH. Raises SettingsError where there is none.
    """
    bases.quiet()
    command = gguf.converter(converter) if kind == "gguf" else []
    about = json.loads((run.model / "finetune.json").read_text())
    if kind != "adapter" and not about["full"] and prompts.ahead(adapter_of(about["adapter"])):
        raise UnsupportedError(
            f"the adapter of {run.id} stands before each sequence and moves no weight: there is nothing to merge.",
            cure='export kind="adapter"',
        )
    said: dict[str, Any] = {"run": run.id, "kind": kind, "base": about["base"], "weights": about["weights"]}
    notes = list[str]()
    template = run.model / "chat_template.jinja"
    if template.is_file() and "enable_thinking" in template.read_text("utf-8"):
        notes.append(
            'the template can think, and was trained not to: ask with "chat_template_kwargs": {"enable_thinking": false}'
        )
    try:
        with whole_folder(to) as folder:
            if kind == "gguf":
                said |= {"adapter": about["adapter"], **_as_gguf(run, about, folder, to, device, notes, command)}
            elif about["full"]:
                said |= {"kind": "full", "adapter": about["adapter"]}
                notes.append("all weights were trained, so there is no adapter: they are exported as they are")
                _room(to, sum(file.stat().st_size for file in run.model.iterdir()))
                shutil.copytree(run.model, folder, dirs_exist_ok=True)
            elif kind == "adapter":
                said |= {"adapter": about["adapter"]}
                shutil.copytree(run.model, folder, dirs_exist_ok=True)
            else:
                said |= {"adapter": about["adapter"], **_merged(run, about, folder, to, device, notes)}
            said |= {"files": files_of(folder), "made": dict(manifest)}
            (folder / MANIFEST).write_text(json.dumps(said, indent=1))
    except BlockingIOError:
        raise BackendError(
            f"another export into {to} is going on.", cure="wait for it, or name another folder"
        ) from None
    except OSError as fault:
        raise BackendError(
            f"{to} could not be written, and nothing of it is there: {fault.strerror or fault}.",
            cure="free some disk, or name a folder that can be written",
            retryable=True,
        ) from None
    return Export(to, str(said["kind"]), said, tuple(notes), serving.lines(to, said))


def _as_gguf(
    run: RunFolder,
    about: Mapping[str, Any],
    folder: Path,
    to: Path,
    device: Device,
    notes: list[str],
    command: Sequence[str],
) -> dict[str, Any]:
    """Fills the folder with one GGUF file and a Modelfile, and gives what the manifest is to say of them."""
    said, merged = dict[str, Any](), run.model
    where = str(run.model) if about["full"] else bases.pinned(str(about["base"]), about["weights"])
    if not about["full"]:
        merged = folder / "merged"
        merged.mkdir()
        said = _merged(run, about, merged, to, device, notes)
    weights = sum(file.stat().st_size for file in merged.glob("*.safetensors"))
    _room(to, weights)
    dtype = str(said.get("dtype") or _name(bases.config(where).dtype))
    found = gguf.convert(command, merged, folder / GGUF, dtype)
    tokenizer, ends = bases.tokenizer_in(merged), bases.ends(where)
    wrong = gguf.fault(found, tokenizer, ends)
    if wrong is not None:
        raise RunError(
            f"as GGUF, {run.id} would answer otherwise: {wrong}. Nothing was exported.",
            cure='see whether a newer llama.cpp knows this base, or export kind="merged"',
        )
    (folder / "chat_template.jinja").write_text(tokenizer.chat_template, encoding="utf-8")
    renderer = Renderer(str(about["base"]), tokenizer)
    written = ollama.modelfile(renderer, ends, GGUF, adds_bos=gguf.adds_bos(found))
    if written is None:
        notes.append(
            "no Modelfile was written: the chat template does more than write turns one after another, and Ollama would write "
            "otherwise than training did; llama.cpp's server reads the template itself (--jinja)"
        )
    else:
        (folder / "Modelfile").write_text(written, encoding="utf-8")
    if merged != run.model:
        shutil.rmtree(merged)
    notes.append(
        f"the file is in {dtype}, as the weights are stored; `ollama create --quantize` or llama-quantize make it smaller"
    )
    return {**said, "dtype": dtype, "gguf": {"tensors": len(found.tensors), "parameters": found.parameters}}


def _merged(
    run: RunFolder, about: Mapping[str, Any], folder: Path, to: Path, device: Device, notes: list[str]
) -> dict[str, Any]:
    """Fills the folder with the merged model, and gives what the manifest is to say of it."""
    import torch

    where = bases.pinned(str(about["base"]), about["weights"])
    if getattr(bases.config(where), "quantization_config", None) is not None:
        raise UnsupportedError(
            f"the base {about['base']!r} is stored quantised, so there are no 16-bit weights to merge into.",
            cure='export kind="adapter"',
        )
    tokenizer = bases.tokenizer_in(run.model)
    renderer = Renderer(str(about["base"]), tokenizer)
    ends = bases.ends(where)
    asked = agreement.prompts(renderer, [run.dataset("validation"), run.dataset("train")], bases.context(where))
    files = list(Path(where).glob("model*.safetensors")) or list(Path(where).glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    _room(to, size)
    float32 = _float32(device, 4 * size)
    golden, base, adapter, added = _spoken(where, run.model, asked, ends, float32)
    tried = list[tuple[str, Agreement]]()
    for name, rounding in ROUNDINGS.items():
        merged, layers = _added(where, run.model, rounding())
        dtype = next(merged.parameters()).dtype
        _write(merged, tokenizer, ends, folder)
        del merged
        model = bases.load(str(folder), float32).eval()
        found = agreement.measure(
            golden,
            base,
            adapter,
            agreement.logits(model, golden),
            added=added,
            roundoff=torch.finfo(dtype).eps / 2,
            layers=layers,
        )
        del model
        tried.append((name, found))
        if found.fault is None or dtype == torch.float32:
            break
    _require(tried, run)
    if len(tried) > 1:
        notes.append(
            f"weights are rounded up or down by chance: to the nearest, {tried[0][1].lost:.0%} of what the adapter does would be "
            f"lost, and {found.lost:.0%} is"
        )
    if found.flips:
        notes.append(
            f"{len(found.flips)} of {found.prompts} greedy answers change a token, where the adapter held both nearly as likely "
            f"(within {max(flip.margin for flip in found.flips):.2g} nats)"
        )
    into = f"the weights of {about['base']} as they are stored, {_name(dtype)}"
    said = {
        "merged_into": into,
        "dtype": _name(dtype),
        "rounding": tried[-1][0],
        "agreement": found.to_dict(),
    }
    if about["adapter"]["kind"] == "qlora":
        said["merged_into"] = f"{into}; it was trained beside the same weights in 4 bits (NF4)"
        beside = _beside_four_bits(where, run.model, about, device, golden, found, adapter)
        notes.append(
            "the adapter was trained beside its base in 4 bits, and is merged into the weights before they were quantised: "
            f"{beside['answers']} of {beside['prompts']} greedy answers are those of the run, and the logits are off by "
            f"{beside['off']:.2g} (the adapter moves them by {found.moved:.2g}); evaluate the folder as a model of its own"
        )
        return {"beside_four_bits": beside, **said}
    return said


def _beside_four_bits(
    where: str,
    adapter: Path,
    about: Mapping[str, Any],
    device: Device,
    golden: list[Golden],
    found: Agreement,
    logits: list[Any],
) -> dict[str, Any]:
    """What merging into 16 bits changes of a model that was trained, and has answered, beside 4: measured, not bounded."""
    from peft import PeftModel

    with bases.peft_hints_off():
        model = PeftModel.from_pretrained(bases.load(where, device, adapter_of(about["adapter"])), adapter).eval()
    held = agreement.logits(model, golden)
    beside = agreement.measure(golden, held, held, logits, added=held, roundoff=0.0, layers=found.layers)
    return {name: getattr(beside, name) for name in ("off", "size", "prompts", "answers", "positions")}


def _added(where: str, adapter: Path, rounding: Rounding) -> tuple[Any, int]:
    """The base in the dtypes that it is stored in, with the adapter added to its layers; and how many those are."""
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer
    from transformers import AutoModelForCausalLM

    bases.causal(where)
    bases.with_weights(where)
    model = AutoModelForCausalLM.from_pretrained(
        where, dtype="auto", trust_remote_code=False, use_safetensors=True, local_files_only=True
    )
    with bases.peft_hints_off():
        adapted = PeftModel.from_pretrained(model, adapter)
        layers = [module for module in adapted.modules() if isinstance(module, BaseTunerLayer)]
        for layer in layers:
            weight = layer.get_base_layer().weight
            stored, weight.data = weight.dtype, weight.data.float()
            layer.merge()
            weight.data = rounding(weight.data, stored)
        return adapted.unload(), len(layers)


def _write(merged: Any, tokenizer: Any, ends: list[int], folder: Path) -> None:
    merged.generation_config.eos_token_id = ends  # a server stops where answers here do
    merged.config.use_cache = True
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _spoken(
    where: str, adapter: Path, asked: list[tuple[int, ...]], ends: list[int], device: Device
) -> tuple[list[Golden], list[Any], list[Any], list[Any]]:
    """The golden texts, and their logits by the base, by the adapter on it, and by both added in float32, before any rounding."""
    from peft import PeftModel

    with bases.peft_hints_off():
        model = PeftModel.from_pretrained(bases.load(where, device), adapter).eval()
    golden = agreement.answered(model, asked, ends)
    with model.disable_adapter():
        base = agreement.logits(model, golden)
    adapted = agreement.logits(model, golden)
    return golden, base, adapted, agreement.logits(model.merge_and_unload(), golden)


def _float32(device: Device, needed: int) -> Device:
    """The device in float32; the CPU where the card has no room for that."""
    kind = device.kind if device.kind != "cuda" or device.free > needed else "cpu"
    return Device(kind, device.name, "float32", device.memory, device.free)


def _require(tried: Sequence[tuple[str, Agreement]], run: RunFolder) -> None:
    if tried[-1][1].fault is None:
        return
    faults = [
        f"rounded {'to the nearest' if name == 'nearest' else 'by chance'}, {found.fault}" for name, found in tried
    ]
    raise RunError(
        f"merged, {run.id} would answer otherwise than its adapter: {'; '.join(faults)}. Nothing was exported.",
        cure='export kind="adapter", which is exact',
    )


def _room(to: Path, needed: int) -> None:
    free = shutil.disk_usage(next(folder for folder in to.parents if folder.exists())).free
    if free < needed * 1.02:
        raise BackendError(
            f"{to} needs {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free.",
            cure="free some disk, or name a folder with room",
        )


def files_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of each file, so that who copies the folder can tell that it is whole."""
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest = sha256()
        with file.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
        found[str(file.relative_to(folder))] = {"bytes": file.stat().st_size, "sha256": digest.hexdigest()}
    return found


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")

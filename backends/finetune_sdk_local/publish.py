"""What a run leaves: the adapter (or all weights) as safetensors, tokenizer, chat template, and a manifest."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from finetune_sdk.files import whole
from finetune_sdk.job import Full
from finetune_sdk.machine import cores
from finetune_sdk_local import bases
from finetune_sdk_local.prepare import RunJob
from finetune_sdk_local.runs import RunFolder

PACKAGES = (
    "finetune-anywhere",
    "torch",
    "transformers",
    "peft",
    "trl",
    "bitsandbytes",
    "tokenizers",
    "safetensors",
    "numpy",
)


def versions() -> dict[str, str]:
    """The installed version of each package that a result depends on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def write_manifest(run: RunFolder, job: RunJob) -> None:
    """What the run is made with, for whoever wants to make it again."""
    device = job.device
    manifest = {
        "job": dict(job.table),
        "packages": versions(),
        "python": sys.version.split()[0],
        "hardware": {
            "device": device.kind,
            "name": device.name,
            "dtype": device.dtype,
            "memory": device.memory,
            "threads": job.threads,
            "cores": cores(),
            "system": platform.platform(),
        },
    }
    with whole(run.path / "manifest.json") as file:
        file.write(json.dumps(manifest, indent=1).encode())


def model(run: RunFolder, job: RunJob, trained: Any, weights: Mapping[str, Any] | None = None) -> None:
    """Writes the model's folder, whole or not at all: with `weights` in place of the model's own."""
    part = run.path / ".model.part"
    shutil.rmtree(part, ignore_errors=True)
    trained.save_pretrained(part, state_dict=weights)
    (part / "README.md").unlink(missing_ok=True)  # peft's unfilled model card
    bases.tokenizer(job.where).save_pretrained(part)
    (part / "finetune.json").write_text(
        json.dumps(
            {
                "run": run.id,
                "base": job.base,
                "weights": job.table["own"]["weights"],
                "adapter": job.table["adapter"],
                "full": isinstance(job.adapter, Full),
            }
        )
    )
    shutil.rmtree(run.model, ignore_errors=True)
    part.rename(run.model)

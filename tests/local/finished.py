"""Adapters and runs as training leaves them, without the training."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk_local import bases
from finetune_sdk_local.devices import Device
from local_data import chats

CPU = Device("cpu", "test", "float32", 1, 1)


def write_adapter(folder: Path, seed: int, rank: int = 4, kind: str = "lora") -> str:
    """An exported adapter on `tiny` that says other things than its base."""
    torch = pytest.importorskip("torch")
    adapter = ft.LoRA(rank=rank) if kind == "lora" else ft.QLoRA(rank=rank)
    model = bases.adapt(bases.load("tiny", CPU), ft.LoRA(rank=rank), seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    bases.tokenizer("tiny").save_pretrained(folder)
    about = {"run": folder.parent.name, "base": "tiny", "weights": bases.identity("tiny"), "full": False}
    (folder / "finetune.json").write_text(json.dumps({**about, "adapter": {"kind": adapter.kind, "rank": rank}}))
    return str(folder)


def write_run(home: Path, key: str, seed: int = 1) -> str:
    """A run that has succeeded, in the home of a client; its id."""
    folder = home / "runs" / key
    folder.mkdir(parents=True)
    for name in ("job.json", "manifest.json"):
        (folder / name).write_text("{}")
    ended = {"kind": "status", "time": time.time(), "message": "", "data": {"status": "succeeded", "actual": {}}}
    (folder / "events.jsonl").write_text(json.dumps({"time": ended.pop("time"), **ended}) + "\n")
    chats(8).save(folder / "train.jsonl")
    write_adapter(folder / "model", seed)
    return f"local:{key}"

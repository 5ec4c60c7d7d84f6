"""A base is the one that was meant: the same commit, the same folder, the same files; and it says how it ends."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import finetune_sdk as ft
from finetune_sdk.errors import NotFoundError, RunError
from local_data import chats

pytest.importorskip("transformers")

from finetune_sdk_local import bases
from finetune_sdk_local.devices import Device
from finetune_sdk_local.shapes import Shape


@pytest.mark.parametrize("adapter", [ft.PromptTuning(tokens=7), ft.PrefixTuning(tokens=7)], ids=lambda each: each.kind)
def test_virtual_tokens_are_estimated_by_what_moves(client: ft.Client, small: str, adapter: ft.PromptTuning) -> None:
    cpu = Device("cpu", "test", "float32", 1, 1)
    moving = bases.trainable(bases.adapt(bases.load(small, cpu, adapter), adapter, seed=1))
    estimate = client.estimate(ft.Job(name="a", train=chats(8), adapter=adapter))
    assert f"{sum(weight.numel() for weight in moving.values()) / 1e6:.2f} M beside them" in estimate.memory.basis
    longer = client.estimate(ft.Job(name="a", train=chats(8), adapter=replace(adapter, tokens=200)))
    assert longer.time.expected > estimate.time.expected
    assert longer.memory.expected > estimate.memory.expected


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_what_an_adapter_adds_is_counted_from_the_config_alone(small: str, dora: bool) -> None:
    adapter = ft.LoRA(rank=4, dora=dora)
    cpu, shape = Device("cpu", "test", "float32", 1, 1), Shape.of(small)
    moving = bases.trainable(bases.adapt(bases.load(small, cpu, adapter), adapter, seed=1))
    assert sum(weight.numel() for name, weight in moving.items() if "magnitude" in name) == dora * shape.columns
    assert sum(weight.numel() for weight in moving.values()) == pytest.approx(
        shape.lora(4) + dora * shape.columns, rel=0.15
    )


@pytest.fixture
def hub(small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache that holds two commits of one model; `main` is the second."""
    import huggingface_hub.constants as constants

    model = tmp_path / "hub" / "models--acme--small"
    for commit in ("1" * 40, "2" * 40):
        shutil.copytree(small, model / "snapshots" / commit)
        config = model / "snapshots" / commit / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "commit": commit[0]}))
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("2" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(bases, "hub_is_out_of_reach", lambda: True)
    return model


def test_a_model_of_the_hub_is_taken_from_the_commit_that_was_meant(hub: Path) -> None:
    found = Path(bases.pinned("acme/small", "1" * 40))
    assert json.loads((found / "config.json").read_text())["commit"] == "1"


def test_a_commit_that_cannot_be_had_is_named(hub: Path) -> None:
    with pytest.raises(NotFoundError, match=f"its commit {'3' * 40} cannot be had"):
        bases.pinned("acme/small", "3" * 40)


def test_a_folder_that_has_changed_since_is_refused(small: str, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(small, folder)
    meant = bases.identity(str(folder))
    assert bases.pinned(str(folder), meant) == str(folder)
    os.utime(folder / "config.json", (0, 0))
    with pytest.raises(RunError, match="is not the one that the run started from"):
        bases.pinned(str(folder), meant)


def test_a_folder_is_known_by_its_whole_path(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(small).parent)
    assert bases.absolute(Path(small).name) == small
    assert bases.absolute("tiny") == "tiny"


def test_a_base_that_would_not_know_where_to_stop_is_refused(client: ft.Client, small: str, tmp_path: Path) -> None:
    folder = tmp_path / "endless"
    shutil.copytree(small, folder)
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    (folder / "chat_template.jinja").write_text(template)
    job = ft.Job(name="endless", train=chats(4), base=str(folder), method=ft.SFT(steps=1))
    (finding,) = (finding for finding in client.check(job) if finding.severity == "error")
    assert "would not know where to stop" in finding.message
    assert "generation_config.json" in finding.cure


def test_a_base_answers_without_penalties_of_its_own(client: ft.Client, small: str, tmp_path: Path) -> None:
    folder = tmp_path / "penalised"
    shutil.copytree(small, folder)
    plain = client.model(small).answer("Which colour?").text
    ends = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**ends, "repetition_penalty": 5.0, "do_sample": True}))
    assert client.model(str(folder)).answer("Which colour?").text == plain

"""`tiny` is made by its script: the same seed gives the same files, and the tokenizer beside it is that of the script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import finetune_sdk_local

TINY = Path(finetune_sdk_local.__file__).parent / "tiny"


def build(out: Path) -> Path:
    """A build that stops after a step of each phase."""
    command = [sys.executable, "-m", "finetune_sdk_local.tiny.build", "--out", str(out), "--steps", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.soak
def test_the_script_makes_the_tokenizer_and_the_shape_that_come_along(tmp_path: Path) -> None:
    from safetensors import safe_open

    out = build(tmp_path / "tiny")
    assert (out / "tokenizer.json").read_bytes() == (TINY / "tokenizer.json").read_bytes()
    assert (out / "chat_template.jinja").read_bytes() == (TINY / "chat_template.jinja").read_bytes()
    shapes = []
    for folder in (out, TINY):
        with safe_open(folder / "model.safetensors", "pt") as weights:
            shapes.append({name: weights.get_slice(name).get_shape() for name in weights.keys()})  # noqa: SIM118
    assert shapes[0] == shapes[1]


@pytest.mark.soak
def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, other = (build(tmp_path / name) / "model.safetensors" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes() != (TINY / "model.safetensors").read_bytes()

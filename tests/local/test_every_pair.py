"""Every method goes with every adapter, as the table in docs/local.md says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import test_reinforcement
from finetune_sdk_local import prefixes
from finetune_sdk_local.backend import CAPABILITIES
from finetune_sdk_local.tables import ADAPTERS, METHODS
from finetune_sdk_local.training import Training
from test_exactness import method, model, training

PAGE = Path(__file__).parents[2] / "docs" / "local.md"


def told() -> dict[tuple[str, str], str]:
    """What the page says of each method and adapter: the engine."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    start = lines.index("| | `lora` | `qlora` | `full` | `prompt_tuning` | `prefix_tuning` |")
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[start:]]
    return {
        (row[0], adapter): cell
        for row in rows[2 : 2 + len(METHODS)]
        for adapter, cell in zip(rows[0][1:], row[1:], strict=True)
    }


def test_the_page_knows_the_methods_and_adapters_that_are_declared() -> None:
    declared = {(method, adapter) for method in CAPABILITIES.methods for adapter in CAPABILITIES.adapters}
    assert told().keys() == declared


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
@pytest.mark.parametrize("kind", sorted(METHODS))
def test_a_step_of_each_moves_what_it_should_by_the_engine_that_is_told(
    small: str, kind: str, adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if adapter == "qlora":
        pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(prefixes, "WORTHWHILE", 1)
    moving = model(small, ADAPTERS[adapter]())
    made: Training
    if kind == "rft":
        made = test_reinforcement.training(small, tmp_path, moving, replace(test_reinforcement.METHOD, steps=1))
    else:
        made = training(small, method(METHODS[kind], steps=1), tmp_path, moving)
    said = list[str]()
    made.report = lambda kind, message, figures: said.append(message)
    before = {name: weight.detach().clone() for name, weight in made.weights.items()}
    made.run()
    assert any(not torch.equal(before[name], weight) for name, weight in made.weights.items())
    (engine,) = [message for message in said if message.startswith("engine: ")]
    assert engine.startswith(
        "engine: shared" if told()[kind, adapter] == "shared" else "engine: each sequence by itself"
    )

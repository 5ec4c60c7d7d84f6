"""Where one of several processes runs out of memory, all halve what they take at once, and the steps stay what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
import together
from finetune_sdk_local.runs import RunFolder
from local_data import chats, pairs, rated, tasks
from own_graders import Spread
from test_sharding import model, prepared
from test_together import figures

torch = pytest.importorskip("torch")

ROOM = 40
"""Padded tokens that fit at once into the process that is short of memory; the longest sequence is shorter."""
JOBS = {
    "dpo": ft.Job(
        name="thanks", train=pairs(9), validation=pairs(3, 100), adapter=ft.LoRA(rank=4),
        method=ft.DPO(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "kto": ft.Job(
        name="rated", train=rated(12), validation=rated(6, 100), adapter=ft.LoRA(rank=4),
        method=ft.KTO(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
    "sft": ft.Job(
        name="colours", train=chats(13), validation=chats(5, 100), adapter=ft.LoRA(rank=4),
        method=ft.SFT(epochs=1, batch_size=4, learning_rate=1e-2),
    ),
}  # fmt: skip


def short_of_memory(training: Any) -> None:
    """The second process has room for little between the pass forward and the one back, but for any example alone."""
    if training.processes.rank == 1:
        _limit(lambda block, width: len(block.ids) == width or block.ids.numel() <= ROOM)


def without_memory(training: Any) -> None:
    if training.processes.rank == 1:
        _limit(lambda block, width: False)


def _limit(fits: Any) -> None:
    """In all that passes through the model from here on."""
    from finetune_sdk_local import engines

    def limited(plain: Any) -> Any:
        def each(self: Any, sequences: Any, examples: Any, micro_tokens: int, visit: Any) -> None:
            def look(logits: Any, block: Any, rows: Any) -> Any:
                loss = visit(logits, block, rows)
                if not fits(block, self.setting.width):
                    raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
                return loss

            plain(self, sequences, examples, micro_tokens, look)

        return each

    for engine in (engines.Separate, engines.Shared):
        engine.each = limited(engine.each)  # type: ignore[method-assign]


def said(run: Path) -> list[str]:
    return [event.message for event in RunFolder(run).events() if "at once" in event.message]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.soak if kind == "kto" else ()) for kind in sorted(JOBS)]
)
def test_all_processes_halve_together(small: str, tmp_path: Path, kind: str) -> None:
    """Bit for bit what it would have been with so few tokens at once from the start."""
    made = prepared(small, tmp_path, JOBS[kind], micro_tokens=400)
    short, small_from_the_start = (together.copied(made, tmp_path / name) for name in ("short", "small"))
    assert together.trained(short, 2, change=short_of_memory) == [0, 0]
    told = said(short)
    assert told
    assert [message.split(": now ")[0] for message in told] == ["out of memory"] * len(told)
    last = 400 >> len(told)
    assert f"now {last} tokens" in told[-1]
    assert together.trained(small_from_the_start, 2, micro_tokens=last) == [0, 0]
    assert not said(small_from_the_start)
    one, other = (figures(RunFolder(path).events()) for path in (short, small_from_the_start))
    assert one == other
    assert all(torch.equal(tensor, model(small_from_the_start)[name]) for name, tensor in model(short).items())


def test_drawn_answers_and_what_is_learnt_from_them_are_tried_again_by_all(small: str, tmp_path: Path) -> None:
    """RFT: which process has how many answers to learn from is known to it alone."""
    how = ft.RFT(graders=(Spread(),), samples=3, max_tokens=6, steps=3, batch_size=3, learning_rate=1e-3, beta=0.1)
    run = prepared(
        small, tmp_path, ft.Job(name="a", train=tasks(6), method=how, adapter=ft.LoRA(rank=4)), micro_tokens=400
    )
    assert together.trained(run, 2, change=short_of_memory) == [0, 0]
    assert said(run)
    assert [found["step"] for found in figures(RunFolder(run).events())] == [1, 2, 3]


def watched(training: Any) -> None:
    """What guards see is looked at in the first process, the others wait; there is room for it at 200 tokens at once."""

    def watch(micro_tokens: int) -> dict[str, float]:
        if micro_tokens > 200:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return {"seen": 1.0}

    if training.processes.first:
        training.watch = watch


def test_what_guards_look_at_is_tried_again_too(small: str, tmp_path: Path) -> None:
    run = prepared(small, tmp_path, JOBS["sft"], micro_tokens=400)
    assert together.trained(run, 2, change=watched) == [0, 0]
    assert said(run) == ["out of memory: now 200 tokens at once, same steps"]
    assert [found["seen"] for found in figures(RunFolder(run).events()) if "validation_loss" in found] == [1.0, 1.0]


def test_where_one_example_is_too_much_all_processes_end_with_that(small: str, tmp_path: Path) -> None:
    run = prepared(small, tmp_path, JOBS["sft"], micro_tokens=400)
    assert together.trained(run, 2, change=without_memory) == [1, 1]
    for rank in range(2):
        assert "no room for one sequence" in together.fault(run, rank)


def test_with_sharding_the_process_says_what_to_set_and_the_other_does_not_wait(small: str, tmp_path: Path) -> None:
    """Each pass is one of all processes: the others are in the middle of theirs."""
    run = prepared(small, tmp_path, JOBS["sft"], micro_tokens=400)
    assert together.trained(run, 2, sharding=True, change=short_of_memory) == [1, 1]
    assert "ran out of memory on 400 tokens at once" in together.fault(run, 1)
    assert "another process of the run has ended" in together.fault(run, 0)

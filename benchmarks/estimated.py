"""The runs whose estimates are compared with what they take: methods, adapters, lengths and batches of varied shape."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import finetune_sdk as ft
from benchmarks.cases import long_prompts, random_base, tickets

FIGURES = ("tokens", "trained_tokens", "time", "memory", "disk")
Base = Literal["tiny", "12 layers"]
SIZES: dict[str, tuple[int, tuple[int, int], tuple[int, int]]] = {
    "long shared prompt": (200, (45, 75), (20, 40)),
    "nothing shared": (0, (160, 240), (40, 60)),
    "long rows": (0, (600, 900), (60, 120)),
    "short rows": (0, (8, 16), (4, 8)),
}
"""Tokens of the system prompt that all rows share, of a question, of an answer."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of run: `steps` of `batch` examples out of `rows`; `options` go under [backends.local]."""

    method: str
    adapter: str
    data: str
    rows: int
    steps: int
    batch: int
    base: Base = "tiny"
    validation: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        held_out = f", {self.validation} to validate on" if self.validation else ""
        options = "".join(f", {name} {value}" for name, value in self.options.items())
        return (
            f"{self.base}, {self.method.upper()}, {self.adapter}, {self.data}, {self.rows} rows{held_out}, "
            f"{self.steps} steps of {self.batch}{options}"
        )


SHAPES = (
    Shape("sft", "lora", "tickets", 128, 40, 16),
    Shape("sft", "lora", "tickets", 600, 120, 16, validation=68),
    Shape("sft", "lora", "tickets", 300, 150, 4),
    Shape("sft", "full", "tickets", 300, 60, 16),
    Shape("sft", "qlora", "tickets", 128, 30, 8),
    Shape("sft", "dora", "tickets", 128, 30, 16),
    Shape("sft", "prompt_tuning", "tickets", 128, 30, 8),
    Shape("sft", "lora", "short rows", 600, 150, 32),
    Shape("sft", "lora", "long shared prompt", 128, 24, 16, base="12 layers"),
    Shape("sft", "full", "nothing shared", 64, 10, 8, base="12 layers"),
    Shape("sft", "lora", "long rows", 40, 10, 4, base="12 layers"),
    Shape("pretraining", "full", "tickets", 200, 40, 8),
    Shape("dpo", "lora", "tickets", 150, 50, 8),
    Shape("dpo", "full", "tickets", 64, 24, 8),
    Shape("dpo", "lora", "long shared prompt", 64, 12, 8, base="12 layers"),
    Shape("orpo", "lora", "tickets", 100, 40, 8),
    Shape("kto", "lora", "tickets", 128, 40, 8),
)

AGAIN = (SHAPES[0], SHAPES[3], SHAPES[8], SHAPES[12])


def one_run(**shape: Any) -> dict[str, Any]:
    """Estimates, probes, submits and waits, as a user would, in an empty home: what was estimated, and what the run took."""
    case = Shape(**shape)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        made, job = definition(case, home)
        client = ft.Client(settings=ft.Settings("local", home / "home", {"local": {"device": "cpu", **case.options}}))
        client.check(job, allow_leakage=True)  # reads the data
        plain = client.estimate(job)
        probed = client.estimate(job, probe=True) if "probe" in client.backend.capabilities.estimates else plain
        run = client.submit(job, max_cost=0.0, allow_leakage=True)
        run.wait(progress=False)
        return {
            "plain": {name: getattr(plain, name).to_dict() for name in FIGURES},
            "probed": {name: getattr(probed, name).to_dict() for name in FIGURES},
            "actual": dict(run.result().actual),
            "parts": parts(run),
            "rows": len(made),
        }


def definition(case: Shape, folder: Path) -> tuple[list[dict[str, Any]], ft.Job]:
    """The rows and the job of such a run; a base that is made for it lies in the folder."""
    count = case.rows + case.validation
    kind: Any = "dpo" if case.method in ("dpo", "orpo") else "sft"
    made = tickets(kind, count) if case.data == "tickets" else long_prompts(kind, count, *SIZES[case.data])
    made = [_of_method(case.method, row, at) for at, row in enumerate(made)]
    methods = {"sft": ft.SFT, "pretraining": ft.Pretraining, "dpo": ft.DPO, "orpo": ft.ORPO, "kto": ft.KTO}
    adapters: dict[str, ft.Adapter] = {
        "lora": ft.LoRA(rank=16), "qlora": ft.QLoRA(rank=16), "dora": ft.LoRA(rank=16, dora=True), "full": ft.Full(),
        "prompt_tuning": ft.PromptTuning(tokens=20), "prefix_tuning": ft.PrefixTuning(tokens=20),
    }  # fmt: skip
    where = "tiny"
    if case.base != "tiny":
        from finetune_sdk_local import bases

        where = str(folder / "base")
        random_base(toy=False).save_pretrained(where)
        bases.tokenizer("tiny").save_pretrained(where)
    job = ft.Job(
        name="benchmark",
        train=ft.Dataset.of(made[: case.rows]),
        validation=ft.Dataset.of(made[case.rows :]) if case.validation else None,
        method=methods[case.method](steps=case.steps, batch_size=case.batch),  # type: ignore[operator]
        adapter=adapters[case.adapter],
        base=where,
    )
    return made, job


def _of_method(method: str, row: dict[str, Any], at: int) -> dict[str, Any]:
    """A chat as what the method learns from."""
    if method == "kto":
        *prompt, answer = row["messages"]
        return {"prompt": prompt, "completion": [answer], "label": at % 2 == 0}
    if method == "pretraining":
        return {"text": "\n".join(str(message["content"]) for message in row["messages"])}
    return row


def parts(run: ft.Run) -> dict[str, float]:
    """Where a run's seconds went, by its own events: before the first step, in steps, after the last."""
    events = list(run.events())
    begun = next(event.time for event in events if event.data.get("status") == "running")
    steps = [event.time for event in events if event.kind == "metrics" and "loss" in event.data]
    return {"start": steps[0] - begun, "steps": steps[-1] - steps[0], "end": events[-1].time - steps[-1]}


def table(case: Shape) -> dict[str, Any]:
    return asdict(case)

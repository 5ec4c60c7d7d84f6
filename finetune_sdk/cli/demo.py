"""finetune demo: the whole way on the data and the base that come along, without a question, for exactly $0."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune_sdk.cli.options import AsJson, BackendName, ConfigPath
from finetune_sdk.cli.screen import Screen, screen

if TYPE_CHECKING:
    from finetune_sdk.client import Client
    from finetune_sdk.data.dataset import Dataset
    from finetune_sdk.job import Job
    from finetune_sdk.model import Model

METHOD: dict[str, Any] = {"epochs": 3, "batch_size": 16, "learning_rate": 4e-3, "schedule": "cosine", "warmup": 0.05}
ADAPTER: dict[str, Any] = {"rank": 16}
FIELDS = ("category", "priority", "order")
EXAMPLES = 3
MAX_TOKENS = 64
SEED = 7


def demo(
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the report goes.")] = Path("demo-out"),
    backend: BackendName = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a small model to label support tickets, and report how much better it became. Asks nothing, costs $0."""
    with screen(as_json) as out, ExitStack() as open_files:
        from importlib.resources import as_file, files

        started = time.monotonic()
        names = ("tickets.jsonl", "tickets_heldout.jsonl", "ticket.schema.json")
        data = files("finetune_sdk.demo")
        tickets, held_out, schema = (open_files.enter_context(as_file(data / name)) for name in names)
        value = _run(tickets, held_out, schema, to, backend or "local", config, out)
        value["seconds"] = round(time.monotonic() - started, 3)
        out.answer(value)


def _run(
    tickets: Path, held_out: Path, schema: Path, to: Path, backend: str, config: Path | None, out: Screen
) -> dict[str, Any]:  # fmt: skip
    from finetune_sdk.cli.estimate import beside
    from finetune_sdk.cli.judging import evaluate_and_write
    from finetune_sdk.cli.submission import Terms, submit
    from finetune_sdk.client import Client
    from finetune_sdk.data.dataset import Dataset
    from finetune_sdk.evaluation.evaluation import Evaluation
    from finetune_sdk.evaluation.evaluators import FieldMatch, JSONSchema
    from finetune_sdk.job import SFT, Job, LoRA
    from finetune_sdk.model import Prompted, Sampling

    train, validation, _ = Dataset.load(tickets).split(validation=0.1, seed=SEED, apart=True)
    test = Dataset.load(held_out)
    job = Job(
        name="demo",
        train=train,
        validation=validation,
        method=SFT(**METHOD),
        adapter=LoRA(**ADAPTER),
        base="tiny" if backend == "local" else None,
        seed=SEED,
    )
    evaluation = Evaluation(
        test, [JSONSchema(schema), FieldMatch(FIELDS)], "Support tickets", Sampling(max_tokens=MAX_TOKENS)
    )
    to.mkdir(parents=True, exist_ok=True)
    client = Client(backend, config=config)
    free = client.estimate(job).charge.high == 0  # what the own machine costs by the hour is no reason to refuse
    terms = Terms(max_cost=None if free else 0.0, yes=True, again=_ended_badly(client, job))
    submitted = submit(client, job, terms, out)
    going = submitted.run
    tuned = going.wait()
    actual = dict(going.result().actual)
    base = client.base(job)
    models: dict[str, Model] = {
        "base": base,
        "prompted": Prompted(base, examples=train.sample(EXAMPLES, SEED)),
        "majority": _majority(train, test),
        "tuned": tuned,
    }
    found = evaluate_and_write(evaluation, models, to / "report.html", out)
    out.show(beside(submitted.estimate, actual))
    return {
        "run": going.id,
        "earlier": submitted.earlier,
        **found,
        "estimate": submitted.estimate.to_dict(),
        "actual": actual,
    }


def _ended_badly(client: Client, job: Job) -> bool:
    """Whether an earlier demo failed, was cancelled or is gone; another attempt costs nothing here."""
    from finetune_sdk.errors import RunError

    run = client.find_run(job)
    try:
        return run is not None and run.status.terminal and run.status != "succeeded"
    except RunError:
        return True


def _chats(examples: Dataset) -> list[Any]:
    from finetune_sdk.messages import ChatExample

    return [example for example in examples if isinstance(example, ChatExample)]


def _majority(train: Dataset, test: Dataset) -> Model:
    """The model that learnt nothing but the most frequent value of each field: the best that a constant can do."""
    from finetune_sdk.model import Answer, Recorded

    said = [json.loads(example.answer.text) for example in _chats(train)]
    constant = {field: Counter(answer[field] for answer in said).most_common(1)[0][0] for field in FIELDS}
    answer = Answer(json.dumps(constant))
    return Recorded("the most frequent values", [(example.prompt, answer) for example in _chats(test)])

"""What stands in a job file, as pydantic tables: the border where what people write comes in.

Methods and adapters are `finetune_sdk.job`'s own classes. The sentences below each key are what an editor shows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from finetune_sdk.job import DPO, KTO, ORPO, SFT, Full, LoRA, PrefixTuning, Pretraining, PromptTuning, QLoRA, Schedule
from finetune_sdk.jobfile.judging import EvaluatorTable
from finetune_sdk.jobfile.table import Name, Table

Share = Annotated[float, Field(ge=0, lt=1)]


class DataFile(Table):
    """A file of examples, and how to read it."""

    path: str
    """Where it is, from the job file."""
    format: Name | None = None
    """The data's format, where it should not be detected."""
    columns: Annotated[dict[Name, Name], Field(min_length=1)] | None = None
    """What the file calls the keys of a format, as in `{prompt: question, completion: answer}`."""


class Split(Table):
    """Shares of `data` that are held back; the side of a row is the seeded hash of its content."""

    validation: Share = 0.0
    """Share of the rows on which the validation loss is taken."""
    test: Share = 0.0
    """Share of the rows that the evaluation asks."""
    seed: int = 0
    """Another seed draws other rows."""
    apart: bool = False
    """Leave rows out of training that are nearly held-out rows."""


class PromptedBase(Table):
    """The base behind its best prompt: what the tuned model has to beat."""

    examples: Annotated[int, Field(ge=0)] = 0
    """How many training examples stand before each question."""
    system: str | None = None
    """A system prompt in place of the cases' own."""
    seed: int = 0
    """Another seed draws other examples."""


class JudgeTable(Table):
    """A model scores the answer by a rubric."""

    kind: Literal["judge"]
    model: Name
    """The model that judges: a base of the place, or a run's id."""
    backend: Name | None = None
    """The place of that model; the job's own when left out."""
    rubric: Annotated[dict[Name, Name], Field(min_length=1)] | None = None
    """Criteria and what each means; accuracy, relevance, style and usefulness when left out."""
    passing: Annotated[float, Field(ge=1, le=5)] = 4
    """Each criterion must reach so much, of 5."""
    votes: Annotated[int, Field(gt=0, le=99)] = 1
    """How often the model is asked; a criterion's score is the mean."""
    expected: bool = True
    """Show the judge the expected answer."""
    name: Name = "Judge"
    """What the report calls it."""


class RFTTable(Table):
    """Reinforcement fine-tuning: answers to tasks are graded, and the better ones reinforced."""

    kind: Literal["rft"]
    graders: (
        Annotated[tuple[Annotated[EvaluatorTable, Field(discriminator="kind")], ...], Field(min_length=1)] | None
    ) = None
    """Evaluators: an answer is worth the mean of what they find; the settings' own grader when left out."""
    samples: Annotated[int, Field(gt=1)] | None = None
    """So many answers to each task of a step, which are compared with each other."""
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    """The longest of these answers, in tokens."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """How freely they are drawn."""
    beta: Annotated[float, Field(ge=0)] | None = None
    """The strength of a pull towards the base."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    steps: Annotated[int, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(gt=0)] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    schedule: Schedule | None = None
    warmup: Annotated[float, Field(ge=0, lt=1)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    max_length: Annotated[int, Field(gt=0)] | None = None
    validate_every: Annotated[int, Field(gt=0)] | None = None
    early_stopping: Annotated[int, Field(gt=0)] | None = None


class GuardsTable(Table):
    """What is watched while the job runs, at each validation."""

    best_by: (
        Annotated[tuple[Annotated[EvaluatorTable, Field(discriminator="kind")], ...], Field(min_length=1)] | None
    ) = None
    """Evaluators: the model is that of the validation whose answers pass them most often; by the loss when left out."""
    cases: Annotated[int, Field(gt=0)] = 32
    """At most so many prompts of the validation data are answered; and so many of the general examples."""
    max_tokens: Annotated[int, Field(gt=0)] = 256
    """The longest of these answers, in tokens."""
    memorisation: bool = False
    """Search these answers for training answers, word for word."""
    forgetting: str | DataFile | None = None
    """A file of general examples on which the loss is taken, and never trained."""
    forgetting_by: (
        Annotated[tuple[Annotated[EvaluatorTable, Field(discriminator="kind")], ...], Field(min_length=1)] | None
    ) = None
    """Evaluators of the answers to general examples, which are chats then; at most `cases` of them are answered."""


class GateTable(Table):
    """When the model may ship: what `finetune gate` asks of the report."""

    better: Name | None = None
    """The model that is to ship: `tuned` when left out."""
    than: Name | None = None
    """The model whose place it takes: the strongest of the others when left out."""
    on: Name | None = None
    """The evaluator on which it is to be better: the one of the verdict when left out."""
    by: Annotated[float, Field(gt=-1, lt=1)] = 0.0
    """By how much, as a share: 0.05 stands for 5 points."""
    without_losing: dict[Name, Annotated[float, Field(gt=0, lt=1)]] | None = None
    """Evaluators on which it may lose less than a margin, each with that margin."""
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.025
    """How often a model that must not ship may pass."""


class RivalTable(Table):
    """A model that the tuned one is compared with: another provider's, the previous tuned one."""

    model: Name
    """A base of its place, or a run's id."""
    backend: Name | None = None
    """The place of that model; a run's own, else the job's, when left out."""


TAKEN = ("base", "prompted", "tuned", "cache", "max_cost", "progress", "self", "timeout")
"""What no model of one's own can be called: an evaluation has these names already."""


class EvaluationTable(Table):
    """How the tuned model is judged, beside its base, on the test rows."""

    evaluators: Annotated[
        tuple[Annotated[EvaluatorTable | JudgeTable, Field(discriminator="kind")], ...], Field(min_length=1)
    ]
    """Each judges every answer; from the least to the most demanding: the verdict is spoken on the last but `length`."""
    prompted: PromptedBase | None = None
    """Judge also the base behind a prompt."""
    against: Annotated[dict[Name, RivalTable], Field(min_length=1)] | None = None
    """Judge also these models, by the names that the report has for them; not base, prompted or tuned."""
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    """The longest answer that a model may give, in tokens."""
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    """How freely answers are drawn; 0, as when left out, is always the likeliest token."""
    samples: Annotated[int, Field(ge=1, le=1000)] = 1
    """How often each case is asked, with seeds of its own; what most of its answers come to counts. Needs a temperature."""
    allow_leakage: bool = False
    """Judge also on cases that a model was trained on; the report says so."""
    slices: tuple[Name, ...] = ("label", "length", "source")
    """What the report tells apart: label, length, language, source, and columns of the cases' file."""
    group: Name | None = None
    """A column of the cases' file: cases of one group are not independent of each other."""
    gate: GateTable | None = None
    """When the model may ship."""


Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BreakEvenTable(Table):
    """What the tuned model is asked and what it takes to have it: when a training is paid back. All money in USD."""

    answers: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """How many answers a month."""
    against: Annotated[dict[Name, RivalTable], Field(min_length=1)] | None = None
    """Bigger models that would be asked instead, by the names that the table has for them."""
    prompt_tokens: Annotated[int, Field(gt=0)] | None = None
    """So many more tokens of prompt with which the base would be asked instead."""
    input_tokens: Amount | None = None
    """Tokens read for an answer; the mean of the job's rows when left out."""
    output_tokens: Amount | None = None
    """Tokens written in an answer; the mean of the job's rows when left out."""
    months: Annotated[int, Field(ge=1, le=600)] = 12
    """How far to look."""
    retrainings: Amount = 4.0
    """How many a year."""
    hours: Amount | None = None
    """People's hours for the first training."""
    retraining_hours: Amount | None = None
    """People's hours for each retraining; as many as for the first when left out."""
    usd_per_hour: Amount | None = None
    """What an hour of people costs."""
    storage: Amount | None = None
    """What storage costs a month."""
    hosting: Amount | None = None
    """What keeping the tuned model ready costs a month; what its place says when left out."""


class JobTable(Table):
    """A fine-tuning job: what is learnt, how, and how the result is judged."""

    name: Annotated[str, Field(min_length=1)]
    """What people call this job."""
    data: str | DataFile | None = None
    """A file of examples (its path, or a table with its format and columns); `split` says what of it is held back."""
    split: Split | None = None
    """Shares of `data` for validation and test."""
    train: str | DataFile | None = None
    """A file of training examples, in place of `data`."""
    validation: str | DataFile | None = None
    """A file of validation examples."""
    test: str | DataFile | None = None
    """A file of held-out examples, which the evaluation asks."""
    base: str | None = None
    """The model to start from; the settings' own when left out."""
    method: Annotated[SFT | Pretraining | DPO | ORPO | KTO | RFTTable, Field(discriminator="kind")] = SFT()
    """What is optimised, and how."""
    adapter: Annotated[LoRA | QLoRA | Full | PromptTuning | PrefixTuning, Field(discriminator="kind")] | None = None
    """Which weights move; the settings' choice when left out."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """The same seed, data and place give the same run."""
    guards: GuardsTable | None = None
    """What is watched while the job runs."""
    evaluation: EvaluationTable | None = None
    """How the result is judged."""
    break_even: BreakEvenTable | None = None
    """What the tuned model is asked, and what it is to save money against; no part of what is trained."""


_HYPERPARAMETERS = {
    "epochs": "Passes over the training data; or give `steps`.",
    "steps": "Optimizer steps; or give `epochs`.",
    "batch_size": "Examples in one optimizer step.",
    "learning_rate": "The learning rate at its peak.",
    "schedule": "How the learning rate falls after the warm-up.",
    "warmup": "Share of all steps over which the learning rate rises.",
    "weight_decay": "Decoupled weight decay (AdamW).",
    "max_length": "Tokens a row; a longer row is cut at its end, and named; a longer text of pretraining is split.",
    "loss_on": "Train the assistant's turns, or every token (of ORPO, of the chosen side).",
    "validate_every": "Take the validation loss every so many steps; each epoch when left out.",
    "early_stopping": "End the run after so many validation losses without a better one.",
    "beta": "Strength of the pull towards the base; of ORPO, the weight of the odds of chosen over rejected answers.",
    "desirable_weight": "Weight of the losses of good answers.",
    "undesirable_weight": "Weight of the losses of bad answers.",
    "rank": "Rank of the adapter's matrices.",
    "alpha": "Scale of the adapter is alpha / rank; twice the rank when left out.",
    "dropout": "Dropout before the adapter.",
    "dora": "Let the length of each column of a weight move apart from its direction (DoRA).",
    "rslora": "Scale by alpha / sqrt(rank) in place of alpha / rank.",
    "tokens": "Virtual tokens before each sequence.",
    "targets": "Names of the layers beside which the adapter stands.",
}


def schema() -> dict[str, Any]:
    """The JSON schema of a job file, for editors."""
    made = JobTable.model_json_schema()
    for definition in made["$defs"].values():
        properties = definition.get("properties", {})
        if "kind" in properties:
            definition["required"] = sorted({"kind", *definition.get("required", ())})
        for name in properties.keys() & _HYPERPARAMETERS.keys():
            properties[name].setdefault("description", _HYPERPARAMETERS[name])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "finetune job"}

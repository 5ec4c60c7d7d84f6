"""JobFile: a job, its data and its evaluation as one YAML file. Only this room reads what people write with pydantic."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from finetune_sdk.data.checks.near import near_leaks_if_looked_for
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import EvaluationError, JobError
from finetune_sdk.guards import Guards
from finetune_sdk.job import RFT, Job, Method
from finetune_sdk.jobfile import judging, tables, yaml12
from finetune_sdk.jobfile.faults import dotted, job_error
from finetune_sdk.jobfile.tables import DataFile, JobTable
from finetune_sdk.jobfile.yaml12 import Where
from finetune_sdk.messages import Asked, ChatExample
from finetune_sdk.model import Answer, Model, Origin, Prompted, Sampling

if TYPE_CHECKING:
    from finetune_sdk.evaluation.evaluation import Evaluation
    from finetune_sdk.evaluation.evaluators import Evaluator

OpenModel = Callable[[str, str | None], Model]
SIDES = ("data", "train", "validation", "test")


class Datasets(NamedTuple):
    """The data of a job file. `validation` and `test` are None where the file has none."""

    train: Dataset
    validation: Dataset | None
    test: Dataset | None


class JobFile:
    """A job file that was read and makes sense. Its paths are relative to it; data is read when it is asked for."""

    def __init__(self, path: Path, table: JobTable) -> None:
        self.path = path
        self.table = table
        self._datasets: Datasets | None = None

    def __repr__(self) -> str:
        return f"JobFile({str(self.path)!r})"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> JobFile:
        """Raises JobError naming the file, the line, the key and the cure of everything that is wrong with it."""
        file = Path(path)
        raw, lines = yaml12.read(file)
        try:
            table = JobTable.model_validate_json(json.dumps(raw), strict=True)
        except ValidationError as faults:
            raise job_error(file, raw, lines, faults) from None
        except JobError as fault:  # a method or an adapter that makes no sense
            raise JobError(f"{file}: {fault.message}", cure=fault.cure) from None
        read = cls(file, table)
        read._check_sides(lines)
        read._check_files(lines)
        return read

    @staticmethod
    def schema() -> dict[str, Any]:
        """The JSON schema of a job file, for editors; published as docs/job.schema.json."""
        return tables.schema()

    def datasets(self) -> Datasets:
        """Raises DatasetError for rows that cannot be used."""
        if self._datasets is None:
            self._datasets = self._read()
        return self._datasets

    def _read(self) -> Datasets:
        split, files = self.table.split, self.data_files()
        loaded = {side: Dataset.load(held.path, held.format, columns=held.columns) for side, held in files.items()}
        train = loaded["data"] if "data" in loaded else loaded["train"]
        validation, test = loaded.get("validation"), loaded.get("test")
        if split is None:
            return Datasets(train, validation, test)
        train, held, tested = train.split(split.validation, split.test, split.seed, apart=split.apart)
        return Datasets(train, held if split.validation else validation, tested if split.test else test)

    def data_files(self) -> dict[str, DataFile]:
        """The data files by the key that names them: where each is from here, its format and its columns."""
        named = ((side, getattr(self.table, side)) for side in SIDES)
        return {side: self._file(held) for side, held in named if held is not None}

    def files(self) -> dict[str, Path]:
        """The paths of the data files by the key that names them."""
        return {side: Path(held.path) for side, held in self.data_files().items()}

    def job(self) -> Job:
        """Raises DatasetError for the data, JobError where data and method do not go together."""
        table, data = self.table, self.datasets()
        return Job(
            name=table.name,
            train=data.train,
            validation=data.validation,
            method=self._method(),
            adapter=table.adapter,
            base=self._base(),
            seed=table.seed,
            guards=self._guards(),
        )

    def evaluation(self, opened: OpenModel | None = None) -> Evaluation | None:
        """None where the file has none. Raises EvaluationError for a schema that is none.

        `opened` gives the model that a judge names, from its name and its backend (None: the job's own); without it, judges can
        be made and not asked.
        """
        asked, (train, _, test) = self.table.evaluation, self.datasets()
        if asked is None or test is None:
            return None
        self._check_cases(asked, train, test)
        from finetune_sdk.evaluation.evaluation import Evaluation

        return Evaluation(
            test,
            [
                _judge(table, opened or _Unopened) if isinstance(table, tables.JudgeTable) else self._evaluator(table)
                for table in asked.evaluators
            ],
            name=self.table.name,
            sampling=_sampling(asked),
            samples=asked.samples,
            allow_leakage=asked.allow_leakage,
            slices=asked.slices,
            group=asked.group,
        )

    def _check_cases(self, asked: tables.EvaluationTable, train: Dataset, test: Dataset) -> None:
        """What would stop the evaluation, said before anything is trained."""
        known = set(train.hashes())
        seen = sum(content in known for content in test.hashes())
        if seen and not asked.allow_leakage:
            raise JobError(
                f"{self.path}: {seen} of {len(test)} test rows are also in the training data.",
                cure="remove them from one side, or set `allow_leakage: true` under `evaluation`; the report says so",
            )
        for finding in () if asked.allow_leakage else near_leaks_if_looked_for(train, test):
            if finding.severity == "error":
                raise JobError(f"{self.path}, `test`: {finding.message} {finding.example}.", cure=finding.cure)
        wanted = asked.prompted.examples if asked.prompted else 0
        if wanted and train.kind != "chat":
            raise JobError(
                f"{self.path}: `evaluation.prompted.examples` needs chat examples, and {train.name} holds "
                f"{train.kind} ones.",
                cure="give a `system` prompt instead",
            )
        if wanted > len(train):
            raise JobError(
                f"{self.path}: `evaluation.prompted.examples` is {wanted}, and there are {len(train)} training rows.",
                cure="ask for fewer examples",
            )

    def _method(self) -> Method:
        given = self.table.method
        if not isinstance(given, tables.RFTTable):
            return given
        graders = tuple(map(self._evaluator, given.graders)) if given.graders else None
        return RFT(graders=graders, **given.model_dump(exclude={"kind", "graders"}))

    def _guards(self) -> Guards | None:
        given = self.table.guards
        if given is None:
            return None
        general = self._file(given.forgetting) if given.forgetting is not None else None
        return Guards(
            best_by=tuple(map(self._evaluator, given.best_by or ())),
            forgetting=Dataset.load(general.path, general.format, columns=general.columns) if general else None,
            forgetting_by=tuple(map(self._evaluator, given.forgetting_by or ())),
            **given.model_dump(exclude={"best_by", "forgetting", "forgetting_by"}),
        )

    def _file(self, held: str | DataFile) -> DataFile:
        """A data file, where it is from here."""
        named = DataFile(path=held) if isinstance(held, str) else held
        return named.model_copy(update={"path": str(self._at(named.path))})

    def _evaluator(self, table: judging.EvaluatorTable) -> Evaluator:
        return judging.evaluator(table, self._at)

    def prompted(self, base: Model, train: Dataset) -> Prompted | None:
        """The base behind the prompt that the file asks for, its examples from `train`; None where it asks for none."""
        asked = self.table.evaluation.prompted if self.table.evaluation else None
        if asked is None:
            return None
        drawn = train.sample(asked.examples, asked.seed) if asked.examples else ()
        return Prompted(base, asked.system, [example for example in drawn if isinstance(example, ChatExample)])

    def rivals(self, opened: OpenModel) -> dict[str, Model]:
        """The models that the file wants the tuned one compared with, by their names. `opened` is as for `evaluation`."""
        asked = self.table.evaluation.against if self.table.evaluation else None
        return {name: opened(rival.model, rival.backend) for name, rival in (asked or {}).items()}

    def _at(self, name: str) -> Path:
        try:
            return self.path.parent / Path(name).expanduser()
        except RuntimeError:  # `~somebody` whom this machine does not know; a file may be called so
            return self.path.parent / name

    def _base(self) -> str | None:
        """A hub name or "tiny" as it stands; a folder beside the file, and what starts like a path, is one."""
        base = self.table.base
        if base and (base.startswith(("./", "../", "~")) or self._at(base).is_dir()):
            return str(self._at(base).resolve())
        return base

    def _check_sides(self, lines: Mapping[Where, int]) -> None:
        table, split = self.table, self.table.split or tables.Split()
        if table.data is not None and table.train is not None:
            raise self._fault(lines, ("train",), "`data` and `train` are both set.", "keep one of them")
        if table.data is None and table.train is None:
            raise self._fault(lines, (), "there is nothing to train on.", "name a file: `data: examples.jsonl`")
        if table.data is None and table.split is not None:
            raise self._fault(
                lines, ("split",), "`split` divides `data`, and there is none.", "write `data` instead of `train`"
            )
        for side in ("validation", "test"):
            if getattr(split, side) and getattr(table, side):
                raise self._fault(
                    lines, (side,), f"`{side}` is a file and also a share of `split`.", "keep one of them"
                )
        if split.validation + split.test >= 1:
            raise self._fault(
                lines, ("split",), "`split` leaves nothing to train on.", "give shares with a sum below 1"
            )
        if table.evaluation is not None and not split.test and table.test is None:
            raise self._fault(
                lines,
                ("evaluation",),
                "`evaluation` has no held-out examples to ask.",
                "hold some back with `split: {test: 0.1}`, or name a file: `test: heldout.jsonl`",
            )
        for name in (table.evaluation and table.evaluation.against) or ():
            if name in tables.TAKEN:
                raise self._fault(
                    lines,
                    ("evaluation", "against", name),
                    f"`evaluation.against` has a model called {name!r}, and an evaluation has that name already.",
                    "give it another name, such as `previous`",
                )
        prompted = table.evaluation.prompted if table.evaluation else None
        if prompted is not None and not prompted.examples and not prompted.system:
            raise self._fault(
                lines,
                ("evaluation", "prompted"),
                "`evaluation.prompted` has neither `examples` nor `system`.",
                "give `examples: 3`, a `system` prompt, or both",
            )

    def _check_files(self, lines: Mapping[Where, int]) -> None:
        for at, path in self._named():
            if path.is_file():
                continue
            what = "is a folder" if path.is_dir() else "does not exist"
            names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            near = get_close_matches(path.name, names, 1)
            cure = f"did you mean {near[0]}?" if near else "paths are relative to the job file; check this one"
            raise self._fault(lines, at, f"`{dotted(at)}`: the file {path} {what}.", cure)

    def _named(self) -> Iterator[tuple[Where, Path]]:
        for side, path in self.files().items():
            yield (side,) if isinstance(getattr(self.table, side), str) else (side, "path"), path
        guards = self.table.guards
        if guards is not None and guards.forgetting is not None:
            at: Where = (
                ("guards", "forgetting") if isinstance(guards.forgetting, str) else ("guards", "forgetting", "path")
            )
            yield at, Path(self._file(guards.forgetting).path)
        lists: list[tuple[Where, tuple[judging.EvaluatorTable | tables.JudgeTable, ...]]] = []
        if self.table.evaluation is not None:
            lists.append((("evaluation", "evaluators"), self.table.evaluation.evaluators))
        if isinstance(self.table.method, tables.RFTTable) and self.table.method.graders:
            lists.append((("method", "graders"), self.table.method.graders))
        names = ("best_by", "forgetting_by") if guards is not None else ()
        lists += [(("guards", name), getattr(guards, name) or ()) for name in names]
        for at, evaluators in lists:
            for number, table in enumerate(evaluators):
                if isinstance(table, judging.JSONSchemaTable) and isinstance(table.schema_, str):
                    yield (*at, number, "schema"), self._at(table.schema_)

    def _fault(self, lines: Mapping[Where, int], at: Where, message: str, cure: str) -> JobError:
        return JobError(f"{self.path} line {lines.get(at, 1)}: {message}", cure=cure)


def _judge(table: tables.JudgeTable, opened: OpenModel) -> Evaluator:
    from finetune_sdk.evaluation.judges import RUBRIC, Judge

    return Judge(
        opened(table.model, table.backend), table.rubric or RUBRIC, table.passing, table.votes, table.expected,
        name=table.name,
    )  # fmt: skip


class _Unopened:
    """A judge's model where nobody opens models: enough to check the file with."""

    def __init__(self, name: str, backend: str | None) -> None:
        self.name = name
        self.origin = Origin(backend or "", name)

    def answer(self, asked: Asked, sampling: Sampling | None = None) -> Answer:
        raise EvaluationError(
            f"the judge {self.name} was not opened.",
            cure="open it: evaluation(lambda name, backend: Client(backend).model(name))",
        )

    def answers(self, asked: Iterable[Asked], sampling: Sampling | None = None) -> list[Answer]:
        return [self.answer(one, sampling) for one in asked]


def _sampling(asked: tables.EvaluationTable) -> Sampling | None:
    drawn = {"max_tokens": asked.max_tokens, "temperature": asked.temperature}
    given: dict[str, Any] = {name: value for name, value in drawn.items() if value is not None}
    if any(isinstance(table, judging.PerplexityTable) for table in asked.evaluators):
        given["logprobs"] = 0
    return Sampling(**given) if given else None

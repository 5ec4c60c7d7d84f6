"""Evaluation: held-out cases and evaluators, defined once, run on any models side by side."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import BudgetError, EvaluationError
from finetune_sdk.evaluation import leakage, notes
from finetune_sdk.evaluation.asking import Asked, Asking, bar
from finetune_sdk.evaluation.comparison import CONFIDENCE, Clusters, Metric, measured, values_measured, verdict
from finetune_sdk.evaluation.costs import costs
from finetune_sdk.evaluation.evaluators import Case, Evaluator, Length, Score
from finetune_sdk.evaluation.evaluators.functions import bounded
from finetune_sdk.evaluation.judging import judged
from finetune_sdk.evaluation.kept import digest, sitting_of
from finetune_sdk.evaluation.known import known_as
from finetune_sdk.evaluation.labelled import label_rows, nominal
from finetune_sdk.evaluation.report import (
    VERSION,
    Report,
    cases_note,
    comparison_rows,
    field_outcomes,
    outcomes,
    scores,
)
from finetune_sdk.evaluation.samples import samplings
from finetune_sdk.evaluation.slices import Column, clusters_of, sliced, told
from finetune_sdk.evaluation.spending import Budget, Tariff, cost_row
from finetune_sdk.evaluation.together import judge_rows, judged_together, spent_by
from finetune_sdk.evaluation.transcript import Reply, example_row, model_row, origin_row
from finetune_sdk.messages import ChatExample
from finetune_sdk.model import Answer, Model, Sampling

__all__ = ["Evaluation", "Report"]

_log = logging.getLogger("finetune_sdk")


@dataclass(frozen=True)
class Evaluation:
    """Held-out cases (chat examples) and the evaluators that judge the answers to them.

    A case's prompt is all before its last assistant turn; that turn is what is expected. List evaluators from the
    least to the most demanding: the verdict is spoken on the last one that is not Length. Cases that a model was
    trained on, or that stand in its prompt, are an EvaluationError unless `allow_leakage`.

    With `samples`, each case is asked so many times, with seeds from the sampling's own (or 0) upwards; its answers are one
    outcome, that of most of them, for answers to one case are no independent cases. `slices` are told apart in the report:
    "label", "length", "language", "source", columns of the cases' file, or {name: function of a case}. Cases that are of
    one `group` (a column, a function) are not independent either, and intervals and tests know it.
    """

    cases: Dataset
    evaluators: Sequence[Evaluator]
    name: str = "Evaluation"
    sampling: Sampling | None = None
    allow_leakage: bool = False
    samples: int = 1
    slices: Sequence[str] | Mapping[str, Column] = ("label", "length", "source")
    group: Column | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.cases, Dataset):
            raise EvaluationError(
                f"the cases are {type(self.cases).__name__}, not a Dataset.", cure="load them: Dataset.load(path)"
            )
        if self.cases.kind != "chat":
            raise EvaluationError(
                f"{self.cases.name} holds {self.cases.kind} examples, and cases are chat examples.",
                cure="give examples whose last assistant turn is the expected answer",
            )
        if not len(self.cases):
            raise EvaluationError(f"{self.cases.name}: there are no cases.", cure="give at least one; 100 tell more")
        object.__setattr__(self, "evaluators", _usable(self.evaluators))
        samplings(self.sampling, self.samples)

    def run(
        self,
        progress: bool | None = None,
        *,
        cache: bool | str | os.PathLike[str] = True,
        max_cost: float | None = None,
        timeout: float | None = None,
        **models: Model,
    ) -> Report:
        """Asks every model every case and judges the answers: `run(base=…, prompted=…, tuned=…)`.

        The names become the models' keys; the last one is compared with each of the others. Where a place fails,
        its cases are errors: counted and shown, never scored. `progress` shows a bar on standard error; None, only
        where a person looks on.

        Answers are kept on this disk as they come (docs/evaluation-runs.md): an evaluation that was killed or interrupted
        goes on where it was when it is run again. `cache=False` keeps and reads none, a path names another folder.
        `max_cost` in USD counts all that this evaluation has spent on answers until it is complete: before it would be
        exceeded a BudgetError says so, as it does at once where a price is unknown. `timeout` is how many seconds a
        model may take for what it was handed; what it has not answered by then is an error.
        """
        _comparable(models)
        drawn = samplings(self.sampling, self.samples)
        cases = tuple(self._cases())
        leaked = leakage.leaked(cases, models, allowed=self.allow_leakage)
        beside = told(cases, self.cases, self.slices, self.group)
        budget = _budget(max_cost, {**models, **_asked_by(self.evaluators)})
        said = [*notes.beforehand(cases, self.samples, leaked), *self._rehearsed(cases)]
        spent = spent_by(self.evaluators)
        with sitting_of(cache, self._definition(cases, models)) as (sitting, trouble):
            budget.spent = sitting.spent if sitting else 0.0
            asking = Asking(sitting, budget, _seconds(timeout))
            with _told_how_to_go_on(asking):
                with bar(self.name, models, len(cases) * len(drawn), progress) as advance:
                    asked = {
                        key: asking.ask(key, model, cases, drawn, partial(advance, key))
                        for key, model in models.items()
                    }
                judges = [asking.kept_for(evaluator) for evaluator in self.evaluators]
                replies = {key: judged(cases, one.outcomes, judges) for key, one in asked.items()}
                shown = [case for case in cases for _ in drawn]
                replies = {key: judged_together(judges, shown, found) for key, found in replies.items()}
                if asking.over is not None:
                    raise asking.over
            if sitting is not None:
                sitting.end()
                trouble = sitting.trouble
        said += notes.provenance(asked, trouble)
        rows = judge_rows(self.evaluators, spent)
        found = self._found(cases, models, replies, said, len(leaked), asked, beside)
        return Report(found | ({"judges": rows} if rows else {}))

    def check(self, **models: Model) -> None:
        """Asks nothing; raises EvaluationError for models that `run` would refuse, as one that was trained on cases."""
        _comparable(models)
        leakage.leaked(tuple(self._cases()), models, allowed=self.allow_leakage)

    def _definition(self, cases: Sequence[Case], models: Mapping[str, Model]) -> bytes:
        """Stands for all that is asked: the same evaluation, run again, goes on with what was not finished."""
        known = ((key, known_as(model)) for key, model in models.items())
        drawn = asdict(self.sampling) if self.sampling else None
        asked = [case.prompt.canonical() for case in cases]
        return digest("sitting", asked, drawn, self.samples, [(key, one.name if one else None) for key, one in known])

    def _cases(self) -> Iterator[Case]:
        for index, (example, content) in enumerate(zip(self.cases, self.cases.hashes(), strict=True)):
            where = self.cases.where(index)
            if not isinstance(example, ChatExample) or all(m.role != "assistant" for m in example.messages):
                raise EvaluationError(
                    f"{where}: there is no assistant turn, so nothing is expected.", cure="add the expected answer"
                )
            if not example.prompt.messages:
                raise EvaluationError(
                    f"{where}: nothing stands before the last assistant turn, so there is nothing to ask.",
                    cure="put the user's message before it",
                )
            yield Case(index, example.prompt, example.answer, where, content[:8].hex())

    def _rehearsed(self, cases: Sequence[Case]) -> Iterator[str]:
        # The expected answers go first: what is wrong with a definition is found before any model is paid for.
        for evaluator in self.evaluators:
            if not getattr(evaluator, "pure", False):
                continue
            judged = [(case, _score_of_expected(evaluator, case)) for case in cases]
            failed = [(case, score) for case, score in judged if score is not None and not score.passed]
            if failed:
                case, score = failed[0]
                yield (
                    f"{len(failed)} of {len(cases)} expected answers do not pass {evaluator.name} themselves "
                    f"({case.where}: {score.reason}), so a model that answers as expected fails there."
                )

    def _found(
        self,
        cases: Sequence[Case],
        models: Mapping[str, Model],
        replies: Mapping[str, Sequence[Reply]],
        said: list[str],
        leaked: int,
        asked: Mapping[str, Asked],
        beside: Sequence[Mapping[str, Any]],
    ) -> dict[str, Any]:
        names = [evaluator.name for evaluator in self.evaluators]
        unmeasured = {evaluator.name for evaluator in self.evaluators if nominal(evaluator)}
        labels = label_rows(self.evaluators, cases, replies, self.samples)
        deciding = ([e.name for e in self.evaluators if not isinstance(e, Length)] or names)[-1]
        last = list(models)[-1]
        examples = [
            {
                **example_row(case, {key: replies[key][case.index * self.samples + sample] for key in models}),
                **beside[case.index],
                **({"sample": sample} if self.samples > 1 else {}),
            }
            for case in cases
            for sample in range(self.samples)
        ]
        groups = clusters_of(examples)
        rows = [
            {**model_row(key, model, replies[key]), "kept": asked[key].kept, "cost": _cost(model, replies[key])}
            for key, model in models.items()
        ]
        by = {name: {key: outcomes(examples, name, key) for key in models} for name in names}
        final, found = measured(by[deciding][last], groups), verdict(deciding, by[deciding], groups)
        return {
            "version": VERSION,
            "title": self.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "confidence": CONFIDENCE,
            "cases": len(cases),
            "case_source": self.cases.name,
            **({"samples": self.samples} if self.samples > 1 else {}),
            "groups": None if groups is None else len(set(groups)),
            "verdict": found,
            "models": rows,
            "metrics": [
                _metric_row(examples, name, key, by[name][key], groups, name not in unmeasured)
                for name in names
                for key in models
            ],
            "comparisons": comparison_rows(examples, by, (found["on"], found["than"]), groups, unmeasured),
            **({"labels": labels} if labels else {}),
            "slices": sliced(examples, names, by, groups),
            "costs": costs(rows, origin_row(model.origin for model in models.values())),
            "notes": [
                *said,
                *notes.closing(rows, replies, deciding, last, final, "cases" if self.samples == 1 else "questions"),
                *cases_note(by[deciding], found, groups),
            ],
            "leakage": {
                "cases": leaked,
                "allowed": self.allow_leakage,
                "checked": any(leakage.seen(model) for model in models.values()),
                "compared": min(leakage.comparable(cases, leakage.seen(model)) for model in models.values()),
            },
            "origin": origin_row(model.origin for model in models.values()),
            "examples": examples,
        }


def _usable(evaluators: Sequence[Evaluator]) -> tuple[Evaluator, ...]:
    if hasattr(evaluators, "judge"):
        raise EvaluationError("the evaluators are not a list.", cure="put the one evaluator into a list")
    if not isinstance(evaluators, Iterable):
        raise EvaluationError(
            f"the evaluators are {type(evaluators).__name__}, not a list.", cure="give a list, such as [ExactMatch()]"
        )
    chosen = tuple(evaluators)
    if not chosen:
        raise EvaluationError("there is no evaluator.", cure="give at least one, such as [ExactMatch()]")
    for evaluator in chosen:
        if isinstance(evaluator, type) or not hasattr(evaluator, "judge") or not hasattr(evaluator, "name"):
            raise EvaluationError(
                f"{evaluator!r} is not an evaluator.",
                cure="an evaluator is an object with a name and judge(case, answer), such as ExactMatch()",
            )
    names = [evaluator.name for evaluator in chosen]
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise EvaluationError(f"an evaluator is called {name!r}.", cure="give it a name in text")
        if names.count(name) > 1:
            raise EvaluationError(
                f"{names.count(name)} evaluators are called {name!r}.",
                cure=f'give each a name of its own: {name}(…, name="…")',
            )
    return tuple(map(bounded, chosen))


def _comparable(models: Mapping[str, Model]) -> None:
    if not models:
        raise EvaluationError("there is no model to evaluate.", cure="name at least one: run(base=…, tuned=…)")
    for key, model in models.items():
        if isinstance(model, type) or not isinstance(model, Model):
            raise EvaluationError(
                f"{key} is {type(model).__name__}, which does not answer messages.",
                cure="give a Model, such as client.base(job), run.wait() or Prompted(base, system=…)",
            )


def _budget(most: float | None, models: Mapping[str, Model]) -> Budget:
    budget = Budget(most)
    unknown = next((key for key, model in models.items() if not Tariff.of(model).known), None)
    if most is not None and unknown is not None:
        raise BudgetError(
            f"nobody here knows what asking {unknown} costs, so max_cost={most:g} cannot be kept.",
            cure="set input_usd_per_million and output_usd_per_million of its place in finetune.toml, or leave max_cost out",
        )
    return budget


def _asked_by(evaluators: Sequence[Evaluator]) -> dict[str, Model]:
    """The models that evaluators ask."""
    found = ((evaluator.name, getattr(evaluator, "model", None)) for evaluator in evaluators)
    return {name: model for name, model in found if isinstance(model, Model) and not isinstance(model, type)}


def _seconds(timeout: float | None) -> float | None:
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0):
        raise EvaluationError(f"timeout={timeout!r} makes no sense.", cure="give seconds, more than 0")
    return timeout


@contextmanager
def _told_how_to_go_on(asking: Asking) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _log.warning("%s", asking.interrupted())
        raise


def _cost(model: Model, replies: Sequence[Reply]) -> dict[str, Any]:
    answers = [reply.answer for reply in replies if reply.answer is not None]
    return cost_row(Tariff.of(model), answers, date.today())


def _score_of_expected(evaluator: Evaluator, case: Case) -> Score | None:
    if case.expected is None:
        return None
    try:
        score: Any = evaluator.judge(case, Answer(case.expected.text, case.expected.tool_calls))
    except EvaluationError:
        raise
    except Exception:  # it will show as errors of the models' answers, where it belongs
        return None
    if not isinstance(score, Score):
        raise EvaluationError(
            f"{evaluator.name}: judge returned {type(score).__name__}, not a Score.",
            cure="return Score(passed=…, reason=…)",
        )
    return score


def _metric_row(
    examples: list[dict[str, Any]],
    name: str,
    key: str,
    found: Sequence[bool | None],
    groups: Clusters,
    measures: bool,
) -> dict[str, Any]:
    fields = {field: measured(each, groups) for field, each in field_outcomes(examples, name, key).items()}
    metric = measured(found, groups)
    return {
        "evaluator": name,
        "model": key,
        **{part: getattr(metric, part) for part in Metric.__slots__},
        "fields": {
            field: {part: getattr(each, part) for part in ("passed", "cases", "rate", "low", "high")}
            for field, each in fields.items()
        },
        "score": values_measured(scores(examples, name, key), groups) if measures else None,
    }

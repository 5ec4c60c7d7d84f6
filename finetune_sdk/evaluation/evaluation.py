"""Evaluation: held-out cases and evaluators, defined once, run on any models side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from finetune_sdk.data.dataset import SKETCH, Dataset
from finetune_sdk.data.index import content_hash
from finetune_sdk.errors import AnswersError, BackendError, EvaluationError
from finetune_sdk.evaluation.comparison import CONFIDENCE, Clusters, Metric, measured, values_measured, verdict
from finetune_sdk.evaluation.costs import costs
from finetune_sdk.evaluation.evaluators import Case, Evaluator, Length, Score
from finetune_sdk.evaluation.report import (
    VERSION,
    Report,
    cases_note,
    comparison_rows,
    field_outcomes,
    outcomes,
    scores,
)
from finetune_sdk.evaluation.slices import Column, clusters_of, sliced, told
from finetune_sdk.evaluation.statistics import clopper_pearson, rule_of_three
from finetune_sdk.evaluation.transcript import Reply, example_row, model_row, origin_row
from finetune_sdk.messages import ChatExample
from finetune_sdk.model import Answer, Model, Prompted, Sampling, at_once

__all__ = ["Evaluation", "Report"]

_FEW = 20


@dataclass(frozen=True)
class Evaluation:
    """Held-out cases (chat examples) and the evaluators that judge the answers to them.

    A case's prompt is all before its last assistant turn; that turn is what is expected. List evaluators from the
    least to the most demanding: the verdict is spoken on the last one that is not Length. Cases that a model was
    trained on, or that stand in its prompt, are an EvaluationError unless `allow_leakage`. `slices` are told apart in
    the report: "label", "length", "language", "source", columns of the cases' file, or {name: function of a case}. Cases
    that are of one `group` (a column, a function) are not independent, and intervals and tests know it.
    """

    cases: Dataset
    evaluators: Sequence[Evaluator]
    name: str = "Evaluation"
    sampling: Sampling | None = None
    allow_leakage: bool = False
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

    def run(self, progress: bool | None = None, **models: Model) -> Report:
        """Asks every model every case and judges the answers: `run(base=…, prompted=…, tuned=…)`.

        The names become the models' keys; the last one is compared with each of the others. Where a place fails,
        its cases are errors: counted and shown, never scored. `progress` shows a bar on standard error; None, only
        where a person looks on.
        """
        _comparable(models)
        cases = tuple(self._cases())
        leaked, beside = self._leaked(cases, models), told(cases, self.cases, self.slices, self.group)
        notes = [*self._notes(cases, leaked), *self._rehearsed(cases)]
        with _bar(self.name, models, len(cases), progress) as advance:
            replies = {
                key: self._replies(model, cases, lambda done, key=key: advance(key, done))  # type: ignore[misc]
                for key, model in models.items()
            }
        return Report(self._found(cases, models, replies, notes, len(leaked), beside))

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

    def _leaked(self, cases: Sequence[Case], models: Mapping[str, Model]) -> set[int]:
        leaked: set[int] = set()
        for key, model in models.items():
            seen = _seen(model)
            found = {case.index for case in cases if case.hash in seen}
            if found and not self.allow_leakage:
                first = cases[min(found)].where
                raise EvaluationError(
                    f"{len(found)} of {len(cases)} cases stand in what {key} was trained on or shown "
                    f"(the first is {first}), so {key} would be judged on what it has memorised.",
                    cure="split before training (Dataset.split) and evaluate on the held-out side; "
                    "or pass allow_leakage=True, which the report will say",
                )
            leaked |= found
        return leaked

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

    def _notes(self, cases: Sequence[Case], leaked: set[int]) -> Iterator[str]:
        if len(cases) < _FEW:
            low, _ = clopper_pearson(len(cases), len(cases), CONFIDENCE)
            yield (
                f"With {len(cases)} case{'s' if len(cases) > 1 else ''} little can be concluded: even a model that "
                f"passes all of them may pass no more than {low:.0%} in the long run, and two models differ beyond "
                "chance only if at least 6 cases change in one direction and none in the other. Use 100 or more."
            )
        if repeated := len(cases) - len({case.hash for case in cases}):
            yield (
                f"{repeated} of {len(cases)} cases repeat others exactly, so the intervals are narrower than they "
                "should be: each is counted as if it were a new case."
            )
        if leaked:
            yield (
                f"{len(leaked)} of {len(cases)} cases stand in what a model was trained on or shown (allowed by "
                "allow_leakage): its figures are too good."
            )

    def _replies(self, model: Model, cases: Sequence[Case], advance: Callable[[int], None]) -> list[Reply]:
        replies: list[Reply] = []
        size = max(1, at_once(model))
        for start in range(0, len(cases), size):
            chunk = cases[start : start + size]
            replies += self._asked(model, chunk)
            advance(len(chunk))
        return replies

    def _asked(self, model: Model, cases: Sequence[Case]) -> list[Reply]:
        """One reply a case. A case that the place cannot answer does not take the others with it."""
        try:
            answers = model.answers([case.prompt for case in cases], self.sampling)
        except AnswersError as fault:
            return [self._reply(case, outcome) for case, outcome in zip(cases, fault.outcomes, strict=True)]
        except BackendError as fault:
            if fault.retryable or len(cases) == 1:
                return [Reply(None, fault.message) for _ in cases]
            return [self._asked(model, [case])[0] for case in cases]
        if len(answers) != len(cases):
            raise EvaluationError(
                f"{model.name} gave {len(answers)} answers to {len(cases)} cases.",
                cure="Model.answers must return one answer for each conversation, in their order",
            )
        for answer in answers:
            if not isinstance(answer, Answer) or not isinstance(answer.text, str):
                raise EvaluationError(
                    f"{model.name} answered with {type(answer).__name__}, not with an Answer that has a text.",
                    cure="Model.answers must return Answer(text) for each conversation",
                )
        return [Reply.judged(case, answer, self.evaluators) for case, answer in zip(cases, answers, strict=True)]

    def _reply(self, case: Case, outcome: object) -> Reply:
        if isinstance(outcome, Answer):
            return Reply.judged(case, outcome, self.evaluators)
        return Reply(None, outcome.message if isinstance(outcome, BackendError) else str(outcome))

    def _found(
        self,
        cases: Sequence[Case],
        models: Mapping[str, Model],
        replies: Mapping[str, Sequence[Reply]],
        notes: list[str],
        leaked: int,
        beside: Sequence[Mapping[str, Any]],
    ) -> dict[str, Any]:
        names = [evaluator.name for evaluator in self.evaluators]
        deciding = ([e.name for e in self.evaluators if not isinstance(e, Length)] or names)[-1]
        last = list(models)[-1]
        examples = [example_row(case, {key: replies[key][case.index] for key in models}) for case in cases]
        examples = [{**row, **beside[row["index"]]} for row in examples]
        groups = clusters_of(examples)
        rows = [model_row(key, model, replies[key]) for key, model in models.items()]
        by = {name: {key: outcomes(examples, name, key) for key in models} for name in names}
        final, found = measured(by[deciding][last], groups), verdict(deciding, by[deciding], groups)
        return {
            "version": VERSION,
            "title": self.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "confidence": CONFIDENCE,
            "cases": len(cases),
            "case_source": self.cases.name,
            "groups": None if groups is None else len(set(groups)),
            "verdict": found,
            "models": rows,
            "metrics": [_metric_row(examples, name, key, by[name][key], groups) for name in names for key in models],
            "comparisons": comparison_rows(examples, by, (found["on"], found["than"]), groups),
            "slices": sliced(examples, names, by, groups),
            "costs": costs(rows, origin_row(model.origin for model in models.values())),
            "notes": [
                *notes,
                *_closing(rows, replies, deciding, last, final),
                *cases_note(by[deciding], found, groups),
            ],
            "leakage": {
                "cases": leaked,
                "allowed": self.allow_leakage,
                "checked": any(_seen(model) for model in models.values()),
                "compared": min(_told(cases, _seen(model)) for model in models.values()),
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
    return chosen


def _comparable(models: Mapping[str, Model]) -> None:
    if not models:
        raise EvaluationError("there is no model to evaluate.", cure="name at least one: run(base=…, tuned=…)")
    for key, model in models.items():
        if isinstance(model, type) or not isinstance(model, Model):
            raise EvaluationError(
                f"{key} is {type(model).__name__}, which does not answer messages.",
                cure="give a Model, such as client.base(job), run.wait() or Prompted(base, system=…)",
            )


def _seen(model: Model) -> frozenset[str]:
    """Hashes of the rows that a model was trained on, and of the examples in front of it."""
    shown = frozenset[str]()
    while isinstance(model, Prompted):
        shown |= {content_hash(example.canonical())[:8].hex() for example in model.examples}
        model = model.model
    return shown | model.origin.sketch


def _told(cases: Sequence[Case], seen: frozenset[str]) -> int:
    """Of how many cases it can be told whether they were trained on: of large training sets the lowest hashes are kept."""
    if len(seen) < SKETCH:
        return len(cases)
    highest = sorted(seen)[SKETCH - 1]
    return sum(case.hash <= highest for case in cases)


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
    examples: list[dict[str, Any]], name: str, key: str, found: Sequence[bool | None], groups: Clusters
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
        "score": values_measured(scores(examples, name, key), groups),
    }


def _closing(
    rows: Sequence[Mapping[str, Any]],
    replies: Mapping[str, Sequence[Reply]],
    deciding: str,
    last: str,
    final: Metric,
) -> Iterator[str]:
    for row in rows:
        errors = [reply.error for reply in replies[row["key"]] if reply.error]
        if errors:
            yield (
                f"{row['key']} did not answer {len(errors)} of {len(replies[row['key']])} cases ({errors[0]}); "
                "they are counted as errors and not scored."
            )
        faults = [fault for reply in replies[row["key"]] for fault in reply.faults.items()]
        for name in dict.fromkeys(name for name, _ in faults):
            found = [fault for of, fault in faults if of == name]
            yield f"{name} could not judge {len(found)} answers of {row['key']} ({found[0]}); they are not scored."
    if final.cases >= _FEW and final.passed == final.cases:
        yield (
            f"{last} passes {deciding} in every case; still, up to {rule_of_three(final.cases, CONFIDENCE):.1%} of "
            f"such cases may fail (rule of three for {final.cases} cases, 95%)."
        )


@contextmanager
def _bar(
    title: str, models: Mapping[str, Model], cases: int, shown: bool | None
) -> Iterator[Callable[[str, int], None]]:
    if shown is False or (shown is None and not sys.stderr.isatty()):
        yield lambda key, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks = {key: bar.add_task(f"{title}: {key}", total=cases) for key in models}
        yield lambda key, done: bar.advance(tasks[key], done)

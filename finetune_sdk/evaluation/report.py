"""Report: what an evaluation found, as plain data that can be kept, shown and asked again.

The data, as `to_dict` gives it and `finetune_sdk.report` renders it:

    version, title, created (UTC), confidence, cases, case_source
    verdict      sentence, outcome ("better", "worse", "no difference shown", "single"), better, than, on
    models       key, name, backend, base, run, errors, latency {p50, p95}, tokens {input_mean, output_mean}, kept (answers
                 that were there already), cost {usd, per_1000, basis}: of all answers, None where it is unknown
    metrics      evaluator, model, passed, cases, errors, rate, low, high, fields {field: the same}, score {mean, low, high,
                 cases, why: of what the evaluator measured; or None, as where its values only name what was said}
    comparisons  a `Comparison` each: the last model against each other one; score: the same of the differences
    labels       (where evaluators judge labels) evaluator, model, kind ("one", "several", "entities"), answers (scored; of several to a
                 case each counts), left_out, labels [label, right, extra, missed, precision, recall, f1], more (labels not listed),
                 macro_f1, micro {the same as a label}; of "one" also accuracy, matrix [expected][answered] (the last column: no
                 label; None for more than 100 labels), confused [expected, answered (None: no label), count, of], most first
    slices       by, value, evaluator, model, the same as a metric, difference, apart_low, apart_high, p, adjusted
    costs        model, than, saving (USD per 1,000 answers), training (USD), answers (until it is paid back), sentence
    counterfactual  (where pairs were asked) name, model, on, pairs, changed, rate, low, high, only_first, only_second, p, sentence
    groups       in how many groups the cases come; None where each stands for itself
    notes        sentences; leakage {cases, allowed, checked: whether any model says what it was trained on}
    origin       of the last model that has a run: job, estimate, actual, curves, manifest; or None
    judges       (where models judge) evaluator, model, answers, input_tokens, output_tokens, uncounted, usd
    votes        (where there are any) a `Vote` each; preferences  what follows from them, a `Preference` each: kind ("human", "judge"),
                 better, than, wins, losses, ties, rate, low, high, p, votes, reviewers, agreements (kappa), sentence, …
    samples      (where each case is asked several times) how often: an outcome is that of most answers to a case
    examples     index, sample (then), where, slices {by: value}, group (where there is one), prompt, tools (where there are any),
                 expected, answers {model: text, tool_calls, error, scores {evaluator: …}, …}

An answer without a score for an evaluator is an error there, and says so under `error`.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from finetune_sdk.errors import EvaluationError
from finetune_sdk.evaluation.comparison import (
    Clusters,
    Comparison,
    Metric,
    Outcomes,
    compared,
    corrected,
    values_compared,
)
from finetune_sdk.evaluation.evaluators.reading import mended
from finetune_sdk.evaluation.gate import ALPHA, MARGIN, Asked, Gate, gate
from finetune_sdk.evaluation.power import cases_needed
from finetune_sdk.evaluation.preferences import Preference, preferences
from finetune_sdk.evaluation.samples import by_case
from finetune_sdk.evaluation.slices import by_case as one_each
from finetune_sdk.evaluation.slices import clusters_of
from finetune_sdk.evaluation.votes import Vote, last_of_each
from finetune_sdk.files import whole
from finetune_sdk.todo import FailedCase, write_todo

VERSION = 1
_SEEN = 0.05
_KINDS: Mapping[str, type] = {
    "version": int, "title": str, "created": str, "confidence": float, "cases": int, "case_source": str,
    "verdict": Mapping, "models": list, "metrics": list, "comparisons": list, "notes": list, "examples": list,
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class Report:
    """What an evaluation found. Its plain data is described at the top of this module."""

    _data: Mapping[str, Any]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """The report that `to_dict` gave. Raises EvaluationError for anything else."""
        if not isinstance(data, Mapping) or not data.keys() >= _KINDS.keys():
            raise EvaluationError("this is not a report.", cure="give what `Report.to_dict` returned")
        wrong = sorted(name for name, kind in _KINDS.items() if not isinstance(data[name], kind))
        if wrong or "sentence" not in data["verdict"]:
            raise EvaluationError(
                f"this is not a report: its {wrong[0] if wrong else 'verdict'} is not what a report has there.",
                cure="give what `Report.to_dict` returned, or run the evaluation again",
            )
        if data["version"] != VERSION:
            raise EvaluationError(
                f"the report is of version {data['version']!r}, and this SDK reads {VERSION}.",
                cure="upgrade finetune-anywhere, or run the evaluation again",
            )
        return cls(deepcopy(dict(data)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """A report that was saved as JSON."""
        try:
            data = json.loads(Path(path).read_text("utf-8"))
        except OSError as fault:
            raise EvaluationError(f"{path} cannot be read: {fault.strerror}.", cure="check the path") from None
        except (ValueError, RecursionError):
            raise EvaluationError(f"{path} is not JSON.", cure="load the .json file of a report") from None
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """The whole report as plain JSON-able data; a copy."""
        return deepcopy(dict(self._data))

    @property
    def verdict(self) -> str:
        """The finding, in one sentence."""
        return str(self._data["verdict"]["sentence"])

    @property
    def models(self) -> tuple[str, ...]:
        """The models' keys, in order."""
        return tuple(model["key"] for model in self._data["models"])

    @property
    def evaluators(self) -> tuple[str, ...]:
        """The evaluators' names, in order."""
        return tuple(dict.fromkeys(metric["evaluator"] for metric in self._data["metrics"]))

    def metric(self, evaluator: str, model: str) -> Metric:
        """How often `model` passes `evaluator`, with Wilson's 95% interval."""
        self._known(evaluator, model)
        row = next(m for m in self._data["metrics"] if m["evaluator"] == evaluator and m["model"] == model)
        return Metric(*(row[name] for name in Metric.__slots__))

    def compare(self, better: str, than: str, on: str) -> Comparison:
        """Whether `better` passes `on` in more cases than `than` does, case by case."""
        self._known(on, better, than)
        first, second = self._outcomes(on, better), self._outcomes(on, than)
        return compared(on, better, than, first, second, clusters=clusters_of(self._data["examples"]))

    def slices(self, by: str | None = None, on: str | None = None, model: str | None = None) -> list[dict[str, Any]]:
        """Each model's rate in each slice, and how far it is from that in all other cases, as plain data.

        `by`, `on` and `model` leave the others out. `difference` comes with `apart_low` and `apart_high`, which hold together
        for all slices of a model and evaluator, and with `adjusted`, Fisher's exact p corrected by Holm.
        """
        wanted = {"by": by, "evaluator": on, "model": model}
        rows = self._data.get("slices") or []
        for name, value in wanted.items():
            known = dict.fromkeys(row[name] for row in rows)
            if value is not None and value not in known:
                raise EvaluationError(
                    f"the report has no slices of {value!r}.", cure=f"there are {', '.join(known) or 'none'}"
                )
        return [deepcopy(row) for row in rows if all(value in (None, row[name]) for name, value in wanted.items())]

    def gate(
        self,
        better: str,
        than: str,
        on: str,
        *,
        by: float = 0.0,
        without_losing: Sequence[str] | Mapping[str, float] = (),
        margin: float = MARGIN,
        alpha: float = ALPHA,
    ) -> Gate:
        """Whether `better` may take the place of `than`: pass, fail or not enough cases, in a sentence and as a status.

        It passes when its rate on `on` is shown to be higher by more than `by`, and on each evaluator of
        `without_losing` to be lower by less than `margin` (or, in {name: margin}, its own). A wrong pass comes at most
        as often as `alpha`; every test is one-sided and exact, or, for cases in groups, holds whatever they are like.
        """
        margins = without_losing if isinstance(without_losing, Mapping) else dict.fromkeys(without_losing, margin)
        if isinstance(without_losing, str):
            raise EvaluationError(
                "without_losing is one text.", cure=f'give a list: without_losing=["{without_losing}"]'
            )
        if len(self.models) < 2:
            raise EvaluationError(
                f"the report has {len(self.models) or 'no'} model{'s' * (not self.models)}, and a gate is between two.",
                cure="evaluate two models or more: run(base=…, tuned=…)",
            )
        if better == than:
            raise EvaluationError(f"{better} is compared with itself.", cure="name two models")
        for name in (on, *margins):
            self._known(name, better, than)
        if any(not 0 < each < 1 for each in margins.values()):
            raise EvaluationError("a margin is not above 0.", cure="give a share: 0.05 allows a loss below 5 points")
        above = {on: by, **{name: -each for name, each in margins.items() if name != on}}
        above[on] = max(by, -margins.get(on, 1.0))  # of two conditions on one evaluator, the stricter one is both
        asked = [
            Asked(name, each, self._outcomes(name, better), self._outcomes(name, than)) for name, each in above.items()
        ]
        return gate(better, than, asked, clusters_of(self._data["examples"]), alpha)

    def cases_needed(self, better: str, than: str, on: str, difference: float = 0.05) -> int:
        """How many cases it takes to see a `difference` of the two rates in four of five evaluations (p < 0.05).

        It rests on how often the two models differ in this report: the less often, the fewer cases. A share that was seen
        in few cases is itself rough. Raises EvaluationError where no case has a score for both.
        """
        found = self.compare(better, than, on)
        if not found.cases:
            raise EvaluationError(found.sentence, cure="evaluate models that answer")
        if not 0 < abs(difference) < 1:
            raise EvaluationError(
                f"{difference!r} is no difference to see.", cure="give a share: 0.05 stands for 5 points"
            )
        return cases_needed(difference, (found.only_better + found.only_than) / found.cases)

    def failures(self, model: str | None = None, on: str | None = None) -> list[dict[str, Any]]:
        """The cases that `model` (the last one) fails, as plain data: what new rows should teach.

        `on` names an evaluator; without it, cases that any of them fails. The wrong answer is in `answers`. A case that the
        place did not answer is not among them. Of a case that was asked several times, and fails, it is the first wrong answer.
        """
        model, names = self._asked(model, on)
        failed: dict[int, list[str]] = defaultdict(list)
        cases = [row["index"] for row in one_each(self._data["examples"])]
        for name in names:
            for case, passed in zip(cases, self._outcomes(name, model), strict=True):
                if passed is False:
                    failed[case].append(name)
        first = dict[int, dict[str, Any]]()
        for row in self._data["examples"]:
            if _failed(row, model, failed[row["index"]]):
                first.setdefault(row["index"], row)
        return [deepcopy(row) for row in first.values()]

    def save_failures(self, path: str | os.PathLike[str], model: str | None = None, on: str | None = None) -> int:
        """Writes the failures as a to-do list, a JSON object a line, and returns how many there are.

        Each has the prompt, what is expected, what the model said, and which evaluators it fails and why. The cases are held out
        and stay so: the list is no dataset. Write new rows like them, or let a model: `Drafts.write_like`.
        """
        model, names = self._asked(model, on)
        cases = [_failed_case(row, model, names) for row in self.failures(model, on)]
        write_todo(path, cases)
        return len(cases)

    def _asked(self, model: str | None, on: str | None) -> tuple[str, tuple[str, ...]]:
        if not self.models:
            raise EvaluationError("nothing was evaluated in this report.", cure="run an evaluation first")
        model, names = model or self.models[-1], (on,) if on is not None else self.evaluators
        self._known(names[0], model)
        return model, names

    @property
    def votes(self) -> tuple[Vote, ...]:
        """What people and judges chose, in the order of their votes."""
        return tuple(map(Vote.from_dict, self._data.get("votes") or ()))

    @property
    def preferences(self) -> tuple[Preference, ...]:
        """What follows from the votes: one for the people and one for each judge, of each two models."""
        return tuple(map(Preference.from_dict, self._data.get("preferences") or ()))

    def with_votes(self, votes: Iterable[Vote], instead_of: Iterable[str] = ()) -> Report:
        """The same report with these votes added; of one reviewer on the same two answers the last vote counts.

        Votes that the report has of the people in `instead_of` go out first. Raises EvaluationError for votes on models that the
        report does not have.
        """
        gone = frozenset(instead_of)
        before = (vote for vote in self.votes if vote.kind != "human" or vote.reviewer not in gone)
        kept = last_of_each([*before, *votes])
        found = preferences(self._data, kept)
        told = {"votes": [vote.to_dict() for vote in kept], "preferences": [one.to_dict() for one in found]}
        return Report({**self._data, **told})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the report, whole or not at all: a page for `.html`, the plain data for `.json`, a row for each case and
        model for `.csv`, and the findings without the answers for `.md`."""
        target = Path(path)
        match target.suffix.lower():
            case ".html" | ".htm":
                content = self._page()
            case ".json":
                content = json.dumps(self._data, ensure_ascii=False, indent=1, allow_nan=False)
            case ".csv":
                from finetune_sdk.report import export

                content = export.as_csv(self._data)
            case ".md":
                from finetune_sdk.report import export

                content = export.as_markdown(self._data)
            case other:
                raise EvaluationError(
                    f"a report is not written as {other or 'a file without a suffix'}.",
                    cure="name the file .html for reading, .json for keeping, .csv for a spreadsheet or .md for a pull request",
                )
        try:
            with whole(target) as file:
                file.write(mended(content).encode())
        except OSError as fault:
            raise EvaluationError(
                f"{target} cannot be written: {fault.strerror}.", cure="check the folder and the disk"
            ) from None
        return target

    def show(self) -> None:
        """Prints the report on the terminal."""
        from finetune_sdk.report import terminal

        terminal.show(self.to_dict())

    def __str__(self) -> str:
        from finetune_sdk.report import terminal

        return terminal.text(self.to_dict())

    def __repr__(self) -> str:
        return f"Report({self._data['title']!r}, {self._data['cases']} cases: {self.verdict})"

    def _repr_html_(self) -> str:
        # The page holds what models said; the sandbox keeps it from the notebook even if the escaping fails.
        return (
            f'<iframe srcdoc="{escape(self._page(searchable=False))}" sandbox="" title="report" '
            'style="width:100%;height:720px;border:0"></iframe>'
        )

    def _page(self, searchable: bool = True) -> str:
        from finetune_sdk.report import html

        return html.render(self._data, searchable=searchable)

    def _outcomes(self, evaluator: str, model: str) -> Outcomes:
        return outcomes(self._data["examples"], evaluator, model)

    def _known(self, evaluator: str, *models: str) -> None:
        for what, name, known in (
            ("evaluator", evaluator, self.evaluators),
            *(("model", model, self.models) for model in models),
        ):
            if name not in known:
                raise EvaluationError(f"the report has no {what} {name!r}.", cure=f"its {what}s are {', '.join(known)}")


def _failed(row: Mapping[str, Any], model: str, names: Sequence[str]) -> dict[str, str]:
    """The evaluators that the model fails in a case, each with why."""
    scores = row["answers"][model]["scores"]
    return {name: scores[name]["reason"] for name in names if name in scores and scores[name]["passed"] is False}


def _failed_case(row: Mapping[str, Any], model: str, names: tuple[str, ...]) -> FailedCase:
    answer, tools = row["answers"][model], row.get("tools")
    return FailedCase(
        row["where"],
        tuple((message["role"], message["text"]) for message in row["prompt"]),
        tuple(tools) if isinstance(tools, list) else (),
        row["expected"],
        model,
        answer["text"],
        tuple(answer["tool_calls"]),
        _failed(row, model, names),
    )


def outcomes(examples: list[dict[str, Any]], evaluator: str, model: str) -> list[bool | None]:
    """Of each case: whether the model passed, or None where it has no score. Several samples of a case are one outcome."""
    scores = (row["answers"][model]["scores"].get(evaluator) for row in examples)
    return _by_case(examples, [None if score is None else bool(score["passed"]) for score in scores])


def field_outcomes(examples: list[dict[str, Any]], evaluator: str, model: str) -> dict[str, list[bool | None]]:
    """The same of each field that the evaluator compared."""
    scores = [row["answers"][model]["scores"].get(evaluator) or {"fields": {}} for row in examples]
    names = dict.fromkeys(name for score in scores for name in score["fields"])
    return {name: _by_case(examples, [score["fields"].get(name) for score in scores]) for name in names}


def _by_case(examples: list[dict[str, Any]], found: list[bool | None]) -> list[bool | None]:
    return by_case(found, clusters(examples)) if any("sample" in row for row in examples[:1]) else found


def clusters(examples: list[dict[str, Any]]) -> list[int]:
    """Of each row the case that it belongs to: rows of one case are answers to the same question."""
    return [int(row["index"]) for row in examples]


def scores(examples: list[dict[str, Any]], evaluator: str, model: str) -> list[float | None]:
    """Of each case: what the evaluator measured, or None where it measured nothing; of several samples the mean."""
    found: dict[int, list[float]] = {row["index"]: [] for row in examples}
    for row in examples:
        value = (row["answers"][model]["scores"].get(evaluator) or {}).get("value")
        if value is not None:
            found[row["index"]].append(float(value))
    return [sum(values) / len(values) if values else None for values in found.values()]


def comparison_rows(
    examples: list[dict[str, Any]],
    by: Mapping[str, Mapping[str, Outcomes]],
    decided: tuple[str, str | None],
    groups: Clusters,
    unmeasured: Collection[str] = (),
) -> list[dict[str, Any]]:
    """The last model against each other one on each evaluator, as plain data; all but the one that `decided` corrected.

    Nothing is said of the values of evaluators that are `unmeasured`.
    """
    found = [
        compared(name, last, other, of[last], of[other], clusters=groups)
        for name, of in by.items()
        for *others, last in [tuple(of)]
        for other in others
    ]
    rows = []
    for one in corrected(found, decided):
        first, second = scores(examples, one.evaluator, one.better), scores(examples, one.evaluator, one.than)
        score = None if one.evaluator in unmeasured else values_compared(first, second, groups)
        rows.append({**one.to_dict(), "score": score})
    return rows


def cases_note(outcomes: Mapping[str, Outcomes], found: Mapping[str, Any], groups: Clusters) -> list[str]:
    """Where the verdict shows no difference: how many cases would show one of 5 points."""
    if found["outcome"] != "no difference shown" or groups is not None:
        return []
    pair = compared(found["on"], found["better"], found["than"], outcomes[found["better"]], outcomes[found["than"]])
    if not pair.cases:
        return []
    needed = cases_needed(_SEEN, (pair.only_better + pair.only_than) / pair.cases)
    if needed <= pair.cases:
        return []
    between = f"a difference of {100 * _SEEN:g} points between {pair.better} and {pair.than}"
    often = f"in four of five evaluations takes about {needed:,}, if they differ as often as here"
    return [f"You have {pair.cases:,} cases. To see {between} {often}."]

"""Preference pairs out of what models answered and evaluators made of it, or out of people's ratings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from finetune_sdk.data.dataset import Dataset
from finetune_sdk.errors import DatasetError, EvaluationError
from finetune_sdk.evaluation.evaluation import Report
from finetune_sdk.evaluation.transcript import words
from finetune_sdk.messages import ChatExample, Message, PreferenceExample, RatedExample, ToolCall

EXPECTED = "expected"


def judged_pairs(report: Report, cases: Dataset, on: Sequence[str] = (), *, expected: bool = False) -> Dataset:
    """Of each case the best answer over the worst, as preference examples; a case on which all are alike gives none.

    `report` is the evaluation of two models or more on `cases`, or of one with several samples. Answers are ranked by how
    many of the evaluators named in `on` (all when empty) they pass. With `expected`, the case's own answer stands above all that fail one of them.
    Raises EvaluationError when the cases are others than those of the report, or when no case tells two answers apart.
    """
    data = report.to_dict()
    names = tuple(on) or report.evaluators
    for name in names:
        if name not in report.evaluators:
            raise EvaluationError(f"the report has no evaluator {name!r}.", cure=f"use {', '.join(report.evaluators)}")
    asked = defaultdict[int, list[Mapping[str, Any]]](list)
    for row in data["examples"]:
        asked[row["index"]].append(row)
    found = (_judged(rows, _case(rows[0], cases), names, expected) for rows in asked.values())
    pairs = [pair for pair in found if pair is not None]
    if not pairs:
        raise EvaluationError(
            f"no case tells two answers apart by {', '.join(names)}.",
            cure="evaluate models that differ, draw answers with a temperature, or pass expected=True",
        )
    return Dataset.of(pairs, name=f"pairs of {data['title']}")


def _case(row: Mapping[str, Any], cases: Dataset) -> ChatExample:
    index = int(row["index"])
    found = cases[index] if index < len(cases) else None
    if not isinstance(found, ChatExample) or [words(message) for message in found.prompt.messages] != [
        message["text"] for message in row["prompt"]
    ]:
        raise EvaluationError(
            f"case {index + 1} of the report ({row['where']}) is not that of {cases.name}.",
            cure="give the dataset that was evaluated",
        )
    return found


def _judged(
    rows: Sequence[Mapping[str, Any]], case: ChatExample, names: Sequence[str], expected: bool
) -> PreferenceExample | None:
    ranked = list[tuple[int, Message]]()
    for answer in (answer for row in rows for answer in row["answers"].values()):
        if answer["error"] is None and (answer["text"] or answer["tool_calls"]):
            passed = sum(answer["scores"].get(name, {}).get("passed", False) for name in names)
            ranked.append((passed, _message(answer)))
    if expected:
        ranked.append((len(names), case.answer))
    if not ranked:
        return None
    best, worst = max(ranked, key=lambda each: each[0]), min(ranked, key=lambda each: each[0])
    return PreferenceExample(case.prompt, (best[1],), (worst[1],)) if best[0] > worst[0] else None


def _message(answer: Mapping[str, Any]) -> Message:
    calls = tuple(ToolCall(call["name"], call["arguments"], call.get("id")) for call in answer["tool_calls"])
    return Message("assistant", answer["text"] or None, calls)


def rated_pairs(ratings: Dataset) -> Dataset:
    """Each good answer over a bad one to the same prompt, as preference examples; no answer stands in two pairs.

    Raises DatasetError for a dataset without ratings, and when no prompt has both a good and a bad answer.
    """
    if ratings.kind != "rated":
        raise DatasetError(
            f"{ratings.name} holds {ratings.kind} examples, and pairs are made of rated ones.",
            cure="give rows with a prompt, a completion and a label",
        )
    pairs = list(_rated(ratings))
    if not pairs:
        raise DatasetError(
            f"{ratings.name}: no prompt has both a good and a bad answer.",
            cure="collect ratings of several answers to the same prompt, or train on the ratings as they are (KTO)",
        )
    return Dataset.of(pairs, name=f"pairs of {ratings.name}")


def _rated(ratings: Dataset) -> Iterator[PreferenceExample]:
    by_prompt: dict[bytes, tuple[list[RatedExample], list[RatedExample]]] = defaultdict(lambda: ([], []))
    for example in ratings:
        assert isinstance(example, RatedExample)
        key = orjson.dumps(example.prompt.canonical(), option=orjson.OPT_SORT_KEYS)
        by_prompt[key][not example.good].append(example)
    for good, bad in by_prompt.values():
        for chosen, rejected in zip(good, bad, strict=False):
            if chosen.answer != rejected.answer:
                yield PreferenceExample(chosen.prompt, chosen.answer, rejected.answer)

"""Guards as a job has them: nonsense is refused where it is written, and by places that cannot keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.evaluation.evaluators.tables import evaluator_of, evaluator_table

EVALUATORS = (
    ft.ExactMatch(strip=False), ft.FieldMatch(("a.b", "c"), name="two"), ft.FieldMatch(), ft.Length(max_characters=3),
    ft.JSONSchema({"type": "object", "required": ["a"]}, fenced=True),
)  # fmt: skip


@pytest.mark.parametrize("evaluator", EVALUATORS, ids=lambda evaluator: evaluator.name)
def test_an_evaluator_comes_back_from_its_table(evaluator: Any) -> None:
    import json

    assert evaluator_of(json.loads(json.dumps(evaluator_table(evaluator)))) == evaluator


def test_a_table_of_another_version_is_refused() -> None:
    with pytest.raises(ft.JobError, match="was version 0"):
        evaluator_of({**evaluator_table(ft.ExactMatch()), "version": 0})


@pytest.mark.parametrize(
    "given",
    [
        {"best_by": "exact"}, {"best_by": [ft.ExactMatch]}, {"cases": 0}, {"cases": 2.5}, {"cases": True}, {"max_tokens": -1},
        {"memorisation": "yes"}, {"forgetting": "general.jsonl"}, {"forgetting_by": ft.ExactMatch()},
        {"forgetting": ft.Dataset.of([{"text": "a b"}]), "forgetting_by": ft.ExactMatch()},
        {"forgetting": ft.Dataset.of([{"prompt": "a", "completion": "b"}]), "forgetting_by": "exact"},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ft.JobError) as caught:
        ft.Guards(**given)
    assert caught.value.cure


def test_guards_need_validation_data_and_questions_need_answers(train: ft.Dataset, pairs: Path) -> None:
    with pytest.raises(ft.JobError, match="nothing to validate on"):
        ft.Job(name="a", train=train, guards=ft.Guards(memorisation=True))
    both = ft.Dataset.load(pairs)
    texts = ft.Dataset.of([{"text": f"case {n}"} for n in range(4)])
    with pytest.raises(ft.JobError, match="the data of Pretraining has none"):
        ft.Job(
            name="a",
            train=texts[:2],
            validation=texts[2:],
            method=ft.Pretraining(),
            guards=ft.Guards(memorisation=True),
        )
    with pytest.raises(ft.JobError, match=r"Guards\(forgetting=…\) is preference"):
        ft.Guards(forgetting=both)
    with pytest.raises(ft.JobError, match=r"Job\(guards=…\)"):
        ft.Job(name="a", train=train, validation=train[:2], guards="all")  # type: ignore[arg-type]


def test_a_place_that_cannot_keep_a_guard_says_so(train: ft.Dataset, home: Path) -> None:
    client = ft.Client(settings=ft.Settings("fake", home, {"fake": {}}))
    guarded = ft.Job(name="a", train=train[:20], validation=train[20:], guards=ft.Guards(best_by=[ft.ExactMatch()]))
    with pytest.raises(ft.UnsupportedError, match="fake has no guard 'best_by'"):
        client.submit(guarded)
    assert client.backend.runs() == []


def test_guards_are_part_of_the_definition_and_none_leave_it_as_it_was(train: ft.Dataset) -> None:
    plain = ft.Job(name="a", train=train[:20], validation=train[20:])
    guarded = ft.Job(name="a", train=train[:20], validation=train[20:], guards=ft.Guards(forgetting=train[:3]))
    assert "guards" not in plain.definition()
    assert guarded.definition()["guards"] == {"forgetting": train[:3].fingerprint}
    assert plain.fingerprint != guarded.fingerprint

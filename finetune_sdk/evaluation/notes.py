"""What a report says beside its figures, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune_sdk.evaluation.asking import Asked
from finetune_sdk.evaluation.comparison import CONFIDENCE, Metric
from finetune_sdk.evaluation.evaluators import Case
from finetune_sdk.evaluation.statistics import clopper_pearson, rule_of_three
from finetune_sdk.evaluation.transcript import Reply
from finetune_sdk.model import Answer

_FEW = 20


def beforehand(cases: Sequence[Case], samples: int, leaked: set[int]) -> Iterator[str]:
    """What the cases themselves allow to be concluded."""
    if samples > 1:
        yield (
            f"Each case was asked {samples} times, with seeds of its own; it passes where more than half of its "
            "scored answers pass, and counts as one case in every interval and test."
        )
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


def provenance(asked: Mapping[str, Asked], trouble: str | None) -> Iterator[str]:
    """Where the answers come from, and which of them say nothing."""
    for key, one in asked.items():
        if one.kept:
            yield (
                f"{one.kept:,} of {len(one.outcomes):,} answers of {key} were kept from an earlier run, with the latency of "
                "then; cache=False asks anew."
            )
        said = [outcome for outcome in one.outcomes if isinstance(outcome, Answer)]
        if not said:
            yield f"{key} has answered nothing at all, so nothing can be said of it."
        if empty := sum(not answer.text.strip() and not answer.tool_calls for answer in said):
            yield f"{empty:,} of {len(said):,} answers of {key} are empty; they are judged like any other."
    if trouble:
        yield trouble


def closing(
    rows: Sequence[Mapping[str, Any]],
    replies: Mapping[str, Sequence[Reply]],
    deciding: str,
    last: str,
    final: Metric,
    asked: str,
) -> Iterator[str]:
    """What was not answered or not judged, and what a perfect score leaves open."""
    for row in rows:
        errors = [reply.error for reply in replies[row["key"]] if reply.error]
        if errors:
            yield (
                f"{row['key']} did not answer {len(errors)} of {len(replies[row['key']])} {asked} ({errors[0]}); "
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

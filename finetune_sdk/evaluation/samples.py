"""Several answers to one case: how each is drawn, and what one case says when it is answered several times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from finetune_sdk.errors import EvaluationError
from finetune_sdk.model import Sampling

MOST = 1000


def samplings(sampling: Sampling | None, samples: int) -> list[Sampling | None]:
    """One for each answer to a case: several have seeds of their own, from the given one (or 0) upwards.

    Raises EvaluationError where several answers would all be the same.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or not 1 <= samples <= MOST:
        raise EvaluationError(f"samples={samples!r} makes no sense.", cure=f"give a whole number from 1 to {MOST:,}")
    if samples == 1:
        return [sampling]
    if sampling is None or not sampling.temperature:
        raise EvaluationError(
            f"{samples} samples of each case would be one answer {samples} times: nothing is drawn at temperature 0.",
            cure=f"draw them: sampling=Sampling(temperature=0.7) beside samples={samples}, `temperature: 0.7` in a job file",
        )
    return [replace(sampling, seed=(sampling.seed or 0) + number) for number in range(samples)]


def repeatable(sampling: Sampling | None) -> bool:
    """Whether the same question again would be answered alike: nothing is drawn, or by a seed."""
    return sampling is None or not sampling.temperature or sampling.seed is not None


def by_case(outcomes: Sequence[bool | None], clusters: Sequence[int]) -> list[bool | None]:
    """One outcome a case: whether more than half of its scored answers passed; None where none has a score.

    Answers to one case are no independent cases; counted as such they would make every interval too narrow.
    """
    found: dict[int, list[bool]] = {case: [] for case in clusters}
    for case, outcome in zip(clusters, outcomes, strict=True):
        if outcome is not None:
            found[case].append(outcome)
    return [2 * sum(one) > len(one) if one else None for one in found.values()]

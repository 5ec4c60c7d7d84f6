"""All that this place finds in a job before it runs: what it would reject, cut, or split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from finetune_sdk.backend import Resolved
from finetune_sdk.data.checks import Finding
from finetune_sdk.data.dataset import Dataset
from finetune_sdk.job import KTO, RFT, SFT, Pretraining
from finetune_sdk_local import bases, estimates, prepare, ratings
from finetune_sdk_local.checks import answerable, endings, graded, lengths, room, splits, turns, vocabulary
from finetune_sdk_local.tokenising import Sequences

Tokens = Callable[[Dataset], Sequences]


def of(resolved: Resolved, tokens: Tokens, general: Sequences | None, runs: Path) -> Iterator[Finding]:
    """`tokens` gives a dataset's sequences as the job's method sees them, `general` has those that guards look at."""
    job, method = resolved.job, resolved.method
    tokenizer = bases.tokenizer(resolved.base)
    for dataset in (job.train, job.validation):
        if dataset is None:
            continue
        made = tokens(dataset)
        if isinstance(method, RFT):
            yield from answerable(dataset, made, method)
            yield from graded(dataset, method)
        else:
            yield from lengths(dataset, made, prepare.width(method), method.max_length or 0)
        yield from vocabulary(dataset, made, resolved.base, tokenizer)
    made = tokens(job.train)
    if isinstance(method, SFT):
        yield from turns(job.train, made)
        yield from endings(job.train, made, bases.ends(resolved.base), tokenizer)
    if isinstance(method, KTO):
        yield from ratings.findings(job.train, method)
    if isinstance(method, Pretraining):
        yield from splits(job.train, made, method.max_length or 0)
    if job.guards is not None:
        from finetune_sdk_local import watching

        yield from watching.findings(job.guards, job, general)
    steps = prepare.steps(method, job.seed, len(made) // prepare.width(method))
    yield from room(runs, estimates.disk(resolved, made, steps))

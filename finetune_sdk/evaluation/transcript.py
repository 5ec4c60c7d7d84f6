"""What was asked, said and judged, as plain data: the rows that a report is made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, isfinite
from typing import Any

from finetune_sdk.evaluation.evaluators import Case, Evaluator, Score
from finetune_sdk.evaluation.evaluators.reading import call_data, deeper_than, mended
from finetune_sdk.messages import Message
from finetune_sdk.model import Answer, Model, Origin

_DEPTH = 100
_ORIGIN = ("backend", "base", "run", "job", "estimate", "actual", "curves", "manifest")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one case and one model: an answer or the place's error, and what each evaluator made of it.

    `faults` are the errors of evaluators; an evaluator with a fault has no score.
    """

    answer: Answer | None
    error: str | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def judged(cls, case: Case, answer: Answer, evaluators: Iterable[Evaluator]) -> Reply:
        scores, faults = dict[str, Score](), dict[str, str]()
        for evaluator in evaluators:
            if hasattr(evaluator, "judge_all"):  # it judges all answers at once, when they are there
                continue
            try:
                score: Any = evaluator.judge(case, answer)
                kept = _score(score) if isinstance(score, Score) else None
            except Exception as fault:  # an evaluator is anybody's code, and one case must not cost the other answers
                faults[evaluator.name] = f"{type(fault).__name__}: {fault}"
                continue
            if kept is not None:
                scores[evaluator.name] = score
            else:
                faults[evaluator.name] = f"judge returned {type(score).__name__}, not a Score"
        return cls(answer, None, scores, faults)

    def to_dict(self) -> dict[str, Any]:
        said = self.answer or Answer("", finish="error")
        errors = [self.error] if self.error else [f"{name}: {fault}" for name, fault in self.faults.items()]
        return {
            "text": mended(said.text),
            "tool_calls": [plain(call.canonical()) for call in said.tool_calls],
            "seconds": _finite(said.seconds),
            "input_tokens": None if said.input_tokens is None else int(said.input_tokens),
            "output_tokens": None if said.output_tokens is None else int(said.output_tokens),
            "finish": said.finish,
            "error": mended("; ".join(errors)) or None,
            "scores": {name: _score(score) for name, score in self.scores.items()},
        }


def example_row(case: Case, replies: Mapping[str, Reply]) -> dict[str, Any]:
    """One case with each model's answer."""
    return {
        "index": case.index,
        "where": case.where,
        "prompt": [{"role": message.role, "text": words(message)} for message in case.prompt.messages],
        **({"tools": plain(case.prompt.tools)} if case.prompt.tools else {}),
        "expected": None if case.expected is None else words(case.expected),
        "answers": {key: reply.to_dict() for key, reply in replies.items()},
    }


def model_row(key: str, model: Model, replies: Sequence[Reply]) -> dict[str, Any]:
    """One model: where it comes from, how long it took and how much it said."""
    answers = [reply.answer for reply in replies if reply.answer is not None]
    waited = [_finite(answer.seconds) for answer in answers]
    seconds = sorted(each for each in waited if each is not None)
    return {
        "key": key,
        "name": mended(model.name),
        "backend": model.origin.backend,
        "base": model.origin.base,
        "run": model.origin.run,
        "errors": len(replies) - len(answers),
        "latency": {"p50": _percentile(seconds, 0.50), "p95": _percentile(seconds, 0.95)},
        "tokens": {
            "input_mean": _mean([a.input_tokens for a in answers if a.input_tokens is not None]),
            "output_mean": _mean([a.output_tokens for a in answers if a.output_tokens is not None]),
        },
    }


def origin_row(origins: Iterable[Origin]) -> dict[str, Any] | None:
    """Where the last model that was trained comes from."""
    trained = [origin for origin in origins if origin.run is not None]
    return {name: plain(getattr(trained[-1], name)) for name in _ORIGIN} if trained else None


def words(message: Message) -> str:
    """A message as a person reads it: its text, then its tool calls as JSON."""
    calls = [json.dumps(plain(call_data(call)), ensure_ascii=False) for call in message.tool_calls]
    return mended("\n".join(part for part in (message.text, *calls) if part))


def plain(value: Any) -> Any:
    """A copy that is JSON through and through: what JSON has no word for is text, as are NaN and infinities."""
    if isinstance(value, Mapping):
        value = dict(value)
    if deeper_than(value, _DEPTH):
        return "nested too deeply to be kept"
    try:
        return json.loads(mended(json.dumps(value, ensure_ascii=False, default=_plain)), parse_constant=str)
    except (TypeError, ValueError, RecursionError):
        return "not to be written as JSON"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return str(value)


def _score(score: Score) -> dict[str, Any]:
    fields = {mended(str(name)): bool(match) for name, match in score.fields.items()}
    return {
        "passed": bool(score.passed),
        "reason": mended(score.reason),
        "value": _finite(score.value),
        "fields": fields,
    }


def _finite(value: float | None) -> float | None:
    if value is None or not isfinite(value):
        return None
    # What another library calls a number, JSON has no word for.
    return value if type(value) in (int, float) else float(value)


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    # The nearest rank: a figure that was really measured.
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None


def _mean(values: Sequence[int]) -> float | None:
    return float(sum(values) / len(values)) if values else None

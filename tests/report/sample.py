"""A report as `Report.to_dict` gives it: support tickets into JSON, a base, a prompted base and a tuned model."""

from __future__ import annotations

import json
import math
import random
from typing import Any

from finetune_sdk.evaluation.slices import sliced

EVALUATORS = ("JSONSchema", "FieldMatch", "ExactMatch")
FIELDS = ("category", "priority", "team", "refund")
TICKETS = (
    (
        "Hi, I was charged twice for order {n} last {day}. Please send one of the two payments back, I am not a bank :)",
        {"category": "billing", "priority": "high", "team": "payments", "refund": True},
    ),
    (
        "the app closes by itself when i open settings. android {n}. tried to reinstall, same thing since {day}",
        {"category": "bug", "priority": "normal", "team": "mobile", "refund": False},
    ),
    (
        "Hello, our parcel {n} was due on {day} and the tracking page has said “out for delivery” ever since.\n\nKind regards\nMaren",
        {"category": "delivery", "priority": "normal", "team": "logistics", "refund": False},
    ),
    (
        "URGENT!!! nobody in our office can log in since {day} morning, error {n}. 40 people are waiting.",
        {"category": "outage", "priority": "urgent", "team": "platform", "refund": False},
    ),
    (
        "Is there a way to export invoices as CSV? Not in a hurry. Our number is {n}. Any time before {day} is fine.",
        {"category": "question", "priority": "low", "team": "success", "refund": False},
    ),
)
DAYS = ("Monday", "Tuesday", "Thursday", "Friday")
SYSTEM = "Read the ticket and answer with one JSON object: category, priority, team, refund."
NAMES = {
    "base": "tiny",
    "prompted": "tiny with a system prompt and 3 examples",
    "tuned": "triage",
}


def wilson(passed: int, cases: int) -> tuple[float, float]:
    z, rate = 1.959964, passed / cases
    middle = (rate + z * z / (2 * cases)) / (1 + z * z / cases)
    half = z * math.sqrt(rate * (1 - rate) / cases + z * z / (4 * cases * cases)) / (1 + z * z / cases)
    return max(0.0, middle - half), min(1.0, middle + half)


def sample(cases: int = 160, origin: bool = True, seed: int = 3) -> dict[str, Any]:
    draw = random.Random(seed)
    examples = [_example(index, draw) for index in range(cases)]
    metrics = [_metric(evaluator, model, examples) for evaluator in EVALUATORS for model in NAMES]
    comparisons = [_comparison("FieldMatch", other, examples) for other in ("prompted", "base")]
    gained = comparisons[0]
    return {
        "version": 1,
        "title": "triage: base, prompted and tuned",
        "created": "2026-03-14T10:22:07Z",
        "confidence": 0.95,
        "cases": cases,
        "case_source": "tickets.jsonl (test)",
        "verdict": {
            "sentence": f"tuned is better than prompted: {gained['sentence']}",
            "outcome": "better",
            "better": "tuned",
            "than": "prompted",
            "on": "FieldMatch",
        },
        "models": [
            _model("base", None, 0.31, 92.4, 61.0),
            _model("prompted", None, 0.84, 488.0, 47.2),
            _model("tuned", "local:triage-8f3a", 0.22, 92.4, 31.6),
        ],
        "metrics": metrics,
        "comparisons": comparisons,
        "notes": ["Answers were drawn greedily (temperature 0), at most 128 tokens each."],
        "leakage": {"cases": 0, "allowed": False},
        "origin": _origin(draw) if origin else None,
        "slices": sliced(examples, EVALUATORS, {name: _outcomes(examples, name) for name in EVALUATORS}),
        "groups": None,
        "costs": [
            {"model": "tuned", "than": "prompted", "saving": 0.39, "training": 4.1, "answers": 10_513,
             "sentence": "tuned saves $0.39 for 1,000 answers against prompted: its training, which was charged $4.10, is paid "
                         "back after 10,513 answers."},
        ],
        "examples": examples,
    }  # fmt: skip


def _outcomes(examples: list[dict[str, Any]], name: str) -> dict[str, list[bool | None]]:
    return (
        {
            model: [example["answers"][model]["scores"][name]["passed"] for example in examples]
            for model in examples[0]["answers"]
        }
        if examples
        else {}
    )


def _model(key: str, run: str | None, p50: float, read: float, wrote: float) -> dict[str, Any]:
    return {
        "key": key,
        "name": NAMES[key],
        "backend": "local",
        "base": "tiny",
        "run": run,
        "errors": 0,
        "latency": {"p50": p50, "p95": p50 * 2.4},
        "tokens": {"input_mean": read, "output_mean": wrote},
        "cost": {"per_1000": round(read / 1000, 3), "basis": "list price of 14 March 2026"},
    }


def _example(index: int, draw: random.Random) -> dict[str, Any]:
    words, expected = draw.choice(TICKETS)
    asked = words.format(n=draw.randint(1000, 99999), day=draw.choice(DAYS))
    chances = {"base": 0.04, "prompted": 0.55, "tuned": 0.975}
    return {
        "index": index,
        "where": f"tickets.jsonl line {3 * index + 7}",
        "slices": {
            "label": str(expected["category"]),
            "length": "below 110 characters" if len(asked) < 110 else "110 and more",
        },
        "prompt": [{"role": "system", "text": SYSTEM}, {"role": "user", "text": asked}],
        "expected": json.dumps(expected),
        "answers": {model: _answer(model, expected, chance, draw) for model, chance in chances.items()},
    }


def _answer(model: str, expected: dict[str, Any], chance: float, draw: random.Random) -> dict[str, Any]:
    valid = draw.random() < chance
    said = dict(expected)
    if draw.random() > {"base": 0.1, "prompted": 0.35, "tuned": 0.93}[model]:
        said |= {draw.choice(("category", "team")): "other", "priority": draw.choice(("low", "normal"))}
    text = json.dumps(said) if valid else f"Thank you for your message. {json.dumps(said)[: draw.randint(0, 60)]}"
    wrong = [name for name in FIELDS if said[name] != expected[name]] if valid else list(FIELDS)
    fields = {name: name not in wrong for name in FIELDS}
    compare = ", ".join(f"{name} is {said[name]!r}, not {expected[name]!r}" for name in wrong)
    return {
        "text": text,
        "tool_calls": [],
        "seconds": 0.2 + draw.random() / 4,
        "input_tokens": 92,
        "output_tokens": len(text) // 4,
        "finish": "stop" if valid else draw.choice(("stop", "length")),
        "error": None,
        "scores": {
            "JSONSchema": {
                "passed": valid,
                "reason": "" if valid else "not JSON: expected value at column 1",
                "fields": {},
            },
            "FieldMatch": {"passed": not wrong, "reason": compare if valid else "not JSON", "fields": fields},
            "ExactMatch": {"passed": not wrong, "reason": "" if not wrong else "differs from expected", "fields": {}},
        },
    }


def _metric(evaluator: str, model: str, examples: list[dict[str, Any]]) -> dict[str, Any]:
    scores = [example["answers"][model]["scores"][evaluator] for example in examples]
    found = _rate(sum(score["passed"] for score in scores), len(scores))
    names = FIELDS if evaluator == "FieldMatch" else ()
    fields = {name: _rate(sum(score["fields"][name] for score in scores), len(scores)) for name in names}
    score = {"mean": 0.81, "low": 0.77, "high": 0.85, "cases": len(scores), "why": ""} if names else None
    return {"evaluator": evaluator, "model": model, "errors": 0, **found, "fields": fields, "score": score}


def _rate(passed: int, cases: int) -> dict[str, Any]:
    low, high = wilson(passed, cases)
    return {"passed": passed, "cases": cases, "rate": passed / cases, "low": low, "high": high}


def _comparison(evaluator: str, than: str, examples: list[dict[str, Any]]) -> dict[str, Any]:
    pairs = [
        tuple(bool(example["answers"][model]["scores"][evaluator]["passed"]) for model in ("tuned", than))
        for example in examples
    ]
    more, less = pairs.count((True, False)), pairs.count((False, True))
    difference = (more - less) / len(pairs)
    half = 1.96 * math.sqrt(more + less) / len(pairs)
    return {
        "evaluator": evaluator,
        "better": "tuned",
        "than": than,
        "cases": len(pairs),
        "both": pairs.count((True, True)),
        "only_better": more,
        "only_than": less,
        "neither": pairs.count((False, False)),
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
        "p": 2.0 ** -(more - less),
        "sentence": f"tuned passes {evaluator} in {pairs.count((True, True)) + more} of {len(pairs)} cases, {than} in "
        f"{pairs.count((True, True)) + less}: {more} became right and {less} wrong (exact McNemar p < 0.0001), so the "
        "difference is not chance.",
    }


def _range(low: float | None, expected: float | None, high: float | None, unit: str, basis: str) -> dict[str, Any]:
    return {"low": low, "expected": expected, "high": high, "unit": unit, "basis": basis}


def _origin(draw: random.Random) -> dict[str, Any]:
    steps = range(1, 151)
    decay = [0.11 + 2.6 * math.exp(-step / 22) for step in steps]
    return {
        "backend": "local",
        "base": "tiny",
        "run": "local:triage-8f3a",
        "job": {
            "name": "triage",
            "base": "tiny",
            "method": {"kind": "sft", "epochs": 3, "learning_rate": 0.002, "batch_size": 16},
            "adapter": {"kind": "lora", "rank": 16, "alpha": 32},
            "seed": 7,
            "train": {"name": "tickets.jsonl (train)", "rows": 800, "fingerprint": "sha256:41c0a9f2b77e"},
            "validation": {"name": "tickets.jsonl (validation)", "rows": 80, "fingerprint": "sha256:9d1e4c55aa02"},
            "own": {},
            "chosen": {"epochs": "given", "batch_size": "chosen for 2 cores"},
        },
        "estimate": {
            "tokens": _range(271_000, 271_440, 271_440, "tokens", "counted with the base’s tokenizer, 3 epochs"),
            "trained_tokens": _range(74_000, 74_310, 74_310, "tokens", "completions only, after truncation"),
            "charge": _range(0.0, 0.0, 0.0, "USD", "own hardware: no provider is paid"),
            "time": _range(48.0, 66.0, 97.0, "s", "two steps of the longest batch, timed on this machine"),
            "memory": _range(0.9e9, 1.14e9, 1.5e9, "bytes", "the longest batch tried before the start"),
            "disk": _range(8e6, 9e6, 12e6, "bytes", "3 checkpoints and the adapter"),
            "machine": _range(None, None, None, "USD", "no price per hour is set"),
            "resolved": {"base": "tiny", "dtype": "float32", "device": "cpu"},
            "notes": [],
        },
        "actual": {
            "time": 71.3,
            "memory": 1.21e9,
            "tokens": 271_440,
            "trained_tokens": 74_310,
            "charge": 0.0,
            "disk": 9.4e6,
        },
        "curves": {
            "loss": [[step, value * draw.uniform(0.86, 1.16)] for step, value in zip(steps, decay, strict=True)],
            "validation_loss": [
                [step, decay[step - 1] * 1.04 + max(0, step - 110) * 0.0011] for step in range(10, 151, 10)
            ],
            "learning_rate": [[step, 0.002 * min(step / 10, (151 - step) / 141)] for step in steps],
        },
        "manifest": {
            "packages": {"finetune-anywhere": "0.1.0", "torch": "2.13.0", "transformers": "5.17.0", "peft": "0.21.2"},
            "hardware": {"processor": "2 cores", "memory": "7.6 GB", "accelerator": None},
            "seeds": {"job": 7, "order": 7},
        },
    }

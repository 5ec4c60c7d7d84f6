"""ValidXML, ValidYAML, ValidCSV and ValidSQL: what can be read passes, and reading it does nothing else."""

from __future__ import annotations

from typing import Any

import pytest

import finetune_sdk as ft
from hostile import case


def score(evaluator: Any, answer: str) -> ft.Score:
    found: ft.Score = evaluator.judge(case("x"), ft.Answer(answer))
    return found


@pytest.mark.parametrize("text", ["<a/>", '<?xml version="1.0"?>\n<a b="1">é<c/>&amp;</a>\n', "<a><![CDATA[<]]></a>"])
def test_well_formed_xml_passes(text: str) -> None:
    assert score(ft.ValidXML(), text).passed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not XML"),
        ("a", "not XML"),
        ("<a>", "not XML"),
        ("<a></b>", "mismatched tag"),
        ("<a/><b/>", "not XML"),
        ("<a>&b;</a>", "undefined entity"),
        ("<a>\ud800</a>", "surrogates"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "not XML"),
        ("```xml\n<a/>\n```", "not XML"),
    ],
)
def test_other_text_is_no_xml_and_entities_are_refused(text: str, says: str) -> None:
    found = score(ft.ValidXML(), text)
    assert not found.passed
    assert says in found.reason


def test_the_root_can_be_named_and_a_fence_allowed() -> None:
    assert score(ft.ValidXML(root="a", fenced=True), "```xml\n<a/>\n```").passed
    assert score(ft.ValidXML(root="a"), "<b/>").reason == "the root is 'b', expected 'a'"


@pytest.mark.parametrize("text", ["a: 1\nb: [x, y]\n", "- a\n- b", "{a: 1}", "---\na: &x [1]\nb: *x\n...\n", "[]"])
def test_yaml_of_plain_data_passes(text: str) -> None:
    assert score(ft.ValidYAML(), text).passed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "neither an object nor a list"),
        ("Sure, here it is.", "neither an object nor a list"),
        ("Here it is: yes: no", "not YAML"),
        ("a: [1", "not YAML"),
        ("a: *b", "the alias 'b' stands for nothing"),
        ("a: 1\n---\nb: 2", "more than one document"),
        ("!!python/object/apply:os.system [true]", "not one of plain data"),
        ("a: !mine 1", "'!mine' is not one of plain data"),
        ("[" * 300 + "]" * 300, "nested more than 200 levels deep"),
        ("a: \x00", "not YAML"),
    ],
)
def test_other_text_is_no_yaml(text: str, says: str) -> None:
    found = score(ft.ValidYAML(), text)
    assert not found.passed
    assert says in found.reason


def test_a_scalar_is_yaml_on_request_and_a_fence_can_be_allowed() -> None:
    assert score(ft.ValidYAML(scalars=True), "yes").passed
    assert score(ft.ValidYAML(fenced=True), "```yml\na: 1\n```").passed
    assert not score(ft.ValidYAML(), "a: 1\n" * 50_000).passed  # too long


@pytest.mark.parametrize("text", ["a,b\n1,2\n", 'a,b\r\n"1, 5","x ""y"""', "a\n1", "a,b\n,\n"])
def test_a_table_passes_and_the_value_is_its_rows(text: str) -> None:
    assert score(ft.ValidCSV(), text) == ft.Score(True, value=1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("a,b", "one row alone"),
        ("a,b\n1", "line 2 has 1 field, the first has 2 fields"),
        ("a,b\n1,2\n\n3,4", "line 3 has 0 fields"),
        ('a,b\n"1,2', "not CSV"),
        ('a,b\n"1"x,2', "not CSV"),
    ],
)
def test_other_text_is_no_table(text: str, says: str) -> None:
    found = score(ft.ValidCSV(), text)
    assert not found.passed
    assert says in found.reason


def test_columns_and_the_separator_can_be_named() -> None:
    table = ft.ValidCSV(columns=["id", "team"], separator=";", fenced=True)
    assert score(table, "```csv\nid;team\n1;billing\n```").passed
    assert score(table, "id;group\n1;billing").reason == 'the columns are ["id", "group"], expected ["id", "team"]'
    for wrong in ({"separator": ", "}, {"separator": '"'}, {"columns": []}):
        with pytest.raises(ft.EvaluationError):
            ft.ValidCSV(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM tickets WHERE team = 'billing';",
        "WITH t AS (SELECT 1 AS a) SELECT a FROM t",
        "INSERT INTO t (a) VALUES (1)",
        "UPDATE t SET a = 1",
        "CREATE TABLE t (a INT)",
        "DELETE FROM t",
        "DROP TABLE t",
    ],
)
def test_a_statement_of_sql_passes(text: str) -> None:
    assert score(ft.ValidSQL(), text).passed
    assert score(ft.ValidSQL(reads=True), text).passed == text.startswith(("SELECT", "WITH"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("SELEC * FROM t", "not"),
        ("SELECT FROM WHERE", "not SQL"),
        ("Sure, here is the query.", "not"),
        ("refund", "not a statement"),
        ("Show me the refund", "not a statement"),
        ("SELECT 1; SELECT 2", "2 statements, expected one"),
        ("SELECT (1", "not SQL"),
        ("x" * 50_001, "50,001 characters"),
        ("SELECT " + "(" * 20_000, "not SQL"),
    ],
)
def test_other_text_is_no_sql(text: str, says: str) -> None:
    found = score(ft.ValidSQL(), text)
    assert not found.passed
    assert says in found.reason


def test_reading_alone_forbids_what_writes_inside_a_query() -> None:
    reads = ft.ValidSQL(dialect="postgres", reads=True)
    assert not score(reads, "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d").passed
    assert not score(reads, "SELECT * INTO other FROM t").passed
    assert score(ft.ValidSQL(several=True), "SELECT 1; SELECT 2").passed


def test_a_dialect_is_known_or_refused() -> None:
    assert score(ft.ValidSQL(dialect="mysql"), "SELECT `a` FROM t").passed
    with pytest.raises(ft.EvaluationError, match=r"dialect is 'mysqll'[\s\S]*postgres"):
        ft.ValidSQL(dialect="mysqll")
